"""What attacks that know the picture model cost it; a table like that of `dfutils.robustness.measure`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.adversarial import fgsm, pgd
from dfutils.descriptions import Bundle
from dfutils.errors import InputError
from dfutils.manifest import subset
from dfutils.margins import predict_margins
from dfutils.perturbed_inputs import load_face
from dfutils.robustness import CLEAN, keep_logits, name_measurement, summarise_level

EPSILONS = (1.0, 2.0, 4.0, 8.0)
BATCH_SIZE = 16  # pictures whose gradients are in memory


def measure_attacks(
    bundle: Bundle,
    manifest: pd.DataFrame,
    epsilons: tuple[float, ...] = EPSILONS,
    n_steps: int = 10,
    max_samples: int = 100,
    seed: int = 42,
    progress: bool = True,
    folder: str | os.PathLike | None = None,
    n_resamples: int = 1000,
) -> pd.DataFrame:
    """Score a picture model on faces that are attacked with full knowledge of it, fakes and reals alike.

    Parameters
    ----------
    bundle : Bundle
        With a Keras model (`dfutils.bundles.load_bundle`).
    manifest : pandas.DataFrame
        Of face crops.
    epsilons : tuple of float
        Largest change of a pixel, of 255; the levels, from 1 on.
    n_steps : int
        Of PGD.
    max_samples, seed, progress, folder, n_resamples
        See `dfutils.robustness.measure`.

    Returns
    -------
    pandas.DataFrame
        As from `dfutils.robustness.measure`; perturbations ``"fgsm"`` and ``"pgd"``
        (`dfutils.adversarial`).

    Raises
    ------
    InputError
        The bundle is of a voice model, or its model has no gradients.
    """
    if bundle.config.kind != "video":
        raise InputError("bundle", "is of a voice model: noise on its pictures would not be sound")
    table = subset(manifest, max_samples, seed) if max_samples else manifest.reset_index(drop=True)
    key = name_measurement(bundle, table, seed)
    attacks = {"fgsm": fgsm, "pgd": partial(pgd, n_steps=n_steps, seed=seed)}
    cells = [(CLEAN, 0, 0.0), *((name, k, value) for name in attacks for k, value in enumerate(epsilons, 1))]
    rows, clean = [], None
    for name, level, epsilon in tqdm(cells, desc="attacks", disable=not progress):
        attack = partial(attacks[name], epsilon=epsilon) if level else None
        value = f"{epsilon:g}, {n_steps} steps" if name == "pgd" else f"{epsilon:g}" if level else ""
        path = folder and Path(folder) / f"{key}-attacks" / f"{name}-{level}.json"
        logits = keep_logits(path, value, partial(_predict_attacked, bundle, table, attack))
        clean = logits if level == 0 else clean
        about = {"family": "attack", "unit": "of 255"} if level else {"family": "", "unit": ""}
        found = summarise_level(table, logits, clean, bundle.calibration, n_resamples, seed)
        rows.append({"perturbation": name, "level": level, "value": value, **about, **found})
    return pd.DataFrame(rows)


def _predict_attacked(bundle: Bundle, table: pd.DataFrame, attack: Callable | None) -> np.ndarray:
    flip, margins = bundle.inputs.get("flip", False), []
    for first in range(0, len(table), BATCH_SIZE):
        some = table.iloc[first : first + BATCH_SIZE]
        images = np.stack([load_face(bundle, path)[0] for path in some["path"]]).astype(np.float32)
        if attack is not None:
            images = attack(bundle.model, images, some["label"].to_numpy(), flip=flip)
        ways = [images, images[:, :, ::-1]] if flip else [images]
        margins.append(
            np.mean([predict_margins(bundle.model, list(way), BATCH_SIZE) for way in ways], axis=0)
        )
    return np.concatenate(margins)
