"""What a notebook of this study must be, checked without running it."""

import ast
import json
import re

import pytest

from dfutils import InputError, study
from dfutils.paths import PROJECT_ROOT

NOTEBOOKS = study.list_notebooks()
NUMBERED = [path for path in NOTEBOOKS if path.stem[0].isdigit()]


def cells(path, kind="code"):
    found = json.loads(path.read_text())["cells"]
    return [cell | {"text": "".join(cell["source"])} for cell in found if cell["cell_type"] == kind]


def test_all_nine_are_there():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06", "07", "08", "De"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_anatomy(path):
    code, prose = cells(path), cells(path, "markdown")
    assert study.read_parameters(path)  # exactly one tagged cell, literals only
    assert prose[0]["text"].startswith("# ")
    for cell in code:
        assert not cell["outputs"], "outputs not stripped"
        assert cell["execution_count"] is None
        assert cell["text"].count("\n") < 25, cell["text"]
        tree = ast.parse(cell["text"])
        assert not any(isinstance(node, ast.ClassDef | ast.FunctionDef) for node in ast.walk(tree))
        for forbidden in (
            "sys.path",
            "!pip",
            "%pip",
            "os.chdir",
            "/home/",
            "/work/",
            "/tmp/",
            "import tensorflow",
        ):
            assert forbidden not in cell["text"]
    assert "papermill" not in json.loads(path.read_text())["metadata"]


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_numbered_notebooks_read_like_a_short_paper(path):
    code, prose = cells(path), cells(path, "markdown")
    assert 14 <= len(code) + len(prose) <= 28
    assert 40 <= sum(cell["text"].count("\n") + 1 for cell in code) <= 140
    assert "| Reads | Writes | Smoke time | Full time | GPU |" in prose[0]["text"]
    assert any(cell["text"].startswith("## What we see") for cell in prose)
    assert "results.record(" in code[-1]["text"]
    assert "References" in prose[-1]["text"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_are_explained_and_not_derived(path):
    (tagged,) = [cell for cell in cells(path) if "parameters" in cell["metadata"].get("tags", [])]
    for line in tagged["text"].splitlines():
        assert re.fullmatch(r"[A-Z][A-Z0-9_]*: (int|float|str|bool) = [^#]+?(  # [^=]+)?", line), line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_that_show_faces_are_tagged(path):
    """Published copies of runs on restricted data leave their output out (`dfutils.publishing`)."""
    for cell in cells(path):
        shows = "frame_report(" in cell["text"] or (
            "contact_sheet(" in cell["text"] and ("read_image" in cell["text"] or "frames" in cell["text"])
        )
        assert shows == ("faces" in cell["metadata"].get("tags", [])), cell["text"]


def test_notebook_tables_name_every_notebook():
    for place in ("README.md", "notebooks/README.md"):
        text = (PROJECT_ROOT / place).read_text()
        for path in NOTEBOOKS:
            assert path.name in text or path.name.replace(" ", "%20") in text, (place, path.name)


def write_profile(tmp_path, text):
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"05-fine-tuning": {EPOCH: 3}', "no parameter 'EPOCH'"),
        ('"05-finetuning": {EPOCHS: 3}', "names the notebook '05-finetuning'"),
        ('"05-fine-tuning": {EPOCHS: "3"}', "EPOCHS must be of type int"),
        ("[", "not valid YAML"),
    ],
)
def test_a_wrong_profile_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        study.read_profile(write_profile(tmp_path, text))


@pytest.mark.parametrize("name", ["embedded", "real", "train-video"])
def test_shipped_profiles_fit_the_notebooks(name):
    assert study.read_profile(study.PROFILES / f"{name}.yaml").parameters
