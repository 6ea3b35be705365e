"""The state of a training run in one file: a kill at any moment loses no more than the epoch under way.

Keras' own callbacks keep weights, epoch number and history in several files, written one after the other
and in place: killed in between, a resumed run would train an epoch twice, or on half a file. They leave
out the random numbers of dropout and the patience of early stopping, too.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from dfutils.backend import keras
from dfutils.paths import atomic_path, reserve


@dataclass
class TrainingState:
    """How far a run has come, beside its weights.

    Attributes
    ----------
    rows : list of dict
        One per finished epoch, as in ``history.csv``.
    best : float or None
        Of the monitored quantity.
    wait : int
        Epochs since then.
    finished : bool
        No more epochs are to come.
    """

    rows: list[dict] = field(default_factory=list)
    best: float | None = None
    wait: int = 0
    finished: bool = False


class Checkpoint(keras.callbacks.Callback):
    """Keep the best weights, and after every epoch all that the next one depends on.

    Stands behind ``EarlyStopping`` in the list of callbacks.

    Parameters
    ----------
    folder : pathlib.Path
        Gets ``best.weights.h5``, ``state.npz`` and ``history.csv``, each written whole or not at all.
    monitor : str
        A validation quantity.
    mode : {"min", "max"}
    epochs : int
        Of the whole run.
    stopping : keras.callbacks.EarlyStopping, optional
        Whose patience a resumed run takes up where it was.
    """

    def __init__(
        self,
        folder: Path,
        monitor: str,
        mode: str,
        epochs: int,
        stopping: keras.callbacks.EarlyStopping | None = None,
    ):
        super().__init__()
        self.state = TrainingState()
        self._folder, self._monitor, self._sign = folder, monitor, -1 if mode == "max" else 1
        self._epochs, self._stopping = epochs, stopping

    def restore(self, model: keras.Model) -> TrainingState:
        """Put a model where the last finished epoch left it, if there was one."""
        if not (self._folder / "state.npz").exists():
            return self.state
        with np.load(self._folder / "state.npz", allow_pickle=False) as file:
            self.state = TrainingState(**json.loads(str(file["state"])))
            values = [file[f"value{number:04d}"] for number in range(len(file.files) - 1)]
        model.optimizer.build(model.trainable_variables)
        for variable, value in zip(_variables(model), values, strict=True):
            variable.assign(value)
        return self.state

    def on_train_begin(self, logs=None):
        """Take up the patience."""
        if self._stopping is not None and self.state.best is not None:
            self._stopping.best, self._stopping.wait = self.state.best, self.state.wait

    def on_epoch_end(self, epoch, logs=None):
        """Write what the epoch left."""
        row = {name: float(value) for name, value in (logs or {}).items()}
        self.state.rows.append({"epoch": epoch, **dict(sorted(row.items()))})
        value, best = row.get(self._monitor, np.nan), self.state.best
        if np.isfinite(value) and (best is None or self._sign * value < self._sign * best):
            self.state.best, self.state.wait = value, 0
            with atomic_path(self._folder / "best.weights.h5") as temporary:
                reserve(temporary, hdf5_bytes(self.model))
                self.model.save_weights(temporary)
        else:
            self.state.wait += 1
        self.state.finished = self.model.stop_training or epoch + 1 == self._epochs
        # the best weights come first: killed in between, the epoch runs again and they come out the same
        values = [keras.ops.convert_to_numpy(variable) for variable in _variables(self.model)]
        named = {f"value{number:04d}": value for number, value in enumerate(values)}
        with atomic_path(self._folder / "state.npz") as temporary:
            np.savez(temporary, state=json.dumps(vars(self.state)), **named)
        self.write_history()

    def write_history(self) -> pd.DataFrame:
        """Write ``history.csv``, and read it back."""
        with atomic_path(self._folder / "history.csv") as temporary:
            pd.DataFrame(self.state.rows).to_csv(temporary, index=False)
        return pd.read_csv(self._folder / "history.csv")

    def discard(self) -> None:
        """Forget the state: the run is over."""
        (self._folder / "state.npz").unlink(missing_ok=True)


def hdf5_bytes(model: keras.Model) -> int:
    """Estimate, generously, what the weights of a model and its optimizer take on the disk [bytes]."""
    variables = [*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())]
    return 2**16 + sum(2**13 + math.prod(each.shape) * 4 for each in variables)


def _variables(model: keras.Model) -> list:
    """Weights, random states, and what the optimizer has gathered."""
    passing = {id(variable) for variable in model.metrics_variables}  # start anew with each epoch
    lasting = [variable for variable in model.variables if id(variable) not in passing]
    return [*lasting, *model.optimizer.variables]
