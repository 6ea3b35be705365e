"""A frozen backbone's features: computed once, cached; and statistics for random backbones."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from dfutils.backend import keras
from dfutils.batches import ManifestSequence
from dfutils.cluster import n_workers
from dfutils.errors import InputError
from dfutils.jobs import run_jobs
from dfutils.manifest import fingerprint
from dfutils.models import get_backbone
from dfutils.paths import atomic_path


def backbone_features(
    model: keras.Model,
    data: ManifestSequence,
    folder: str | os.PathLike,
    progress: bool = True,
    block_batches: int = 16,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute, or take from the cache, what the frozen backbone makes of a manifest; resumable.

    While the backbone is frozen and there is no augmentation, its output for a picture never
    changes: computed once, every later epoch costs next to nothing. The cache fills block by block:
    after an interruption those that are there stay, and several processes that share the folder,
    started alike, share the blocks. Under `dfutils.cluster.on_cluster` the workers compute them.

    Parameters
    ----------
    model : keras.Model
        As built by `dfutils.models.build_model`.
    data : ManifestSequence
        Not shuffled, not augmented.
    folder : str or os.PathLike
        Of the cache; entries are keyed by the manifest, its files' sizes and times, the loader's
        settings and the backbone's weights.
    progress : bool
    block_batches : int
        Batches that an interruption costs, at most.

    Returns
    -------
    features : numpy.ndarray, shape=(n, n_features), float32
        The same to 1e-5 of their size, however many processes computed them.
    labels : numpy.ndarray, shape=(n,), int32

    Raises
    ------
    InputError
        The data is shuffled or augmented.
    StorageError
        The cache cannot be written.
    """
    if data.shuffle or data.augment.name != "none":
        raise InputError("data", "features can be cached only without shuffling and augmentation")
    key = _key(model, data)
    path, parts = Path(folder) / f"features-{key}.npz", Path(folder) / f"parts-{key}"
    if not path.exists():
        starts = range(0, len(data), block_batches)
        blocks = {start: parts / f"{start:07d}.npz" for start in starts}
        _fill_blocks(model, data, blocks, parts / f"backbone-{block_batches}.keras", block_batches, progress)
        try:
            features = np.concatenate([_read_block(block) for block in blocks.values()])
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, features=features, labels=data.labels)
        except FileNotFoundError:  # another process has just put them together, and cleared up
            if not path.exists():
                raise
    shutil.rmtree(parts, ignore_errors=True)  # also what a kill in the middle of this has left
    with np.load(path, allow_pickle=False) as cached:
        return cached["features"], cached["labels"]


def _key(model: keras.Model, data: ManifestSequence) -> str:
    key = hashlib.sha256(fingerprint(data.manifest).encode())
    for path in data.manifest["path"]:
        stat = os.stat(path)
        key.update(f"{path}{stat.st_size}{stat.st_mtime_ns}".encode())
    settings = {name: value for name, value in vars(data).items() if name in ("size_hw", "voice_input")}
    key.update(json.dumps([type(data).__name__, settings], default=str, sort_keys=True).encode())
    for weight in get_backbone(model).get_weights():
        key.update(np.ascontiguousarray(weight).tobytes())
    return key.hexdigest()[:20]


def _fill_blocks(model, data, blocks: dict[int, Path], network_path: Path, n: int, progress: bool) -> None:
    network = keras.Model(model.input, get_backbone_output(model))
    first = int(np.random.default_rng().integers(len(blocks)))  # processes begin at different places
    order = [*blocks][first:] + [*blocks][:first]
    with tqdm(total=len(data), desc="features", unit="batch", disable=not progress) as bar:
        if n_workers():  # a worker makes the network once, in some ten seconds, and keeps it
            with atomic_path(network_path) as temporary:
                network.save(temporary)
            jobs = [(network_path, data, start, n, blocks[start]) for start in order]
            for n_done in run_jobs(_fill_block, jobs, in_order=False):
                bar.update(n_done)
            return
        for start in order:  # here one process suffices: the backend uses all cores
            bar.update(_fill_block(network, data, start, n, blocks[start]))


def _fill_block(network, data: ManifestSequence, start: int, n: int, path: Path) -> int:
    """Compute the features of a block of batches unless they are there; returns how many batches it has."""
    numbers = range(start, min(start + n, len(data)))
    if not path.exists():
        network = network if isinstance(network, keras.Model) else _load_network(network)
        batches = [network.predict_on_batch(data[number][0]) for number in numbers]
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, np.concatenate(batches).astype(np.float32))  # np.save ignores that a disk is full
    return len(numbers)


def _read_block(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file["arr_0"]


@functools.lru_cache(maxsize=1)
def _load_network(path: Path) -> keras.Model:
    return keras.saving.load_model(path, compile=False)


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
