"""The picture's shortcut audit: six features without content, and crops without face or background.

What six trivial numbers of a crop tell about fake and real, a model may have learnt in place of the
manipulation; so may it from hair and background. `dfutils.shortcuts` is the same for voices.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import joblib
import numpy as np
import pandas as pd

from dfutils.comparison import clustered_interval
from dfutils.errors import InputError
from dfutils.images import read_image, write_image
from dfutils.made_fakes import OUTLINES, fit_template
from dfutils.metrics import auc

FEATURES = ("brightness", "contrast", "sharpness", "blockiness", "saturation", "noise")
GREY = 127
_SECOND_DIFFERENCES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)


def picture_features(image: np.ndarray) -> dict[str, float]:
    """Measure what a crop tells without its content.

    Parameters
    ----------
    image : numpy.ndarray, shape=(height, width, 3), uint8, RGB
        At least 16 px high and wide; as stored, because resizing moves all but the first two.

    Returns
    -------
    dict
        `FEATURES`, of the luma (ITU-R BT.601, 0..255) unless said otherwise. ``brightness``: mean.
        ``contrast``: standard deviation. ``sharpness``: variance of the 3 x 3 Laplacian.
        ``blockiness``: mean absolute step over the borders of JPEG's 8-px blocks, divided by that
        between all other neighbours [1]_; 1 = no blocks. ``saturation``: mean of HSV's S, 0..1.
        ``noise``: standard deviation of the noise, from second differences [2]_.

    References
    ----------
    .. [1] After Wang, Sheikh, Bovik: No-reference perceptual quality assessment of JPEG compressed
       images, ICIP 2002.
    .. [2] Immerkær: Fast noise variance estimation, CVIU 64, 1996.
    """
    _check_image(image)
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64)
    borders, others = [], []
    for table in (luma, luma.T):
        steps = np.abs(np.diff(table, axis=1)).mean(axis=0)
        at_border = np.arange(1, steps.size + 1) % 8 == 0
        borders.append(steps[at_border].mean())
        others.append(steps[~at_border].mean())
    residual = cv2.filter2D(luma, -1, _SECOND_DIFFERENCES)[1:-1, 1:-1]
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "sharpness": float(cv2.Laplacian(luma, cv2.CV_64F).var()),
        "blockiness": float((np.mean(borders) + 1e-3) / (np.mean(others) + 1e-3)),
        "saturation": float(cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1].mean() / 255),
        "noise": float(np.sqrt(np.pi / 2) / 6 * np.abs(residual).mean()),
    }


def picture_table(manifest: pd.DataFrame, workers: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure every crop of a manifest, in ``workers`` threads.

    Returns
    -------
    features, rejects : pandas.DataFrame
        The usable rows of the manifest with the columns `FEATURES` added, and ``bytes_per_pixel`` of the
        file as it is stored; ``path``, ``reason``.
    """

    def measure(path: str) -> dict:
        try:
            image = read_image(path)
            size = os.path.getsize(path) / image[..., 0].size
            return picture_features(image) | {"bytes_per_pixel": size}
        except InputError as error:
            return {"reason": error.reason}

    found = joblib.Parallel(workers, prefer="threads")(joblib.delayed(measure)(p) for p in manifest["path"])
    measured = pd.DataFrame(found, columns=[*FEATURES, "bytes_per_pixel", "reason"])
    table = pd.concat([manifest.reset_index(drop=True), measured], axis=1)
    bad = table["reason"].notna()
    if bad.all():
        raise InputError("manifest", f"not one of {len(manifest)} crops could be measured")
    return table[~bad].drop(columns="reason").reset_index(drop=True), table.loc[bad, ["path", "reason"]]


def audit_pictures(
    features: pd.DataFrame, n_folds: int = 5, seed: int = 42, n_resamples: int = 1000
) -> dict[str, float]:
    """Say how well the six features tell fake from real, on persons that the classifier has not met.

    Parameters
    ----------
    features : pandas.DataFrame
        From `picture_table`: `FEATURES`, ``label`` (1 = fake), ``person``, perhaps ``dataset``.
    n_folds : int
        Of whole persons (scikit-learn's ``GroupKFold``, shuffled).
    seed, n_resamples : int
        Of the 95 % interval, which draws whole persons (`dfutils.comparison.clustered_interval`).

    Returns
    -------
    dict
        ``auc``, ``auc_low``, ``auc_high``: of the pooled out-of-fold scores of the better of boosted trees
        (``auc_trees``) and logistic regression (``auc_logistic``), a choice that favours the shortcut;
        ``auc_<feature>``: of each feature as it is, below .5 where fakes have less of it; ``n``,
        ``n_persons``.

    Raises
    ------
    InputError
        Columns or persons are too few, or a feature is not a number.
    """
    from sklearn.model_selection import GroupKFold

    from dfutils.shortcuts import fit_and_score

    missing = [name for name in (*FEATURES, "label", "person") if name not in features.columns]
    if missing:
        raise InputError("features", f"lack the columns {missing}")
    values, labels = features[list(FEATURES)].to_numpy(np.float64), features["label"].to_numpy()
    known = [name for name in ("dataset", "person") if name in features.columns]
    persons = features[known].astype(str).agg("/".join, axis=1).to_numpy()
    if not np.isfinite(values).all():
        raise InputError("features", "hold values that are not numbers")
    if not 2 <= n_folds <= len(set(persons)):
        raise InputError("person", f"{n_folds} folds need as many persons, got {len(set(persons))}")
    folds = GroupKFold(n_folds, shuffle=True, random_state=seed).split(values, labels, persons)
    scores = {"trees": np.empty(len(labels)), "logistic": np.empty(len(labels))}
    for train, test in folds:
        if len(set(labels[train])) < 2:
            raise InputError("label", "a fold leaves only one class to train on")
        for name, row in scores.items():
            row[test] = fit_and_score(name, values, labels, train, test, seed)
    result = {f"auc_{name}": auc(labels, row) for name, row in scores.items()}
    best = max(scores, key=lambda name: result[f"auc_{name}"])
    found = clustered_interval(auc, labels, scores[best], persons, n_resamples, seed=seed)
    columns = {f"auc_{name}": features[name] for name in FEATURES}
    singles = {key: auc(labels, column) if np.ptp(column) else 0.5 for key, column in columns.items()}
    bounds = {"auc": found.value, "auc_low": found.low, "auc_high": found.high}
    return bounds | result | singles | {"n": len(labels), "n_persons": found.n_clusters}


