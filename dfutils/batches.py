"""The base of all loaders: batches of a manifest, seeded per epoch and sample, safe with threads."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pandas as pd

from dfutils.backend import keras
from dfutils.errors import InputError

BATCHES_AHEAD = 6


class ManifestSequence(keras.utils.PyDataset):
    """Batches of a manifest; each row once per epoch, the last batch may be short.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Rows with the same number in a column ``pair`` stay together when shuffled, and get the same
        random numbers: a real and its fake then differ in nothing but the manipulation.
    batch_size : int
    shuffle : bool
        A new order every epoch, the same one for the same seed and epoch.
    seed : int
    workers : int
        Threads that prepare batches ahead; 1 prepares each when it is asked for. Keras' own
        workers are not used: they run on into the next epoch, at another time with every backend.
    samples_per_epoch : int, optional
        Serve only so many rows each epoch, and go on with the others in the next; needs
        ``shuffle``.

    Attributes
    ----------
    epoch : int
        Set by `set_epoch`: Keras goes on through `on_epoch_end`, and `dfutils.training.fit` sets it
        itself, so that a resumed run goes on with the numbers it would have had.
    least : int
        Samples of a batch; a shorter rest joins the batch before it. Several devices need one each.
    """

    least = 1

    def __init__(
        self,
        manifest: pd.DataFrame,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 42,
        workers: int = 2,
        samples_per_epoch: int | None = None,
    ):
        super().__init__(workers=1, use_multiprocessing=False)
        if not len(manifest):
            raise InputError("manifest", "has no rows to make batches of")
        if batch_size < 1:
            raise InputError("batch_size", f"must be at least 1, got {batch_size}")
        self.manifest = manifest.reset_index(drop=True)
        self._paths = self.manifest["path"].tolist()
        self.labels = self.manifest["label"].to_numpy(np.int32)
        pairs = self.manifest["pair"] if "pair" in self.manifest else np.arange(len(manifest))
        self._pairs = np.unique(pairs, return_inverse=True)[1]
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        if samples_per_epoch is not None and not (shuffle and samples_per_epoch > 0):
            raise InputError(
                "samples_per_epoch", f"needs shuffle and must be positive, got {samples_per_epoch}"
            )
        self.n_served = min(samples_per_epoch or len(manifest), len(manifest))
        self._executor = ThreadPoolExecutor(workers, "batches") if workers > 1 else None
        self._ahead: dict[int, Future] = {}
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and random numbers are served."""
        for future in self._ahead.values():
            future.cancel()
        self._ahead = {}
        self.epoch = epoch
        order = np.arange(len(self._paths))
        if self.shuffle:
            # one shuffled round after the other, cut into epochs: no row waits longer than two rounds
            first, n_rows = epoch * self.n_served, len(order)
            rounds = range(first // n_rows, (first + self.n_served - 1) // n_rows + 1)
            shuffled = [self._shuffle(number) for number in rounds]
            start = first % n_rows
            order = np.concatenate(shuffled)[start : start + self.n_served]
        self._order = order

    def _shuffle(self, number: int) -> np.ndarray:
        places = np.random.default_rng([self.seed, number]).permutation(self._pairs.max() + 1)
        return np.argsort(places[self._pairs], kind="stable")

    def on_epoch_end(self) -> None:
        """Go on to the next epoch; Keras calls it."""
        self.set_epoch(self.epoch + 1)

    def __getstate__(self) -> dict:
        """Leave the threads behind: on another machine batches are made when they are asked for."""
        return self.__dict__ | {"_executor": None, "_ahead": {}}

    def __len__(self) -> int:
        return count_batches(self.n_served, self.batch_size, self.least)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        if self._executor is None:
            return self._make_batch(index, self._order, self.epoch)
        for number in range(index, min(index + BATCHES_AHEAD, len(self))):
            if number not in self._ahead:
                job = self._executor.submit(self._make_batch, number, self._order, self.epoch)
                self._ahead[number] = job
        return self._ahead.pop(index).result()

    def _make_batch(self, index: int, order: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        rows = order[batch_rows(index, len(self), self.batch_size)]
        seeds = [
            int(np.random.SeedSequence([self.seed, epoch, pair]).generate_state(1)[0])
            for pair in self._pairs[rows]
        ]
        images = np.stack([self.load(int(row), seed) for row, seed in zip(rows, seeds)])
        return images, self.labels[rows]

    def load(self, row: int, seed: int) -> np.ndarray:
        """Make one sample; subclasses do."""
        raise TypeError(f"{type(self).__name__} does not say how to load a sample")


def count_batches(n_rows: int, batch_size: int, least: int = 1) -> int:
    """Count batches; a rest of less than ``least`` rows is no batch of its own."""
    n_whole, rest = divmod(n_rows, batch_size)
    return max(1, n_whole + (rest >= least))


def batch_rows(index: int, n_batches: int, batch_size: int) -> slice:
    """Return the places of a batch's rows; the last batch takes all that are left."""
    return slice(index * batch_size, (index + 1) * batch_size if index + 1 < n_batches else None)


class ArraySequence(keras.utils.PyDataset):
    """Batches of arrays in memory, such as cached features, in an order of their own for every epoch.

    Keras would shuffle them by a generator that goes on from epoch to epoch, so that a resumed run
    would see another order than an undisturbed one.

    Parameters
    ----------
    samples, labels : numpy.ndarray, shape=(n, ...) and (n,)
    batch_size : int
    seed : int
    """

    least = 1  # as of `ManifestSequence`

    def __init__(self, samples: np.ndarray, labels: np.ndarray, batch_size: int = 32, seed: int = 42):
        super().__init__(workers=1, use_multiprocessing=False)
        if not len(samples):
            raise InputError("samples", "has no rows to make batches of")
        self.samples, self.labels, self.n_served = samples, labels, len(samples)
        self.batch_size, self.seed = batch_size, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is served."""
        self.epoch = epoch
        self._order = np.random.default_rng([self.seed, epoch]).permutation(len(self.samples))

    def on_epoch_end(self) -> None:
        """Go on to the next epoch; Keras calls it."""
        self.set_epoch(self.epoch + 1)

    def __len__(self) -> int:
        return count_batches(len(self.samples), self.batch_size, self.least)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._order[batch_rows(index, len(self), self.batch_size)]
        return self.samples[rows], self.labels[rows]
