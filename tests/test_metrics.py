"""Metrics against official values and by hand; what they refuse; calibration and class balance."""

import numpy as np
import pandas as pd
import pytest

from dfutils import InputError
from dfutils.aggregation import aggregate_by_video
from dfutils.calibration import Calibration, fit_calibration
from dfutils.metrics import (
    auc,
    cluster_bootstrap,
    equal_error_rate,
    evaluate,
    expected_calibration_error,
    hit_rate_at,
    validate_scores,
)
from dfutils.sampling import random_over_sample, random_under_sample

N_BONA, N_SPOOF = 500, 4500


def golden_scores(case):
    """Labels (1 = spoof) and scores (higher = more likely spoof) of a case of ``golden/metrics.json``."""
    generator = np.random.default_rng(2019)
    bona, spoof = generator.normal(1, 1, N_BONA), generator.normal(-1, 1.2, N_SPOOF)
    if case == "ties_1dec":
        bona, spoof = bona.round(1), spoof.round(1)
    elif case == "separable":
        bona = bona + 20
    elif case == "inverted":
        bona, spoof = -bona, -spoof
    elif case == "constant":
        bona, spoof = np.full(N_BONA, 0.5), np.full(N_SPOOF, 0.5)
    labels = np.repeat([0, 1], [N_BONA, N_SPOOF])
    return labels, -np.concatenate([bona, spoof])  # the official scores tell how genuine a trial is


def toy(n=400, seed=0, shift=1.5):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    return labels, generator.normal(size=n) + shift * labels


# ------------------------------------------------------------------ golden


@pytest.mark.parametrize("case", ["gauss", "ties_1dec", "separable", "inverted"])
def test_auc_and_average_precision_are_the_official_ones(golden_metrics, case):
    labels, scores = golden_scores(case)
    assert auc(labels, scores) == pytest.approx(golden_metrics[case]["auc"], abs=1e-9)
    p_fake = 1 / (1 + np.exp(-scores / 10))  # strictly rising: the same order
    found = evaluate(labels, p_fake)
    assert found["auc"] == round(golden_metrics[case]["auc"], 6)  # `evaluate` rounds to six digits
    assert found["average_precision"] == round(golden_metrics[case]["ap_spoof"], 6)


@pytest.mark.parametrize("case", ["gauss", "separable", "inverted"])
def test_eer_is_within_one_trial_of_the_official(golden_metrics, case):
    eer, _ = equal_error_rate(*golden_scores(case))
    assert eer == pytest.approx(golden_metrics[case]["eer"], abs=1 / N_BONA)


def test_eer_with_ties_groups_them(golden_metrics):
    """One operating point per tied score: lower than the official routine, which orders targets first."""
    eer, _ = equal_error_rate(*golden_scores("ties_1dec"))
    assert eer < golden_metrics["ties_1dec"]["eer"]
    assert eer == pytest.approx(equal_error_rate(*golden_scores("gauss"))[0], abs=0.006)


def test_eer_mirrors():
    labels, scores = golden_scores("gauss")
    eer, _ = equal_error_rate(labels, scores)
    assert equal_error_rate(labels, -scores)[0] == pytest.approx(1 - eer, abs=1e-9)
    assert equal_error_rate(1 - labels, -scores)[0] == pytest.approx(eer, abs=1e-9)


# ------------------------------------------------------------------ by hand and by property


def test_eer_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    scores = np.array([1, 2, 3, 6, 4, 5, 7, 8.0])
    eer, threshold = equal_error_rate(labels, scores)
    assert eer == pytest.approx(0.25)  # the real at 6, the fake at 4
    assert 4 < threshold <= 5
    assert equal_error_rate(np.array([0, 0, 1]), np.array([0.1, 0.2, 0.9]))[0] == 0


@pytest.mark.parametrize("seed", range(5))
def test_threshold_belongs_to_the_eer(seed):
    labels, scores = toy(seed=seed)
    eer, threshold = equal_error_rate(labels, scores)
    called = scores >= threshold
    assert called[labels == 0].mean() == pytest.approx(eer, abs=2 / (labels == 0).sum())
    assert (~called)[labels == 1].mean() == pytest.approx(eer, abs=2 / (labels == 1).sum())


@pytest.mark.parametrize("change", [lambda s: 3 * s - 7, np.exp, lambda s: s**3, np.tanh])
def test_rising_maps_change_neither_auc_nor_eer(change):
    labels, scores = toy()
    assert auc(labels, change(scores)) == pytest.approx(auc(labels, scores), abs=1e-12)
    assert equal_error_rate(labels, change(scores))[0] == pytest.approx(equal_error_rate(labels, scores)[0])


