"""Find what stands in more than one split: persons, source recordings, identical files."""

from __future__ import annotations

import hashlib
import os

import pandas as pd

from dfutils.errors import InputError, LeakError


def find_leaks(manifest: pd.DataFrame, check_files: bool = True) -> pd.DataFrame:
    """List whatever stands in more than one split.

    Parameters
    ----------
    manifest : pandas.DataFrame
    check_files : bool
        Also compare the files' contents (sha256, computed only where sizes collide).

    Returns
    -------
    pandas.DataFrame
        Columns ``kind`` (person, source, file), ``value``, ``splits``; empty when clean.
    """
    rows = []
    manifest = manifest.reset_index(drop=True)  # after pd.concat an index stands twice
    keyed = {"person": manifest["dataset"] + "/" + manifest["person"],
             "source": manifest["dataset"] + "/" + manifest["source"]}  # fmt: skip
    if check_files:
        keyed["file"] = pd.Series(_content_keys(manifest))
    for kind, keys in keyed.items():
        splits = manifest.groupby(keys)["split"].agg(lambda column: sorted(set(column)))
        rows += [
            {"kind": kind, "value": value, "splits": "+".join(found)}
            for value, found in splits.items()
            if len(found) > 1
        ]
    return pd.DataFrame(rows, columns=["kind", "value", "splits"])


def check_leaks(manifest: pd.DataFrame, check_files: bool = True) -> None:
    """Raise `LeakError` if `find_leaks` finds anything."""
    leaks = find_leaks(manifest, check_files)
    if len(leaks):
        kind, value, splits = leaks.iloc[0]
        raise LeakError("manifest", f"{len(leaks)} leaks between splits; first: {kind} {value} in {splits}")


def _content_keys(manifest: pd.DataFrame) -> list[str]:
    """Give equal contents equal keys; a folder of frames counts as its files, by name."""
    paths = manifest["path"].tolist()
    try:
        sizes = [_files_size(path) for path in paths]
        splits_of: dict[int, set[str]] = {}
        for size, split in zip(sizes, manifest["split"]):
            splits_of.setdefault(size, set()).add(split)
        return [_sha256(p) if len(splits_of[s]) > 1 else p for p, s in zip(paths, sizes)]
    except OSError as error:
        raise InputError(error.filename or "manifest", f"cannot be read ({error.strerror})") from error


def _files(path: str) -> list[str]:
    return sorted(entry.path for entry in os.scandir(path)) if os.path.isdir(path) else [path]


def _files_size(path: str) -> int:
    return sum(os.path.getsize(file) for file in _files(path))


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    for name in _files(path):
        with open(name, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return "sha256:" + digest.hexdigest()
