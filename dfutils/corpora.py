"""Choose what the study runs on: the embedded corpus, the tables of ``DFUTILS_DATA``, or a real dataset."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import pandas as pd

from dfutils.errors import InputError
from dfutils.leaks import check_leaks
from dfutils.manifest import make_manifest
from dfutils.paths import data_dir, work_dir


@dataclass
class Corpus:
    """What a corpus brings.

    Attributes
    ----------
    name : str
    videos : pandas.DataFrame
        Manifest of videos; may be empty.
    crops : pandas.DataFrame
        Manifest of face crops that come ready cut; empty where they are to be cut from ``videos``.
    voices : pandas.DataFrame
        Manifest of sound files; may be empty.
    """

    name: str
    videos: pd.DataFrame
    crops: pd.DataFrame
    voices: pd.DataFrame


def load_corpus(name: str = "auto", root: str = "", seed: int = 42) -> Corpus:
    """Load, or build, a corpus.

    Parameters
    ----------
    name : str
        ``"embedded"``: made by our own code in a minute; shows the mechanics, proves nothing.
        ``"tables"``: the crop, clip and video tables of ``DFUTILS_DATA``.
        ``"auto"``: ``"tables"`` where ``DFUTILS_DATA`` is set, else ``"embedded"``.
        Otherwise one of `dfutils.adapters.ADAPTERS`, read from ``root``.
    root : str
        Folder of the dataset; datasets of two folders (DeepfakeTIMIT with VidTIMIT,
        DeeperForensics with FaceForensics++) take both, separated by ``;``.
    seed : int
        Of the embedded corpus.

    Raises
    ------
    InputError
        The name is unknown, or the data is not there.
    LeakError
        A person or a recording stands in two splits.
    """
    from dfutils.adapters import ADAPTERS

    empty = pd.DataFrame()
    if name == "auto":
        name = "embedded" if data_dir() is None else "tables"
    if name == "embedded":
        from dfutils.embedded import build_corpus

        videos, voices = build_corpus(work_dir() / "corpus", seed=seed)
        corpus = Corpus(name, videos, empty, voices)
    elif name == "tables":
        folder = data_dir()
        if folder is None:
            raise InputError(
                "DFUTILS_DATA", "is not set: it must name the folder of the tables (data/README.md)"
            )
        corpus = Corpus(
            name,
            ADAPTERS["shared_videos"](folder),
            ADAPTERS["shared_faces"](folder),
            ADAPTERS["shared_speech"](folder),
        )
    elif name in ADAPTERS:
        adapter = ADAPTERS[name]
        roots = [part.strip() for part in root.split(";") if part.strip()]
        needed = [
            parameter.name
            for parameter in inspect.signature(adapter).parameters.values()
            if parameter.default is parameter.empty
        ]
        if len(roots) != len(needed):
            raise InputError(
                "DATA_ROOT", f"{name} needs {len(needed)} folder(s) ({', '.join(needed)}), got {root!r}"
            )
        table = adapter(*roots)
        is_voice = name.startswith("asvspoof")
        corpus = Corpus(name, empty if is_voice else table, empty, table if is_voice else empty)
    else:
        raise InputError(
            "CORPUS", f"must be auto, embedded, tables or one of {sorted(ADAPTERS)}, got {name!r}"
        )
    for table in (corpus.videos, corpus.crops, corpus.voices):
        if len(table):
            check_leaks(table)
    return corpus


def combine(*manifests: pd.DataFrame) -> pd.DataFrame:
    """Put manifests under each other, leaving out empty ones."""
    return make_manifest(pd.concat([table for table in manifests if len(table)], ignore_index=True))
