"""Clustered intervals, paired tests and DeLong's test: by brute force, and on planted differences."""

import functools
from statistics import NormalDist

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from dfutils import InputError
from dfutils.asv_metrics import cllr, official_eer, tpr_at_fpr
from dfutils.comparison import clustered_interval, compare_units, delong_test, paired_test
from dfutils.metrics import auc, cluster_bootstrap, equal_error_rate


def clustered(n_clusters=20, size=30, seed=1, spread=1.0):
    """Scores that depend on the cluster more than on the sample; half of the clusters are fake."""
    generator = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n_clusters), size)
    labels = np.repeat(np.arange(n_clusters) % 2, size)
    scores = labels + np.repeat(generator.normal(0, spread, n_clusters), size)
    return labels, scores + generator.normal(0, 0.2, clusters.size), clusters


def auc_by_pairs(labels, scores):
    """Unknown to the fast path."""
    return roc_auc_score(labels, scores)


def eer_alone(labels, scores):
    return equal_error_rate(labels, scores)


# ------------------------------------------------------------------ intervals


@pytest.mark.parametrize("decimals", [9, 1])
@pytest.mark.parametrize(("fast", "slow"), [(auc, auc_by_pairs), (equal_error_rate, eer_alone)])
def test_all_at_once_is_the_same_as_one_by_one(fast, slow, decimals):
    labels, scores, clusters = clustered(8, 6, seed=3)
    data = labels, scores.round(decimals), clusters
    at_once = clustered_interval(fast, *data, n_resamples=60)
    one_by_one = clustered_interval(slow, *data, n_resamples=60)
    for name in ("value", "low", "high"):
        assert getattr(at_once, name) == pytest.approx(getattr(one_by_one, name), abs=1e-12)
    assert at_once.n_redrawn == one_by_one.n_redrawn


def test_auc_and_eer_are_those_of_the_older_bootstrap():
    data = clustered(24, 4)
    older = cluster_bootstrap(*data, n_resamples=80, seed=5)
    for name, metric in (("auc", auc), ("eer", equal_error_rate)):
        found = clustered_interval(metric, *data, n_resamples=80, seed=5)
        assert found.n_redrawn == 0
        assert (found.low, found.high) == pytest.approx((older[f"{name}_low"], older[f"{name}_high"]))


@pytest.mark.parametrize(
    "metric", [official_eer, cllr, brier_score_loss, functools.partial(tpr_at_fpr, fpr=0.05)]
)
def test_any_metric_has_an_interval(metric):
    labels, scores, clusters = clustered(12, 5, seed=2)
    if metric is brier_score_loss:
        scores = 1 / (1 + np.exp(-scores))
    found = clustered_interval(metric, labels, scores, [f"person {c}" for c in clusters], n_resamples=40)
    assert found.low < found.high
    assert found.low <= found.value <= found.high
    assert (found.n_clusters, found.n_resamples) == (12, 40)


def test_interval_is_deterministic_and_grows_with_confidence():
    data = clustered(12, 5)
    first = clustered_interval(auc, *data, n_resamples=100, seed=3)
    assert first == clustered_interval(auc, *data, n_resamples=100, seed=3)
    assert first != clustered_interval(auc, *data, n_resamples=100, seed=4)
    half = clustered_interval(auc, *data, n_resamples=100, seed=3, confidence=0.5)
    assert first.low < half.low < half.high < first.high


def test_order_and_names_of_the_clusters_matter_little():
    labels, scores, clusters = clustered(30, 5)
    mixed = np.random.default_rng(0).permutation(len(labels))
    first = clustered_interval(auc, labels, scores, clusters, n_resamples=800)
    second = clustered_interval(auc, labels[mixed], scores[mixed], clusters[mixed], n_resamples=800)
    assert first.value == pytest.approx(second.value)
    assert first.low == pytest.approx(second.low, abs=0.03)
    assert first.high == pytest.approx(second.high, abs=0.03)


