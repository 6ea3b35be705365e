"""Write into a model's description how often it errs, from a recorded run and from nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from dfutils import paths
from dfutils.calibration import Calibration
from dfutils.descriptions import DESCRIPTION_NAME, read_description
from dfutils.error_rates import RATES, check_evaluation
from dfutils.errors import InputError
from dfutils.results import read_run

HOME = "recordings like those it was checked with"
# splits of notebook 07, and what they are called before somebody who asks how often a verdict is wrong
SPLITS = {
    "picture": {"val": HOME, "test": "other persons of the same datasets", "unseen": "another dataset"},
    "voice": {"val": HOME, "test": "other speakers", "unseen": "voices of systems that it never met"},
}
UNITS = {"picture": "faces", "voice": "clips"}
PER_VIDEO = "picture, per video"


def rate(kind: str, run_id: str, folder: str | os.PathLike | None = None) -> Path:
    """Put a recorded run's error rates into ``model.json``, in place of those that are there.

    Nothing else in it changes.

    Parameters
    ----------
    kind : {"picture", "voice"}
    run_id : str
        Of a run of notebook 07, or of the one that trained the model, which knows validation only. Runs
        that are published in ``reports/`` come before those of `dfutils.paths.reports_dir`.
    folder : str or os.PathLike, optional
        Of the model; default: the one that ships.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    InputError
        The run is not recorded, says nothing on this kind of model, or is about another model.
    """
    folder = Path(folder) if folder else paths.models_dir() / kind
    read_description(folder)  # says what is wrong, where something is
    run = find_run(run_id)
    path = folder / DESCRIPTION_NAME
    description = json.loads(path.read_text())
    description["evaluation"] = collect_rates(run, kind, description)
    with paths.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(description, indent=1) + "\n")
    return folder


def find_run(run_id: str) -> dict:
    """Read a recorded run, published or not.

    Raises
    ------
    InputError
        There is none.
    """
    try:
        return read_run(run_id, paths.PROJECT_ROOT / "reports")
    except InputError:
        return read_run(run_id)


def collect_rates(run: Mapping, kind: str, description: Mapping) -> list[dict]:
    """Take the error rates of one model out of a recorded run.

    Parameters
    ----------
    run : Mapping
        See `dfutils.results.read_run`.
    kind : {"picture", "voice"}
    description : Mapping
        ``model.json``: the run must be about a model of this configuration and this very threshold.

    Returns
    -------
    list of dict
        See `dfutils.error_rates.check_evaluation`; validation first, what is least like it last.

    Raises
    ------
    InputError
        See `rate`.
    """
    run_id, metrics, parameters = run["run_id"], run["metrics"], run["parameters"]
    described = parameters.get(kind, parameters)  # notebook 07 lists the models it scores
    if "validation" in metrics:
        found = {(HOME, UNITS[kind]): metrics["validation"]}
    else:
        found = {
            (name, UNITS[kind]): metrics[f"{kind} {split}"]
            for split, name in SPLITS[kind].items()
            if f"{kind} {split}" in metrics
        }
        if kind == "picture":  # where there is one face of each video, videos would say the same again
            for split, name in SPLITS[kind].items():
                videos, faces = (metrics.get(f"{part} {split}") for part in (PER_VIDEO, kind))
                if videos and videos["n"] != faces["n"]:
                    found[name, "videos"] = videos
    if not found:
        raise InputError(run_id, f"says nothing on how often the {kind} model errs")
    if described.get("config") != description["config"]:
        raise InputError(run_id, "is about a model of another configuration")
    threshold = Calibration(**description["calibration"]).threshold
    entries = []
    for (name, unit), scores in found.items():
        if abs(scores["threshold"] - threshold) > 1e-6:  # six digits are recorded
            used = f"{scores['threshold']:.6f}, this one decides at {threshold:.6f}"
            raise InputError(run_id, f"is about another model: it decides at {used}")
        entries.append({"name": name, "unit": unit, **_error_rates(scores), "run_id": run_id})
    check_evaluation(entries)
    return entries


def _error_rates(scores: Mapping) -> dict[str, float]:
    """Turn shares of what comes out right into shares of errors, and their intervals with them."""
    rates = {}
    for name, right in zip(RATES, ("specificity", "sensitivity")):
        ends = (("", ""), ("_low", "_high"), ("_high", "_low"))
        rates |= {
            f"{name}{end}": round(1 - scores[f"{right}{other}"], 6)
            for end, other in ends
            if f"{right}{other}" in scores
        }
    return rates
