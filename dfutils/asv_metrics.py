"""The speech community's metrics: official ASVspoof EER, min t-DCF, minDCF, CLLR, DET curves.

As everywhere here, 1 = fake (spoof) and a higher score means more likely fake. The official code wants
bona fide scores high: these functions turn the sign inside, so give them ``p_fake`` or logits as they are.
Scores that rank the wrong way (AUC below .5) are not turned over: they get the bad figures that they earn.
What `dfutils.metrics.validate_scores` refuses (constant, NaN, one class, shapes) is refused by all of them.
Written from the papers; the official code's licence forbids commercial use, the tests hold its values.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from sklearn import metrics as skm

from dfutils.errors import InputError
from dfutils.metrics import validate_scores


@dataclass(frozen=True)
class Costs:
    """Priors and costs; the defaults are those of ASVspoof2019, 2021 and 5.

    Attributes
    ----------
    p_spoof : float
        Prior probability of a spoofed trial, between 0 and 1.
    p_target : float
        Share of target speakers, as against impostors, among bona fide trials, between 0 and 1.
    miss, false_accept, spoof_accept : float
        Cost of rejecting a target (whether by the countermeasure or by speaker verification), of
        accepting an impostor, and of accepting a spoof; positive.
    """

    p_spoof: float = 0.05
    p_target: float = 0.99
    miss: float = 1.0
    false_accept: float = 10.0
    spoof_accept: float = 10.0

    @property
    def detection(self) -> tuple[float, float]:
        """Weights of the countermeasure's own two errors: bona fide rejected, spoof accepted."""
        return self.miss * (1 - self.p_spoof), self.spoof_accept * self.p_spoof

    def __post_init__(self):
        if not (all(value > 0 for value in astuple(self)) and max(self.p_spoof, self.p_target) < 1):
            raise InputError("costs", f"must be positive, and priors lie between 0 and 1, got {self}")


@dataclass(frozen=True)
class AsvErrors:
    """Error rates, 0..1, of the speaker verification (ASV) behind the countermeasure.

    Attributes
    ----------
    false_accept, miss, spoof_accept : float
        Share of impostors accepted, of targets rejected, of spoofs accepted (the official code's
        ``Pfa_asv``, ``Pmiss_asv``, and ``Pfa_spoof_asv`` or 1 - ``Pmiss_spoof_asv``).
    threshold : float
        ASV score; NaN where the rates were given.
    """

    false_accept: float
    miss: float
    spoof_accept: float
    threshold: float = float("nan")

    def __post_init__(self):
        if not all(0 <= rate <= 1 for rate in astuple(self)[:3]):
            raise InputError("ASV error rates", f"must lie in 0..1, got {self}")

    @classmethod
    def from_scores(cls, target, nontarget, spoof, threshold: float | None = None) -> AsvErrors:
        """Count errors of ASV scores (each array_like, shape=(n,)); higher = more likely the target.

        Scores at or above ``threshold`` are accepted; by default it is where the official EER of
        targets against impostors lies, as in the challenges. InputError where a kind of trial is
        missing, or scores are not finite, not one row, or all equal.
        """
        rows = [np.asarray(scores, np.float64) for scores in (target, nontarget, spoof)]
        for name, row in zip(("target", "nontarget", "spoof"), rows):
            if row.ndim != 1 or not row.size or not np.isfinite(row).all():
                raise InputError(f"{name} scores", f"must be a row of finite numbers, got shape {row.shape}")
        if threshold is None:
            labels = np.repeat([0, 1], [rows[0].size, rows[1].size])
            threshold = -official_eer(labels, -np.concatenate(rows[:2]))[1]
        accepted = [float(np.mean(row >= threshold)) for row in rows]
        return cls(accepted[1], 1 - accepted[0], accepted[2], float(threshold))