def face_region(size_hw: tuple[int, int], landmarks: np.ndarray, margin: float = 0.15) -> np.ndarray:
    """Say which pixels are face: an outline after the proportions of a face, brows to chin, plus a margin.

    Parameters
    ----------
    size_hw : tuple of int
        [px]
    landmarks : numpy.ndarray, shape=(5, 2), float
        ``(x, y)`` [px] of right eye, left eye, nose tip, right and left mouth corner
        (`dfutils.landmarks.find_landmarks`); they may lie outside.
    margin : float
        In eye distances, to all sides: blending borders lie around the face, and belong to it.

    Returns
    -------
    numpy.ndarray, shape=(height, width), bool
        InputError where the landmarks are not five points, or not numbers (no face was found).
    """
    points = np.asarray(landmarks, np.float32)
    if points.shape != (5, 2) or not np.isfinite(points).all() or margin < 0:
        raise InputError("landmarks", f"must be five points, and the margin positive, got {points.tolist()}")
    to_image = fit_template(points)
    outline = np.array(OUTLINES["high"], np.float32) @ to_image[:, :2].T + to_image[:, 2]
    region = np.zeros(size_hw, np.uint8)
    outline_px = [np.round(outline).astype(np.int32)]
    cv2.fillPoly(region, outline_px, 1)
    width_px = round(2 * margin * float(np.hypot(*to_image[:, 0])))
    if width_px:
        cv2.polylines(region, outline_px, True, 1, width_px)
    return region.astype(bool)


def mask_face(image: np.ndarray, landmarks: np.ndarray, margin: float = 0.15) -> np.ndarray:
    """Cover the face with grey: the background-only crop, on which a model should know nothing.

    Image: numpy.ndarray, shape=(height, width, 3), uint8, RGB; a new one is returned. The grey is the same
    for all, as a colour taken from the face would tell of it; the outline still shows where the
    landmarks (`face_region`) lie.
    """
    return _cover(image, landmarks, margin, face=True)


def mask_background(image: np.ndarray, landmarks: np.ndarray, margin: float = 0.15) -> np.ndarray:
    """Cover all but the face: the counterpart of `mask_face`, on which a model should lose little."""
    return _cover(image, landmarks, margin, face=False)


def write_masked(
    manifest: pd.DataFrame,
    landmarks: pd.DataFrame,
    folder: str | os.PathLike,
    transform: Callable = mask_face,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write masked copies of crops as PNG, so that any model can be run on them.

    Parameters
    ----------
    manifest, landmarks : pandas.DataFrame
        Crops; their points (index ``path``, from `dfutils.landmarks.find_landmarks`).
    folder : str or os.PathLike
        For one ``transform`` (`mask_face` or `mask_background`) only.

    Returns
    -------
    masked, rejects : pandas.DataFrame
        Manifest of the copies; ``path``, ``reason`` of crops without landmarks.
    """
    points = landmarks.reindex(manifest["path"]).to_numpy(np.float32).reshape(-1, 5, 2)
    rows, rejects = [], []
    for number, row in enumerate(manifest.to_dict("records")):
        try:
            image = transform(read_image(row["path"]), points[number])
        except InputError as error:
            rejects.append({"path": row["path"], "reason": error.reason})
        else:
            rows.append(row | {"path": str(write_image(Path(folder) / f"{number:06d}.png", image))})
    if not rows:
        raise InputError("manifest", f"not one of {len(manifest)} crops has landmarks")
    return pd.DataFrame(rows), pd.DataFrame(rejects, columns=["path", "reason"])


def _cover(image: np.ndarray, landmarks: np.ndarray, margin: float, face: bool) -> np.ndarray:
    _check_image(image)
    covered = image.copy()
    covered[face_region(image.shape[:2], landmarks, margin) == face] = GREY
    return covered


def _check_image(image: np.ndarray) -> None:
    shape, kind = getattr(image, "shape", ()), getattr(image, "dtype", None)
    if len(shape) != 3 or shape[2] != 3 or min(shape[:2]) < 16 or kind != np.uint8:
        raise InputError("image", f"must be uint8 RGB of 16 px or more, got shape {shape}, {kind}")
