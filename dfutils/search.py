"""Search the head's hyper-parameters on cached features, by Optuna, resumable and in parallel."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from dfutils.backend import keras
from dfutils.errors import InputError
from dfutils.metrics import auc
from dfutils.models import ModelConfig, build_head_model, compile_model

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
        SQLite file: a second run takes up finished trials, several processes may share it.
    seed : int
    progress : bool

    Returns
    -------
    pandas.DataFrame
        One row per trial: ``head``, ``number``, ``auc``, ``val_loss``, ``epochs`` and the parameters; best
        first.

    References
    ----------
    .. [1] Akiba et al.: Optuna: a next-generation hyperparameter optimization framework, KDD 2019.
    """
    import optuna

    if n_trials < 1 or not heads:
        raise InputError(
            "n_trials", f"at least one trial of at least one head is needed, got {n_trials}, {heads}"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage is not None:
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
    tables = []
    for head in heads:
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
            storage=None if storage is None else f"sqlite:///{Path(storage).absolute()}",
            study_name=f"{config.kind}-{config.backbone}-{head}",
            load_if_exists=True,
        )

        def objective(trial, head=head) -> float:
            keras.utils.set_random_seed(seed + trial.number)
            value, val_loss, n_epochs = _run_trial(trial, head, config, train, validation, epochs)
            trial.set_user_attr("val_loss", val_loss)
            trial.set_user_attr("epochs", n_epochs)
            return value

        complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
        if len(complete) < n_trials:
            study.optimize(objective, n_trials=n_trials - len(complete), show_progress_bar=progress)
        tables += [
            {"head": head, "number": trial.number, "auc": trial.value, **trial.user_attrs, **trial.params}
            for trial in study.trials
            if trial.state.name == "COMPLETE"
        ]
    return pd.DataFrame(tables).sort_values("auc", ascending=False, kind="stable").reset_index(drop=True)


def config_of(row: pd.Series, config: ModelConfig) -> ModelConfig:
    """Return the configuration of one row of the table of trials."""
    names = ("dropout", "hidden_units", "l2", "scale", "margin")
    chosen = {name: row[name] for name in names if name in row and pd.notna(row[name])}
    if "hidden_units" in chosen:
        chosen["hidden_units"] = int(chosen["hidden_units"])
    return replace(config, head=row["head"], **chosen)


def find_border(row: pd.Series) -> list[str]:
    """Name the parameters of a trial that lie on the border of the search space.

    A best trial on the border means that the space was too small there. For logarithmic and
    linear ranges, the outer 5 % count as border.
    """
    found = []
    for name, (low, high), scale in (
        ("learning_rate", LEARNING_RATES, np.log),
        ("l2", L2S, np.log),
        ("dropout", DROPOUTS, float),
    ):
        place = (scale(row[name]) - scale(low)) / (scale(high) - scale(low))
        if not 0.05 <= place <= 0.95:
            found.append(name)
    for name, choices in (("hidden_units", HIDDEN_UNITS), ("scale", SCALES)):
        if name in row and pd.notna(row[name]) and row[name] in (choices[0], choices[-1]):
            found.append(name)
    return found


def shuffled_control(
    train: Features,
    validation: Features,
    config: ModelConfig,
    learning_rate: float,
    n_repeats: int = 10,
    seed: int = 42,
) -> list[float]:
    """Train on shuffled labels, which nothing can be learnt from; returns the validation AUCs.

    Their mean must lie near .5. If it does not, something else than the pictures tells the labels.
    """
    values = []
    for repeat in range(n_repeats):
        labels = np.random.default_rng([seed, repeat]).permutation(train[1])
        keras.utils.set_random_seed(seed + repeat)
        model = compile_model(build_head_model(config, train[0].shape[1]), config, learning_rate)
        model.fit(train[0], labels, batch_size=32, epochs=10, verbose=0)
        values.append(auc(validation[1], _margins(model, validation[0])))
    return values


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
    model = compile_model(build_head_model(config, train[0].shape[1]), config, learning_rate)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True)
    history = model.fit(
        *train, validation_data=validation, batch_size=32, epochs=epochs, callbacks=[stop], verbose=0
    )
    margins = _margins(model, validation[0])
    value = auc(validation[1], margins) if np.isfinite(margins).all() and np.ptp(margins) > 0 else 0.5
    return value, float(np.min(history.history["val_loss"])), len(history.history["loss"])


def _margins(model: keras.Model, features: np.ndarray) -> np.ndarray:
    # called, not predict(): that would trace a function anew for each of hundreds of models
    logits = keras.ops.convert_to_numpy(model(features, training=False)).astype(np.float64)
    return logits[:, 1] - logits[:, 0]
