"""Publish recorded runs: results, figures and executed notebooks go from a run's folder into ``reports/``.

Runs on restricted data show restricted faces. Cells that show faces carry the tag ``faces``; what they
printed or drew is left out unless the corpus is the embedded one. Folders of this machine are named by
what they are for.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from dfutils import paths
from dfutils.errors import InputError
from dfutils.results import COLUMNS, read_run

FACES = "faces"
LEFT_OUT = "(left out: this picture shows faces of a restricted dataset)"


def publish(
    run_ids: Sequence[str],
    notebooks: Sequence[str] = (),
    figures: Sequence[str] = (),
    target: Path | None = None,
    cards: Sequence[str] = (),
) -> list[Path]:
    """Copy what was recorded in `dfutils.paths.reports_dir` into ``reports/``.

    Parameters
    ----------
    run_ids : sequence of str
        Rows of ``results.csv``; those that are published already stay as they are.
    notebooks : sequence of str
        Beginnings of names of executed notebooks, e.g. ``"05"``.
    figures : sequence of str
        Names without suffix, e.g. ``"05-history"``.
    target : pathlib.Path, optional
        Default: ``reports/`` of the project.
    cards : sequence of str
        Names of Markdown pages without suffix, e.g. ``"robustness-voice"``.

    Returns
    -------
    list of pathlib.Path
        What was written.

    Raises
    ------
    InputError
        Something is missing, or a figure shows faces.
    """
    source, target = paths.reports_dir(), target or paths.PROJECT_ROOT / "reports"
    runs = [read_run(run_id) for run_id in run_ids]
    corpus = {run["corpus"] for run in runs} or {paths.corpus_name()}
    if len(corpus) > 1:
        raise InputError("runs", f"are of several corpora: {sorted(corpus)}")
    (corpus,) = corpus
    texts: dict[Path, str] = {}
    for prefix in notebooks:
        (executed,) = _find(source / "notebooks", f"{prefix}*.ipynb")
        texts[target / "notebooks" / corpus / executed.name] = clean_notebook(executed, corpus)
    for run in runs:
        texts[target / "results" / f"{run['run_id']}.json"] = json.dumps(run, indent=1) + "\n"
    for name in cards:
        (page,) = _find(source, f"{name}.md")
        texts[target / f"{corpus}-{page.name}"] = page.read_text()
    texts = {path: _hide_local_paths(text) for path, text in texts.items()}
    shown = _figures_with_faces() if corpus != "embedded" else set()
    pictures = {}
    for name in figures:
        if name in shown:
            raise InputError(name, "shows faces of a restricted dataset: not published")
        (picture,) = _find(source / "figures", f"{name}.png")
        pictures[target / "figures" / f"{corpus}-{name}.png"] = picture
    for path, text in texts.items():
        with paths.atomic_path(path) as temporary:
            temporary.write_text(text)
    for path, picture in pictures.items():
        with paths.atomic_path(path) as temporary:
            shutil.copyfile(picture, temporary)
    if runs:
        _append_rows(runs, target / "results.csv")
    return [*texts, *pictures]


def clean_notebook(path: Path, corpus: str) -> str:
    """Return an executed notebook as JSON text, without run metadata and without restricted faces."""
    notebook = json.loads(path.read_text())
    notebook["metadata"].pop("papermill", None)
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        cell["metadata"].pop("execution", None)
        if corpus != "embedded" and FACES in cell["metadata"].get("tags", []) and cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [LEFT_OUT]}]
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _find(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise InputError(folder / pattern, f"matches {len(found)} files, one is needed")
    return found


def _hide_local_paths(text: str) -> str:
    """Name the folders of this machine by what they are for."""
    folders = {
        "<work>": paths.work_dir(),
        "<reports>": paths.reports_dir(),
        "<data>": paths.data_dir(),
        "<weights>": paths.weights_dir(),
        "<project>": paths.PROJECT_ROOT,
        "<home>": Path.home(),
    }
    known = [(str(folder), name) for name, folder in folders.items() if folder and str(folder) != "/"]
    for folder, name in sorted(known, key=lambda pair: -len(pair[0])):  # the inner ones first
        text = text.replace(folder, name)
    return text


def _figures_with_faces() -> set[str]:
    """Names of the figures that are saved in cells tagged ``faces``."""
    found = set()
    for path in (paths.PROJECT_ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            if FACES in cell["metadata"].get("tags", []):
                parts = "".join(cell["source"]).split("save_figure(")[1:]
                found |= {part.split('"')[1] for part in parts}
    return found


def _append_rows(runs: list[dict], table: Path) -> None:
    old = table.read_text() if table.exists() else ""
    known = {row["run_id"] for row in csv.DictReader(old.splitlines())}
    with paths.atomic_path(table) as temporary, open(temporary, "w", newline="") as file:
        file.write(old)
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not old:
            writer.writeheader()
        for run in runs:
            if run["run_id"] not in known:
                row = {key: json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
                       for key, value in run.items()}  # fmt: skip
                writer.writerow(row)
