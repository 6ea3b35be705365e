"""Evaluation: refuse what cannot be scored, then AUC, EER, calibration, with clustered intervals."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from sklearn import metrics as skm

from dfutils.errors import InputError


def validate_scores(labels, scores) -> tuple[np.ndarray, np.ndarray]:
    """Check labels and scores.

    Parameters
    ----------
    labels : array_like, shape=(n,)
        1 = fake, 0 = real; both must occur.
    scores : array_like, shape=(n,)
        Higher = more likely fake; any finite values that are not all equal.

    Returns
    -------
    labels : numpy.ndarray, shape=(n,), int64
    scores : numpy.ndarray, shape=(n,), float64

    Raises
    ------
    InputError
        Shapes differ, a class is missing, scores are not finite, or constant (which some
        published code turns into an error rate of 0).
    """
    labels, scores = np.asarray(labels), np.asarray(scores, np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise InputError("scores", f"labels and scores differ in shape: {labels.shape} and {scores.shape}")
    if not np.isin(labels, (0, 1)).all() or len(np.unique(labels)) < 2:
        raise InputError("labels", f"must hold both 0 and 1 and nothing else, got {np.unique(labels)[:5]}")
    if not np.isfinite(scores).all():
        raise InputError("scores", f"{int((~np.isfinite(scores)).sum())} scores are not finite")
    if np.ptp(scores) == 0:
        raise InputError("scores", f"are all equal ({scores[0]}): they decide nothing")
    return labels.astype(np.int64), scores


def auc(labels, scores) -> float:
    """Area under the ROC curve, 0..1 (`sklearn.metrics.roc_auc_score`)."""
    return float(skm.roc_auc_score(*validate_scores(labels, scores)))


def equal_error_rate(labels, scores) -> tuple[float, float]:
    """Equal error rate, tied scores grouped, interpolated between operating points.

    Parameters
    ----------
    labels, scores
        See `validate_scores`.

    Returns
    -------
    eer : float
        0..1: where the false-alarm rate equals the miss rate.
    threshold : float
        Score at or above which a sample is called fake there.

    Notes
    -----
    The official ASVspoof routine takes one operating point per trial and no interpolation; the
    two differ by up to one trial, and by more where scores are tied.
    """
    labels, scores = validate_scores(labels, scores)
    false_alarm, hit, thresholds = skm.roc_curve(labels, scores, drop_intermediate=False)
    gap = false_alarm - (1 - hit)  # rises from -1 to 1
    right = int(np.argmax(gap >= 0))
    left = max(right - 1, 0)
    span = gap[right] - gap[left]
    share = 0.0 if span == 0 else float(-gap[left] / span)
    eer = float(false_alarm[left] + share * (false_alarm[right] - false_alarm[left]))
    low, high = thresholds[right], thresholds[left]
    return eer, float(low if not np.isfinite(high) else low + (1 - share) * (high - low))


def expected_calibration_error(labels, p_fake, n_bins: int = 15) -> float:
    """Mean distance of predicted and observed share of fakes over bins of equal width, 0..1.

    Guo et al.: On calibration of modern neural networks, ICML 2017, equation 3, for the class fake.
    """
    labels, p_fake = validate_scores(labels, p_fake)
    bins = np.minimum((p_fake * n_bins).astype(int), n_bins - 1)
    table = pd.DataFrame({"bin": bins, "label": labels, "p": p_fake}).groupby("bin").agg(["mean", "size"])
    gaps = (table["label"]["mean"] - table["p"]["mean"]).abs()
    return float((gaps * table["label"]["size"]).sum() / len(labels))


def evaluate(
    labels,
    p_fake,
    threshold: float = 0.5,
    clusters=None,
    n_resamples: int = 1000,
    seed: int = 42,
    confidence: float = 0.95,
) -> dict[str, float]:
    """Compute all metrics of one set of scores, as a flat dictionary.

    Parameters
    ----------
    labels : array_like, shape=(n,)
        1 = fake.
    p_fake : array_like, shape=(n,)
        Probabilities, 0..1.
    threshold : float
        Frozen decision threshold, from validation.
    clusters : array_like, shape=(n,), optional
        Person, speaker or source video of each sample; adds ``auc_low``/``auc_high`` and
        ``eer_low``/``eer_high``, and so on, from a bootstrap that draws whole clusters, because
        samples of one person are not independent.
    n_resamples, seed, confidence
        Of the bootstrap.

    Returns
    -------
    dict
        ``n``, ``n_fake``, ``auc``, ``average_precision``, ``eer``, ``eer_threshold``, ``accuracy``,
        ``balanced_accuracy``, ``f1``, ``sensitivity`` (share of fakes found), ``specificity``
        (share of reals left in peace), ``log_loss``, ``brier``, ``ece``, ``threshold``;
        ``f1_at_eer``; ``tpr_at_1pct_fpr`` and ``tpr_at_5pct_fpr``, the share of fakes found at the
        lowest threshold at which at most so many reals are called fake. With ``clusters`` also
        ``n_clusters`` and the bounds of `cluster_bootstrap`.
    """
    labels, p_fake = validate_scores(labels, p_fake)
    if p_fake.min() < 0 or p_fake.max() > 1:
        raise InputError("p_fake", f"must lie in 0..1, got {p_fake.min():.3g}..{p_fake.max():.3g}")
    called = (p_fake >= threshold).astype(int)
    eer, eer_threshold = equal_error_rate(labels, p_fake)
    result = {
        "n": len(labels),
        "n_fake": int(labels.sum()),
        "auc": float(skm.roc_auc_score(labels, p_fake)),
        "average_precision": float(skm.average_precision_score(labels, p_fake)),
        "eer": eer,
        "eer_threshold": eer_threshold,
        "accuracy": float(skm.accuracy_score(labels, called)),
        "balanced_accuracy": float(skm.balanced_accuracy_score(labels, called)),
        "f1": float(skm.f1_score(labels, called)),
        "sensitivity": float(called[labels == 1].mean()),
        "specificity": float(1 - called[labels == 0].mean()),
        "log_loss": float(skm.log_loss(labels, p_fake, labels=[0, 1])),
        "brier": float(skm.brier_score_loss(labels, p_fake)),
        "ece": expected_calibration_error(labels, p_fake),
        "threshold": float(threshold),
        "f1_at_eer": float(skm.f1_score(labels, p_fake >= eer_threshold)),
        "tpr_at_1pct_fpr": hit_rate_at(labels, p_fake, 0.01),
        "tpr_at_5pct_fpr": hit_rate_at(labels, p_fake, 0.05),
    }
    if clusters is not None:
        result |= cluster_bootstrap(labels, p_fake, clusters, n_resamples, seed, confidence, threshold)
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in result.items()}


def hit_rate_at(labels, scores, false_alarm_rate: float) -> float:
    """Share of fakes found where at most ``false_alarm_rate`` of the reals are called fake, 0..1."""
    false_alarm, hit, _ = skm.roc_curve(*validate_scores(labels, scores), drop_intermediate=False)
    return float(hit[false_alarm <= false_alarm_rate].max())


def cluster_bootstrap(
    labels,
    scores,
    clusters,
    n_resamples: int = 1000,
    seed: int = 42,
    confidence: float = 0.95,
    threshold: float | None = None,
) -> dict[str, float]:
    """Percentile intervals, drawing whole clusters with replacement.

    Returns
    -------
    dict
        ``auc_low``, ``auc_high``, ``eer_low``, ``eer_high``, ``n_clusters``; with a ``threshold`` also
        bounds of ``sensitivity`` and ``specificity`` there; see
        `dfutils.comparison.clustered_interval`.
    """
    from dfutils.comparison import clustered_interval  # which itself imports from here

    options = (clusters, n_resamples, confidence, seed)
    bounds: dict[str, float] = {}
    for name, metric in (("auc", auc), ("eer", equal_error_rate)):
        found = clustered_interval(metric, labels, scores, *options)
        bounds |= {f"{name}_low": found.low, f"{name}_high": found.high}
    if threshold is not None:
        called = np.asarray(scores, np.float64) >= threshold
        for name, wanted in (("sensitivity", 1), ("specificity", 0)):
            rate = functools.partial(_share_right, wanted=wanted)
            try:
                rates = clustered_interval(rate, labels, called, *options)
            except InputError:  # the same verdict for all: a rate of 0 or 1, without an interval
                continue
            bounds |= {f"{name}_low": rates.low, f"{name}_high": rates.high}
    return bounds | {"n_clusters": found.n_clusters}


def _share_right(labels, called, wanted: int) -> float:
    return float(np.mean(called[labels == wanted] == wanted))
