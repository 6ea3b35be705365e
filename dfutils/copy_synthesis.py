"""Vocoded copies of bona fide speech: content, speaker and channel match, only the synthesis differs.

After Wang and Yamagishi: Spoofed training data for speech spoofing countermeasure can be efficiently
created using neural vocoders, ICASSP 2023. Theirs are neural; ours are cheap signal processing that
leaves the same kinds of trace: smoothed spectra, lost or wrong phase, buzzy or noisy excitation, few
mel bands, images of upsampling, steps between frames, flattened melody, joins.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.audio import load_audio, write_flac
from dfutils.errors import InputError, StorageError
from dfutils.guard import GuardError, Limits
from dfutils.jobs import run_jobs
from dfutils.manifest import make_manifest, write_manifest
from dfutils.paths import atomic_path
from dfutils.vocoders import METHODS, VERSION, copy_synthesize

SPLITS = ("train", "val")


def make_copies(
    manifest: pd.DataFrame,
    folder: str | os.PathLike,
    methods: tuple[str, ...] | None = None,
    seed: int = 42,
    workers: int = 2,
    per_clip: int | None = None,
    max_seconds: float = 30.0,
    progress: bool = True,
    limits: Limits | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Copy every bona fide row of a manifest; resumable.

    Parameters
    ----------
    manifest : pandas.DataFrame
        A manifest (`dfutils.manifest`) of splits "train" and "val" only; its spoofs are passed over.
    folder : str or os.PathLike
        Gets ``copies/`` (FLAC, 16 kHz, mono), ``copies.csv`` and ``copy-rejects.csv``.
    methods : tuple of str, optional
        Of `METHODS`; all by default.
    seed : int
    workers : int
        Parallel processes.
    per_clip : int, optional
        Draw so many of the methods for each clip; all by default.
    max_seconds : float
        Read no more of a file [s].
    progress : bool
    limits : dfutils.guard.Limits, optional
        For one clip with all its copies.

    Returns
    -------
    copies : pandas.DataFrame
        A manifest, one row per copy: label 1, method "copy-<method>", ``copy_of`` the path of the
        clip; split, person, source and all else as for the clip.
    rejects : pandas.DataFrame
        ``path``, ``method``, ``reason``.

    Raises
    ------
    InputError
        A row belongs to another split (evaluation speakers are not to be trained on), a method is
        unknown, there is nothing bona fide, or not one copy came out.
    """
    methods = tuple(METHODS) if methods is None else tuple(methods)
    for method in methods:
        if method not in METHODS:
            raise InputError("methods", f"must be of {tuple(METHODS)}, got {method!r}")
    per_clip = len(methods) if per_clip is None else per_clip
    if not 1 <= per_clip <= len(methods):
        raise InputError("per_clip", f"must lie in 1..{len(methods)}, got {per_clip}")
    wrong = sorted(set(manifest["split"]) - set(SPLITS))
    if wrong:
        raise InputError(
            "manifest", f"copies are made of the splits {SPLITS} only, but it has rows of {wrong}"
        )
    voices = manifest[manifest["label"] == 0].to_dict("records")
    if not voices:
        raise InputError("manifest", "has no bona fide rows to copy")
    folder = Path(folder).absolute()
    jobs = []
    for row in voices:
        name = f"{seed}/{row['dataset']}/{row['source']}/{Path(row['path']).name}"
        order = np.random.default_rng(_hash(name)).permutation(len(methods))[:per_clip]
        jobs.append((row["path"], folder, name, [methods[k] for k in sorted(order)], max_seconds))
    stream = run_jobs(_copy_clip, jobs, workers, True, limits or Limits(), _reject)
    results = list(tqdm(stream, total=len(jobs), desc="copies", unit="clip", disable=not progress))
    rows = [
        {**row, "path": path, "label": 1, "method": f"copy-{method}", "copy_of": row["path"]}
        for row, (made, _) in zip(voices, results)
        for method, path in made.items()
    ]
    rejects = [
        {"path": row["path"], "method": method, "reason": reason}
        for row, (_, failed) in zip(voices, results)
        for method, reason in failed.items()
    ]
    rejects = pd.DataFrame(rejects, columns=["path", "method", "reason"])
    with atomic_path(folder / "copy-rejects.csv") as temporary:
        rejects.to_csv(temporary, index=False)
    if not rows:
        raise InputError(folder, f"not one of {len(voices)} clips was copied: {rejects['reason'].iloc[0]}")
    copies = make_manifest(rows, "copies")
    write_manifest(copies, folder / "copies.csv")
    return copies, rejects


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _copy_clip(
    path: str, folder: Path, name: str, methods: list[str], max_seconds: float
) -> tuple[dict[str, str], dict[str, str]]:
    """Copy one clip by each method, or take up good files; paths and reasons by method, never raises."""
    made, failed, audio = {}, {}, None
    stat = os.stat(path) if os.path.exists(path) else None
    for method in methods:
        identity = [path, stat and [stat.st_size, stat.st_mtime_ns], name, method, max_seconds, VERSION]
        key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]
        target = folder / "copies" / f"{Path(path).stem[:40]}-{method}-{key}.flac"
        try:
            if not _is_good(target):
                audio = load_audio(path, max_seconds=max_seconds) if audio is None else audio
                write_flac(target, copy_synthesize(audio, method, _hash(f"{name}/{method}")))
            made[method] = str(target)
        except StorageError:  # no fault of the clip
            raise
        except ValueError as error:  # InputError, and what the vocoders themselves refuse
            failed[method] = getattr(error, "reason", str(error))
    return made, failed


def _reject(job: tuple, failure: GuardError) -> tuple[dict[str, str], dict[str, str]]:
    return {}, dict.fromkeys(job[3], failure.reason)


def _is_good(path: Path) -> bool:
    """Whether a FLAC file is there and decodes to the end."""
    import soundfile

    try:
        return path.exists() and len(soundfile.read(path)[0]) == soundfile.info(path).frames > 0
    except soundfile.LibsndfileError:
        return False
