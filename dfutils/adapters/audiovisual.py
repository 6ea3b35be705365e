"""DeepfakeTIMIT with VidTIMIT, and FakeAVCeleb: talking people, picture and voice."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from dfutils.adapters._common import (
    SPLIT_SEED,
    by_person,
    keep_present,
    need_count,
    need_folder,
    read_table,
)
from dfutils.errors import InputError

TIMIT_PUBLISHED = 320  # fakes per quality
# picture, voice; the folder's own words are the surest label there is
FAKE_AV_TYPES = {
    "RealVideo-RealAudio": (0, 0),
    "RealVideo-FakeAudio": (0, 1),
    "FakeVideo-RealAudio": (1, 0),
    "FakeVideo-FakeAudio": (1, 1),
}


def deepfake_timit(
    root: str | os.PathLike,
    vidtimit_root: str | os.PathLike,
    quality: str = "higher_quality",
    seed: int = SPLIT_SEED,
    allow_missing: bool = False,
) -> pd.DataFrame:
    """List DeepfakeTIMIT and the VidTIMIT recordings it was made from, split 70 / 15 / 15 by person.

    Parameters
    ----------
    root : str or os.PathLike
        The folder with ``higher_quality`` and ``lower_quality``: fakes only, as .avi.
    vidtimit_root : str or os.PathLike
        The folder with ``fadg0/video/sa1/001``: reals as folders of JPEG frames **without
        extension**, 25 to a second. The manifest's path is the folder.
    quality : str
        ``"higher_quality"`` or ``"lower_quality"``.
    seed : int
        Of the split.
    allow_missing : bool
        Go on, with a warning, where files are missing.

    Returns
    -------
    pandas.DataFrame
        Manifest with ``donor`` and ``voice_label`` (0: the sound is the genuine one throughout).

    Notes
    -----
    ``fadg0/sa1-video-fram1.avi`` shows fadg0 saying sa1 with the face of fram1. People were
    swapped in pairs, and a pair is kept in one split. VidTIMIT's head, head2, head3 (turning
    heads) and people or sentences without a fake are left out.
    """
    name = "DeepfakeTIMIT"
    if quality not in ("higher_quality", "lower_quality"):
        raise InputError("quality", f"must be higher_quality or lower_quality, got {quality!r}")
    folder = need_folder(need_folder(root, name, quality) / quality, name, "<person>/*.avi")
    reals = need_folder(vidtimit_root, "VidTIMIT", "<person>/video/<sentence>")
    paths = sorted(folder.glob("*/*.avi"))
    if not paths:
        raise InputError(
            folder, f"{name}: expected <person>/<sentence>-video-<person>.avi, but there are none"
        )
    need_count(folder, name, len(paths), TIMIT_PUBLISHED, allow_missing)
    fake_rows, real_rows = [], {}
    for path in paths:
        match = re.fullmatch(r"(\w+)-video-(\w+)", path.stem)
        if match is None:
            raise InputError(path, f"{name}: expected names such as sa1-video-fram1.avi")
        person, (sentence, donor) = path.parent.name, match.groups()
        real = str(reals / person / "video" / sentence)
        both = {"person": person, "recording": f"{person}-{sentence}", "dataset": "deepfake_timit",
                "voice_label": 0, "source": "+".join(sorted((person, donor)))}  # fmt: skip
        fake_rows.append({**both, "path": str(path), "label": 1, "method": quality, "donor": donor})
        real_rows[real] = {**both, "path": real, "label": 0, "method": "none", "donor": ""}
    present = keep_present(list(real_rows.values()), reals, "VidTIMIT", allow_missing)
    for row in present:
        if not (Path(row["path"]) / "001").is_file():
            raise InputError(row["path"], "VidTIMIT: expected JPEG frames named 001, 002, ... in this folder")
    # while splitting, "source" is the pair of people: rows that share it stay together
    table = by_person(fake_rows + present, name, seed)
    return table.assign(source=table["recording"]).drop(columns="recording")


def fake_av_celeb(
    root: str | os.PathLike, seed: int = SPLIT_SEED, allow_missing: bool = False
) -> pd.DataFrame:
    """List FakeAVCeleb v1.2, split 70 / 15 / 15 by person (it has no official split).

    Parameters
    ----------
    root : str or os.PathLike
        The folder with ``meta_data.csv`` and the four folders such as ``RealVideo-FakeAudio``.
    seed : int
        Of the split.
    allow_missing : bool
        Drop listed files that are not there, with a warning, instead of raising.

    Returns
    -------
    pandas.DataFrame
        Manifest with ``voice_label``, ``voice_method``, ``category``, ``race``, ``gender``.
        ``label`` and ``method`` speak of the **picture**: RealVideo-FakeAudio has label 0.

    Notes
    -----
    In ``meta_data.csv`` the column "path" holds the file's name, and the folder stands in a tenth
    column without a name. The folder is looked up on disk by type, gender, person and file name
    if it is not where the table says (races are spelled differently between copies). Faces and
    voices of donors cross splits.
    """
    name = "FakeAVCeleb"
    root = need_folder(root, name, "meta_data.csv and RealVideo-RealAudio, ...")
    path = root / "meta_data.csv"
    columns = ("source", "method", "category", "type", "race", "gender", "path")
    table = read_table(path, name, columns)
    on_disk = {_key(item, root): item for kind in FAKE_AV_TYPES for item in (root / kind).glob("*/*/*/*.mp4")}
    rows = []
    for entry in table.to_dict("records"):
        if entry["type"] not in FAKE_AV_TYPES:
            raise InputError(path, f"{name}: unknown type {entry['type']!r}; known: {list(FAKE_AV_TYPES)}")
        label, voice_label = FAKE_AV_TYPES[entry["type"]]
        person, file_name = entry["source"], entry["path"]
        listed = root / entry["type"] / entry["race"] / entry["gender"] / person / file_name
        found = on_disk.get((entry["type"], entry["gender"], person, file_name), listed)
        rows.append({
            "path": str(listed if listed.is_file() else found), "label": label, "dataset": "fake_av_celeb",
            "person": person, "source": f"{person}/{Path(file_name).stem.split('_')[0]}",
            "method": entry["method"] if label else "none", "voice_label": voice_label,
            # the only voice cloner of this dataset; "method" names it only where the picture is real
            "voice_method": "rtvc" if voice_label else "none",
            "category": entry["category"], "race": entry["race"], "gender": entry["gender"],
        })  # fmt: skip
    return by_person(keep_present(rows, root, name, allow_missing), name, seed)


def _key(path: Path, root: Path) -> tuple[str, str, str, str]:
    kind, _race, gender, person, file_name = path.relative_to(root).parts
    return kind, gender, person, file_name
