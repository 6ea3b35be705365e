"""What each ingredient of the voice model buys, judged on ways of synthesis that no variant trains on.

The rule is fixed before anything is trained: a variant is chosen by its mean AUC over the `HELD_OUT`
methods, in voices of validation speakers. The unseen systems of the evaluation take no part.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from dfutils import metrics, models, training
from dfutils.ablation import take_up
from dfutils.datasets import LfccSequence
from dfutils.errors import InputError
from dfutils.evaluation import predict_voices
from dfutils.sampling import compose_voices
from dfutils.voice_input import VoiceInput
from dfutils.voice_views import ViewSequence

BANDS = VoiceInput("bands", 2.0, (80, 201), 80, (60.0, 7000.0))
THESIS = VoiceInput("static", 0.0, (128, 128), 20, (0.0, 8000.0))
THESIS_FRAGMENTS = VoiceInput("dynamic", 1.0, (128, 128), 20, (0.0, 8000.0))
THESIS_ALL = VoiceInput("all", 0.0, (128, 128), 20, (0.0, 8000.0))
# one neural codec or vocoder, joined diphones, and one copy of each family of ours
HELD_OUT = (
    "COPY_hifigan", "TTS_DIPHONE", "copy-psola", "copy-joins", "copy-mel-images", "copy-harmonic",
    "copy-world-flat",
)  # fmt: skip


@dataclass(frozen=True)
class VoiceVariant:
    """One way of training the voice model.

    Attributes
    ----------
    name : str
    voice_input : VoiceInput
    copies, given : bool
        Train on vocoded copies, on the corpus' own spoofs.
    channels : bool
        Random channels, for both classes alike.
    paired : bool
        Keep a spoof and its original in one batch, treated alike.
    warp : float
        See `dfutils.voice_views.ViewSequence`.
    frozen : bool
        Train the head alone, on the pretrained backbone's features.
    head : {"softmax", "lmcl"}
    """

    name: str
    voice_input: VoiceInput = BANDS
    copies: bool = True
    given: bool = True
    channels: bool = True
    paired: bool = True
    warp: float = 0.0
    frozen: bool = False
    head: str = "softmax"


VARIANTS = (
    VoiceVariant("static LFCC, given spoofs", THESIS, copies=False, paired=False),
    VoiceVariant("static LFCC, given and copies", THESIS),
    VoiceVariant("dynamic LFCC of 1 s, given and copies", THESIS_FRAGMENTS),
    VoiceVariant("all 60 LFCC, given and copies", THESIS_ALL),
    VoiceVariant("bands, given spoofs", copies=False),
    VoiceVariant("bands, copies", given=False),
    VoiceVariant("bands, given and copies"),
    VoiceVariant("bands, given and copies, not paired", paired=False),
    VoiceVariant("bands, given and copies, one channel", channels=False),
    VoiceVariant("bands, given and copies, frozen backbone", frozen=True),
    VoiceVariant("bands, given and copies, LMCL", head="lmcl"),
    VoiceVariant("bands, given and copies, warped", warp=0.15),
)


def compare(
    clips: pd.DataFrame,
    views: str | os.PathLike,
    folder: str | os.PathLike,
    variants: tuple[VoiceVariant, ...] = VARIANTS,
    seeds: Sequence[int] = (42,),
    channel: dict | None = None,
    **budget,
) -> pd.DataFrame:
    """Train each variant with each seed; results that exist are taken up.

    Parameters
    ----------
    clips : pandas.DataFrame
        Of the splits "train" and "val", vocoded copies among them.
    views : str or os.PathLike
        Of all of them, made for `BANDS` (`dfutils.voice_views.make_views`).
    folder : str or os.PathLike
        Gets one JSON file per variant and seed.
    variants : tuple of VoiceVariant
    seeds : sequence of int
    channel : dict, optional
        ``impulse_responses``, ``noises`` and ``strength`` that the views were made with, for the
        variants that do not read views: all hear the same channels.
    **budget
        See `train_variant`; the same for all.

    Returns
    -------
    pandas.DataFrame
        One row per variant and seed: ``held_out_auc`` (mean over `HELD_OUT`; what is chosen by),
        ``known_auc`` (against the other methods), ``seconds``, and the AUC against each method.
    """
    train, validation = (clips[clips["split"] == split].reset_index(drop=True) for split in ("train", "val"))
    rows = []
    for seed in seeds:
        for variant in variants:
            settings = {"variant": asdict(variant), "held_out": HELD_OUT, "seed": seed, **budget}
            settings |= {"views": Path(views).name, "channel": channel}
            run = training.run_folder(folder, "voice-ablation", train, validation, **settings)
            result = take_up(
                run.with_suffix(".json"),
                lambda: train_variant(variant, train, validation, views, seed, channel, **budget),  # noqa: B023
            )
            rows.append({"variant": variant.name, "seed": seed, **result})
            print(f"{variant.name}, seed {seed}: {result['held_out_auc']:.3f}")
    return pd.DataFrame(rows)


def train_variant(
    variant: VoiceVariant,
    train: pd.DataFrame,
    validation: pd.DataFrame,
    views: str | os.PathLike,
    seed: int,
    channel: dict | None = None,
    epochs: int = 3,
    samples_per_epoch: int = 4000,
    learning_rate: float = 1e-3,
    batch_size: int = 32,
    weights: str = "auto",
    given_repeats: int = 12,
    clips_per_method: int = 40,
) -> dict:
    """Train one variant from the pretrained backbone and score it; see `compare`."""
    start = time.monotonic()
    training.set_seed(seed)
    is_copy = train["method"].str.startswith("copy-")
    is_given = (train["label"] == 1) & ~is_copy
    left_out = (is_copy & (not variant.copies)) | (is_given & (not variant.given))
    learnt = compose_voices(train[~left_out], seed, given_repeats, HELD_OUT)
    if not variant.paired:
        learnt = learnt.drop(columns="pair")
    config = models.ModelConfig("audio", "MobileNetV2", variant.voice_input.size_hw, variant.head, 0, 0.3)
    model = models.build_model(replace(config, scale=10.0), weights)
    if not variant.frozen:
        models.unfreeze(model, train_batch_norm=True)
    options = {
        "batch_size": batch_size,
        "shuffle": True,
        "seed": seed,
        "samples_per_epoch": samples_per_epoch,
    }
    if variant.voice_input.features == "bands":
        clean = 0.25 if variant.channels else 1.0
        data = ViewSequence(learnt, views, variant.voice_input, clean, variant.warp, **options)
    else:
        data = LfccSequence(
            learnt,
            variant.voice_input,
            "channel" if variant.channels else "none",
            **(channel or {}),
            **options,
        )
    schedule = models.warm_up_and_cosine(learning_rate, epochs * len(data))
    models.compile_model(model, replace(config, scale=10.0), schedule, "adamw")
    model.fit(data, epochs=epochs, verbose=0, shuffle=False)
    groups = validation.groupby("method", sort=True)
    some = pd.concat(
        [
            table if method == "none" else table.sample(min(len(table), clips_per_method), random_state=seed)
            for method, table in groups
        ]
    )
    scores = predict_voices(model, some, variant.voice_input, 3, progress=False)
    return {**summarise(some, scores), "seconds": round(time.monotonic() - start, 1)}


def summarise(table: pd.DataFrame, scores: np.ndarray) -> dict:
    """AUC against each method, their mean over the `HELD_OUT` ones, and over the others."""
    methods, real = table["method"].to_numpy(), scores[table["label"].to_numpy() == 0]
    if not len(real):
        raise InputError("validation", "has no bona fide clips")
    found = {}
    for method in sorted(set(methods[table["label"].to_numpy() == 1])):
        fake = scores[methods == method]
        labels = np.r_[np.zeros(len(real), int), np.ones(len(fake), int)]
        found[method] = metrics.auc(labels, np.r_[real, fake])
    held = [value for method, value in found.items() if method.startswith(HELD_OUT)]
    known = [value for method, value in found.items() if not method.startswith(HELD_OUT)]
    means = {"held_out_auc": float(np.mean(held)), "known_auc": float(np.mean(known))}
    return {**means, "per_method": found}
