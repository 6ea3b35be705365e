"""Run the numbered notebooks in order by papermill: checked parameters, time limits, resumable."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

from dfutils.errors import InputError
from dfutils.paths import PROJECT_ROOT, atomic_path, corpus_name, data_dir, reports_dir, weights_dir, work_dir
from dfutils.quiet import native_stderr_to

NOTEBOOKS = PROJECT_ROOT / "notebooks"
PROFILES = NOTEBOOKS / "profiles"


@dataclass(frozen=True)
class Profile:
    """Parameters for a run of the study.

    Attributes
    ----------
    name : str
    parameters : dict
        Notebook's stem to its parameters.
    minutes : float
        Time limit of one cell [min].
    """

    name: str
    parameters: dict[str, dict]
    minutes: float = 60.0


def list_notebooks() -> list[Path]:
    """Return the numbered notebooks, then the detector's, in running order."""
    return [*sorted(NOTEBOOKS.glob("[0-9][0-9]-*.ipynb")), NOTEBOOKS / "Deepfake Detector.ipynb"]


def read_parameters(notebook: Path) -> dict[str, object]:
    """Read names and defaults from a notebook's cell tagged ``parameters``.

    Raises
    ------
    InputError
        There is not exactly one such cell, or it holds anything but assignments of literals.
    """
    cells = json.loads(notebook.read_text())["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise InputError(notebook, f"needs exactly one cell tagged 'parameters', has {len(tagged)}")
    found = {}
    for node in ast.parse("".join(tagged[0]["source"])).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if not isinstance(target, ast.Name) or node.value is None:
            raise InputError(
                notebook, f"its parameters cell may only hold NAME: type = literal (line {node.lineno})"
            )
        try:
            found[target.id] = ast.literal_eval(node.value)
        except ValueError as error:
            raise InputError(notebook, f"the parameter {target.id} is not a literal") from error
    return found


def read_profile(path: str | os.PathLike) -> Profile:
    """Read a profile (YAML) and check it against the notebooks.

    Papermill only warns about a misspelt parameter and runs the full scale; here it is an error.

    Raises
    ------
    InputError
        The file is missing or malformed, a notebook or a parameter is unknown, or a value has
        another type than the notebook's default.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            path, f"this profile does not exist; there are {sorted(p.stem for p in PROFILES.glob('*.yaml'))}"
        )
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise InputError(path, f"is not valid YAML ({error})") from error
    minutes = float(content.pop("minutes_per_cell", 60))
    notebooks = {notebook.stem: notebook for notebook in list_notebooks()}
    for stem, values in content.items():
        if stem not in notebooks:
            raise InputError(path, f"names the notebook {stem!r}; there are {sorted(notebooks)}")
        defaults = read_parameters(notebooks[stem])
        for name, value in (values or {}).items():
            if name not in defaults:
                raise InputError(path, f"{stem} has no parameter {name!r}; it has {sorted(defaults)}")
            expected = type(defaults[name])
            if not isinstance(value, (int, float) if expected is float else expected):
                raise InputError(path, f"{stem}: {name} must be of type {expected.__name__}, got {value!r}")
    return Profile(path.stem, {stem: values or {} for stem, values in content.items()}, minutes)


def run_study(profile: Profile, only: list[str] | None = None, force: bool = False) -> Path:
    """Execute the notebooks; what is done and unchanged is not run again.

    A notebook counts as done while its source, its parameters, the package's code, the data
    folders and everything that ran before it are the same.

    Parameters
    ----------
    profile : Profile
    only : list of str, optional
        Beginnings of notebook names, e.g. ``["03", "Deepfake"]``; default all.
    force : bool
        Run again even what is done.

    Returns
    -------
    pathlib.Path
        Folder of the executed notebooks.

    Raises
    ------
    InputError
        A notebook failed; the message says in which and where its executed copy is.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    _prepare_environment()
    executed = reports_dir() / "notebooks"
    executed.mkdir(parents=True, exist_ok=True)
    notebooks = list_notebooks()
    chain = _hash(_package_hash(), str(data_dir()), str(weights_dir()))
    print(
        f"Study on the corpus '{corpus_name()}', profile '{profile.name}', {len(notebooks)} notebooks",
        flush=True,
    )
    for number, notebook in enumerate(notebooks, 1):
        parameters = profile.parameters.get(notebook.stem, {})
        chain = _hash(chain, _source_hash(notebook), json.dumps(parameters, sort_keys=True))
        if only and not any(notebook.stem.startswith(word) for word in only):
            continue
        output = executed / notebook.name
        stamp = work_dir() / "stamps" / f"{notebook.stem}.json"
        label = f"[{number}/{len(notebooks)}] {notebook.stem}"
        if not force and output.exists() and stamp.exists() and json.loads(stamp.read_text())["key"] == chain:
            print(f"{label}: done before, unchanged", flush=True)
            continue
        stamp.unlink(missing_ok=True)
        print(f"{label}: running …", flush=True)
        started = time.monotonic()
        try:
            with native_stderr_to(executed / "kernels.log"):
                papermill.execute_notebook(
                    str(notebook),
                    str(output),
                    parameters,
                    kernel_name="python3",
                    progress_bar=False,
                    execution_timeout=int(profile.minutes * 60),
                    cwd=str(work_dir()),
                )
        except PapermillExecutionError as error:
            raise InputError(
                notebook.name,
                f"failed in cell {error.exec_count}: {error.ename}: {error.evalue} (see {output})",
            ) from error
        seconds = round(time.monotonic() - started, 1)
        with atomic_path(stamp) as temporary:
            temporary.write_text(json.dumps({"key": chain, "seconds": seconds}))
        print(f"{label}: {seconds:.0f} s", flush=True)
    return executed


def example_clips() -> list[Path]:
    """Return one real and one fake video that no model was trained on, from the table of notebook 01."""
    from dfutils.manifest import read_manifest

    videos = read_manifest(work_dir() / "videos.csv")
    videos = videos[videos["split"].isin(["test", "unseen"])]
    return [Path(videos[videos["label"] == label]["path"].iloc[0]) for label in (0, 1)]


def _prepare_environment() -> None:
    """Hand the kernels absolute folders and quiet libraries."""
    for name, folder in (("DFUTILS_DATA", data_dir()), ("DFUTILS_WEIGHTS", weights_dir())):
        if folder:
            os.environ[name] = str(folder)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    os.environ.pop("JPY_SESSION_NAME", None)  # JupyterLab's, of the notebook that started us, if one did
    # kernels must be of this interpreter's environment, also when it is not activated
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _source_hash(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    return _hash(*("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))


def _package_hash() -> str:
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return _hash(*(file.read_text() for file in files))
