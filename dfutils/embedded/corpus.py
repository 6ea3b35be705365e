"""Build the embedded corpus, or what is missing of it, and cache it in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pandas as pd

from dfutils.embedded import plan
from dfutils.errors import InputError
from dfutils.leaks import check_leaks
from dfutils.manifest import make_manifest, read_manifest, write_manifest
from dfutils.paths import atomic_path

CORPUS_VERSION = 1  # raise it whenever a file would come out differently
STAMP = "corpus.json"
JOURNAL = "corpus.partial.jsonl"


def build_corpus(
    folder: str | os.PathLike,
    seed: int = 42,
    n_jobs: int = 2,
    progress: bool = True,
    people_per_split: dict[str, int] | None = None,
    n_reals_per_person: int = 2,
    seconds: float = 3.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Build the embedded corpus in a folder, or read it if it is there.

    Stand-in people made from one photograph, who babble in a synthetic voice. It shows that the
    study's mechanics work; how well a detector does on it says nothing about real deepfakes.

    Parameters
    ----------
    folder : str or os.PathLike
        Receives ``videos/*.mp4``, ``voices/*.flac``, ``videos.csv``, ``voices.csv`` and the stamp
        ``corpus.json``, which is written last.
    seed : int
    n_jobs : int
        Processes; 1 stays in this one. The files do not depend on it.
    progress : bool
        Show a bar that counts files.
    people_per_split : dict, optional
        Default `plan.PEOPLE_PER_SPLIT`: 10, 4, 5 and 5 people.
    n_reals_per_person : int
        Real clips; each gives one fake. Three times as many utterances.
    seconds : float
        Length of the clips [s]; utterances take 86 to 100 % of it.

    Returns
    -------
    videos, voices : pandas.DataFrame
        Manifests. ``videos`` also has voice_label, voice_method, donor, n_frames, fps; its
        ``label`` and ``method`` are the picture's. ``voices`` also has sr [Hz].

    Raises
    ------
    InputError
        An argument is out of range, or the folder cannot be written.

    Notes
    -----
    A file is kept when the stamp, or the journal of an interrupted build, lists it with the size
    that it has; anything else is built again. The same libraries on the same kind of processor
    give the same bytes.
    """
    folder = Path(folder).absolute()
    if n_reals_per_person < 1:
        raise InputError("n_reals_per_person", f"must be at least 1, got {n_reals_per_person}")
    if not 0.5 <= seconds <= 60:
        raise InputError("seconds", f"must lie in 0.5..60, got {seconds}")
    people_per_split = dict(plan.PEOPLE_PER_SPLIT if people_per_split is None else people_per_split)
    split_of = plan.list_people(people_per_split)
    key = {"version": CORPUS_VERSION, "seed": seed, "people_per_split": people_per_split,
           "n_reals_per_person": n_reals_per_person, "seconds": seconds}  # fmt: skip
    voice_rows = plan.plan_voices(split_of, 3 * n_reals_per_person)
    video_rows = plan.plan_videos(split_of, n_reals_per_person, seconds, seed)
    wanted = [row["path"] for row in voice_rows + video_rows]

    sizes = _read_stamp(folder, key)
    if sizes is None or not all(
        _is_intact(folder, name, sizes) for name in [*wanted, "videos.csv", "voices.csv"]
    ):
        known = (sizes or {}) | _read_journal(folder, key)
        known = {name: known[name] for name in wanted if _is_intact(folder, name, known)}
        _build_missing(folder, key, known, voice_rows, video_rows, n_jobs, progress)
    return read_manifest(folder / "videos.csv"), read_manifest(folder / "voices.csv")


def _build_missing(
    folder: Path,
    key: dict,
    known: dict[str, int],
    voice_rows: list[dict],
    video_rows: list[dict],
    n_jobs: int,
    progress: bool,
) -> None:
    from tqdm.auto import tqdm

    from dfutils.embedded import render
    from dfutils.jobs import run_jobs

    voice_of: dict[tuple, dict[str, str]] = {}
    for row in voice_rows:
        voice_of.setdefault((row["index"], row["take"]), {})[row["method"]] = row["path"]
    settings = (key["seed"], key["seconds"])
    voice_tasks = [(render.render_voices, folder, rows, *settings) for rows in _missing(voice_rows, known)]
    video_tasks = [
        (render.render_videos, folder, rows, voice_of[rows[0]["index"], rows[0]["take"]], *settings)
        for rows in _missing(video_rows, known)
    ]
    (folder / STAMP).unlink(missing_ok=True)
    _start_journal(folder, key, known)
    total = len(voice_rows) + len(video_rows)
    with (
        tqdm(
            total=total, initial=len(known), desc="embedded corpus", unit="file", disable=not progress
        ) as bar,
        open(folder / JOURNAL, "a", encoding="utf-8") as journal,
    ):
        for tasks in (voice_tasks, video_tasks):  # the clips' soundtracks are read from the voices
            for names in run_jobs(_run, tasks, n_jobs, in_order=False):
                for name in names:
                    known[name] = (folder / name).stat().st_size
                    journal.write(json.dumps([name, known[name]]) + "\n")
                journal.flush()
                bar.update(len(names))
    for rows, name in ((video_rows, "videos.csv"), (voice_rows, "voices.csv")):
        table = make_manifest(rows, name).drop(columns=["index", "take"])
        table["path"] = [str(folder / path) for path in table["path"]]
        check_leaks(table)
        write_manifest(table, folder / name)
        known[name] = (folder / name).stat().st_size
    with atomic_path(folder / STAMP) as temporary:
        temporary.write_text(
            json.dumps({"key": key, "files": known}, indent=1, sort_keys=True) + "\n", "utf-8"
        )
    (folder / JOURNAL).unlink(missing_ok=True)


def _run(render: Callable[..., list[str]], *arguments: object) -> list[str]:
    """Render with OpenCV on one thread: the processes share the cores already."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return render(*arguments)
    finally:
        cv2.setNumThreads(threads)


def _missing(rows: list[dict], known: dict[str, int]) -> list[list[dict]]:
    """Group the rows that are not yet there by the recording that they share."""
    absent = [row for row in rows if row["path"] not in known]
    return [list(group) for _, group in groupby(absent, key=lambda row: row["source"])]


def _is_intact(folder: Path, name: str, sizes: dict[str, int]) -> bool:
    path = folder / name
    return name in sizes and path.is_file() and path.stat().st_size == sizes[name]


def _read_stamp(folder: Path, key: dict) -> dict[str, int] | None:
    try:
        stamp = json.loads((folder / STAMP).read_text("utf-8"))
        return dict(stamp["files"]) if stamp["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):  # absent or damaged: build
        return None


def _read_journal(folder: Path, key: dict) -> dict[str, int]:
    """Read which files an interrupted build had finished; its last line may be cut off."""
    try:
        lines = (folder / JOURNAL).read_text("utf-8").splitlines()
        if json.loads(lines[0]) != key:
            return {}
    except (OSError, ValueError, IndexError):
        return {}
    finished = {}
    for line in lines[1:]:
        try:
            name, size = json.loads(line)
        except (ValueError, TypeError):
            continue
        finished[name] = size
    return finished


def _start_journal(folder: Path, key: dict, known: dict[str, int]) -> None:
    lines = [json.dumps(key), *(json.dumps([name, size]) for name, size in known.items())]
    with atomic_path(folder / JOURNAL) as temporary:
        temporary.write_text("\n".join(lines) + "\n", "utf-8")
