"""Celeb-DF v2 and UADFV: face swaps of people from the web."""

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
    need_files,
    need_folder,
    read_text,
)
from dfutils.errors import InputError
from dfutils.manifest import make_manifest

CELEB_PUBLISHED = {"celeb-real": 590, "youtube-real": 300, "celeb-synthesis": 5639}
CELEB_PATTERNS = {
    "celeb-real": r"(id\d+)()_(\d+)",
    "youtube-real": r"(\d+)()()",
    "celeb-synthesis": r"(id\d+)_(id\d+)_(\d+)",
}
UADFV_PUBLISHED = 49  # of each class


def celeb_df(
    root: str | os.PathLike, split: str = "identity", seed: int = SPLIT_SEED, allow_missing: bool = False
) -> pd.DataFrame:
    """List Celeb-DF v2.

    Parameters
    ----------
    root : str or os.PathLike
        The folder with ``Celeb-real``, ``YouTube-real``, ``Celeb-synthesis`` and
        ``List_of_testing_videos.txt``.
    split : str
        ``"identity"``: train, val, test (70 / 15 / 15) by target person. ``"official"``: the list
        is the test set and the rest is train, as in the paper. The official split **leaks**: its
        persons and source recordings also stand in the rest, and `check_leaks` refuses it.
    seed : int
        Of the identity split.
    allow_missing : bool
        Go on, with a warning, where files are missing.

    Returns
    -------
    pandas.DataFrame
        Manifest with ``donor`` and ``official_test`` (1 where the list names the video).

    Notes
    -----
    The list says **1 = real, 0 = fake**; ours is the other way round. Labels come from the
    folders, and a list that contradicts them is refused. A fake ``id1_id0_0007`` shows the
    recording ``id1_0007`` with the face of ``id0``. Donors cross splits, for the swaps link
    nearly all celebrities. Who is in YouTube-real is not known: each video counts as a person.
    """
    name = "Celeb-DF v2"
    if split not in ("identity", "official"):
        raise InputError("split", f"must be identity or official, got {split!r}")
    root = need_folder(root, name, "Celeb-real, YouTube-real and Celeb-synthesis")
    on_disk = {item.name.lower(): item for item in root.iterdir() if item.is_dir()}  # Youtube-real occurs too
    listed = _read_celeb_list(root / "List_of_testing_videos.txt", name)
    rows = []
    for key, pretty in zip(CELEB_PUBLISHED, ("Celeb-real", "YouTube-real", "Celeb-synthesis")):
        folder = on_disk.get(key, root / pretty)
        paths = need_files(folder, name)
        need_count(folder, name, len(paths), CELEB_PUBLISHED[key], allow_missing)
        for path in paths:
            match = re.fullmatch(CELEB_PATTERNS[key], path.stem)
            if match is None:
                raise InputError(path, f"{name}: this name does not follow the pattern of {pretty}")
            target, donor, recording = match.groups()
            youtube = key == "youtube-real"
            rows.append({
                "path": str(path), "label": int(bool(donor)), "dataset": "celeb_df",
                "person": f"youtube-{target}" if youtube else target,
                "source": f"youtube-{target}" if youtube else f"{target}_{recording}",
                "method": "celeb-synthesis" if donor else "none",
                "donor": donor, "official_test": int((key, path.name) in listed),
            })  # fmt: skip
    tests = [{"path": str(on_disk[key] / video)} for key, video in listed]
    keep_present(tests, root / "List_of_testing_videos.txt", name, allow_missing)
    if split == "identity":
        return by_person(rows, name, seed)
    return make_manifest(
        [{**row, "split": "test" if row["official_test"] else "train"} for row in rows], name
    )


def uadfv(root: str | os.PathLike, seed: int = SPLIT_SEED, allow_missing: bool = False) -> pd.DataFrame:
    """List UADFV, split 70 / 15 / 15 by pair (it has no official split).

    Parameters
    ----------
    root : str or os.PathLike
        The folder with ``fake`` and ``real`` (or ``fake_videos`` and ``real_videos``).
    seed : int
        Of the split.
    allow_missing : bool
        Go on, with a warning, where there are fewer than 49 videos of a class.

    Returns
    -------
    pandas.DataFrame
        Manifest; a pair ``0000.mp4``, ``0000_fake.mp4`` is one person.

    Raises
    ------
    InputError
        A folder or video is missing, or a fake has no real.
    """
    name = "UADFV"
    root = need_folder(root, name, "fake and real")
    rows = []
    for kind, suffix in {"real": "", "fake": "_fake"}.items():
        places = [root / kind, root / f"{kind}_videos", root / f"{kind}_videos" / kind]
        found = [place for place in places if any(place.glob("*.mp4"))]
        paths = need_files(found[0] if found else places[0], name)
        need_count(paths[0].parent, name, len(paths), UADFV_PUBLISHED, allow_missing)
        for path in paths:
            match = re.fullmatch(rf"(\d{{4}}){suffix}", path.stem)
            if match is None:
                raise InputError(path, f"{name}: expected names such as 0000{suffix}.mp4")
            rows.append({"path": str(path), "label": int(kind == "fake"), "person": match[1],
                         "source": match[1], "method": "fakeapp" if kind == "fake" else "none",
                         "dataset": "uadfv"})  # fmt: skip
    return by_person(rows, name, seed)


def _read_celeb_list(path: Path, name: str) -> set[tuple[str, str]]:
    """Return (folder in lower case, file name) of each test video."""
    listed = set()
    for line in read_text(path, name).splitlines():  # the last line of the official file has no newline
        if not line.strip():
            continue
        match = re.fullmatch(r"([01]) ([\w-]+)/([\w.]+)", line.strip())
        key = match[2].lower() if match else ""
        if key not in CELEB_PUBLISHED:
            raise InputError(path, f"{name}: expected lines such as '1 YouTube-real/00170.mp4', got {line!r}")
        if (match[1] == "1") != key.endswith("-real"):
            raise InputError(path, f"{name}: 1 means real in this list, but it says {line!r}")
        listed.add((key, match[3]))
    if not listed:
        raise InputError(path, f"{name}: lists no videos")
    return listed
