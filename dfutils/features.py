"""A frozen backbone's features: computed once, cached; and statistics for random backbones."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np

from dfutils.backend import keras
from dfutils.batches import ManifestSequence
from dfutils.errors import InputError
from dfutils.manifest import fingerprint
from dfutils.models import get_backbone
from dfutils.paths import atomic_path
from dfutils.training import PredictBar


def backbone_features(
    model: keras.Model, data: ManifestSequence, folder: str | os.PathLike, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Compute, or take from the cache, what the frozen backbone makes of a manifest.

    While the backbone is frozen and there is no augmentation, its output for a picture never
    changes: computed once, every later epoch costs next to nothing.

    Parameters
    ----------
    model : keras.Model
        As built by `dfutils.models.build_model`.
    data : ManifestSequence
        Not shuffled, not augmented.
    folder : str or os.PathLike
        Of the cache; entries are keyed by the manifest, its files' sizes and times, the loader's
        settings and the backbone's weights.

    Returns
    -------
    features : numpy.ndarray, shape=(n, n_features), float32
    labels : numpy.ndarray, shape=(n,), int32
    """
    if data.shuffle or data.augment.name != "none":
        raise InputError("data", "features can be cached only without shuffling and augmentation")
    key = hashlib.sha256(fingerprint(data.manifest).encode())
    for path in data.manifest["path"]:
        stat = os.stat(path)
        key.update(f"{path}{stat.st_size}{stat.st_mtime_ns}".encode())
    settings = {name: value for name, value in vars(data).items() if name in ("size_hw", "voice_input")}
    key.update(json.dumps([type(data).__name__, settings], default=str, sort_keys=True).encode())
    for weight in get_backbone(model).get_weights():
        key.update(np.ascontiguousarray(weight).tobytes())
    path = Path(folder) / f"features-{key.hexdigest()[:20]}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as cached:
            return cached["features"], cached["labels"]
    until_features = keras.Model(model.input, get_backbone_output(model))
    callbacks = [PredictBar(len(data))] if progress else []
    features = until_features.predict(data, verbose=0, callbacks=callbacks).astype(np.float32)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, features=features, labels=data.labels)
    return features, data.labels


def get_backbone_output(model: keras.Model):
    """Return the symbolic output of the backbone inside a model (what the dropout layer takes)."""
    return model.get_layer("dropout").input


def head_of(model: keras.Model) -> keras.Model:
    """Return the layers behind the backbone as a model of their own, sharing their weights.

    Trained on cached features, it trains the head of ``model``.
    """
    inputs = keras.Input((get_backbone_output(model).shape[-1],), name="features")
    x = inputs
    for layer in model.layers[[layer.name for layer in model.layers].index("dropout") :]:
        x = layer(x)
    return keras.Model(inputs, x, name="head")


def measure_speed_up(
    model: keras.Model, data: ManifestSequence, features: np.ndarray, n_batches: int = 4
) -> dict[str, float]:
    """Time a pass over the data with the backbone, and over its cached features.

    Both are prediction only, so the ratio is what the cache spares in every epoch, at the least.

    Parameters
    ----------
    model : keras.Model
        Compiled or not.
    data : ManifestSequence
        Its batches are loaded anew: without the cache, every epoch does that too.
    features : numpy.ndarray, shape=(n, n_features), float32
    n_batches : int
        At most; timed after one that is not.

    Returns
    -------
    dict
        ``backbone_ms`` and ``cached_ms`` per sample, and their ratio ``speed_up``.
    """
    head = head_of(model)
    size = min(data.batch_size, len(features))
    n_whole = len(features) // size  # a short last batch would be traced anew
    repeats = -(-size * n_batches // len(features))
    rows = np.tile(features, (repeats, 1))[: size * n_batches]
    seconds = {}
    for name, network, batches in (
        ("backbone", model, (data[index % n_whole][0] for index in range(n_batches + 1))),
        ("cached", head, [rows[:size], *np.split(rows, n_batches)]),
    ):
        batches = iter(batches)
        network.predict_on_batch(next(batches))  # tracing
        n_samples, start = 0, time.perf_counter()
        for batch in batches:
            network.predict_on_batch(batch)
            n_samples += len(batch)
        seconds[name] = (time.perf_counter() - start) / n_samples
    return {
        "backbone_ms": 1000 * seconds["backbone"],
        "cached_ms": 1000 * seconds["cached"],
        "speed_up": seconds["backbone"] / seconds["cached"],
    }


def adapt_batch_norm(model: keras.Model, data: ManifestSequence, n_batches: int = 8) -> None:
    """Set the statistics of a backbone with random weights from data.

    Fresh batch normalisation assumes mean 0 and variance 1; in a deep random network the signal
    dies before the end. After some passes of real pictures the random features are usable. Not
    for pretrained weights.
    """
    backbone = get_backbone(model)
    norms = [layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    to_backbone = keras.Model(model.input, model.get_layer("scaled").output)
    backbone.trainable = True
    try:
        for index in range(min(n_batches, len(data))):
            for norm in norms:  # running mean of the batches seen
                norm.momentum = index / (index + 1)
            backbone(to_backbone(data[index][0]), training=True)
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        backbone.trainable = False
