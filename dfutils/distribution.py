"""Training on several devices of one machine, by the backend's own data parallelism.

Beside `dfutils.adversarial`, the only module that speaks to a backend by name: Keras' own
``keras.distribution`` works with JAX, and not yet with TensorFlow, which has strategies.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from dfutils.backend import keras
from dfutils.errors import InputError


def n_devices(model: keras.Model) -> int:
    """Return how many devices share a model's batches."""
    strategy = getattr(model, "distribute_strategy", None)  # TensorFlow's, kept by the model
    if strategy is not None:
        return strategy.num_replicas_in_sync
    chosen = keras.distribution.distribution()
    return chosen.device_mesh.devices.size if chosen else 1


def share_batches(data, n: int) -> None:
    """Make the batches of a loader such that each of ``n`` devices gets its share.

    Parameters
    ----------
    data : dfutils.batches.ManifestSequence or dfutils.batches.ArraySequence
    n : int

    Raises
    ------
    InputError
        The backend is JAX, which wants even shares, and a batch, or the last one, does not divide so.
    """
    data.least = n  # none may go without a sample
    if n > 1 and keras.backend.backend() == "jax" and (data.batch_size % n or data.n_served % n):
        text = f"{data.n_served} samples in batches of {data.batch_size}"
        raise InputError("batches", f"{text} cannot be shared evenly by {n} devices, which JAX needs")


@functools.cache
def _strategy(devices: tuple[str, ...]):
    """One object for all blocks: a model built in one may be trained on in another."""
    import tensorflow

    return tensorflow.distribute.MirroredStrategy(list(devices))


@contextlib.contextmanager
def use_all_devices(devices: list[str] | None = None) -> Iterator[int]:
    """Build, compile and train what stands in the block on all GPUs, each with its share of every batch.

    Weights are the same everywhere, gradients are averaged: a batch of 64 on four GPUs is sixteen
    samples each, and learns what 64 on one would, to rounding, as long as layers look at samples one by
    one and the shares are even; a last batch of nine on four GPUs weighs its samples a little unevenly.
    Batch normalisation that learns looks at its own share only. With one device nothing changes. With
    JAX every batch must divide evenly: choose sizes that do.

    Parameters
    ----------
    devices : list of str, optional
        Such as ``["GPU:0", "GPU:1"]``; by default all GPUs, or all CPUs where there is no GPU.

    Yields
    ------
    int
        Number of devices.

    Raises
    ------
    InputError
        A device is not there, or the backend cannot use several.
    """
    backend = keras.backend.backend()
    try:
        known = [name.upper() for name in keras.distribution.list_devices()]
    except (NotImplementedError, ImportError) as error:
        raise InputError("devices", f"Keras lists none with the backend {backend!r}") from error
    chosen = [name.upper() for name in devices] if devices is not None else known
    missing = sorted(set(chosen) - set(known))
    if missing or not chosen:
        raise InputError("devices", f"there is no {missing or 'device'}; there are {known}")
    if len(chosen) == 1 and devices is None:
        yield 1
        return
    if backend == "tensorflow":
        with _strategy(tuple(chosen)).scope():
            yield len(chosen)
    elif backend == "jax":
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(devices=[name.lower() for name in chosen])
        )
        try:
            yield len(chosen)
        finally:
            keras.distribution.set_distribution(before)
    else:
        raise InputError("devices", f"several need TensorFlow or JAX behind Keras, not {backend!r}")
