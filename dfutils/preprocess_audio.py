"""From a manifest of sound files and soundtracks to uniform clips: parallel, resumable, with rejects."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from dfutils.audio import MIN_SECONDS, SAMPLE_RATE_HZ, load_audio, normalise_voice, rms_dbfs, write_flac
from dfutils.errors import InputError
from dfutils.guard import GuardError, Limits
from dfutils.jobs import run_jobs
from dfutils.manifest import COLUMNS, make_manifest, write_manifest
from dfutils.paths import atomic_path


def soundtracks(videos: pd.DataFrame) -> pd.DataFrame:
    """Turn a manifest of videos into one of their voices.

    Takes the videos whose ``voice_label`` is known; their ``voice_method`` becomes the method.
    Returns an empty table where there are none.
    """
    if "voice_label" not in videos.columns:
        return videos.iloc[:0]
    known = pd.to_numeric(videos["voice_label"], errors="coerce")
    table = videos[known.notna()].assign(label=known[known.notna()].astype("int64"))
    methods = table.get("voice_method", pd.Series("unknown", index=table.index)).astype(str)
    methods = methods.where(~methods.isin(["", "nan", "none"]), "unknown")
    return table.assign(method=methods.where(table["label"] == 1, "none"))[list(COLUMNS)]


def extract_clips(
    voices: pd.DataFrame,
    folder: str | os.PathLike,
    normalise: bool = True,
    max_seconds: float = 30.0,
    n_jobs: int = 2,
    progress: bool = True,
    limits: Limits | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decode every voice to 16 kHz mono FLAC; resumable.

    A file that crashes its decoder, takes too long or needs too much memory is one reject, and is
    recorded, so that a second run does not try it again.

    Parameters
    ----------
    voices : pandas.DataFrame
        A manifest (`dfutils.manifest`) of sound files or videos.
    folder : str or os.PathLike
        Gets ``clips/``, ``clips.csv`` and ``clip-rejects.csv``.
    normalise : bool
        Apply `dfutils.audio.normalise_voice` (recommended: see there).
    max_seconds : float
        Read no more of a file [s].
    n_jobs : int
        Parallel processes.
    progress : bool
    limits : dfutils.guard.Limits, optional
        For one file.

    Returns
    -------
    clips : pandas.DataFrame
        A manifest; further columns ``original`` (the file it came from), ``seconds``, ``level_dbfs``
        (before normalisation).
    rejects : pandas.DataFrame
        ``path``, ``reason``.

    Raises
    ------
    InputError
        Not one clip came out.
    """
    if not len(voices):
        raise InputError("voices", "the table has no rows to make clips of")
    folder = Path(folder).absolute()
    jobs = [(path, folder, normalise, max_seconds) for path in voices["path"]]
    stream = run_jobs(_process_voice, jobs, n_jobs, True, limits or Limits(), _reject)
    records = list(tqdm(stream, total=len(jobs), desc="voices", unit="clip", disable=not progress))
    rows, rejects = [], []
    for row, record in zip(voices.to_dict("records"), records):
        if "reason" in record:
            rejects.append({"path": row["path"], "reason": record["reason"]})
        else:
            clip = {**record, "path": str(folder / record["path"]), "original": row["path"]}
            rows.append({**row, **clip})
    rejects = pd.DataFrame(rejects, columns=["path", "reason"])
    with atomic_path(folder / "clip-rejects.csv") as temporary:
        rejects.to_csv(temporary, index=False)
    if not rows:
        raise InputError(
            folder, f"not one of {len(voices)} voices could be used: {rejects['reason'].iloc[0]}"
        )
    clips = make_manifest(rows, "clips")
    write_manifest(clips, folder / "clips.csv")
    return clips, rejects


def _process_voice(path: str, folder: Path, normalise: bool, max_seconds: float) -> dict:
    """Decode one voice, or take up its finished clip; never raises for a bad file."""
    key, relative = _name_clip(path, normalise, max_seconds)
    record_path = (folder / relative).with_suffix(".json")
    if record_path.exists():
        record = json.loads(record_path.read_text())
        if "reason" in record or (folder / relative).exists():
            return record
    try:
        audio = load_audio(path, max_seconds=max_seconds)
        level = rms_dbfs(audio)
        if normalise:
            audio = normalise_voice(audio, seed=int(key[:8], 16))
        elif audio.size < MIN_SECONDS * SAMPLE_RATE_HZ:
            seconds = audio.size / SAMPLE_RATE_HZ
            raise InputError(path, f"holds {seconds:.2f} s of sound, less than {MIN_SECONDS} s")
    except InputError as error:
        return {"reason": error.reason}
    write_flac(folder / relative, audio)
    record = {
        "path": relative.as_posix(),
        "seconds": round(audio.size / SAMPLE_RATE_HZ, 3),
        "level_dbfs": round(level, 1),
    }
    with atomic_path(record_path) as temporary:
        temporary.write_text(json.dumps(record))
    return record


def _reject(job: tuple, failure: GuardError) -> dict:
    """Record a file that no process survives; one that was killed is tried again."""
    path, folder, normalise, max_seconds = job
    record = {"reason": failure.reason}
    _, relative = _name_clip(path, normalise, max_seconds)
    if failure.kind != "killed":
        with atomic_path((folder / relative).with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(record))
    return record


def _name_clip(path: str, normalise: bool, max_seconds: float) -> tuple[str, Path]:
    stat = os.stat(path) if os.path.exists(path) else None
    identity = [path, stat and [stat.st_size, stat.st_mtime_ns], normalise, max_seconds]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return key, Path("clips") / f"{Path(path).stem[:40]}-{key}.flac"
