"""FaceForensics++, with DeepFakeDetection, which its publishers hand out in the same tree."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pandas as pd

from dfutils.adapters._common import keep_present, need_count, need_files, need_folder, read_text
from dfutils.errors import InputError
from dfutils.manifest import make_manifest

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
DFD = "DeepFakeDetection"
DFD_PUBLISHED = {"real": 363, "fake": 3068}
NAME = "FaceForensics++"


def faceforensics(
    root: str | os.PathLike,
    compression: str = "c23",
    methods: tuple[str, ...] | None = None,
    splits_dir: str | os.PathLike | None = None,
    allow_missing: bool = False,
) -> pd.DataFrame:
    """List FaceForensics++ with its official splits.

    Parameters
    ----------
    root : str or os.PathLike
        The folder with ``original_sequences`` and ``manipulated_sequences``.
    compression : str
        ``"raw"``, ``"c23"`` or ``"c40"``.
    methods : tuple of str, optional
        Of `METHODS` and ``"DeepFakeDetection"``; default: every one found at this compression.
    splits_dir : str or os.PathLike, optional
        The folder of ``train.json``, ``val.json``, ``test.json`` (they come with the publishers'
        code, not with the videos); default: ``splits`` under ``root`` or beside it.
    allow_missing : bool
        Drop listed files that are not there, with a warning, instead of raising.

    Returns
    -------
    pandas.DataFrame
        Manifest with ``compression`` and ``donor`` (whose face or expression was put in).

    Notes
    -----
    A fake ``a_b`` shows the recording ``a``: its person and source. Both ``a_b`` and ``b_a`` are
    fakes of the split of their pair, so donors do not cross splits either. DeepFakeDetection has
    no official split: its rows are all ``"unseen"``, under the dataset name "deepfakedetection".
    """
    root = need_folder(root, NAME, "original_sequences and manipulated_sequences")
    if compression not in ("raw", "c23", "c40"):
        raise InputError("compression", f"must be raw, c23 or c40, got {compression!r}")
    unknown = set(methods or ()) - {*METHODS, DFD}
    if unknown:
        raise InputError("methods", f"unknown {sorted(unknown)}; known are {(*METHODS, DFD)}")
    fakes = {name: root / "manipulated_sequences" / name / compression / "videos" for name in (*METHODS, DFD)}
    wanted = [name for name in fakes if (name in methods if methods else fakes[name].is_dir())]
    if not wanted:
        raise InputError(
            root / "manipulated_sequences", f"{NAME}: expected <method>/{compression}/videos, found none"
        )
    for name in wanted:
        need_folder(fakes[name], NAME, f"the {name} videos")
    rows = []
    if set(wanted) & set(METHODS):
        pairs = _read_splits(root, splits_dir)
        real = need_folder(
            root / "original_sequences" / "youtube" / compression / "videos", NAME, "the real videos"
        )
        rows += pair_rows(real, [(target, None, split) for target, _, split in pairs], "none", 0)
        for name in (name for name in wanted if name != DFD):
            rows += pair_rows(fakes[name], pairs, name, 1)
        rows = keep_present(rows, root, NAME, allow_missing)
    if DFD in wanted:
        actors = root / "original_sequences" / "actors" / compression / "videos"
        rows += _dfd_rows(actors, fakes[DFD], allow_missing)
    return make_manifest([{**row, "compression": compression} for row in rows], NAME)


def _read_splits(root: Path, splits_dir: str | os.PathLike | None) -> list[tuple[str, str, str]]:
    """Return (target, donor, split), each official pair in both orders."""
    places = [Path(splits_dir)] if splits_dir is not None else [root / "splits", root.parent / "splits"]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        looked = " and ".join(str(place) for place in places)
        raise InputError(
            root, f"{NAME}: the official splits (train/val/test.json) were looked for in {looked}"
        )
    found, seen = [], set()
    for split in ("train", "val", "test"):
        path = folder / f"{split}.json"
        text = read_text(path, NAME)
        try:
            pairs = [(a, b) for a, b in json.loads(text)]
        except (ValueError, TypeError) as error:
            raise InputError(path, f"{NAME}: is no JSON list of pairs ({error})") from error
        for pair in pairs:
            if not all(isinstance(video, str) for video in pair):  # the number 71 has lost its zero
                raise InputError(path, f'{NAME}: ids must be strings such as "071", got {list(pair)}')
            if seen & set(pair):
                raise InputError(path, f"{NAME}: an id of {list(pair)} stands in two pairs")
            seen.update(pair)
            found += [(*pair, split), (*reversed(pair), split)]
    return found


def pair_rows(folder: Path, items: list[tuple], method: str, label: int) -> list[dict]:
    """Return rows of ``<target>_<donor>.mp4``, or ``<target>.mp4`` where the donor is None."""
    return [
        {"path": str(folder / (f"{target}_{donor}.mp4" if donor else f"{target}.mp4")), "label": label,
         "split": split, "person": target, "source": target, "method": method,
         "dataset": "faceforensics", "donor": donor or ""}
        for target, donor, split in items
    ]  # fmt: skip


def _dfd_rows(reals: Path, fakes: Path, allow_missing: bool) -> list[dict]:
    rows = []
    patterns = {"real": r"(\d+)()__(.+)", "fake": r"(\d+)_(\d+)__(.+)__[A-Z0-9]{8}"}
    for kind, folder in {"real": reals, "fake": fakes}.items():
        paths = need_files(folder, DFD)
        need_count(folder, DFD, len(paths), DFD_PUBLISHED[kind], allow_missing)
        for path in paths:
            match = re.fullmatch(patterns[kind], path.stem)
            if match is None:
                raise InputError(path, f"{DFD}: this name does not follow the pattern of the {kind} videos")
            target, donor, scene = match.groups()
            rows.append({"path": str(path), "label": int(kind == "fake"), "split": "unseen",
                         "person": f"actor-{target}", "source": f"{target}__{scene}",
                         "method": DFD if kind == "fake" else "none", "dataset": "deepfakedetection",
                         "donor": f"actor-{donor}" if donor else ""})  # fmt: skip
    return rows
