"""Ten content-free features of sound files: what a clip tells before anyone listens to the voice."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from dfutils.audio import SAMPLE_RATE_HZ, load_audio, normalise_voice, rms_dbfs
from dfutils.errors import InputError
from dfutils.images import check_file

FEATURES = (
    "sample_rate_hz", "duration_s", "level_dbfs", "peak", "bandwidth_hz", "high_band_db",
    "lead_silence_s", "trail_silence_s", "floor_dbfs", "zeros",
)  # fmt: skip
HIGH_BAND_HZ = 4000.0
BELOW_PEAK_DB = 35.0
FRAME_S = 0.01


def clip_features(audio: np.ndarray, sr: int) -> dict[str, float]:
    """Measure what a clip tells without its content.

    Parameters
    ----------
    audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
    sr : int
        [Hz]

    Returns
    -------
    dict
        `FEATURES`: sampling rate [Hz]; duration [s]; RMS level [dBFS]; peak 0..1; bandwidth [Hz], the
        highest frequency whose mean power stands within 60 dB of the strongest; power above 4 kHz
        [dB of all]; silence before and after the loudest-less-35-dB frames [s]; 5th percentile of the
        level of 10 ms frames [dBFS]; share of samples that are exactly 0.

    Raises
    ------
    InputError
        The sound is shorter than 50 ms, not mono, or holds values that are not numbers.
    """
    from scipy.signal import welch

    audio = np.asarray(audio, np.float64)
    hop = round(FRAME_S * sr)
    if audio.ndim != 1 or audio.size < 5 * hop:
        raise InputError("audio", f"must be mono and hold {5 * FRAME_S:.2f} s, got shape {audio.shape}")
    if not np.isfinite(audio).all():
        raise InputError("audio", "holds values that are not numbers")
    frames = audio[: audio.size // hop * hop].reshape(-1, hop)
    levels = 10 * np.log10(np.mean(np.square(frames), axis=1) + 1e-10)
    loud = np.flatnonzero(levels > levels.max() - BELOW_PEAK_DB)
    hz, power = welch(audio, sr, nperseg=min(512, audio.size))
    power = power + 1e-20
    return {
        "sample_rate_hz": float(sr),
        "duration_s": audio.size / sr,
        "level_dbfs": rms_dbfs(audio),
        "peak": float(np.abs(audio).max()),
        "bandwidth_hz": float(hz[np.flatnonzero(power >= power.max() * 1e-6)[-1]]),
        "high_band_db": float(10 * np.log10(power[hz >= HIGH_BAND_HZ].sum() / power.sum())),
        "lead_silence_s": float(loud[0] * FRAME_S),
        "trail_silence_s": float((levels.size - 1 - loud[-1]) * FRAME_S),
        "floor_dbfs": float(np.quantile(levels, 0.05)),
        "zeros": float(np.mean(audio == 0)),
    }


def feature_table(
    manifest: pd.DataFrame,
    normalise: bool = False,
    seconds: float | None = 3.2,
    workers: int = 2,
    max_seconds: float = 30.0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every clip of a manifest.

    Parameters
    ----------
    manifest : pandas.DataFrame
    normalise : bool
        Measure after `dfutils.audio.normalise_voice` (mono, 16 kHz) in place of the file as it is.
    seconds : float or None
        Kept by that normalisation [s]; the shorter, the less the duration tells.
    workers : int
        Threads.
    max_seconds : float
        Read no more of a file [s].

    Returns
    -------
    features : pandas.DataFrame
        The usable rows of the manifest with the columns `FEATURES` added.
    rejects : pandas.DataFrame
        ``path``, ``reason``.

    Raises
    ------
    InputError
        Not one clip could be measured.
    """
    jobs = [joblib.delayed(_measure)(path, normalise, seconds, max_seconds) for path in manifest["path"]]
    results = joblib.Parallel(n_jobs=workers, prefer="threads")(jobs)
    reasons = [{"path": path, **found} for path, found in zip(manifest["path"], results) if "reason" in found]
    rejects = pd.DataFrame(reasons, columns=["path", "reason"])
    rows = [row | found for row, found in zip(manifest.to_dict("records"), results) if "reason" not in found]
    if not rows:
        raise InputError("manifest", f"not one of {len(manifest)} clips could be measured")
    return pd.DataFrame(rows), rejects


def _measure(path: str | os.PathLike, normalise: bool, seconds: float | None, max_seconds: float) -> dict:
    try:
        sr = SAMPLE_RATE_HZ if normalise else file_sample_rate(path)
        audio = load_audio(path, sr, max_seconds)
        if normalise:
            seed = hashlib.sha256(Path(path).name.encode()).digest()[:4]
            audio = normalise_voice(audio, sr, seconds, seed=int.from_bytes(seed, "big"))
        return clip_features(audio, sr)
    except InputError as error:
        return {"reason": error.reason}


def file_sample_rate(path: str | os.PathLike) -> int:
    """Sampling rate of the first audio stream [Hz]; InputError where there is none."""
    import av
    from av.error import FFmpegError

    path = check_file(path)
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise InputError(path, "has no sound")
            return int(container.streams.audio[0].rate)
    except FFmpegError as error:
        raise InputError(path, f"its sound cannot be decoded ({error.strerror})") from error
