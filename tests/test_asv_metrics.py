"""The speech community's metrics against the official code's values, by hand, and what they refuse."""

import numpy as np
import pytest

from dfutils import InputError
from dfutils.asv_metrics import (
    AsvErrors,
    Costs,
    actual_dcf,
    cllr,
    det_curve,
    min_dcf,
    min_tdcf,
    official_det,
    official_eer,
    set_probit_axes,
    tpr_at_fpr,
)
from dfutils.metrics import equal_error_rate

ASV = AsvErrors(false_accept=0.02, miss=0.03, spoof_accept=0.7)
CASES = ("gauss", "ties_1dec", "separable", "inverted")


def golden_case(case):
    """Labels and scores (1 = spoof, high = spoof) of ``golden/metrics.json``, and the ASV scores."""
    generator = np.random.default_rng(2019)
    bona, spoof = generator.normal(1, 1, 500), generator.normal(-1, 1.2, 4500)
    asv = generator.normal(4, 1, 300), generator.normal(0, 1, 2000), generator.normal(3, 1.5, 4500)
    if case == "ties_1dec":
        bona, spoof = bona.round(1), spoof.round(1)
    elif case == "separable":
        bona = bona + 20
    elif case == "inverted":
        bona, spoof = -bona, -spoof
    return np.repeat([0, 1], [500, 4500]), -np.concatenate([bona, spoof]), asv


def toy(n=400, seed=0, shift=1.5):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    return labels, generator.normal(size=n) + shift * labels


# ------------------------------------------------------------------ golden


