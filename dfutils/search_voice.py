"""The thesis' search, for voices: many heads on a frozen backbone's features of few clips."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from dfutils import training
from dfutils.datasets import LfccSequence
from dfutils.features import adapt_batch_norm, backbone_features
from dfutils.manifest import subset
from dfutils.models import ModelConfig, build_model
from dfutils.sampling import random_under_sample
from dfutils.search import search_head
from dfutils.voice_input import VoiceInput


def search_voices(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    config: ModelConfig,
    voice_input: VoiceInput,
    work: str | os.PathLike,
    n_trials: int = 40,
    weights: str = "auto",
    n_samples: tuple[int, int] = (500, 100),
    seed: int = 42,
    progress: bool = True,
) -> pd.DataFrame:
    """Search softmax and LMCL heads on cached features of clips, both classes alike; resumable.

    Parameters
    ----------
    train, validation : pandas.DataFrame
        Of clips; thinned to as many bona fide ones as spoofs (RUS), then to ``n_samples``.
    config : dfutils.models.ModelConfig
        What is not searched is taken from it.
    voice_input : dfutils.voice_input.VoiceInput
    work : str or os.PathLike
        Gets the features and the trials.
    n_trials : int
        Of each head.
    weights : str
        Of the backbone, see `dfutils.models.build_model`.
    n_samples : tuple of int
        Of training and of validation, at most.
    seed : int
    progress : bool

    Returns
    -------
    pandas.DataFrame
        See `dfutils.search.search_head`.
    """
    tables = [
        subset(random_under_sample(table, seed), n, seed) for table, n in zip((train, validation), n_samples)
    ]
    training.set_seed(seed)
    model = build_model(config, weights)
    if weights == "random":
        adapt_batch_norm(model, LfccSequence(tables[0], voice_input, shuffle=True, seed=seed))
    features = [
        backbone_features(model, LfccSequence(table, voice_input), Path(work) / "features", progress)
        for table in tables
    ]
    settings = {"config": config.to_dict(), "voice_input": voice_input.to_dict(), "weights": weights}
    folder = training.run_folder(work, "voice-search", *tables, seed=seed, **settings)
    return search_head(
        *features, config, n_trials=n_trials, storage=folder / "trials.journal", seed=seed, progress=progress
    )
