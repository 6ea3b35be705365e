"""Score frozen models on manifests and summarise per split, per method and per video."""

from __future__ import annotations

import os
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.aggregation import aggregate_by_video
from dfutils.asv_metrics import cllr, min_dcf, official_eer
from dfutils.audio import load_audio
from dfutils.calibration import Calibration
from dfutils.margins import predict_margins
from dfutils.metrics import auc, equal_error_rate, evaluate
from dfutils.paths import atomic_path
from dfutils.voice_input import VoiceInput


def score(bundle, manifest: pd.DataFrame, batch_size: int = 32, progress: bool = True) -> pd.DataFrame:
    """Add what a frozen model says to a manifest.

    Parameters
    ----------
    bundle : dfutils.bundles.Bundle
    manifest : pandas.DataFrame
        Of face crops or of clips, whichever the model takes.
    batch_size : int
    progress : bool

    Returns
    -------
    pandas.DataFrame
        The manifest with ``logit``, ``p_fake`` (calibrated) and ``called_fake`` (0 or 1, at the
        frozen threshold).
    """
    table = manifest.reset_index(drop=True)
    if bundle.config.kind == "video":
        size_hw, flip = bundle.config.size_hw, bundle.inputs.get("flip", False)
        logits = predict_faces(bundle.model, table, size_hw, flip, batch_size, progress)
    else:
        voice_input, n_windows = VoiceInput(**bundle.inputs["voice"]), bundle.inputs["n_windows"]
        logits = predict_voices(bundle.model, table, voice_input, n_windows, batch_size, progress)
    p_fake = bundle.calibration.p_fake(logits)
    called = (p_fake >= bundle.calibration.threshold).astype(int)
    return table.assign(logit=logits, p_fake=p_fake, called_fake=called)


def predict_faces(
    model,
    faces: pd.DataFrame,
    size_hw: tuple[int, int],
    flip: bool,
    batch_size: int = 32,
    progress: bool = True,
) -> np.ndarray:
    """Compute logit margins (fake minus real) of face crops.

    Parameters
    ----------
    model : keras.Model
    faces : pandas.DataFrame
        Manifest.
    size_hw : tuple of int
        [px]
    flip : bool
        Average each face's logits with those of its mirror image.
    batch_size : int
    progress : bool

    Returns
    -------
    numpy.ndarray, shape=(n,), float64
    """
    from dfutils.datasets import FaceSequence
    from dfutils.training import predict_logits

    ways = ("none", "mirror") if flip else ("none",)
    loaders = [FaceSequence(faces, size_hw, way, batch_size=batch_size) for way in ways]
    return np.mean([predict_logits(model, loader, progress) for loader in loaders], axis=0)


def predict_voices(
    model,
    clips: pd.DataFrame,
    voice_input: VoiceInput,
    n_windows: int,
    batch_size: int = 32,
    progress: bool = True,
) -> np.ndarray:
    """Compute logit margins (spoof minus bona fide) of clips: the mean over their windows.

    Parameters
    ----------
    model : keras.Model or dfutils.onnx_model.OnnxModel
    clips : pandas.DataFrame
        Manifest of clips as notebook 02 leaves them.
    voice_input : VoiceInput
    n_windows : int
        At most, of each clip.
    batch_size : int
    progress : bool

    Returns
    -------
    numpy.ndarray, shape=(n,), float64
    """
    margins, paths = [], clips["path"].tolist()
    with (
        joblib.Parallel(n_jobs=2, prefer="threads") as parallel,
        tqdm(total=len(paths), desc="voices", unit="clip", disable=not progress) as bar,
    ):
        for first in range(0, len(paths), batch_size):
            some = paths[first : first + batch_size]
            groups = parallel(joblib.delayed(_window_pictures)(path, voice_input, n_windows) for path in some)
            found = predict_margins(model, [picture for group in groups for picture in group], batch_size)
            ends = np.cumsum([len(group) for group in groups])
            margins += [part.mean() for part in np.split(found, ends[:-1])]
            bar.update(len(some))
    return np.array(margins)


def _window_pictures(path: str, voice_input: VoiceInput, n_windows: int) -> list[np.ndarray]:
    audio = load_audio(path)
    windows = voice_input.windows(audio, n_windows) or [(0, audio)]
    return [voice_input.picture(part) for _, part in windows]


