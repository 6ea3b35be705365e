"""Score frozen models on manifests and summarise per split, per method and per video."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from dfutils.metrics import aggregate_by_video, auc, evaluate
from dfutils.paths import atomic_path


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
    from dfutils.datasets import FaceSequence, LfccSequence
    from dfutils.training import predict_logits

    table = manifest.reset_index(drop=True)
    size = {"size_hw": bundle.config.size_hw, "batch_size": batch_size}
    if bundle.config.kind == "video":
        data = FaceSequence(table, **size)
    else:
        inputs = bundle.inputs
        data = LfccSequence(table, inputs["features"], inputs["fragment_seconds"], **size)
    logits = predict_logits(bundle.model, data, progress)
    p_fake = bundle.calibration.p_fake(logits)
    called = (p_fake >= bundle.calibration.threshold).astype(int)
    return table.assign(logit=logits, p_fake=p_fake, called_fake=called)


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


def per_video(scored: pd.DataFrame) -> pd.DataFrame:
    """Average frames to videos; crops that do not say which video they are from count as one each."""
    videos = scored["video"] if "video" in scored.columns else scored["path"]
    keyed = scored.assign(video=scored["dataset"] + "/" + scored["method"] + "/" + videos.astype(str))
    return aggregate_by_video(keyed)
