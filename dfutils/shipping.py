"""Put a trained model into ``models/``: as ONNX, listed with its hash, numbers in its card."""

from __future__ import annotations

import csv
from pathlib import Path

from dfutils import paths
from dfutils.bundles import load_bundle, save_bundle
from dfutils.descriptions import ONNX_NAME
from dfutils.errors import InputError
from dfutils.results import read_run

COLUMNS = ("file", "sha256", "notebook", "commit", "metric")
MARKS = ("<!-- numbers -->", "<!-- end of numbers -->")


def ship(kind: str, run_id: str) -> Path:
    """Copy the model that the notebooks trained last into ``models/<kind>`` and list it.

    Only as ONNX, in half precision: the detector runs it without Keras, and
    `dfutils.bundles.load_bundle` makes a Keras model of it again.

    Parameters
    ----------
    kind : {"picture", "voice"}
    run_id : str
        Of the recorded run (`dfutils.results`) that trained it; its commit and validation AUC go into
        ``models.csv``.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    InputError
        The model was not trained on real data, cannot be exported, or the run is not recorded.
    IntegrityError
        What was exported computes something else than the model.
    """
    run = read_run(run_id)
    bundle = load_bundle(paths.work_dir() / "models" / kind)
    if bundle.about.get("corpus") != "real":
        raise InputError(kind, f"was trained on the corpus {bundle.about.get('corpus')!r}: not for shipping")
    bundle.about = {**bundle.about, "run_id": run_id, "commit": run["commit"]}
    folder = save_bundle(bundle, paths.models_dir() / kind, onnx_only=True)
    scores = run["metrics"]["validation"]
    interval = f"{scores['auc_low']:.3f} to {scores['auc_high']:.3f}"
    row = {
        "file": f"{kind}/{ONNX_NAME}",
        "sha256": bundle.sha256,
        "notebook": run["notebook"],
        "commit": run["commit"],
        "metric": f"validation AUC {scores['auc']:.3f} ({interval})",
    }
    table = paths.models_dir() / "models.csv"
    others = []
    if table.exists():
        with open(table, newline="") as file:
            others = [old for old in csv.DictReader(file) if not old["file"].startswith(f"{kind}/")]
    with paths.atomic_path(table) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*others, row])
    return folder


def write_numbers(card: Path, rows: list[tuple[str, dict]]) -> None:
    """Replace the table of numbers in a model card or a README, between its two marks.

    Parameters
    ----------
    card : pathlib.Path
        A Markdown file that holds both `MARKS`.
    rows : list of tuple
        What was scored, and what `dfutils.metrics.evaluate` gave, with its interval.
    """
    text = card.read_text()
    if any(text.count(mark) != 1 for mark in MARKS):
        raise InputError(card, f"must hold {MARKS[0]} and {MARKS[1]} once each")
    lines = [
        "| scored on | n (fake) | AUC (95 % interval) | EER | sensitivity | specificity | log loss | ECE |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, scores in rows:
        interval = f"{scores['auc_low']:.3f} to {scores['auc_high']:.3f}"
        lines.append(
            f"| {name} | {scores['n']} ({scores['n_fake']}) | {scores['auc']:.3f} ({interval}) "
            f"| {scores['eer']:.3f} | {scores['sensitivity']:.2f} | {scores['specificity']:.2f} "
            f"| {scores['log_loss']:.3f} | {scores['ece']:.3f} |"
        )
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    with paths.atomic_path(card) as temporary:
        temporary.write_text(before + "\n".join([MARKS[0], *lines, MARKS[1]]) + after)
