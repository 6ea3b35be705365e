"""Who pays for mistakes: error rates by how bright, how dark-skinned, how large a face appears.

Nothing here knows who a person is. Skin tone is an estimate from the crop, and light and camera move it
as much as skin does: differences between groups call for a closer look, and prove no cause.
"""

from __future__ import annotations

import joblib
import numpy as np
import pandas as pd

from dfutils.comparison import clustered_interval
from dfutils.errors import InputError
from dfutils.images import read_image
from dfutils.metrics import auc

TRAITS = {
    "brightness": "mean luma of the crop, 0..255",
    "skin_tone": "individual typology angle of the face's centre [°]; higher is lighter",
    "face_px": "side of the face in its frame [px]",
}


def measure_appearance(image: np.ndarray) -> dict[str, float]:
    """Estimate brightness and skin tone of a face crop.

    Parameters
    ----------
    image : numpy.ndarray, shape=(height, width, 3), uint8, RGB
        A face fills it.

    Returns
    -------
    dict
        ``brightness``: mean luma (ITU-R BT.601), 0..255. ``skin_tone``: median individual typology
        angle, ``atan((L* - 50) / b*)`` [°], -90..90, over the middle third of the face, from below
        the eyes to above the mouth [1]_; above 55 very light, below -30 dark.

    References
    ----------
    .. [1] Chardon, Cretois, Hourseau: Skin colour typology and suntanning pathways, International
       Journal of Cosmetic Science 13, 1991. Used on faces by Merler et al.: Diversity in faces, 2019.
    """
    import cv2

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < 16:
        raise InputError("image", f"must be uint8 RGB of 16 px or more, got {image.shape}, {image.dtype}")
    height, width = image.shape[:2]
    cheeks = image[round(0.45 * height) : round(0.65 * height), round(0.3 * width) : round(0.7 * width)]
    lab = cv2.cvtColor(np.float32(cheeks) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    angles = np.degrees(np.arctan2(lab[:, 0] - 50, np.maximum(lab[:, 2], 1e-6)))
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return {"brightness": float(luma.mean()), "skin_tone": float(np.median(angles))}


def add_appearance(faces: pd.DataFrame, workers: int = 2) -> pd.DataFrame:
    """Add `measure_appearance` of every crop of a manifest, as columns."""

    def measure(path: str) -> dict[str, float]:
        return measure_appearance(read_image(path))

    found = joblib.Parallel(workers, prefer="threads")(joblib.delayed(measure)(p) for p in faces["path"])
    return faces.assign(**pd.DataFrame(found, index=faces.index))


def slice_errors(
    scored: pd.DataFrame, traits: tuple[str, ...] = tuple(TRAITS), n_groups: int = 3, n_resamples: int = 1000
) -> pd.DataFrame:
    """Compare error rates between groups of equally many faces, by each trait.

    Parameters
    ----------
    scored : pandas.DataFrame
        From `dfutils.evaluation.score`, with the traits as columns (`add_appearance`); those
        missing, or the same for all, are passed over.
    traits : tuple of str
    n_groups : int
        From the lowest to the highest values.
    n_resamples : int
        Of the 95 % intervals, which draw whole persons.

    Returns
    -------
    pandas.DataFrame
        One row per trait and group: ``trait``, ``group`` (0 the lowest), ``low_value``, ``high_value``,
        ``n``, ``n_fake``, ``n_persons``; ``auc``, ``false_alarm_rate`` and ``miss_rate`` (at the frozen
        threshold), each with ``_low`` and ``_high``, NaN where a group has too few persons or one class.
    """
    rows = []
    for trait in traits:
        values = pd.to_numeric(scored[trait], errors="coerce") if trait in scored else pd.Series(dtype=float)
        known = scored[values.notna()] if len(values) else scored.iloc[:0]
        values = values[values.notna()]
        if values.nunique() < n_groups:
            continue
        groups = pd.qcut(values.rank(method="first"), n_groups, labels=False)
        for group, part in known.groupby(groups):
            own = values[part.index]
            facts = {"trait": trait, "group": int(group), "low_value": own.min(), "high_value": own.max()}
            rows.append(facts | _errors(part, n_resamples))
    return pd.DataFrame(rows)


def _errors(part: pd.DataFrame, n_resamples: int) -> dict[str, float]:
    labels, persons = part["label"].to_numpy(), (part["dataset"] + "/" + part["person"]).to_numpy()
    found = {"n": len(part), "n_fake": int(labels.sum()), "n_persons": len(set(persons))}
    measures = {
        "auc": (auc, part["logit"]),
        "false_alarm_rate": (lambda y, called: called[y == 0].mean(), part["called_fake"]),
        "miss_rate": (lambda y, called: 1 - called[y == 1].mean(), part["called_fake"]),
    }
    if found["n_fake"] in (0, len(part)):
        return found
    for name, (metric, scores) in measures.items():
        try:
            interval = clustered_interval(metric, labels, scores, persons, n_resamples)
            bounds = interval.value, interval.low, interval.high
        except InputError:  # the same verdict for all: a rate of 0 or 1, without an interval
            bounds = float(metric(labels, scores.to_numpy())), np.nan, np.nan
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), bounds))
    return found


def draw_slices(figure, table: pd.DataFrame):
    """Draw `slice_errors`: one panel per trait, false alarms and misses of each group with intervals."""
    from dfutils.plots import FAKE_COLOUR, REAL_COLOUR

    traits = list(dict.fromkeys(table["trait"]))
    axes = figure.subplots(1, len(traits), sharey=True, squeeze=False)[0]
    for axis, trait in zip(axes, traits):
        part = table[table["trait"] == trait]
        for offset, (rate, name, colour, marker) in enumerate(
            (
                ("false_alarm_rate", "reals called fake", REAL_COLOUR, "o"),
                ("miss_rate", "fakes missed", FAKE_COLOUR, "s"),
            )
        ):
            reach = np.abs(part[[f"{rate}_low", f"{rate}_high"]].to_numpy().T - part[rate].to_numpy())
            place = part["group"] + 0.16 * (offset - 0.5)
            axis.errorbar(place, part[rate], reach, fmt=marker, color=colour, capsize=3, label=name)
        ticks = [f"{row.low_value:.0f} to\n{row.high_value:.0f}" for row in part.itertuples()]
        axis.set_xticks(part["group"], ticks)
        axis.set_xlabel(TRAITS.get(trait, trait).replace("; ", "\n"))
    axes[0].set_ylabel("error rate at the frozen threshold")
    axes[0].set_ylim(-0.01, max(0.2, axes[0].get_ylim()[1]))
    axes[-1].legend(fontsize=8)
    figure.tight_layout()
    return figure
