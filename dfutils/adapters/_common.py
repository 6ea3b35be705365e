"""What the adapters share: files that must be there, tables that must be readable, splits by person."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from dfutils.errors import InputError
from dfutils.manifest import make_manifest, split_by_person

SPLIT_SEED = 2019  # of every split that the publishers left open; change it and results stop comparing
FRACTIONS = {"train": 0.7, "val": 0.15, "test": 0.15}


def need_folder(path: str | os.PathLike, dataset: str, holds: str) -> Path:
    """Return ``path`` as an absolute folder, or say what was expected there.

    Parameters
    ----------
    path : str or os.PathLike
    dataset : str
        Name of the dataset, for the message.
    holds : str
        What the folder should hold, in words.

    Raises
    ------
    InputError
        There is no such folder.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_dir():
        raise InputError(path, f"{dataset}: expected here a folder with {holds}, but there is none")
    return path


def need_files(folder: Path, dataset: str, suffix: str = ".mp4") -> list[Path]:
    """Return the files of ``folder`` that end in ``suffix``, sorted; an empty folder is an error."""
    need_folder(folder, dataset, f"{suffix} files")
    # "._name.mp4" is what macOS adds to archives: no video
    found = sorted(item for item in folder.glob(f"*{suffix}") if not item.name.startswith("."))
    if not found:
        raise InputError(folder, f"{dataset}: expected {suffix} files here, but there are none")
    return found


def need_count(folder: Path, dataset: str, found: int, published: int, allow_missing: bool) -> None:
    """Refuse a folder with fewer files than published, which a broken download leaves behind."""
    if found < published:
        report(folder, f"{dataset}: holds {found} of the {published} published files", allow_missing)


def read_text(path: Path, dataset: str) -> str:
    """Read a text file as UTF-8, with or without a byte order mark."""
    if not path.is_file():
        raise InputError(path, f"{dataset}: expected this file, but it does not exist")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, f"{dataset}: is no UTF-8 text ({error})") from error


def read_table(path: Path, dataset: str, columns: Iterable[str]) -> pd.DataFrame:
    """Read a CSV table as text ("000" stays "000", an empty cell stays "") and demand its columns."""
    text = read_text(path, dataset)
    try:
        table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise InputError(path, f"{dataset}: is not a readable CSV table ({error})") from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(path, f"{dataset}: lacks the columns {missing}; it has {list(table.columns)}")
    return table


def binary_label(text: str, path: Path) -> int:
    """Turn "0" or "1" into an integer, and refuse anything else."""
    if text not in ("0", "1"):
        raise InputError(path, f"label must be 0 or 1, got {text!r}")
    return int(text)


def keep_present(rows: list[dict], root: Path, dataset: str, allow_missing: bool) -> list[dict]:
    """Return the rows whose ``path`` exists, and raise if any does not.

    Parameters
    ----------
    rows : list of dict
        Each with ``path``, as a list of the publishers implies it.
    root : Path
        What the error names.
    dataset : str
    allow_missing : bool
        Drop the missing rows with a warning instead.

    Raises
    ------
    InputError
        Files are missing: how many of how many, and the first.
    """
    names: dict[str, set[str]] = {}  # one listing per folder: 100,000 files are asked for

    def present(path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in names:
            names[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        return name in names[folder]

    gone = {str(row["path"]) for row in rows if not present(str(row["path"]))}
    if gone:
        first = next(str(row["path"]) for row in rows if str(row["path"]) in gone)
        reason = f"{dataset}: {len(gone)} of {len(rows)} listed files are missing, the first is {first}"
        report(root, reason, allow_missing)
    return [row for row in rows if str(row["path"]) not in gone]


def report(subject: Path, reason: str, allow_missing: bool) -> None:
    """Warn where missing files are allowed, else raise."""
    if not allow_missing:
        raise InputError(subject, f"{reason}; extract the rest, or pass allow_missing=True")
    warnings.warn(f"{subject}: {reason}; going on without them", UserWarning, stacklevel=4)


def by_person(rows: list[dict], dataset: str, seed: int) -> pd.DataFrame:
    """Make a manifest split 70 / 15 / 15 so that no person and no recording crosses a split."""
    table = make_manifest([{**row, "split": ""} for row in rows], dataset)
    return split_by_person(table, FRACTIONS, seed)
