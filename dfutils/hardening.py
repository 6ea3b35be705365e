"""Adversarial training of a picture model that is already trained: what such a defence buys, and costs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.adversarial import fgsm
from dfutils.batches import ManifestSequence
from dfutils.bundles import load_bundle, load_weights
from dfutils.checkpoints import hdf5_bytes
from dfutils.datasets import FaceSequence
from dfutils.descriptions import Bundle, sha256_of
from dfutils.errors import InputError
from dfutils.manifest import fingerprint
from dfutils.models import compile_model, get_backbone, unfreeze, warm_up_and_cosine
from dfutils.paths import atomic_path, reserve
from dfutils.robustness_attacks import measure_attacks

LAYERS = ("all", "head")
VERSION = 1  # of the procedure; another number trains anew


def harden(
    bundle: Bundle,
    data: ManifestSequence,
    epsilon: float = 2.0,
    layers: str = "all",
    learning_rate: float = 1e-4,
    seed: int = 42,
    progress: bool = True,
    folder: str | os.PathLike | None = None,
) -> Bundle:
    """Train on attacked pictures, once through the data: half of each batch is attacked, half is not.

    Each attack is one step of FGSM, as long as ``epsilon`` times 1.25, from a random start, computed
    against the weights of the moment [1]_; the other half keeps the model what it was for pictures that
    nobody attacked [2]_.

    Parameters
    ----------
    bundle : Bundle
        With a Keras picture model, which is changed.
    data : dfutils.batches.ManifestSequence
        Of training persons; shuffled.
    epsilon : float
        Largest change of a pixel, of 255.
    layers : {"all", "head"}
        What learns; batch normalisation keeps its statistics either way.
    learning_rate : float
        Peak, of Adam, with warm-up and cosine decay.
    seed : int
        Of the random starts.
    progress : bool
    folder : str or os.PathLike, optional
        Keeps the weights; a second call with the same model, data and settings takes them from there.

    Returns
    -------
    Bundle
        The same, with another ``sha256``. Its calibration is that of the old weights: look at rankings
        only, or calibrate again.

    Raises
    ------
    InputError
        The bundle is of a voice model or does not say its weights, or an argument is out of its range.

    References
    ----------
    .. [1] Wong, Rice, Kolter: Fast is better than free: revisiting adversarial training, ICLR 2020.
    .. [2] Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, ICLR 2015, eq. 5.
    """
    if bundle.config.kind != "video":
        raise InputError("bundle", "is of a voice model: noise on its pictures would not be sound")
    if not bundle.sha256:
        raise InputError("bundle", "has no sha256: its hardened weights could be taken for another model's")
    if layers not in LAYERS:
        raise InputError("layers", f"must be one of {LAYERS}, got {layers!r}")
    if not epsilon > 0:
        raise InputError("epsilon", f"must be above 0, got {epsilon}")
    size, order = data.batch_size, (data.shuffle, data.seed, data.augment.name)
    settings = [VERSION, bundle.sha256, fingerprint(data.manifest), order, size, epsilon, layers,
                learning_rate, seed]  # fmt: skip
    name = hashlib.sha256(json.dumps(settings, default=str).encode()).hexdigest()[:16]
    path = folder and Path(folder) / f"hardened-{name}.weights.h5"
    if path and path.exists():
        load_weights(bundle.model, path)
    else:
        _train(bundle, data, epsilon, layers, learning_rate, seed, progress)
    if path and not path.exists():
        with atomic_path(path) as temporary:
            reserve(temporary, hdf5_bytes(bundle.model))
            bundle.model.save_weights(temporary)
    return replace(bundle, sha256=sha256_of(path) if path else f"hardened-{name}")


def _train(bundle, data, epsilon, layers, learning_rate, seed, progress) -> None:
    model, generator = bundle.model, np.random.default_rng(seed)
    if layers == "all":
        unfreeze(model)
    else:
        get_backbone(model).trainable = False
    compile_model(model, bundle.config, warm_up_and_cosine(learning_rate, len(data)), "adam")
    bar = tqdm(range(len(data)), "hardening", unit="batch", disable=not progress)
    for number in bar:
        images, labels = data[number]
        attacked = np.arange(len(images)) % 2 == number % 2
        starts = images[attacked]
        starts = np.clip(starts + generator.uniform(-epsilon, epsilon, starts.shape), 0, 255)
        if len(starts):
            reached = fgsm(model, starts, labels[attacked], 1.25 * epsilon)
            low, high = images[attacked] - epsilon, images[attacked] + epsilon
            images[attacked] = np.clip(reached, low, high).clip(0, 255)
        loss = model.train_on_batch(images, labels, return_dict=True)["loss"]
        bar.set_postfix(loss=f"{loss:.3f}")


def measure_defences(
    model_folder: str | os.PathLike,
    faces: pd.DataFrame,
    held_out: pd.DataFrame,
    how: dict,
    layers: Sequence[str] = LAYERS,
    epsilon: float = 2.0,
    seed: int = 42,
    batch_size: int = 16,
    folder: str | os.PathLike | None = None,
    progress: bool = True,
) -> dict[str, pd.DataFrame]:
    """Harden a saved model in several ways, each from the same start, and measure each.

    Parameters
    ----------
    model_folder : str or os.PathLike
        Of a picture model (`dfutils.bundles.load_bundle`); it is not changed.
    faces : pandas.DataFrame
        Manifest of crops of training persons; mirrored at random.
    held_out : pandas.DataFrame
        Manifest of crops of other persons, which are attacked.
    how : dict
        All else that `dfutils.robustness_attacks.measure_attacks` is to know.
    layers : sequence of str
        See `harden`; one model for each.
    epsilon, seed, folder, progress
        See `harden`.
    batch_size : int

    Returns
    -------
    dict of str to pandas.DataFrame
        Keys such as ``"defended, all"``.
    """
    found = {}
    for which in layers:
        bundle = load_bundle(model_folder)
        data = FaceSequence(
            faces, bundle.config.size_hw, "flip", batch_size=batch_size, shuffle=True, seed=seed
        )
        hard = harden(bundle, data, epsilon, which, seed=seed, progress=progress, folder=folder)
        found[f"defended, {which}"] = measure_attacks(hard, held_out, **how)
    return found