def write_scores(scored: pd.DataFrame, path: str | os.PathLike) -> Path:
    """Write the trial-level scores as CSV, so that others can compute their own metrics."""
    with atomic_path(path) as temporary:
        scored.to_csv(temporary, index=False)
    return Path(path)


def summarise(
    scored: pd.DataFrame, part: str, threshold: float, n_resamples: int = 1000, seed: int = 42
) -> pd.DataFrame:
    """Evaluate each split; intervals from drawing whole persons.

    Returns
    -------
    pandas.DataFrame
        One row per split: ``part``, ``split`` and what `dfutils.metrics.evaluate` gives.
    """
    rows = []
    for split, table in scored.groupby("split"):
        clusters = table["dataset"] + "/" + table["person"]
        values = evaluate(table["label"], table["p_fake"], threshold, clusters, n_resamples, seed)
        rows.append({"part": part, "split": split, **values})
    return pd.DataFrame(rows)


def per_method(scored: pd.DataFrame) -> pd.DataFrame:
    """AUC of each method's fakes against all reals of the same split.

    Returns
    -------
    pandas.DataFrame
        ``split``, ``method``, ``n_fake``, ``n_real``, ``auc``.
    """
    rows = []
    for split, table in scored.groupby("split"):
        reals = table[table["label"] == 0]
        for method, fakes in table[table["label"] == 1].groupby("method"):
            both = pd.concat([reals, fakes])
            value = auc(both["label"], both["p_fake"])
            rows.append(
                {"split": split, "method": method, "n_fake": len(fakes), "n_real": len(reals), "auc": value}
            )
    return pd.DataFrame(rows)


def countermeasure_metrics(scored: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    """Summarise each split of scored voices in the terms of the ASVspoof challenges.

    Parameters
    ----------
    scored : pandas.DataFrame
        From `score`.
    calibration : dfutils.calibration.Calibration
        Of the model: the log odds come from its logits, because a ``p_fake`` of 1.0 has none, and ties.

    Returns
    -------
    pandas.DataFrame
        One row per split: ``split``, ``official_eer``, ``min_dcf``, ``cllr`` [bit] of the calibrated
        scores, and over methods, each against all bona fide clips: ``macro_auc``, ``macro_eer``,
        ``lowest_auc`` and the ``lowest_method``.
    """
    rows = []
    for split, table in scored.groupby("split"):
        labels = table["label"].to_numpy()
        log_odds = calibration.slope * table["logit"].to_numpy() + calibration.intercept
        methods = per_method(table.assign(p_fake=log_odds)).sort_values("auc")
        reals = table[table["label"] == 0]
        eers = [
            equal_error_rate(both["label"], both["logit"])[0]
            for _, fakes in table[table["label"] == 1].groupby("method")
            for both in [pd.concat([reals, fakes])]
        ]
        rows.append(
            {
                "split": split,
                "official_eer": official_eer(labels, log_odds)[0],
                "min_dcf": min_dcf(labels, log_odds),
                "cllr": cllr(labels, log_odds),
                "macro_auc": float(methods["auc"].mean()),
                "macro_eer": float(np.mean(eers)),
                "lowest_auc": float(methods["auc"].iloc[0]),
                "lowest_method": methods["method"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def per_video(scored: pd.DataFrame, how: str = "mean") -> pd.DataFrame:
    """Summarise frames to videos; crops that do not say which video they are from count as one each.

    ``how``: see `dfutils.aggregation.aggregate`.
    """
    videos = scored["video"] if "video" in scored.columns else scored["path"]
    keyed = scored.assign(video=scored["dataset"] + "/" + scored["method"] + "/" + videos.astype(str))
    return aggregate_by_video(keyed, how=how)


def most_confident_mistakes(scored: pd.DataFrame, n: int) -> pd.DataFrame:
    """Rows whose verdict is wrong, the surest first; at most ``n``."""
    wrong = scored[scored["label"] != scored["called_fake"]]
    return wrong.assign(surety=(wrong["p_fake"] - 0.5).abs()).nlargest(n, "surety")