def official_det(labels, scores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count errors as the official code does: a point per trial, ties broken against the system.

    Returns
    -------
    miss, false_accept : numpy.ndarray, shape=(n + 1,), float64, 0..1
        Bona fide trials rejected (``Pmiss_cm``), spoofs accepted (``Pfa_cm``), from none rejected to all.
    thresholds : numpy.ndarray, shape=(n + 1,), float64
        Score of the last trial rejected; the first lies .001 above all.
    """
    labels, scores = validate_scores(labels, scores)
    order = np.lexsort((labels, -scores))
    labels, thresholds = labels[order], scores[order]
    n_fake = int(labels.sum())
    miss = np.r_[0, np.cumsum(labels == 0)] / (len(labels) - n_fake)
    false_accept = (n_fake - np.r_[0, np.cumsum(labels)]) / n_fake
    return miss, false_accept, np.r_[thresholds[0] + 0.001, thresholds]


def official_eer(labels, scores) -> tuple[float, float]:
    """Equal error rate as ASVspoof 2019, 2021 and 5 define it.

    The mean of both error rates where they differ least, the first such point of `official_det`;
    `dfutils.metrics.equal_error_rate` groups ties and interpolates.

    Returns
    -------
    eer, threshold : float
        0..1; score at or above which a trial is called fake there.
    """
    miss, false_accept, thresholds = official_det(labels, scores)
    at = int(np.argmin(np.abs(miss - false_accept)))
    return float((miss[at] + false_accept[at]) / 2), float(thresholds[at])


def min_tdcf(labels, scores, asv: AsvErrors, costs: Costs | None = None, form: str = "2021") -> float:
    """Least normalised tandem detection cost of a countermeasure in front of a fixed ASV, 0..1.

    1 = as good as accepting, or rejecting, everything.

    Parameters
    ----------
    labels, scores
        See `dfutils.metrics.validate_scores`; hard decisions (two values) are refused.
    asv : AsvErrors
    costs : Costs, optional
    form : {"2021", "2019"}
        ``"2021"``: ASV-constrained ("v2") [1]_: the ASV's own errors stay, and even a perfect
        countermeasure gets more than 0. ``"2019"``: legacy [2]_, 0 for a perfect one.

    References
    ----------
    .. [1] Kinnunen et al.: Tandem assessment of spoofing countermeasures and automatic speaker
       verification: fundamentals, IEEE/ACM TASLP 28, 2020.
    .. [2] Kinnunen et al.: t-DCF: a detection cost function for the tandem assessment of spoofing
       countermeasures and automatic speaker verification, Odyssey 2018.
    """
    labels, scores = validate_scores(labels, scores)
    if form not in ("2019", "2021"):
        raise InputError("form", f"must be '2019' or '2021', got {form!r}")
    if len(np.unique(scores)) < 3:
        raise InputError("scores", "are hard decisions (two values): t-DCF needs soft scores")
    costs = costs or Costs()
    of_target = (1 - costs.p_spoof) * costs.p_target * costs.miss
    of_impostor = (1 - costs.p_spoof) * (1 - costs.p_target) * costs.false_accept
    c0 = of_target * asv.miss + of_impostor * asv.false_accept
    c1, c2 = of_target - c0, costs.p_spoof * costs.spoof_accept * asv.spoof_accept
    if min(c1, c2) <= 0:
        raise InputError("asv", f"its errors leave a countermeasure nothing to do (C1 {c1:.3g}, C2 {c2:.3g})")
    miss, false_accept, _ = official_det(labels, scores)
    kept = c0 if form == "2021" else 0.0
    return float(np.min(kept + c1 * miss + c2 * false_accept) / (kept + min(c1, c2)))


def min_dcf(labels, scores, costs: Costs | None = None) -> float:
    """Least normalised detection cost (ASVspoof 5 evaluation plan), 0..1; 1 = no better than one answer."""
    miss, false_accept, _ = official_det(labels, scores)
    reject, accept = (costs or Costs()).detection
    return float(np.min(reject * miss + accept * false_accept) / min(reject, accept))


def actual_dcf(labels, logits, costs: Costs | None = None) -> float:
    """`min_dcf`, but at the Bayes threshold of the log odds (see `cllr`): miscalibration costs; unbounded."""
    labels, logits = _validate_logits(labels, logits)
    reject, accept = (costs or Costs()).detection
    called = logits > np.log(reject / accept)
    miss, false_accept = called[labels == 0].mean(), 1 - called[labels == 1].mean()
    return float((reject * miss + accept * false_accept) / min(reject, accept))


def cllr(labels, logits) -> float:
    """Cost of log-likelihood ratios [bit]: 0 perfect, 1 knows nothing, above 1 misleads.

    Brümmer, du Preez: Application-independent evaluation of speaker detection, Comput. Speech Lang. 20, 2006.

    Parameters
    ----------
    logits : array_like, shape=(n,)
        Natural log odds fake : real at even priors: a calibrated ``p_fake`` through
        ``scipy.special.logit``. All within 0..1 is taken for probabilities and refused.
    """
    labels, logits = _validate_logits(labels, logits)
    of_reals, of_fakes = np.logaddexp(0, logits[labels == 0]), np.logaddexp(0, -logits[labels == 1])
    return float((of_reals.mean() + of_fakes.mean()) / (2 * np.log(2)))


def _validate_logits(labels, logits) -> tuple[np.ndarray, np.ndarray]:
    labels, logits = validate_scores(labels, logits)
    if logits.min() >= 0 and logits.max() <= 1:
        raise InputError(
            "logits", "all lie in 0..1 like probabilities; scipy.special.logit makes them log odds"
        )
    return labels, logits


def tpr_at_fpr(labels, scores, fpr: float = 0.01) -> float:
    """Share of fakes found while at most the share ``fpr`` of reals is called fake, 0..1.

    Ties stay together and nothing is interpolated; below ``1 / fpr`` reals, not one may be called fake.
    """
    if not 0 <= fpr <= 1:
        raise InputError("fpr", f"must lie in 0..1, got {fpr}")
    called, found, _ = skm.roc_curve(*validate_scores(labels, scores), drop_intermediate=False)
    return float(found[called <= fpr + 1e-12].max())


def det_curve(labels, scores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of the detection error trade-off, ties grouped, for axes of `set_probit_axes`.

    Returns the share of fakes accepted (the usual x) and of reals rejected (y), 0..1, and the scores at or
    above which a trial is called fake, the first infinite; each numpy.ndarray, shape=(n_points,), float64.
    """
    rejected, found, at = skm.roc_curve(*validate_scores(labels, scores), drop_intermediate=False)
    return 1 - found, rejected, at


def set_probit_axes(axes, low: float = 0.001, high: float = 0.6) -> None:
    """Give matplotlib axes of rates the normal-deviate scale: normal scores lie on a line.

    ``low``..``high``, between 0 and 1, are the limits of both axes; rates of 0 and 1, which lie at infinity,
    are drawn just outside. Martin et al.: The DET curve in assessment of detection task performance,
    Eurospeech 1997.
    """
    from scipy.special import ndtr, ndtri

    if not 0 < low < high < 1:
        raise InputError("limits", f"must rise between 0 and 1, got {low} and {high}")

    def probit(rate):
        return ndtri(np.clip(rate, low / 10, 1 - (1 - high) / 10))

    ticks = [t for t in (0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8) if low <= t <= high]
    for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        getattr(axes, f"set_{name}scale")("function", functions=(probit, ndtr))
        getattr(axes, f"set_{name}lim")(low, high)
        axis.set_ticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
        axis.set_ticks([], minor=True)