def test_auc_is_the_share_of_ordered_pairs():
    labels, scores = toy(60)
    scores = scores.round(1)
    pairs = scores[labels == 1][:, None] - scores[labels == 0][None]
    assert auc(labels, scores) == pytest.approx((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([0, 1, 1], [0.5, 0.5, 0.5], r"all equal \(0\.5\)"),
        ([0, 1, 1], [0.5, np.nan, 0.2], "1 scores are not finite"),
        ([0, 1, 1], [0.5, np.inf, -np.inf], "2 scores are not finite"),
        ([1, 1, 1], [0.1, 0.2, 0.3], "both 0 and 1"),
        ([0, 1, 2], [0.1, 0.2, 0.3], "both 0 and 1"),
        ([0, 1], [0.1, 0.2, 0.3], r"shape: \(2,\) and \(3,\)"),
        ([[0, 1]], [[0.1, 0.2]], "shape"),
        ([], [], "both 0 and 1"),
    ],
)
@pytest.mark.parametrize(
    "metric", [validate_scores, auc, equal_error_rate, evaluate, expected_calibration_error]
)
def test_what_cannot_be_scored_is_refused(metric, labels, scores, reason):
    with pytest.raises(InputError, match=reason):
        metric(labels, scores)


def test_constant_golden_case_is_refused():
    with pytest.raises(InputError, match="decide nothing"):
        equal_error_rate(*golden_scores("constant"))


def test_calibration_error_by_hand():
    """Bins of .25: (.1, .2 | 1 fake), (.8, .9, .9 | 2 fakes): 2/5 · .35 + 3/5 · |2/3 - .8667| = .26."""
    labels, p_fake = [1, 0, 1, 1, 0], [0.1, 0.2, 0.8, 0.9, 0.9]
    assert expected_calibration_error(labels, p_fake, n_bins=4) == pytest.approx(0.26)
    assert expected_calibration_error([0, 1], [0.0, 1.0]) == 0
    assert expected_calibration_error([1, 0], [0.0, 1.0]) == 1


