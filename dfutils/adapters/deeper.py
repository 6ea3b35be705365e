"""DeeperForensics-1.0, whose real class is FaceForensics++'s."""

from __future__ import annotations

import os
import re

import pandas as pd

from dfutils.adapters._common import keep_present, need_folder, read_text
from dfutils.adapters.ffpp import pair_rows
from dfutils.errors import InputError
from dfutils.manifest import make_manifest


def deeper_forensics(
    root: str | os.PathLike,
    faceforensics_root: str | os.PathLike,
    variant: str = "end_to_end",
    allow_missing: bool = False,
) -> pd.DataFrame:
    """List DeeperForensics-1.0 with its official splits and the reals that belong to it.

    Parameters
    ----------
    root : str or os.PathLike
        The folder with ``lists`` and ``manipulated_videos``.
    faceforensics_root : str or os.PathLike
        FaceForensics++ with ``original_sequences/youtube/c23``: the real class.
    variant : str
        A folder of ``manipulated_videos``.
    allow_missing : bool
        Drop listed files that are not there, with a warning, instead of raising.

    Returns
    -------
    pandas.DataFrame
        Manifest with ``donor`` (the paid actor whose face was put in).

    Notes
    -----
    ``source_videos`` are studio takes of the donors, not the real class: they would let a model
    tell a studio from YouTube. The lists name fakes; a real goes where the fake of its id goes.
    Donors cross splits. The split is not that of FaceForensics++: never train on one and test on
    the other.
    """
    name = "DeeperForensics-1.0"
    root = need_folder(root, name, "lists and manipulated_videos")
    fakes = need_folder(root / "manipulated_videos" / variant, name, f"the fakes of the variant {variant}")
    ff_root = need_folder(faceforensics_root, "FaceForensics++", "original_sequences")
    reals = need_folder(ff_root / "original_sequences" / "youtube" / "c23" / "videos", name, "the real class")
    rows, split_of = [], {}
    for split in ("train", "val", "test"):
        path = root / "lists" / "splits" / f"{split}.txt"
        for line in read_text(path, name).split():
            match = re.fullmatch(r"(\d{3})_([MW]\d{3})\.mp4", line)
            if match is None:
                raise InputError(path, f"{name}: expected lines such as 480_W133.mp4, got {line!r}")
            target, donor = match.groups()
            if split_of.setdefault(target, split) != split:
                raise InputError(path, f"{name}: target {target} is in {split_of[target]} as well")
            rows += pair_rows(fakes, [(target, donor, split)], variant, 1)
    rows += pair_rows(reals, [(target, None, split) for target, split in split_of.items()], "none", 0)
    rows = keep_present(rows, root, name, allow_missing)
    return make_manifest([{**row, "dataset": "deeper_forensics"} for row in rows], name)
