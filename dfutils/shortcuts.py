"""The shortcut audit: how well do ten content-free features tell bona fide from spoofed clips?

A model that reaches no more than this may have learnt the recording, not the voice. `normalise_voice`
(`dfutils.audio`) takes most of it away.
"""

from __future__ import annotations

import hashlib
import os
from itertools import product
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from dfutils.audio import SAMPLE_RATE_HZ, load_audio, normalise_voice, rms_dbfs
from dfutils.errors import InputError
from dfutils.video import check_file

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
    manifest: pd.DataFrame, normalise: bool = False, workers: int = 2, max_seconds: float = 30.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every clip of a manifest.

    Parameters
    ----------
    manifest : pandas.DataFrame
    normalise : bool
        Measure after `dfutils.audio.normalise_voice` (mono, 16 kHz) in place of the file as it is.
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
    jobs = [joblib.delayed(_measure)(path, normalise, max_seconds) for path in manifest["path"]]
    results = joblib.Parallel(n_jobs=workers, prefer="threads")(jobs)
    reasons = [{"path": path, **found} for path, found in zip(manifest["path"], results) if "reason" in found]
    rejects = pd.DataFrame(reasons, columns=["path", "reason"])
    rows = [row | found for row, found in zip(manifest.to_dict("records"), results) if "reason" not in found]
    if not rows:
        raise InputError("manifest", f"not one of {len(manifest)} clips could be measured")
    return pd.DataFrame(rows), rejects


def _measure(path: str | os.PathLike, normalise: bool, max_seconds: float) -> dict:
    try:
        sr = SAMPLE_RATE_HZ if normalise else file_sample_rate(path)
        audio = load_audio(path, sr, max_seconds)
        if normalise:
            seed = hashlib.sha256(Path(path).name.encode()).digest()[:4]
            audio = normalise_voice(audio, sr, seed=int.from_bytes(seed, "big"))
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


def audit(
    features: pd.DataFrame,
    labels: np.ndarray | pd.Series | None = None,
    groups: np.ndarray | pd.Series | None = None,
    n_folds: int = 5,
    seed: int = 42,
    n_resamples: int = 0,
) -> dict[str, float]:
    """Say how well the content-free features tell the classes apart.

    Parameters
    ----------
    features : pandas.DataFrame
        With the columns `FEATURES` (`feature_table`).
    labels : array, shape=(n_clips,), optional
        1 = spoof; by default the column ``label``.
    groups : array, shape=(n_clips,), optional
        The set that each clip comes from, to leave out whole; no such figure where None.
    n_folds : int
        Random stratified folds.
    seed : int
    n_resamples : int
        Of clips, for the 95 % interval of the first figure; 0 gives none.

    Returns
    -------
    dict
        ``auc_random``: AUC of the pooled out-of-fold scores, the better of boosted trees
        (``auc_random_trees``) and logistic regression (``auc_random_logistic``), with ``low`` and
        ``high`` where resampled. ``auc_left_out`` (and its two parts): mean AUC over folds whose test
        sets were left out whole: a set of both classes by itself, and each pair of a bona fide and a
        spoofed set; 0.5 = nothing learnt that carries over. ``n_left_out``: such folds.

    Raises
    ------
    InputError
        A feature is missing or not a number, or a class has fewer clips than there are folds.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    missing = [name for name in FEATURES if name not in features.columns]
    if missing:
        raise InputError("features", f"lack the columns {missing}")
    values = features[list(FEATURES)].to_numpy(np.float64)
    labels = np.asarray(features["label"] if labels is None else labels).astype(int)
    if not np.isfinite(values).all():
        raise InputError("features", "hold values that are not numbers")
    if len(labels) != len(values) or min(np.sum(labels == 0), np.sum(labels == 1)) < n_folds:
        raise InputError("labels", f"must be {len(values)} of 0 and 1, with {n_folds} or more of each")
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    splits = list(folds.split(values, labels))
    result, scores = {}, {}
    for name in ("trees", "logistic"):
        scores[name] = np.empty(len(labels))
        for train, test in splits:
            scores[name][test] = _fit_and_score(name, values, labels, train, test, seed)
        result[f"auc_random_{name}"] = float(roc_auc_score(labels, scores[name]))
    best = max(scores, key=lambda name: result[f"auc_random_{name}"])
    result["auc_random"] = result[f"auc_random_{best}"]
    if n_resamples:
        rng, found = np.random.default_rng(seed), []
        picks = [np.flatnonzero(labels == label) for label in (0, 1)]
        for _ in range(n_resamples):
            drawn = np.concatenate([rng.choice(pick, pick.size) for pick in picks])
            found.append(roc_auc_score(labels[drawn], scores[best][drawn]))
        result["low"], result["high"] = (float(value) for value in np.quantile(found, [0.025, 0.975]))
    if groups is not None:
        result |= _leave_sets_out(values, labels, np.asarray(groups).astype(str), seed)
    return result


def _leave_sets_out(
    values: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int
) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    classes = {group: set(labels[groups == group]) for group in sorted(set(groups))}
    real, fake = ([group for group in classes if classes[group] == {label}] for label in (0, 1))
    held_out = [(group,) for group in classes if len(classes[group]) == 2] + list(product(real, fake))
    found = {"trees": [], "logistic": []}
    for names in held_out:
        inside = np.isin(groups, names)
        train, test = np.flatnonzero(~inside), np.flatnonzero(inside)
        if len(set(labels[train])) < 2:
            continue
        for name in found:
            scores = _fit_and_score(name, values, labels, train, test, seed)
            found[name].append(roc_auc_score(labels[test], scores))
    if not found["trees"]:
        raise InputError("groups", "no set can be left out: nothing of both classes would remain to train on")
    means = {f"auc_left_out_{name}": float(np.mean(aucs)) for name, aucs in found.items()}
    return {"auc_left_out": max(means.values()), **means, "n_left_out": len(found["trees"])}


def _fit_and_score(
    name: str, values: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "trees":
        model = HistGradientBoostingClassifier(
            max_iter=100, max_leaf_nodes=15, learning_rate=0.1, min_samples_leaf=10,
            class_weight="balanced", random_state=seed,
        )  # fmt: skip
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    model.fit(values[train], labels[train])
    return model.predict_proba(values[test])[:, 1]
