"""The tables of ``DFUTILS_DATA``: faces, speech and videos that are already cut (see data/README.md)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from dfutils.adapters._common import binary_label, keep_present, need_files, need_folder, read_table
from dfutils.errors import InputError
from dfutils.manifest import make_manifest

SPLIT_NAMES = {"train": "train", "val": "val", "dev": "val", "test": "test", "eval": "unseen",
               "dev-unseen": "unseen", "unseen": "unseen"}  # fmt: skip
SPEECH_DATASET = "shared-speech"
FACE_COLUMNS = ("path", "label", "split", "person", "original", "video", "method", "face_px", "source")
SPEECH_COLUMNS = ("path", "label", "split", "speaker", "attack", "copy_of", "source", "licence")
VIDEO_COLUMNS = ("path", "label", "source", "note")


def shared_faces(root: str | os.PathLike, allow_missing: bool = False) -> pd.DataFrame:
    """List the face crops of every table ``faces/*.csv``.

    Parameters
    ----------
    root : str or os.PathLike
        The folder ``DFUTILS_DATA``.
    allow_missing : bool
        Drop listed files that are not there, with a warning, instead of raising.

    Returns
    -------
    pandas.DataFrame
        Manifest with ``video`` (the crop's video) and ``face_px`` (side of the crop before it was
        resized [px]). The split "dev-unseen" becomes ``"unseen"``; ``source`` is the original and
        ``dataset`` the table's own column "source".
    """
    folder = need_folder(Path(root) / "faces", "faces", "CSV tables and crops")
    rows = []
    for path in need_files(folder, "faces", ".csv"):
        for entry in read_table(path, "faces", FACE_COLUMNS).to_dict("records"):
            rows.append({
                "path": str(folder / entry["path"]), "label": binary_label(entry["label"], path),
                "split": _split(entry["split"], path), "person": entry["person"],
                "source": entry["original"], "method": entry["method"], "dataset": entry["source"],
                "video": entry["video"], "face_px": _pixels(entry["face_px"], path),
            })  # fmt: skip
    return make_manifest(keep_present(rows, folder, "faces", allow_missing), "faces")


def shared_speech(root: str | os.PathLike, allow_missing: bool = False) -> pd.DataFrame:
    """List the clips of ``speech/speech.csv``.

    Parameters
    ----------
    root : str or os.PathLike
        The folder ``DFUTILS_DATA``.
    allow_missing : bool
        Drop listed files that are not there, with a warning, instead of raising.

    Returns
    -------
    pandas.DataFrame
        Manifest with ``corpus`` (the table's column "source"), ``copy_of`` and ``licence``. The
        split "dev" becomes ``"val"`` and "eval" ``"unseen"``; ``method`` is the attack.

    Notes
    -----
    The source of a copy-synthesised spoof is the clip it copies. ``dataset`` is the same for all
    rows: speaker names are unique over corpora, and a spoof stands under another corpus than the
    clip it copies, so that leaks keyed by corpus would pass unseen.
    """
    folder = need_folder(Path(root) / "speech", "speech", "speech.csv and clips")
    path, rows = folder / "speech.csv", []
    for entry in read_table(path, "speech", SPEECH_COLUMNS).to_dict("records"):
        rows.append({
            "path": str(folder / entry["path"]), "label": binary_label(entry["label"], path),
            "split": _split(entry["split"], path), "person": entry["speaker"],
            "source": Path(entry["copy_of"] or entry["path"]).stem,
            "method": "none" if entry["attack"] == "-" else entry["attack"],
            "dataset": SPEECH_DATASET, "corpus": entry["source"], "copy_of": entry["copy_of"],
            "licence": entry["licence"],
        })  # fmt: skip
    return make_manifest(keep_present(rows, folder, "speech", allow_missing), "speech")


def shared_videos(root: str | os.PathLike, allow_missing: bool = False) -> pd.DataFrame:
    """List the whole videos of ``videos/videos.csv``, all of split ``"unseen"``.

    Parameters
    ----------
    root : str or os.PathLike
        The folder ``DFUTILS_DATA``.
    allow_missing : bool
        Drop listed files that are not there, with a warning, instead of raising.

    Returns
    -------
    pandas.DataFrame
        Manifest with ``note`` and ``voice_label`` [Int64, missing where the note does not tell].
        ``label`` speaks of the picture. ``source`` is the file's name without the prefix
        ``<dataset>-``, as in the face tables, so that a video whose crops were trained on shows up
        in `find_leaks` over both. People are not told: each file counts as a person.
    """
    folder = need_folder(Path(root) / "videos", "videos", "videos.csv and videos")
    path, rows = folder / "videos.csv", []
    for entry in read_table(path, "videos", VIDEO_COLUMNS).to_dict("records"):
        label, stem = binary_label(entry["label"], path), Path(entry["path"]).stem
        rows.append({
            "path": str(folder / entry["path"]), "label": label, "split": "unseen", "person": stem,
            "source": stem.removeprefix(f"{entry['source']}-"), "dataset": entry["source"],
            "method": entry["source"] if label else "none", "note": entry["note"],
            "voice_label": _voice_label(entry["note"]),
        })  # fmt: skip
    table = make_manifest(keep_present(rows, folder, "videos", allow_missing), "videos")
    return table.assign(voice_label=table["voice_label"].astype("Int64"))


def _split(text: str, path: Path) -> str:
    if text not in SPLIT_NAMES:
        raise InputError(path, f"unknown split {text!r}; known are {list(SPLIT_NAMES)}")
    return SPLIT_NAMES[text]


def _voice_label(note: str) -> int | None:
    """Read "real picture and voice" or "fake picture, real voice"; anything else does not tell."""
    match = re.search(r"(real|fake) (?:picture and )?voice", note.lower())
    return None if match is None else int(match[1] == "fake")


def _pixels(text: str, path: Path) -> int:
    if not text.isdigit():
        raise InputError(path, f"face_px must be a whole number of pixels, got {text!r}")
    return int(text)
