"""Doubts about a search: is the best on the border, does it hold with other seeds, is it chance?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from dfutils.backend import keras
from dfutils.metrics import auc
from dfutils.models import ModelConfig, build_head_model, compile_model
from dfutils.search import (
    DROPOUTS,
    HIDDEN_UNITS,
    L2S,
    LEARNING_RATES,
    SCALES,
    Features,
    config_of,
    margins_of,
    train_head,
)


def try_finalists(
    train: Features,
    validation: Features,
    config: ModelConfig,
    trials: pd.DataFrame,
    n_per_head: int = 3,
    n_seeds: int = 5,
    epochs: int = 30,
    seed: int = 42,
) -> pd.DataFrame:
    """Train the best trials of each head again, with several seeds.

    The best of many trials is flattered by having been chosen; a repetition is not.

    Returns
    -------
    pandas.DataFrame
        One row per finalist: ``head``, ``number``, ``search_auc``, ``mean_auc`` and ``deviation`` over the
        seeds; best mean first.
    """
    rows = []
    for row in trials[~trials["pruned"]].groupby("head").head(n_per_head).itertuples():
        row = trials.loc[row.Index]
        values = []
        for repeat in range(n_seeds):
            keras.utils.set_random_seed(seed + 1000 + repeat)
            chosen = config_of(row, config)
            values.append(train_head(chosen, row["learning_rate"], train, validation, epochs)[0])
        rows.append(
            {
                "head": row["head"],
                "number": row["number"],
                "search_auc": row["auc"],
                "mean_auc": np.mean(values),
                "deviation": np.std(values, ddof=1),
            }
        )
    return pd.DataFrame(rows).sort_values("mean_auc", ascending=False, kind="stable").reset_index(drop=True)


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
        values.append(auc(validation[1], margins_of(model, validation[0])))
    return values
