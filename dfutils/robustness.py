"""Robustness: what a frozen model says of perturbed faces or voices, level by level, resumably."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.calibration import Calibration
from dfutils.comparison import clustered_interval, paired_test
from dfutils.descriptions import Bundle
from dfutils.errors import InputError
from dfutils.landmarks import COLUMNS as POINT_COLUMNS
from dfutils.manifest import fingerprint, subset
from dfutils.metrics import auc
from dfutils.paths import atomic_path
from dfutils.perturbation import LEVELS, VERSION, Perturbation
from dfutils.perturbed_inputs import predict_perturbed

CLEAN = "none"  # the name of level 0


def measure(
    bundle: Bundle,
    manifest: pd.DataFrame,
    perturbations: Mapping[str, Perturbation],
    levels: tuple[int, ...] = LEVELS,
    max_samples: int = 0,
    seed: int = 42,
    progress: bool = True,
    folder: str | os.PathLike | None = None,
    landmarks: pd.DataFrame | None = None,
    n_resamples: int = 1000,
) -> pd.DataFrame:
    """Score a model on perturbed samples, and say what each perturbation costs.

    Parameters
    ----------
    bundle : Bundle
        Of a picture or a voice model; `dfutils.onnx_model.open_bundle` gives the faster one.
    manifest : pandas.DataFrame
        Of face crops, or of clips; of persons that the model was not trained on.
    perturbations : mapping of str to Perturbation
        See `dfutils.perturbation.select`.
    levels : tuple of int
        1 to 5.
    max_samples : int
        Drawn by label; 0 takes all.
    seed : int
        Of that draw, of the perturbations (each sample draws the same numbers at every level, and for
        both labels), and of the intervals.
    progress : bool
    folder : str or os.PathLike, optional
        Keeps the logits, one small file per perturbation and level; what is there for the same model,
        manifest and seed is not computed again.
    landmarks : pandas.DataFrame, optional
        From `dfutils.landmarks.find_landmarks`, for overlays that sit on the face.
    n_resamples : int
        Of the 95 % intervals, which draw whole persons (`dfutils.comparison`).

    Returns
    -------
    pandas.DataFrame
        One row per perturbation and level, and first one for ``"none"`` at level 0: ``perturbation``,
        ``family``, ``level``, ``value`` (with ``unit``), and what `summarise_level` gives.

    Raises
    ------
    InputError
        A perturbation is for the other kind of model, or the unperturbed scores cannot be scored.

    Notes
    -----
    Pixels of levels count at the model's size: crops that are larger are reduced first, as in training.
    Voices are perturbed first and normalised afterwards, as in use (`VoiceInput.prepare`); so are the
    unperturbed ones of level 0, although clips of notebook 02 have been normalised once before.
    """
    table = subset(manifest, max_samples, seed) if max_samples else manifest.reset_index(drop=True)
    kind = "picture" if bundle.config.kind == "video" else "voice"
    foreign = [name for name, one in perturbations.items() if one.kind != kind]
    if foreign:
        raise InputError("perturbations", f"{foreign} are not for a {kind} model")
    points = None
    if landmarks is not None:
        points = landmarks.reindex(table["path"])[list(POINT_COLUMNS)].to_numpy().reshape(-1, 5, 2)
    key = name_measurement(bundle, table, seed)
    cells = [
        (CLEAN, None, 0),
        *((name, one, level) for name, one in perturbations.items() for level in levels),
    ]
    rows, clean = [], None
    for name, one, level in tqdm(cells, desc=f"{kind} perturbations", disable=not progress):
        value = one.values[LEVELS.index(level)] if one else ""
        compute = partial(predict_perturbed, bundle, table, one, level, seed, points)
        kept_as = f"{value}{_name_points(points)}" if one and one.uses_points else str(value)
        logits = keep_logits(folder and Path(folder) / key / f"{name}-{level}.json", kept_as, compute)
        clean = logits if level == 0 else clean
        about = {"family": one.family, "unit": one.unit} if one else {"family": "", "unit": ""}
        found = summarise_level(table, logits, clean, bundle.calibration, n_resamples, seed)
        rows.append({"perturbation": name, "level": level, "value": str(value), **about, **found})
    return pd.DataFrame(rows)


def summarise_level(
    table: pd.DataFrame,
    logits: np.ndarray,
    clean: np.ndarray,
    calibration: Calibration,
    n_resamples: int = 1000,
    seed: int = 42,
) -> dict[str, float | int]:
    """Compare perturbed with unperturbed scores of the same samples.

    Parameters
    ----------
    table : pandas.DataFrame
        Manifest.
    logits, clean : numpy.ndarray, shape=(n,)
        Margins with and without the perturbation; NaN where there is no score.
    calibration : Calibration
        With the frozen threshold.
    n_resamples, seed : int
        Of the intervals.

    Returns
    -------
    dict
        ``n``, ``n_fake``, ``n_lost`` (samples without a score); ``auc``, ``auc_change`` from the same
        samples unperturbed, ``sensitivity`` and ``specificity`` (shares of fakes found and of reals left
        in peace), each with ``_low`` and ``_high``; ``shift_fake`` and ``shift_real``, the mean change of
        the logit of each class. NaN where a number cannot be had.
    """
    usable = np.isfinite(logits) & np.isfinite(clean)
    part, logits, clean = table[usable], np.asarray(logits)[usable], np.asarray(clean)[usable]
    labels, people = part["label"].to_numpy(), (part["dataset"] + "/" + part["person"]).to_numpy()
    row = {"n": len(part), "n_fake": int(labels.sum()), "n_lost": int((~usable).sum())}
    sampling = {"n_resamples": n_resamples, "seed": seed}
    row |= _bounds("auc", lambda: clustered_interval(auc, labels, logits, people, **sampling))
    row |= _bounds("auc_change", lambda: paired_test(auc, labels, logits, clean, people, **sampling))
    for name, label in (("sensitivity", 1), ("specificity", 0)):
        rate = partial(_share_right, label=label, calibration=calibration)
        row |= _bounds(name, lambda rate=rate: clustered_interval(rate, labels, logits, people, **sampling))
        row[name] = rate(labels, logits)
    for name, label in (("shift_fake", 1), ("shift_real", 0)):
        row[name] = _mean((logits - clean)[labels == label])
    return row


def _bounds(name: str, find: Callable) -> dict[str, float]:
    try:
        found = find()
        value = getattr(found, "difference", None)
        values = found.value if value is None else value, found.low, found.high
    except InputError:  # a class is missing, or all scores are equal: no number is better than a wrong one
        values = (float("nan"),) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), values))


def _share_right(labels: np.ndarray, logits: np.ndarray, label: int, calibration: Calibration) -> float:
    called = calibration.p_fake(logits) >= calibration.threshold
    return _mean(called[labels == label] == label)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def name_measurement(bundle: Bundle, table: pd.DataFrame, seed: int) -> str:
    """Name the folder of a measurement after all that decides its logits, 16 hex digits.

    Raises
    ------
    InputError
        The bundle does not say which weights it has.
    """
    if not bundle.sha256:
        raise InputError("bundle", "has no sha256: what it says could be taken for another model's")
    key = json.dumps([bundle.sha256, bundle.inputs, fingerprint(table), seed, VERSION], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _name_points(points: np.ndarray | None) -> str:
    if points is None:
        return ""
    return " at " + hashlib.sha256(np.ascontiguousarray(points, np.float32).tobytes()).hexdigest()[:12]


def keep_logits(path: Path | None, value: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Take logits from a file that holds them for this value of a level, or compute and write them."""
    if path is None:
        return compute()
    if path.exists():
        kept = json.loads(path.read_text())
        if kept["value"] == value:
            return np.array(kept["logits"], np.float64)  # null becomes NaN
    logits = compute()
    plain = [float(logit) if np.isfinite(logit) else None for logit in logits]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"value": value, "logits": plain}) + "\n")
    return np.array(plain, np.float64)
