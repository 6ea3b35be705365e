"""DFDC, the Deepfake Detection Challenge dataset."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pandas as pd

from dfutils.adapters._common import (
    SPLIT_SEED,
    binary_label,
    by_person,
    keep_present,
    need_folder,
    read_table,
    read_text,
)
from dfutils.errors import InputError
from dfutils.manifest import make_manifest

NAME = "DFDC"


def dfdc(
    root: str | os.PathLike, split: str = "auto", seed: int = SPLIT_SEED, allow_missing: bool = False
) -> pd.DataFrame:
    """List DFDC: its training parts, and its test set where it is there.

    Parameters
    ----------
    root : str or os.PathLike
        The folder with ``dfdc_train_part_*`` (the archives nest a second folder; both are read),
        or ``train_sample_videos``, or ``test`` with ``labels.csv``.
    split : str
        ``"part"``: parts 0-34 train, 35-39 val, 40-49 test. ``"family"``: 70 / 15 / 15 by
        original. ``"auto"``: by part, or by family where only one part (or the sample) is there.
    seed : int
        Of the split by family.
    allow_missing : bool
        Drop listed files that are not there, with a warning, instead of raising.

    Returns
    -------
    pandas.DataFrame
        Manifest with ``part``; the test set is split ``"unseen"``.

    Notes
    -----
    ``person`` is the family (the original): the publishers do not say who is in a video, so a
    split is safe by recording, **not proven safe by actor**. ``FAKE`` does not say whether the
    picture, the voice or both are fake; there is no voice label. In the test set the original of
    a fake is not told: each video is its own family. The sample is drawn from the parts, so it is
    left out where there are parts.
    """
    root = need_folder(root, NAME, "dfdc_train_part_*, train_sample_videos or test")
    if split not in ("auto", "part", "family"):
        raise InputError("split", f"must be auto, part or family, got {split!r}")
    parts = sorted(item for item in root.glob("dfdc_train_part_*") if item.is_dir())
    if not parts and (root / "train_sample_videos").is_dir():
        parts = [root / "train_sample_videos"]
    tests = _test_rows(root)
    if not parts and not tests:
        raise InputError(root, f"{NAME}: expected dfdc_train_part_*, train_sample_videos or test here")
    rows = [row for part in parts for row in _part_rows(part)]
    present = keep_present(rows + tests, root, NAME, allow_missing)
    tables = []
    trains = [row for row in present if row["split"] != "unseen"]
    if trains:
        by_family = split == "family" or (split == "auto" and len(parts) == 1)
        tables.append(by_person(trains, NAME, seed) if by_family else make_manifest(trains, NAME))
    if len(present) > len(trains):
        tables.append(make_manifest([row for row in present if row["split"] == "unseen"], NAME))
    if not tables:
        raise InputError(root, f"{NAME}: none of the listed files is there")
    return make_manifest(pd.concat(tables), NAME)


def _part_rows(part: Path) -> list[dict]:
    found = [path for pattern in ("metadata.json", "*/metadata.json") for path in sorted(part.glob(pattern))]
    if not found:
        raise InputError(part, f"{NAME}: expected metadata.json in this folder or one folder deeper")
    number = re.search(r"(\d+)$", part.name)
    if number is None and part.name != "train_sample_videos":
        raise InputError(part, f"{NAME}: the folder's name does not end in a part number")
    part_number = int(number[1]) if number else -1
    split = "train" if part_number < 35 else "val" if part_number < 40 else "test"
    path, rows = found[0], []
    text = read_text(path, NAME)
    try:
        entries = {name: dict(entry) for name, entry in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(path, f"{NAME}: is no JSON object of objects ({error})") from error
    for name, entry in entries.items():
        kind = entry.get("label")
        if kind not in ("REAL", "FAKE"):
            raise InputError(path, f"{NAME}: the label of {name} must be REAL or FAKE, got {kind!r}")
        original = entry.get("original") or name  # absent or null for a real
        if kind == "FAKE" and original == name:
            raise InputError(path, f"{NAME}: the fake {name} names no original")
        rows.append(_row(path.parent / name, kind == "FAKE", split, Path(original).stem, part_number))
    return rows


def _test_rows(root: Path) -> list[dict]:
    if not (root / "test").is_dir():
        return []
    path = next((p for p in (root / "labels.csv", root / "test" / "labels.csv") if p.is_file()), None)
    if path is None:
        raise InputError(root / "test", f"{NAME}: expected labels.csv in this folder or beside it")
    table = read_table(path, NAME, ("filename", "label"))
    return [
        _row(root / "test" / name, binary_label(label, path), "unseen", Path(name).stem, -1)
        for name, label in zip(table["filename"], table["label"])
    ]


def _row(path: Path, fake: bool | int, split: str, family: str, part: int) -> dict:
    return {"path": str(path), "label": int(fake), "split": split, "person": family, "source": family,
            "method": "dfdc" if fake else "none", "dataset": "dfdc", "part": part}  # fmt: skip
