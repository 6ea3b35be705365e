"""The faces of the set-up agree: pyproject.toml, environment.yml, the lock, and a cheap import."""

import re
import subprocess
import sys
import tomllib

import yaml

from dfutils.paths import PROJECT_ROOT

# conda brings these in place of pip
FROM_CONDA = {"torch": "pytorch-cpu", "torchvision": "torchvision", "setuptools": "setuptools"}


def normalise(requirement):
    """Name (without extras' brackets) to version range and marker."""
    name, rest = re.match(r"([A-Za-z0-9_.-]+)(.*)", requirement.strip()).groups()
    return name.lower(), re.sub(r"\s+", "", rest)


def pyproject():
    return tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_is_pyproject_with_all_cpu_extras():
    project = pyproject()
    wanted = list(project["dependencies"])
    for extra in ("cpu", "mtcnn", "dsfd", "dev"):
        wanted += project["optional-dependencies"][extra]
    entries = yaml.safe_load((PROJECT_ROOT / "environment.yml").read_text())["dependencies"]
    conda = [normalise(entry) for entry in entries if isinstance(entry, str)]
    pip = [entry for block in entries if isinstance(block, dict) for entry in block["pip"]]
    found = {normalise(entry) for entry in pip if not entry.startswith("--")}
    by_pip = {item for item in map(normalise, wanted) if item[0] not in FROM_CONDA}
    assert found == by_pip
    assert len(by_pip) > 25
    for name, version in map(normalise, wanted):
        if name in FROM_CONDA:
            assert (FROM_CONDA[name], version) in conda


def test_lock_pins_every_direct_dependency_with_hashes():
    text = (PROJECT_ROOT / "requirements.txt").read_text()
    pinned = {match.lower() for match in re.findall(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)}
    project = pyproject()
    wanted = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    missing = {normalise(item)[0] for item in wanted} - pinned
    assert not missing
    assert text.count("--hash=sha256:") > len(pinned)
    assert "://" not in text  # no registry's address


def test_import_is_cheap():
    heavy = ("tensorflow", "keras", "librosa", "cv2", "dask", "distributed")
    code = f"import dfutils, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_but_keras_touches_a_backend():
    for path in (PROJECT_ROOT / "dfutils").rglob("*.py"):
        text = path.read_text()
        # gradients for an input, and several devices with TensorFlow: Keras has no function for them
        if path.name not in ("adversarial.py", "distribution.py"):
            assert not re.search(r"^\s*(import|from) tensorflow", text, re.MULTILINE), path
        assert "import pickle" not in text, path
        assert "Lambda(" not in text, path


def test_the_map_of_modules_names_each_once():
    folder = PROJECT_ROOT / "dfutils"
    named = re.findall(r"`(\w+)/?`", (folder / "README.md").read_text().split("|---|---|")[1])
    modules = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    packages = [path.parent.name for path in folder.glob("*/__init__.py")]
    assert sorted(named) == sorted(modules + packages)