def test_rising_maps_leave_the_interval_alone():
    labels, scores, clusters = clustered(10, 5)
    first = clustered_interval(auc, labels, scores, clusters, n_resamples=60)
    assert first == clustered_interval(auc, labels, np.exp(scores), clusters, n_resamples=60)


def test_interval_covers_the_truth_by_cluster_but_not_by_trial():
    """Of 60 sets of 40 persons, intervals at 90 % by person hold the true AUC; those by trial do not."""
    truth = NormalDist().cdf(1 / np.sqrt(2 * (1 + 0.2**2)))
    held = {"cluster": 0, "trial": 0}
    for seed in range(60):
        table = compare_units(auc, *clustered(40, 10, seed=seed), n_resamples=100, confidence=0.9)
        for unit in held:
            held[unit] += table.loc[unit, "low"] <= truth <= table.loc[unit, "high"]
    assert held["cluster"] >= 48
    assert held["trial"] <= 36


def test_trials_understate_only_where_clusters_matter():
    table = compare_units(auc, *clustered(), n_resamples=200)
    assert table.index.tolist() == ["trial", "cluster"]
    assert table["n_units"].tolist() == [600, 20]
    assert table.loc["trial", "times_as_wide"] == 1
    assert table.loc["cluster", "times_as_wide"] > 2
    independent = compare_units(auc, *clustered(120, 5, spread=0.0), n_resamples=300)
    assert independent.loc["cluster", "times_as_wide"] == pytest.approx(1, abs=0.3)


def test_resamples_of_one_class_are_drawn_again_and_counted():
    labels = np.repeat([0, 1, 1, 1, 1, 1], 3)  # one real person: a third of the draws miss it
    scores, clusters = np.arange(18.0) % 7, np.repeat(np.arange(6), 3)
    found = clustered_interval(auc, labels, scores, clusters, n_resamples=300)
    assert found.n_resamples == 300
    assert 300 * found.n_redrawn / (300 + found.n_redrawn) == pytest.approx(300 * (5 / 6) ** 6, rel=0.25)
    assert np.isfinite(found.low)


def test_no_interval_from_few_clusters_or_where_most_draws_fail():
    few = clustered_interval(auc, *clustered(4, 10))
    assert np.isnan([few.low, few.high]).all()
    assert few.n_clusters == 4

    def moody(labels, scores):
        if len(np.unique(scores)) < len(scores):  # true of every resample
            raise InputError("scores", "stand twice")
        return 1.0

    labels, scores, clusters = clustered(6, 2)
    failed = clustered_interval(moody, labels, scores, clusters, n_resamples=50)
    assert failed.value == 1
    assert np.isnan(failed.low)
    assert failed.n_redrawn >= 90


# ------------------------------------------------------------------ two models


def two_models(n_clusters=40, size=5, better=0.0, seed=0):
    """Scores of two models that see the same trials, the first ``better`` by so much."""
    generator = np.random.default_rng([seed, 1])
    labels, common, clusters = clustered(n_clusters, size, seed, spread=0.5)
    own = [np.repeat(generator.normal(0, 0.5, n_clusters), size) for _ in range(2)]
    return labels, common + better * labels + own[0], common + own[1], clusters


def test_paired_test_finds_a_planted_difference():
    found = paired_test(auc, *two_models(better=2.0), n_resamples=300)
    assert found.difference == found.value_a - found.value_b > 0.1
    assert 0 < found.low < found.difference < found.high
    assert found.p_value < 0.02
    assert found.n_units == 40


def test_paired_test_mirrors():
    labels, first, second, clusters = two_models(better=0.3)
    one, other = (
        paired_test(equal_error_rate, labels, *pair, clusters, n_resamples=200)
        for pair in ((first, second), (second, first))
    )
    assert one.difference == -other.difference
    assert one.p_value == other.p_value
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-12)


