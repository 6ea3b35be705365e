"""Search the head's hyper-parameters on cached features, by Optuna, resumable and in parallel."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pandas as pd

from dfutils.backend import keras
from dfutils.cluster import n_workers
from dfutils.errors import InputError
from dfutils.jobs import run_jobs
from dfutils.metrics import auc
from dfutils.models import ModelConfig, build_head_model, compile_model
from dfutils.search_study import open_study, run_trials

# name: (low, high) of a logarithmic or linear range, or the choices
LEARNING_RATES, L2S, DROPOUTS = (1e-4, 1e-2), (1e-6, 1e-2), (0.1, 0.6)
HIDDEN_UNITS, SCALES, MARGINS = (32, 64, 128, 256, 512), (2.0, 4.0, 16.0, 64.0), (0.25, 0.35)

Features = tuple[np.ndarray, np.ndarray]


def search_head(
    train: Features,
    validation: Features,
    config: ModelConfig,
    heads: tuple[str, ...] = ("softmax", "lmcl"),
    n_trials: int = 30,
    epochs: int = 30,
    storage: str | os.PathLike | None = None,
    seed: int = 42,
    progress: bool = True,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Train many heads on the features of a frozen backbone; maximise the validation AUC.

    The loss cannot be the yardstick between softmax and LMCL: it has another meaning in each.

    Parameters
    ----------
    train, validation : tuple of numpy.ndarray
        Features, shape=(n, n_features), float32, and labels, shape=(n,).
    config : ModelConfig
        What is not searched is taken from it.
    heads : tuple of str
        Each gets ``n_trials``.
    n_trials : int
    epochs : int
        At most, per trial; stops after five epochs without a better validation loss.
    storage : str or os.PathLike, optional
        See `dfutils.search_study.open_study`: a second run takes up finished trials, and several
        processes and machines that are given the same one share the trials between them.
    seed : int
    progress : bool
    n_jobs : int
        Processes; each starts the backend anew, in some ten seconds. Under
        `dfutils.cluster.on_cluster` every worker takes part instead. More than one tell Optuna's
        sampler less about each other: which trials come next depends on who was faster.

    Returns
    -------
    pandas.DataFrame
        One row per trial: ``head``, ``number``, ``pruned``, ``auc`` (at its last epoch, if pruned),
        ``val_loss``, ``epochs`` and the parameters; best first, pruned ones last.

    Raises
    ------
    InputError
        There is nothing to try, or several processes and no ``storage`` to share.

    References
    ----------
    .. [1] Akiba et al.: Optuna: a next-generation hyperparameter optimization framework, KDD 2019.
    """
    if n_trials < 1 or not heads:
        raise InputError(
            "n_trials", f"at least one trial of at least one head is needed, got {n_trials}, {heads}"
        )
    n_jobs = n_workers() or n_jobs
    if n_jobs > 1 and storage is None:
        raise InputError("storage", f"{n_jobs} processes need one to share")
    tables = []
    for head in heads:
        part = (train, validation, config, head, n_trials, epochs, storage, seed)
        if n_workers() or n_jobs > 1:
            rows = list(run_jobs(_take_part, [part] * n_jobs, n_jobs))[-1]
        else:
            rows = _take_part(*part, progress)
        tables += rows
    table = pd.DataFrame(tables).sort_values(["pruned", "auc"], ascending=[True, False], kind="stable")
    return table.reset_index(drop=True)


def _take_part(
    train, validation, config, head, n_trials, epochs, storage, seed, progress=False
) -> list[dict]:
    """Run trials of one head until there are enough of them; returns a row for each, whoever ran it."""
    study = open_study(config, head, storage, seed)

    def objective(trial) -> float:
        keras.utils.set_random_seed(seed + trial.number)
        value, val_loss, n_epochs = _run_trial(trial, head, config, train, validation, epochs)
        trial.set_user_attr("val_loss", val_loss)
        trial.set_user_attr("epochs", n_epochs)
        return value

    run_trials(study, objective, n_trials, seed, progress)
    return [
        {
            "head": head,
            "number": trial.number,
            "pruned": trial.state.name == "PRUNED",
            "auc": trial.value,
            **{name: value for name, value in trial.user_attrs.items() if name != "process"},
            **trial.params,
        }
        for trial in study.trials
        if trial.state.name in ("COMPLETE", "PRUNED")
    ]


def config_of(row: pd.Series, config: ModelConfig) -> ModelConfig:
    """Return the configuration of one row of the table of trials."""
    names = ("dropout", "hidden_units", "l2", "scale", "margin")
    chosen = {name: row[name] for name in names if name in row and pd.notna(row[name])}
    if "hidden_units" in chosen:
        chosen["hidden_units"] = int(chosen["hidden_units"])
    return replace(config, head=row["head"], **chosen)


def _run_trial(
    trial, head: str, config: ModelConfig, train, validation, epochs: int
) -> tuple[float, float, int]:
    config = replace(
        config,
        head=head,
        dropout=trial.suggest_float("dropout", *DROPOUTS),
        hidden_units=trial.suggest_categorical("hidden_units", HIDDEN_UNITS),
        l2=trial.suggest_float("l2", *L2S, log=True),
        **(
            {
                "scale": trial.suggest_categorical("scale", SCALES),
                "margin": trial.suggest_categorical("margin", MARGINS),
            }
            if head == "lmcl"
            else {}
        ),
    )
    learning_rate = trial.suggest_float("learning_rate", *LEARNING_RATES, log=True)
    return train_head(config, learning_rate, train, validation, epochs, _Prune(trial, validation))


def train_head(
    config: ModelConfig, learning_rate: float, train: Features, validation: Features, epochs: int, *callbacks
) -> tuple[float, float, int]:
    """Train one head with early stopping; returns validation AUC, best validation loss, epochs run."""
    model = compile_model(build_head_model(config, train[0].shape[1]), config, learning_rate)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True)
    history = model.fit(
        *train,
        validation_data=validation,
        batch_size=32,
        epochs=epochs,
        callbacks=[*callbacks, stop],
        verbose=0,
    )
    value = _safe_auc(model, validation)
    return value, float(np.min(history.history["val_loss"])), len(history.history["loss"])


class _Prune(keras.callbacks.Callback):
    """Report the validation AUC of every epoch, and give up where Optuna says so."""

    def __init__(self, trial, validation: Features):
        super().__init__()
        self._trial, self._validation = trial, validation

    def on_epoch_end(self, epoch, logs=None):
        import optuna

        self._trial.report(_safe_auc(self.model, self._validation), epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def _safe_auc(model: keras.Model, validation: Features) -> float:
    """AUC; .5 for a head that diverged."""
    margins = margins_of(model, validation[0])
    return auc(validation[1], margins) if np.isfinite(margins).all() and np.ptp(margins) > 0 else 0.5


def margins_of(model: keras.Model, features: np.ndarray) -> np.ndarray:
    """Logit margins (fake minus real) of a head, shape=(n,), float64."""
    # called, not predict(): that would trace a function anew for each of hundreds of models
    logits = keras.ops.convert_to_numpy(model(features, training=False)).astype(np.float64)
    return logits[:, 1] - logits[:, 0]