@pytest.mark.parametrize("case", CASES)
def test_official_values(golden_metrics, case):
    labels, scores, asv_scores = golden_case(case)
    golden = golden_metrics[case]
    eer, threshold = official_eer(labels, scores)
    asv = AsvErrors.from_scores(*asv_scores)
    found = {
        "eer": eer,
        "eer_threshold": -threshold,  # of bona fide-ness there
        "asv_threshold": asv.threshold,
        "Pfa_asv": asv.false_accept,
        "Pmiss_asv": asv.miss,
        "Pfa_spoof_asv": asv.spoof_accept,
        "Pmiss_spoof_asv": 1 - asv.spoof_accept,
        "min_tdcf_2019_legacy": min_tdcf(labels, scores, asv, form="2019"),
        "min_tdcf_v2": min_tdcf(labels, scores, asv),
        "asv5_minDCF": min_dcf(labels, scores),
        "asv5_actDCF": actual_dcf(labels, scores),
        "asv5_cllr": cllr(labels, scores),
    }
    assert found == pytest.approx({key: golden[key] for key in found}, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_official_eer_is_the_asv_eer_too(golden_metrics, case):
    _, _, (target, nontarget, _) = golden_case(case)
    labels = np.repeat([0, 1], [300, 2000])
    eer, _ = official_eer(labels, -np.concatenate([target, nontarget]))
    assert eer == pytest.approx(golden_metrics[case]["asv_eer"], abs=1e-9)


def test_order_of_the_trials_does_not_matter_even_with_ties():
    labels, scores, _ = golden_case("ties_1dec")
    mixed = np.random.default_rng(1).permutation(len(labels))
    assert official_eer(labels[mixed], scores[mixed]) == official_eer(labels, scores)
    assert min_tdcf(labels[mixed], scores[mixed], ASV) == min_tdcf(labels, scores, ASV)


def test_inverted_scores_stay_inverted():
    labels, scores = toy()
    assert official_eer(labels, -scores)[0] == pytest.approx(1 - official_eer(labels, scores)[0], abs=0.01)
    assert official_eer(labels, -scores)[0] > 0.5
    assert min_dcf(labels, -scores) == pytest.approx(1, abs=0.02)
    assert cllr(labels, -scores) > 1


# ------------------------------------------------------------------ by hand and by property


def test_eer_by_hand():
    labels, scores = [0, 0, 0, 0, 1, 1, 1, 1], [1, 2, 3, 6, 4, 5, 7, 8]
    assert official_eer(labels, scores) == (0.25, 5)  # the real at 6 rejected, the fake at 4 accepted
    miss, false_accept, thresholds = official_det(labels, scores)
    assert thresholds.tolist() == [8.001, 8, 7, 6, 5, 4, 3, 2, 1]
    assert miss.tolist() == [0, 0, 0, 0.25, 0.25, 0.25, 0.5, 0.75, 1]
    assert false_accept.tolist() == [1, 0.75, 0.5, 0.5, 0.25, 0, 0, 0, 0]
    assert official_eer([0, 1], [0.2, 0.9])[0] == 0


def test_ties_count_against_the_system():
    """Two tied trials: the bona fide one is rejected first, so both rates are .5 there."""
    labels, scores = [0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9]
    assert official_eer(labels, scores)[0] == 0.5
    assert equal_error_rate(labels, scores)[0] == pytest.approx(0.25)  # the tie's two trials share it


@pytest.mark.parametrize("seed", range(4))
def test_official_eer_is_near_the_interpolated_one_without_ties(seed):
    labels, scores = toy(600, seed)
    step = 1 / min(np.bincount(labels))
    assert official_eer(labels, scores)[0] == pytest.approx(equal_error_rate(labels, scores)[0], abs=step)


@pytest.mark.parametrize("change", [lambda s: 3 * s - 7, np.exp, np.tanh, lambda s: 1 / (1 + np.exp(-s))])
def test_rising_maps_change_no_ranking_metric(change):
    labels, scores = toy()
    for metric in (
        lambda y, s: official_eer(y, s)[0],
        lambda y, s: min_tdcf(y, s, ASV),
        lambda y, s: min_tdcf(y, s, ASV, form="2019"),
        min_dcf,
        tpr_at_fpr,
    ):
        assert metric(labels, change(scores)) == pytest.approx(metric(labels, scores), abs=1e-12)


def test_swapping_the_classes_mirrors():
    labels, scores = toy()
    assert official_eer(1 - labels, -scores)[0] == pytest.approx(official_eer(labels, scores)[0], abs=1e-9)
    assert cllr(1 - labels, -scores) == pytest.approx(cllr(labels, scores), abs=1e-12)


@pytest.mark.parametrize("form", ["2019", "2021"])
def test_tandem_cost_stays_between_perfect_and_useless(form):
    costs = Costs()
    perfect = min_tdcf([0, 0, 1, 1], [1, 2, 3, 4], ASV, form=form)
    c0 = 0.95 * (0.99 * 0.03 + 0.01 * 10 * 0.02)
    assert perfect == pytest.approx(0 if form == "2019" else c0 / (c0 + 0.05 * 10 * 0.7))
    assert min_tdcf([1, 1, 0, 0], [1, 2, 3, 4], ASV, costs, form) == pytest.approx(1)
    for seed in range(3):
        assert perfect <= min_tdcf(*toy(seed=seed, shift=1), ASV, form=form) <= 1


def test_cllr_by_hand():
    assert cllr([0, 1], [-np.log(3), np.log(3)]) == pytest.approx(np.log2(4 / 3))
    assert cllr([0, 1], [-800, 800]) == 0  # without overflow
    assert cllr([1, 0], [-800, 800]) == pytest.approx(800 / np.log(2))
    assert cllr([0, 1, 0, 1], [1e-9, -1e-9, -1e-9, 1e-9]) == pytest.approx(1)


def test_actual_cost_is_never_below_the_least():
    for seed in range(5):
        labels, scores = toy(seed=seed)
        assert actual_dcf(labels, 5 * scores - 3) >= min_dcf(labels, scores) - 1e-12
    assert actual_dcf([0, 0, 1, 1], [-5, -4, 4, 5]) == 0
    assert actual_dcf([0, 0, 1, 1], [4, -4, 4, 5]) == pytest.approx(0.95 * 0.5 / 0.5)


def test_true_positives_at_a_false_positive_rate():
    labels = np.repeat([0, 1], [100, 10])
    scores = np.r_[np.arange(100.0), 98.5, 99.5, 97.5, 95.5, np.zeros(6) - 1]
    assert tpr_at_fpr(labels, scores, 0.0) == pytest.approx(0.1)
    assert tpr_at_fpr(labels, scores, 0.01) == pytest.approx(0.2)
    assert tpr_at_fpr(labels, scores, 0.05) == pytest.approx(0.4)
    assert tpr_at_fpr(labels, scores, 1.0) == 1
    assert tpr_at_fpr([0, 0, 1, 1], [1, 2, 2, 3], 0.1) == 0.5  # the tie is not cut in two
    with pytest.raises(InputError, match=r"0\.\.1, got 5"):
        tpr_at_fpr(labels, scores, 5)


def test_det_curve_falls_from_corner_to_corner():
    accepted, rejected, thresholds = det_curve(*toy())
    assert (accepted[0], rejected[0]) == (1, 0)
    assert (accepted[-1], rejected[-1]) == (0, 1)
    assert (np.diff(accepted) <= 0).all()
    assert (np.diff(rejected) >= 0).all()
    assert (np.diff(thresholds) < 0).all()


def test_normal_scores_are_a_line_on_probit_axes():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    set_probit_axes(axes, 0.01, 0.6)
    accepted, rejected, _ = det_curve(*toy(40_000, shift=2))
    inside = (accepted > 0.03) & (accepted < 0.4)
    points = axes.transScale.transform(np.c_[accepted, rejected][inside])
    assert np.abs(points.sum(axis=1) + 2).max() < 0.12  # probit(x) + probit(y) = -shift
    assert np.isfinite(axes.transScale.transform([[0, 1], [1, 0]])).all()
    assert axes.get_xlim() == (0.01, 0.6)
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["1 %", "2 %"]
    with pytest.raises(InputError, match="rise between 0 and 1"):
        set_probit_axes(axes, 0, 0.5)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([0, 1, 1], [0.5, 0.5, 0.5], "decide nothing"),
        ([0, 1, 1], [0.5, np.nan, 0.2], "not finite"),
        ([1, 1, 1], [0.1, 0.2, 0.3], "both 0 and 1"),
        ([0, 1], [0.1, 0.2, 0.3], "shape"),
        ([[0, 1]], [[0.1, 0.2]], "shape"),
        ([], [], "both 0 and 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(labels, scores, reason):
    metrics = [official_det, official_eer, min_dcf, actual_dcf, cllr, tpr_at_fpr, det_curve]
    for metric in [*metrics, lambda y, s: min_tdcf(y, s, ASV)]:
        with pytest.raises(InputError, match=reason):
            metric(labels, scores)


def test_probabilities_are_not_log_odds():
    labels, scores = toy()
    for metric in (cllr, actual_dcf):
        with pytest.raises(InputError, match=r"0\.\.1 like probabilities"):
            metric(labels, 1 / (1 + np.exp(-scores)))


def test_tandem_refuses_decisions_bad_rates_and_bad_costs():
    labels, scores = toy()
    with pytest.raises(InputError, match="hard decisions"):
        min_tdcf(labels, scores > 0, ASV)
    with pytest.raises(InputError, match=r"form.*'2020'"):
        min_tdcf(labels, scores, ASV, form="2020")
    for asv in (AsvErrors(0.02, 0.999, 0.7), AsvErrors(0.02, 0.03, 0)):
        with pytest.raises(InputError, match="nothing to do"):
            min_tdcf(labels, scores, asv)
    with pytest.raises(InputError, match=r"0\.\.1, got .*miss=3"):
        AsvErrors(0.02, 3, 0.7)
    with pytest.raises(InputError, match=r"0\.\.1"):
        AsvErrors(0.02, np.nan, 0.7)
    for costs in ({"p_spoof": 0}, {"p_spoof": 1}, {"miss": -1}, {"false_accept": np.nan}, {"p_target": 1.5}):
        with pytest.raises(InputError, match="must be positive"):
            Costs(**costs)


def test_asv_scores_are_checked():
    with pytest.raises(InputError, match="nontarget scores"):
        AsvErrors.from_scores([1, 2], [], [1])
    with pytest.raises(InputError, match="spoof scores"):
        AsvErrors.from_scores([1, 2], [0, 1], [np.nan])
    with pytest.raises(InputError, match="decide nothing"):
        AsvErrors.from_scores([1, 1], [1, 1], [2])
    given = AsvErrors.from_scores([1, 2, 3, 4], [0, 1], [2, 0], threshold=2)
    assert given == AsvErrors(0, 0.25, 0.5, 2)