def test_a_model_does_not_differ_from_itself():
    labels, scores, _, clusters = two_models()
    for found in (
        paired_test(auc, labels, scores, 2 * scores + 1, clusters, n_resamples=100),
        delong_test(labels, scores, 2 * scores + 1),
    ):
        assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_false_alarms_of_both_tests():
    """Equal models, 60 times: by person about 5 % are called different; DeLong's test calls far more."""
    p_values = []
    for seed in range(60):
        labels, first, second, clusters = two_models(40, 10, seed=seed)
        paired = paired_test(auc, labels, first, second, clusters, n_resamples=200)
        p_values.append((paired.p_value, delong_test(labels, first, second).p_value))
    by_person, by_trial = (np.array(p_values) < 0.05).mean(axis=0)
    assert by_person <= 0.15
    assert by_trial >= 0.25


def test_paired_test_needs_five_clusters():
    found = paired_test(auc, *two_models(4, 10))
    assert np.isnan([found.low, found.high, found.p_value]).all()
    assert np.isfinite(found.difference)


@pytest.mark.parametrize("decimals", [6, 0])
def test_delong_by_brute_force(decimals):
    """Placement values from all pairs, and the covariance of the original paper."""
    generator = np.random.default_rng(6)
    labels = np.repeat([1, 0], [40, 60])
    models = [(labels + generator.normal(0, 1, 100)).round(decimals) for _ in range(2)]
    fakes, reals = [], []
    for scores in models:
        gap = scores[labels == 1][:, None] - scores[labels == 0]
        pairs = (gap > 0) + 0.5 * (gap == 0)
        fakes.append(pairs.mean(axis=1))
        reals.append(pairs.mean(axis=0))
    covariance = np.cov(fakes) / 40 + np.cov(reals) / 60
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    found = delong_test(labels, *models)
    assert (found.value_a, found.value_b) == pytest.approx([auc(labels, scores) for scores in models])
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-6)
    z = abs(found.difference) / np.sqrt(variance)
    tail = np.mean(np.abs(generator.standard_normal(400_000)) > z)
    assert found.p_value == pytest.approx(tail, abs=0.005)
    assert delong_test(labels, *models[::-1]).p_value == pytest.approx(found.p_value)


def test_both_tests_agree_on_independent_trials():
    labels, first, second, _ = two_models(300, 1, better=0.3, seed=4)
    paired = paired_test(auc, labels, first, second, np.arange(300), n_resamples=600)
    delong = delong_test(labels, first, second)
    assert paired.difference == pytest.approx(delong.difference)
    assert paired.high - paired.low == pytest.approx(delong.high - delong.low, rel=0.15)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([0, 1, 1], [0.5, 0.5, 0.5], "decide nothing"),
        ([0, 1, 1], [0.5, np.nan, 0.2], "not finite"),
        ([1, 1, 1], [0.1, 0.2, 0.3], "both 0 and 1"),
        ([0, 1], [0.1, 0.2, 0.3], "shape"),
    ],
)
def test_what_cannot_be_scored_is_refused(labels, scores, reason):
    fine, clusters = np.arange(len(labels)), np.arange(len(labels))
    for run in (
        lambda: clustered_interval(auc, labels, scores, clusters),
        lambda: compare_units(auc, labels, scores, clusters),
        lambda: paired_test(auc, labels, scores, fine, clusters),
        lambda: paired_test(auc, labels, fine, scores, clusters),
        lambda: delong_test(labels, fine, scores),
    ):
        with pytest.raises(InputError, match=reason):
            run()


def test_bad_clusters_and_settings_are_refused():
    labels, scores, clusters = clustered(6, 4)
    with pytest.raises(InputError, match=r"clusters.*24 samples"):
        clustered_interval(auc, labels, scores, clusters[:-1])
    with pytest.raises(InputError, match="clusters"):
        clustered_interval(auc, labels, scores, np.where(clusters == 1, None, clusters))
    for options in ({"confidence": 95}, {"n_resamples": 0}):
        with pytest.raises(InputError, match="confidence between 0 and 1"):
            clustered_interval(auc, labels, scores, clusters, **options)
    with pytest.raises(InputError, match="two of each class"):
        delong_test([0, 1, 1], [1, 2, 3], [1, 3, 2])
