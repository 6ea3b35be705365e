# Every target is what a person could type; .venv is made on first use.
PYTHON ?= python3.11
PORT ?= 8866
BIN := .venv/bin
export NO_ALBUMENTATIONS_UPDATE = 1

.PHONY: study test train-video train-audio app bench fuzz lab lint lock notebooks-strip clean

study: .venv/ready  ## run the notebooks (embedded corpus, or DFUTILS_DATA); PROFILE=name for others
	$(BIN)/python -m dfutils study $(if $(PROFILE),--profile $(PROFILE))

test: .venv/ready  ## run all tests
	$(BIN)/python -m pytest

train-video: .venv/ready  ## train the picture model on DFUTILS_DATA; goes on where it was interrupted
	$(BIN)/python -m dfutils study --profile train-video --only 01 03 04 05

train-audio: .venv/ready  ## train the voice model on DFUTILS_DATA; goes on where it was interrupted
	$(BIN)/python -m dfutils study --profile train-audio --only 02 06

app: .venv/ready  ## open the detector as a page in the browser, on this machine only; PORT=number
	$(BIN)/python -m dfutils.app_server --port $(PORT)

bench: .venv/ready  ## measure speed beside the thesis' way, and time and memory over growing work: reports/
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/plot.py

fuzz: .venv/ready  ## broken media through preprocessing and the detector; NUMBER=600 SEED=0 MINUTES=30
	$(BIN)/python benchmarks/fuzz.py $(if $(NUMBER),--number $(NUMBER)) $(if $(SEED),--seed $(SEED)) \
		$(if $(MINUTES),--minutes $(MINUTES))

lab: .venv/ready  ## open JupyterLab
	$(BIN)/jupyter lab notebooks

lint: .venv/ready  ## ruff, notebooks included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lock: .venv/ready  ## compile requirements.txt from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra cpu --extra mtcnn --extra dev --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements.txt

notebooks-strip: .venv/ready  ## take outputs and run data out of the notebooks
	$(BIN)/nbstripout --extra-keys "metadata.papermill cell.metadata.papermill" notebooks/*.ipynb notebooks/checks/*.ipynb

clean:  ## remove all that `make study` made (not the environment)
	rm -rf data/work reports/study-*

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
