"""Intervals that respect persons, and tests of two models on the same trials.

Crops of one person, or sentences of one speaker, are not independent: drawing them one by one makes
intervals too narrow and differences too sure. So whole clusters (persons, speakers, source videos) are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from dfutils.errors import InputError
from dfutils.metrics import auc, equal_error_rate, validate_scores

MIN_CLUSTERS = 5
Metric = Callable[[np.ndarray, np.ndarray], float | tuple]


@dataclass(frozen=True)
class Interval:
    """A metric with its percentile interval.

    Attributes
    ----------
    value, low, high : float
        On all samples; bounds, NaN where no interval can be had.
    n_clusters, n_resamples, n_redrawn : int
        Clusters; resamples used; resamples thrown away.
    """

    value: float
    low: float
    high: float
    n_clusters: int
    n_resamples: int
    n_redrawn: int


@dataclass(frozen=True)
class Comparison:
    """Two models on the same trials.

    Attributes
    ----------
    value_a, value_b, difference, low, high : float
        The metric of each on all samples; a - b, and its interval.
    p_value : float
        Two-sided, of "no difference"; NaN, like the interval, where it cannot be had.
    n_units, n_resamples, n_redrawn : int
        Clusters (trials for DeLong's test); see `Interval`.
    """

    value_a: float
    value_b: float
    difference: float
    low: float
    high: float
    p_value: float
    n_units: int
    n_resamples: int = 0
    n_redrawn: int = 0


def clustered_interval(
    metric: Metric, labels, scores, clusters, n_resamples: int = 1000, confidence: float = 0.95, seed=42
) -> Interval:
    """Percentile interval of any metric, drawing whole clusters with replacement.

    Parameters
    ----------
    metric : callable
        ``metric(labels, scores)`` gives a number, or a tuple whose first item counts. `auc` and
        `equal_error_rate` (`dfutils.metrics`) are computed for all resamples at once, others one by one;
        a resample that they refuse by InputError is drawn again.
    labels, scores
        See `dfutils.metrics.validate_scores`.
    clusters : array_like, shape=(n,)
        Person, speaker or source video of each sample.
    n_resamples, confidence, seed
        How many; between 0 and 1; the same seed draws the same clusters, whatever the metric.

    Returns
    -------
    Interval
        Without bounds for fewer than five clusters, or where half of the resamples lack a class or
        differing scores: no interval is better than a wrong one.

    Raises
    ------
    InputError
        The scores cannot be scored, or a sample has no cluster.

    Notes
    -----
    Bolle, Ratha, Pankanti: Error analysis of pattern recognition systems: the subsets bootstrap,
    CVIU 93, 2004. With few clusters (say under 20) even these intervals are somewhat narrow.
    """
    labels, scores = validate_scores(labels, scores)
    value = _first(metric(labels, scores))
    draws, n, redrawn = _resample(metric, labels, [scores], clusters, n_resamples, seed)
    low, high = _percentiles(draws[:, 0], n_resamples, confidence)
    return Interval(value, low, high, n, len(draws), redrawn)


def paired_test(
    metric: Metric, labels, scores_a, scores_b, clusters, n_resamples: int = 2000, confidence=0.95, seed=42
) -> Comparison:
    """Compare two models: both are scored on the same resampled clusters.

    Parameters
    ----------
    metric, labels, clusters, n_resamples, confidence, seed
        See `clustered_interval`.
    scores_a, scores_b : array_like, shape=(n,)
        Of the same trials in the same order.

    Returns
    -------
    Comparison
        ``p_value``: twice the smaller share of resampled differences on either side of 0, each count
        plus one (Davison, Hinkley: Bootstrap methods and their application, 1997, chapter 4); it agrees
        with the interval, and is never below ``2 / (n_resamples + 1)``.
    """
    labels, scores_a = validate_scores(labels, scores_a)
    labels, scores_b = validate_scores(labels, scores_b)
    value_a, value_b = _first(metric(labels, scores_a)), _first(metric(labels, scores_b))
    draws, n, redrawn = _resample(metric, labels, [scores_a, scores_b], clusters, n_resamples, seed)
    differences, p_value = draws[:, 0] - draws[:, 1], float("nan")
    low, high = _percentiles(differences, n_resamples, confidence)
    if np.isfinite(low):
        beyond = min((differences <= 0).sum(), (differences >= 0).sum())
        p_value = min(1.0, float(2 * (beyond + 1) / (len(draws) + 1)))
    difference = value_a - value_b
    return Comparison(value_a, value_b, difference, low, high, p_value, n, len(draws), redrawn)


def delong_test(labels, scores_a, scores_b, confidence: float = 0.95) -> Comparison:
    """Compare two AUCs on the same trials, taken for independent: for comparison with papers that do so.

    Arguments as in `paired_test`, which is to be believed where persons repeat.

    DeLong, DeLong, Clarke-Pearson: Comparing the areas under two or more correlated receiver operating
    characteristic curves, Biometrics 44, 1988; by midranks as in Sun, Xu: Fast implementation of
    DeLong's algorithm, IEEE Signal Processing Letters 21, 2014.
    """
    from scipy.stats import rankdata

    of_fakes, of_reals = [], []  # each fake's share of reals below it; each real's share of fakes above
    for scores in (scores_a, scores_b):
        labels, scores = validate_scores(labels, scores)
        fakes, reals = scores[labels == 1], scores[labels == 0]
        ranks = rankdata(np.r_[fakes, reals])
        of_fakes.append((ranks[: fakes.size] - rankdata(fakes)) / reals.size)
        of_reals.append(1 - (ranks[fakes.size :] - rankdata(reals)) / fakes.size)
    if min(fakes.size, reals.size) < 2:
        raise InputError("labels", "need two of each class for a variance")
    value_a, value_b = (float(shares.mean()) for shares in of_fakes)
    error = float(np.sqrt(sum(np.var(a - b, ddof=1) / a.size for a, b in (of_fakes, of_reals))))
    difference, normal = value_a - value_b, NormalDist()
    p_value = 1.0 if abs(difference) < 1e-12 else 2 * normal.cdf(-abs(difference) / max(error, 1e-12))
    reach = normal.inv_cdf((1 + confidence) / 2) * error
    bounds = difference - reach, difference + reach
    return Comparison(value_a, value_b, difference, *bounds, p_value, len(labels))


def compare_units(metric: Metric, labels, scores, clusters, **options) -> pd.DataFrame:
    """Show how drawing single trials understates: `clustered_interval` both ways, on the same scores.

    Returns
    -------
    pandas.DataFrame
        Index ``unit``: "trial", "cluster"; columns ``n_units``, ``value``, ``low``, ``high``, ``width``,
        and ``times_as_wide``, the width divided by that of the trials'.
    """
    rows = {}
    for unit, groups in (("trial", np.arange(np.size(labels))), ("cluster", clusters)):
        found = clustered_interval(metric, labels, scores, groups, **options)
        rows[unit] = [found.n_clusters, found.value, found.low, found.high, found.high - found.low]
    columns = ["n_units", "value", "low", "high", "width"]
    table = pd.DataFrame.from_dict(rows, "index", columns=columns).rename_axis("unit")
    return table.assign(times_as_wide=table["width"] / table.loc["trial", "width"])


def _first(value: float | tuple) -> float:
    return float(value[0] if isinstance(value, tuple) else value)


def _percentiles(draws: np.ndarray, n_wanted: int, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1 or n_wanted < 1:
        raise InputError("bootstrap", f"needs resamples, and confidence between 0 and 1, got {confidence}")
    if len(draws) < n_wanted:
        return float("nan"), float("nan")
    low, high = np.percentile(draws, [50 * (1 - confidence), 50 * (1 + confidence)])
    return float(low), float(high)


def _resample(metric: Metric, labels, models: list[np.ndarray], clusters, n_resamples: int, seed: int):
    """Values, shape=(n_resamples, n_models), with fewer rows if too many fail; n_clusters; n_redrawn."""
    codes, names = pd.factorize(np.asarray(clusters))
    if codes.shape != labels.shape or (codes < 0).any():
        raise InputError("clusters", f"must name one for each of {len(labels)} samples, got {codes.shape}")
    values, n_drawn, n_clusters = [], 0, len(names)
    n_fakes, sizes = np.bincount(codes, labels), np.bincount(codes)
    generator = np.random.default_rng(seed)
    while len(values) < n_resamples and n_drawn < 2 * n_resamples and n_clusters >= MIN_CLUSTERS:
        n = min(n_resamples - len(values), 2 * n_resamples - n_drawn, max(1, 4_000_000 // len(labels)))
        picks = generator.integers(n_clusters, size=(n, n_clusters))
        n_drawn += n
        times = np.stack([np.bincount(row, minlength=n_clusters) for row in picks])
        fakes = times @ n_fakes
        usable = (fakes > 0) & (fakes < times @ sizes)
        found = _score(metric, labels, models, times[usable][:, codes])
        values += list(found[np.isfinite(found).all(axis=1)])
    return np.array(values).reshape(-1, len(models)), n_clusters, n_drawn - len(values)


def _score(metric: Metric, labels, models: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    if metric in (auc, equal_error_rate):
        return np.stack([_score_at_once(metric, labels, scores, weights) for scores in models], axis=1)
    values = np.full((len(weights), len(models)), np.nan)
    for row, times in zip(values, weights):
        picked = np.repeat(np.arange(len(labels)), times)
        try:
            row[:] = [_first(metric(labels[picked], scores[picked])) for scores in models]
        except InputError:
            row[:] = np.nan
    return values


def _score_at_once(metric: Metric, labels, scores, weights: np.ndarray) -> np.ndarray:
    """AUC or EER where samples stand ``weights`` times, shape=(n_resamples, n); NaN of constant scores."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])  # ties grouped
    weights, is_fake = weights[:, order], labels[order]
    reals, fakes = (np.add.reduceat(weights * kind, starts, axis=1) for kind in (1 - is_fake, is_fake))
    constant = (reals + fakes > 0).sum(axis=1) < 2
    sums = (np.pad(table.cumsum(axis=1), ((0, 0), (1, 0))) for table in (reals, fakes))
    called, found = (table / table[:, -1:] for table in sums)
    if metric is auc:
        return np.where(constant, np.nan, np.trapezoid(found, called, axis=1))
    gap = called - (1 - found)  # as in `equal_error_rate`
    right = np.argmax(gap >= 0, axis=1)
    rows = np.arange(len(gap))
    share = -gap[rows, right - 1] / (gap[rows, right] - gap[rows, right - 1])
    eer = called[rows, right - 1] + share * (called[rows, right] - called[rows, right - 1])
    return np.where(constant, np.nan, eer)
