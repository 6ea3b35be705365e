"""Fit, predict and cache: resumable training, logit margins, features of a frozen backbone."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.backend import keras
from dfutils.batches import ArraySequence, ManifestSequence
from dfutils.checkpoints import Checkpoint
from dfutils.distribution import n_devices, share_batches
from dfutils.errors import InputError
from dfutils.models import ModelConfig, compile_model, unfreeze, warm_up_and_cosine
from dfutils.paths import atomic_path


class _EpochOfData(keras.callbacks.Callback):
    """Tell the loader which epoch it is, so that a resumed run goes on with its own random numbers."""

    def __init__(self, data):
        super().__init__()
        self._data = data

    def on_epoch_begin(self, epoch, logs=None):
        if isinstance(self._data, ManifestSequence | ArraySequence) and self._data.epoch != epoch:
            self._data.set_epoch(epoch)


def fit(
    model: keras.Model,
    train,
    validation,
    epochs: int,
    folder: str | os.PathLike,
    patience: int | None = 5,
    monitor: str = "val_loss",
    class_weight: dict[int, float] | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train with early stopping, best weights restored, a checkpoint after every epoch.

    Called again with the same folder after an interruption, a power cut included, it goes on with the
    epoch that was under way, and ends with the weights that an undisturbed run would have had: bit
    for bit on the same machine and the TensorFlow backend's CPU; after it has finished, it loads the
    result without training.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    train, validation
        A `dfutils.batches.ManifestSequence`, or a tuple of cached features and labels.
    epochs : int
        At most.
    folder : str or os.PathLike
        Gets ``history.csv``, ``best.weights.h5``, ``done.json`` and, while running, ``state.npz``.
    patience : int or None
        Epochs without improvement of ``monitor`` before stopping; None never stops early.
    monitor : str
        A validation quantity; higher is better for names with "auc" or "acc".
    class_weight : dict, optional
    progress : bool
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row per epoch: ``epoch``, ``loss``, ``val_loss``, ...

    Raises
    ------
    InputError
        The monitored quantity was never finite.
    StorageError
        A checkpoint cannot be written; called again with room on the disk, it goes on.
    """
    folder = Path(folder)
    best, done = folder / "best.weights.h5", folder / "done.json"
    if done.exists():
        _load_quietly(model, best)
        return pd.read_csv(folder / "history.csv")
    mode = "max" if "auc" in monitor or "acc" in monitor else "min"
    stopping = patience is not None and keras.callbacks.EarlyStopping(monitor, patience=patience, mode=mode)
    checkpoint = Checkpoint(folder, monitor, mode, epochs, stopping or None)
    state = checkpoint.restore(model)
    if not state.finished:
        data, validation = (
            ArraySequence(*given) if isinstance(given, tuple) else given for given in (train, validation)
        )
        for each in (data, validation):
            share_batches(each, n_devices(model))
        callbacks = [_EpochOfData(data), keras.callbacks.TerminateOnNaN()]
        callbacks += [stopping, checkpoint] if stopping else [checkpoint]
        if progress:
            from tqdm.keras import TqdmCallback

            callbacks.append(TqdmCallback(epochs=epochs, verbose=0))
        model.fit(
            data, validation_data=validation, epochs=epochs, initial_epoch=len(state.rows),
            callbacks=callbacks, class_weight=class_weight, verbose=0,
            shuffle=False,  # loaders order themselves, by seed and epoch
        )  # fmt: skip
    if state.best is None:
        checkpoint.discard()
        raise InputError(folder, f"training gave no finite {monitor}; try a lower learning rate")
    history = checkpoint.write_history()
    _load_quietly(model, best)
    with atomic_path(done) as temporary:
        temporary.write_text(json.dumps({"epochs": len(history)}))
    checkpoint.discard()
    return history


def fine_tune(
    model: keras.Model,
    config: ModelConfig,
    train: ManifestSequence,
    validation: ManifestSequence,
    epochs: int,
    folder: str | os.PathLike,
    learning_rate: float,
    optimizer: str = "adam",
    warm_up: float = 0.1,
    train_batch_norm: bool = False,
    patience: int | None = None,
    class_weight: dict[int, float] | None = None,
) -> pd.DataFrame:
    """Let all layers learn, with warm-up and cosine decay; keep the epoch of the best validation AUC.

    Parameters
    ----------
    model : keras.Model
        As built by `dfutils.models.build_model`.
    config : dfutils.models.ModelConfig
        Of it.
    train, validation : ManifestSequence
    epochs : int
    folder : str or os.PathLike
        See `fit`, also for ``patience`` and ``class_weight``.
    learning_rate : float
        Peak.
    optimizer : {"rmsprop", "adam", "adamw"}
    warm_up : float
        Share of all steps, 0..1.
    train_batch_norm : bool
        See `dfutils.models.unfreeze`.

    Returns
    -------
    pandas.DataFrame
        See `fit`.
    """
    unfreeze(model, train_batch_norm)
    schedule = warm_up_and_cosine(learning_rate, epochs * len(train), warm_up)
    compile_model(model, config, schedule, optimizer)
    return fit(model, train, validation, epochs, folder, patience, "val_auc", class_weight)


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and the Keras backend."""
    keras.utils.set_random_seed(seed)


def predict_logits(model: keras.Model, data, progress: bool = True) -> np.ndarray:
    """Compute logit margins (fake minus real).

    Parameters
    ----------
    model : keras.Model
        Two logits per sample.
    data : dfutils.batches.ManifestSequence or numpy.ndarray
        Not shuffled.
    progress : bool

    Returns
    -------
    numpy.ndarray, shape=(n,), float64
        In the order of the manifest.
    """
    if getattr(data, "shuffle", False):
        raise InputError("data", "is shuffled: predictions would not match the manifest's rows")
    if isinstance(data, ManifestSequence):
        share_batches(data, n_devices(model))
    callbacks = []
    if progress and hasattr(data, "__len__") and not isinstance(data, np.ndarray):
        callbacks.append(PredictBar(len(data)))
    logits = model.predict(data, verbose=0, callbacks=callbacks)
    return np.asarray(logits[:, 1], np.float64) - logits[:, 0]


class PredictBar(keras.callbacks.Callback):
    """Progress bar of ``keras.Model.predict``."""

    def __init__(self, n_batches: int):
        super().__init__()
        self._n_batches = n_batches

    def on_predict_begin(self, logs=None):
        """Open the bar."""
        self._bar = tqdm(total=self._n_batches, desc="predict", unit="batch")

    def on_predict_batch_end(self, batch, logs=None):
        """Move it on."""
        self._bar.update()

    def on_predict_end(self, logs=None):
        """Close it."""
        self._bar.close()


def _load_quietly(model: keras.Model, path: Path) -> None:
    from dfutils.bundles import load_weights

    load_weights(model, path)


def run_folder(
    root: str | os.PathLike, name: str, train: pd.DataFrame, validation: pd.DataFrame, **settings
) -> Path:
    """Name the folder of a training run after all that decides its result.

    Anything else than the same data and settings gets another folder, so that a finished run is
    taken up again only where it would come out the same.

    Parameters
    ----------
    root : str or os.PathLike
    name : str
        Beginning of the folder's name.
    train, validation : pandas.DataFrame
        Manifests; repeated rows count.
    **settings
        Everything else, as JSON can hold it.
    """
    key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for table in (train, validation):
        key.update("\n".join(f"{row.path} {row.label}" for row in table.itertuples()).encode())
    return Path(root) / "training" / f"{name}-{key.hexdigest()[:12]}"
