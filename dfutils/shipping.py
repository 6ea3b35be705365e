"""Put a trained model into ``models/``: as ONNX, listed with its hash."""

from __future__ import annotations

import csv
from pathlib import Path

from dfutils import paths
from dfutils.bundles import load_bundle, save_bundle
from dfutils.descriptions import ONNX_NAME, read_description
from dfutils.errors import InputError
from dfutils.rating import collect_rates, find_run, rate
from dfutils.results import read_run

COLUMNS = ("file", "sha256", "notebook", "commit", "metric")


def ship(kind: str, run_id: str, evaluation: str | None = None) -> Path:
    """Copy the model that the notebooks trained last into ``models/<kind>`` and list it.

    Only as ONNX, in half precision: the detector runs it without Keras, and
    `dfutils.bundles.load_bundle` makes a Keras model of it again.

    Parameters
    ----------
    kind : {"picture", "voice"}
    run_id : str
        Of the recorded run (`dfutils.results`) that trained it; its commit and validation AUC go into
        ``models.csv``.
    evaluation : str, optional
        Id of the recorded run that says how often it errs (`dfutils.rating.rate`).

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    InputError
        The model was not trained on real data, cannot be exported, a run is not recorded, or the
        evaluation is that of another model.
    IntegrityError
        What was exported computes something else than the model.
    """
    run = read_run(run_id)
    trained = paths.work_dir() / "models" / kind
    if evaluation:  # before anything is replaced
        collect_rates(find_run(evaluation), kind, read_description(trained))
    bundle = load_bundle(trained)
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
    return rate(kind, evaluation, folder) if evaluation else folder