def test_evaluate_by_hand():
    labels, p_fake = [1, 1, 1, 0, 0], [0.9, 0.8, 0.3, 0.6, 0.1]
    found = evaluate(labels, p_fake, threshold=0.5)
    assert found["n"] == 5
    assert found["n_fake"] == 3
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["sensitivity"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["specificity"] == pytest.approx(1 / 2)
    assert found["balanced_accuracy"] == pytest.approx(7 / 12, abs=1e-6)
    assert found["f1"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["auc"] == pytest.approx(5 / 6, abs=1e-6)
    assert found["brier"] == pytest.approx((0.01 + 0.04 + 0.49 + 0.36 + 0.01) / 5, abs=1e-6)
    expected = -np.mean(np.log([0.9, 0.8, 0.3, 0.4, 0.9]))
    assert found["log_loss"] == pytest.approx(expected, abs=1e-6)
    assert evaluate(labels, p_fake, threshold=0.6)["specificity"] == pytest.approx(1 / 2)  # at or above
    assert evaluate(labels, p_fake, threshold=0.61)["specificity"] == 1
    assert found["tpr_at_1pct_fpr"] == found["tpr_at_5pct_fpr"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["f1_at_eer"] == pytest.approx(2 * 2 / (2 * 2 + 0 + 1), abs=1e-6)  # at .67: 2 of 3 found
    with pytest.raises(InputError, match=r"0\.\.1, got .*1\.2"):
        evaluate([0, 1], [0.1, 1.2])


# ------------------------------------------------------------------ bootstrap


def clustered(n_clusters=20, size=30, seed=1):
    """Scores that depend on the cluster more than on the sample."""
    generator = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n_clusters), size)
    labels = np.repeat(np.arange(n_clusters) % 2, size)
    scores = (
        labels + np.repeat(generator.normal(0, 1, n_clusters), size) + generator.normal(0, 0.2, clusters.size)
    )
    return labels, scores, clusters


def test_interval_by_cluster_is_wider_than_by_trial():
    labels, scores, clusters = clustered()
    by_cluster = cluster_bootstrap(labels, scores, clusters, n_resamples=200)
    by_trial = cluster_bootstrap(labels, scores, np.arange(len(labels)), n_resamples=200)
    assert by_cluster["n_clusters"] == 20
    for name in ("auc", "eer"):
        wide = by_cluster[f"{name}_high"] - by_cluster[f"{name}_low"]
        narrow = by_trial[f"{name}_high"] - by_trial[f"{name}_low"]
        assert wide > 2 * narrow > 0
    assert by_cluster["auc_low"] < auc(labels, scores) < by_cluster["auc_high"]
    assert by_cluster["eer_low"] < equal_error_rate(labels, scores)[0] < by_cluster["eer_high"]


def test_interval_is_deterministic_and_grows_with_confidence():
    data = clustered(12, 5)
    first = cluster_bootstrap(*data, n_resamples=100, seed=3)
    assert first == cluster_bootstrap(*data, n_resamples=100, seed=3)
    assert first != cluster_bootstrap(*data, n_resamples=100, seed=4)
    half = cluster_bootstrap(*data, n_resamples=100, seed=3, confidence=0.5)
    assert first["auc_low"] < half["auc_low"] < half["auc_high"] < first["auc_high"]


def test_no_interval_from_few_clusters():
    labels, scores, clusters = clustered(4, 10)
    found = cluster_bootstrap(labels, scores, clusters)
    assert found["n_clusters"] == 4
    assert np.isnan(found["auc_low"])
    assert np.isnan(found["eer_high"])


def test_evaluate_takes_clusters_by_name():
    labels, scores, clusters = clustered(10, 6)
    p_fake = 1 / (1 + np.exp(-scores))
    found = evaluate(labels, p_fake, clusters=[f"person {c}" for c in clusters], n_resamples=60)
    assert found["n_clusters"] == 10
    for name in ("auc", "eer", "sensitivity", "specificity"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
    certain = evaluate(labels, p_fake, 0.0, clusters, n_resamples=20)  # all called fake: rates are certain
    assert certain["sensitivity"] == 1
    assert "sensitivity_low" not in certain


def test_hit_rate_at_a_false_alarm_rate_takes_whole_operating_points():
    labels = np.r_[np.zeros(100, int), np.ones(4, int)]
    scores = np.r_[np.linspace(0, 0.99, 100), 0.97, 0.985, 1.2, 0.2]
    assert hit_rate_at(labels, scores, 0.0) == 0.25
    assert hit_rate_at(labels, scores, 0.01) == 0.5
    assert hit_rate_at(labels, scores, 0.05) == 0.75
    assert hit_rate_at(labels, -scores, 0.05) == 0.0


# ------------------------------------------------------------------ videos


def frame_table():
    return pd.DataFrame(
        [
            {"video": "/d/Deepfakes/000_003.mp4", "label": 1, "p_fake": 0.9, "method": "Deepfakes"},
            {"video": "/d/Deepfakes/000_003.mp4", "label": 1, "p_fake": 0.5, "method": "Deepfakes"},
            {"video": "/d/FaceSwap/000_003.mp4", "label": 1, "p_fake": 0.2, "method": "FaceSwap"},
            {"video": "/d/youtube/000_003.mp4", "label": 0, "p_fake": 0.1, "method": "none"},
        ]
    )


def test_videos_of_one_name_in_several_folders_stay_apart():
    videos = aggregate_by_video(frame_table())
    assert len(videos) == 3
    assert videos["p_fake"].tolist() == pytest.approx([0.7, 0.2, 0.1])
    assert videos["n_frames"].tolist() == [2, 1, 1]
    assert videos["method"].tolist() == ["Deepfakes", "FaceSwap", "none"]


def test_key_that_merges_real_and_fake_is_refused():
    table = frame_table().assign(video=lambda frames: frames["video"].str.rsplit("/", n=1).str[-1])
    with pytest.raises(InputError, match=r"000_003\.mp4.*both labels.*full path"):
        aggregate_by_video(table)


# ------------------------------------------------------------------ calibration


def test_calibration_recovers_slope_and_intercept():
    generator = np.random.default_rng(4)
    logits = generator.normal(0.5, 2, 40_000)
    # classes are weighted equally, so draw them equally likely: the intercept is then the true one
    p_true = 1 / (1 + np.exp(-(1.7 * logits - 0.85)))
    labels = (generator.random(logits.size) < p_true).astype(int)
    fitted = fit_calibration(labels, logits)
    assert fitted.slope == pytest.approx(1.7, rel=0.05)
    assert fitted.intercept == pytest.approx(-0.85 - np.log(labels.mean() / (1 - labels.mean())), abs=0.06)
    assert fitted.fitted_on == "validation"


def test_calibrated_probabilities_are_calibrated():
    labels, scores = toy(4000, shift=2.0)
    fitted = fit_calibration(labels, 30 * scores)  # badly over-confident
    raw = Calibration().p_fake(30 * scores)
    assert expected_calibration_error(labels, raw) > 0.1
    assert expected_calibration_error(labels, fitted.p_fake(30 * scores)) < 0.05


def test_scale_of_the_logits_does_not_matter():
    labels, scores = toy(1000)
    small, large = fit_calibration(labels, 1e-3 * scores), fit_calibration(labels, 1e3 * scores)
    np.testing.assert_allclose(small.p_fake(1e-3 * scores), large.p_fake(1e3 * scores), atol=1e-6)


def test_threshold_is_at_the_equal_error_rate():
    labels, scores = toy(2000)
    fitted = fit_calibration(labels, scores)
    p_fake = fitted.p_fake(scores)
    eer, _ = equal_error_rate(labels, scores)
    found = evaluate(labels, p_fake, fitted.threshold)
    assert 1 - found["sensitivity"] == pytest.approx(eer, abs=0.003)
    assert 1 - found["specificity"] == pytest.approx(eer, abs=0.003)


def test_calibration_keeps_the_order():
    labels, scores = toy()
    assert auc(labels, fit_calibration(labels, scores).p_fake(scores)) == pytest.approx(auc(labels, scores))


def test_scores_the_wrong_way_round_are_refused():
    labels, scores = toy()
    with pytest.raises(InputError, match=r"my split.*nothing to calibrate"):
        fit_calibration(labels, -scores, "my split")
    with pytest.raises(InputError, match="all equal"):
        fit_calibration(labels, np.zeros(len(labels)))


def test_probability_of_extreme_logits():
    p = Calibration(slope=2.0, intercept=1.0).p_fake(np.array([-1e6, -0.5, 0.0, 1e6]))
    np.testing.assert_allclose(p, [0, 0.5, 1 / (1 + np.exp(-1)), 1])
    assert Calibration(**Calibration(1.5, 0.2, 0.4, "x").to_dict()) == Calibration(1.5, 0.2, 0.4, "x")


# ------------------------------------------------------------------ class balance


def unbalanced(n_real=6, n_fake=20):
    labels = [0] * n_real + [1] * n_fake
    return pd.DataFrame({"path": [f"{k:02d}" for k in range(len(labels))], "label": labels})


def counts(table):
    return table["label"].value_counts().to_dict()


def test_under_sampling():
    table = unbalanced()
    thinned = random_under_sample(table, seed=1)
    assert counts(thinned) == {0: 6, 1: 6}
    assert thinned["path"].is_unique
    assert thinned["path"].is_monotonic_increasing
    assert set(thinned["path"]) <= set(table["path"])
    assert counts(random_under_sample(table, 1, ratio=2)) == {0: 6, 1: 12}
    assert counts(random_under_sample(table, 1, ratio=50)) == {0: 6, 1: 20}
    assert thinned.equals(random_under_sample(table, seed=1))
    assert not thinned.equals(random_under_sample(table, seed=2))
    assert counts(random_under_sample(unbalanced(20, 6), 1)) == {0: 6, 1: 6}


def test_over_sampling():
    table = unbalanced()
    grown = random_over_sample(table, seed=1)
    assert counts(grown) == {0: 12, 1: 20}
    per_row = grown["path"].value_counts()
    assert set(per_row[[f"{k:02d}" for k in range(6)]]) == {2}
    assert set(per_row[[f"{k:02d}" for k in range(6, 26)]]) == {1}
    assert counts(random_over_sample(table, 1, factor=2.5)) == {0: 15, 1: 20}
    assert counts(random_over_sample(table, 1, factor=50)) == {0: 20, 1: 20}
    assert random_over_sample(table, 1, 2.5).equals(random_over_sample(table, 1, 2.5))
    assert counts(random_over_sample(table, 1, factor=1)) == {0: 6, 1: 20}


@pytest.mark.parametrize("sample", [random_under_sample, random_over_sample])
def test_balance_of_what_is_balanced_or_cannot_be(sample):
    assert counts(sample(unbalanced(5, 5), 1)) == {0: 5, 1: 5}
    with pytest.raises(InputError, match="needs both classes"):
        sample(unbalanced(0, 5), 1)
    with pytest.raises(InputError, match=r"at least 1, got 0\.5"):
        sample(unbalanced(), 1, 0.5)
