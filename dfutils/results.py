"""Record what a run found, with everything needed to repeat it; save figures beside it."""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from dfutils.errors import InputError
from dfutils.paths import PROJECT_ROOT, atomic_path, corpus_name, reports_dir

COLUMNS = (
    "run_id", "time_utc", "notebook", "corpus", "commit", "dirty", "parameters", "seed", "manifest_sha256",
    "versions", "host", "seconds", "metrics",
)  # fmt: skip
_PACKAGES = (
    "numpy",
    "keras",
    "tensorflow",
    "opencv-python-headless",
    "albumentations",
    "librosa",
    "scikit-learn",
)
_START = time.monotonic()


def record(
    notebook: str,
    metrics: dict,
    parameters: dict,
    seed: int,
    manifest_sha256: str = "",
    folder: str | os.PathLike | None = None,
) -> str:
    """Append one row to ``results.csv`` and write ``results/<run id>.json``.

    Parameters
    ----------
    notebook : str
        For example ``"05-fine-tuning"``.
    metrics : dict
        Names to numbers, strings or nested dictionaries; what JSON can hold.
    parameters : dict
        Of the run.
    seed : int
    manifest_sha256 : str
        See `dfutils.manifest.fingerprint`.
    folder : str or os.PathLike, optional
        Default: `dfutils.paths.reports_dir`.

    Returns
    -------
    str
        The run's id: notebook and a hash of time, parameters and metrics.
    """
    folder = Path(folder) if folder else reports_dir()
    row = {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "notebook": notebook,
        "corpus": corpus_name(),
        **_commit(),
        "parameters": _to_json(parameters),
        "seed": seed,
        "manifest_sha256": manifest_sha256,
        "versions": _to_json(_versions()),
        "host": _to_json(
            {"cores": os.cpu_count(), "machine": platform.machine(), "system": platform.system()}
        ),
        "seconds": round(time.monotonic() - _START, 1),
        "metrics": _to_json(metrics),
    }
    digest = hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()
    row = {"run_id": f"{notebook.split('-')[0]}-{digest[:10]}", **row}
    whole = {key: json.loads(value) if key in ("parameters", "versions", "host", "metrics") else value
             for key, value in row.items()}  # fmt: skip
    with atomic_path(folder / "results" / f"{row['run_id']}.json") as temporary:
        temporary.write_text(json.dumps(whole, indent=1) + "\n")
    table = folder / "results.csv"
    old = table.read_text() if table.exists() else ""
    with atomic_path(table) as temporary, open(temporary, "w", newline="") as file:
        file.write(old)
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not old:
            writer.writeheader()
        writer.writerow(row)
    return row["run_id"]


def read_results(folder: str | os.PathLike | None = None) -> pd.DataFrame:
    """Read ``results.csv``, with the metrics spread over columns named ``metrics.…``.

    Raises
    ------
    InputError
        Nothing was recorded yet.
    """
    path = (Path(folder) if folder else reports_dir()) / "results.csv"
    if not path.is_file():
        raise InputError(path, "nothing was recorded yet; run a notebook first")
    table = pd.read_csv(path, keep_default_na=False)
    metrics = pd.json_normalize([json.loads(text) for text in table["metrics"]]).add_prefix("metrics.")
    return pd.concat([table.drop(columns="metrics"), metrics], axis=1)


def read_run(run_id: str, folder: str | os.PathLike | None = None) -> dict:
    """Read one recorded run, with its metrics as they were given.

    Raises
    ------
    InputError
        There is no such run.
    """
    path = (Path(folder) if folder else reports_dir()) / "results" / f"{Path(run_id).name}.json"
    if not path.is_file():
        raise InputError(run_id, f"is no run recorded in {path.parent}")
    return json.loads(path.read_text())


def save_figure(figure, name: str, folder: str | os.PathLike | None = None) -> Path:
    """Save a matplotlib figure as ``figures/<name>.png``, atomically.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    name : str
        ``<notebook number>-<what>``, for example ``"07-roc"``.
    folder : str or os.PathLike, optional
        Default: `dfutils.paths.reports_dir`.
    """
    if not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(name, "a figure's name holds letters, digits, '-' and '_' only")
    path = (Path(folder) if folder else reports_dir()) / "figures" / f"{name}.png"
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130, bbox_inches="tight", metadata={"Software": None})
    return path


def _to_json(value) -> str:
    def plain(item):
        """What strict JSON can hold: it knows neither NaN nor infinity."""
        if isinstance(item, dict):
            return {str(key): plain(part) for key, part in item.items()}
        if isinstance(item, list | tuple):
            return [plain(part) for part in item]
        if hasattr(item, "tolist"):  # NumPy's numbers and arrays
            return plain(item.tolist())
        if isinstance(item, float) and not math.isfinite(item):
            return None
        return item if item is None or isinstance(item, bool | int | float | str) else str(item)

    return json.dumps(plain(value), sort_keys=True, allow_nan=False)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        for candidate in (name, f"{name}-cpu"):
            try:
                found[name] = importlib.metadata.version(candidate)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def _commit() -> dict[str, str | bool]:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    if not (PROJECT_ROOT / ".git").exists():  # an unpacked archive
        return {"commit": "", "dirty": True}
    return {"commit": git("rev-parse", "--short=12", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
