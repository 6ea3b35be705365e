"""From logits to a probability that means something, and the threshold that goes with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from dfutils.errors import InputError


@dataclass(frozen=True)
class Calibration:
    """Platt scaling and a decision threshold, both fitted on validation.

    Attributes
    ----------
    slope, intercept : float
        ``p_fake = sigmoid(slope * logit + intercept)``; 1 and 0 leave the model's own probability.
    threshold : float
        Of ``p_fake``, 0..1: at or above it the verdict is "fake".
    fitted_on : str
        What it was fitted on; empty where it was not.
    """

    slope: float = 1.0
    intercept: float = 0.0
    threshold: float = 0.5
    fitted_on: str = ""

    def p_fake(self, logits: np.ndarray) -> np.ndarray:
        """Probability of fake, float64 in 0..1, of logit margins (fake minus real), any shape."""
        z = self.slope * np.asarray(logits, np.float64) + self.intercept
        return np.exp(-np.logaddexp(0, -z))

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)


def fit_calibration(labels: np.ndarray, logits: np.ndarray, fitted_on: str = "validation") -> Calibration:
    """Fit Platt scaling, and take the threshold at the equal error rate.

    Parameters
    ----------
    labels : numpy.ndarray, shape=(n,), 1 = fake
    logits : numpy.ndarray, shape=(n,)
        Logit margins (fake minus real), of validation data.
    fitted_on : str

    Raises
    ------
    InputError
        One class is missing, or the logits are constant or not finite.

    Notes
    -----
    Platt: Probabilistic outputs for support vector machines, 1999. Classes are weighted equally,
    so the probability is the one at even prior odds. A slope that comes out negative (scores the
    wrong way round on validation) is an error, not a calibration.
    """
    from sklearn.linear_model import LogisticRegression

    from dfutils.metrics import equal_error_rate, validate_scores

    labels, logits = validate_scores(labels, logits)
    scale = float(np.std(logits)) or 1.0
    model = LogisticRegression(C=1e4, class_weight="balanced").fit(logits[:, None] / scale, labels)
    slope = float(model.coef_[0, 0]) / scale
    if slope <= 0:
        raise InputError(fitted_on, "real scores higher than fake here: nothing to calibrate")
    fitted = Calibration(slope, float(model.intercept_[0]), 0.5, fitted_on)
    _, threshold = equal_error_rate(labels, fitted.p_fake(logits))
    return Calibration(fitted.slope, fitted.intercept, threshold, fitted_on)
