"""What each ingredient of training buys: the same short budget for each variant, judged on validation.

A variant is chosen by a rule that is fixed before anything is trained: the mean of two validation
AUCs, one against the dataset's own fakes and one against plain face swaps (`dfutils.swaps`), a method
that no variant trains on. The `unseen` split is scored too, to be looked at, never to choose by.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from dfutils import metrics, models, training
from dfutils.backend import keras
from dfutils.calibration import Calibration, fit_calibration
from dfutils.datasets import FaceSequence
from dfutils.errors import InputError
from dfutils.landmarks import find_landmarks
from dfutils.paths import atomic_path
from dfutils.sampling import add_made_fakes
from dfutils.swaps import make_swaps


@dataclass(frozen=True)
class Variant:
    """One way of training the picture model.

    Attributes
    ----------
    name : str
    augmentation : str
        One of `dfutils.augment.FACE_PIPELINES`.
    made_share : float
        Of the fakes that are made from reals, 0..1.
    kinds : dict
        How often each made kind comes up; see `dfutils.sampling.add_made_fakes`. Empty: its default.
    head : {"softmax", "lmcl"}
    paired : bool
        Keep a fake and its real in one batch, treated alike.
    soften_reals : float
        See `dfutils.datasets.FaceSequence`.
    """

    name: str
    augmentation: str = "robust"
    made_share: float = 0.5
    kinds: dict = field(default_factory=dict)
    head: str = "softmax"
    paired: bool = True
    soften_reals: float = 0.0


VARIANTS = (
    Variant("dataset's fakes, flips only", "flip", 0.0),
    Variant("dataset's fakes, thesis augmentation", "thesis", 0.0),
    Variant("dataset's fakes, robust augmentation", "robust", 0.0),
    Variant("half warped (FWA)", kinds={"warp": 1.0}),
    Variant("half self-blended", kinds={"self-blend": 1.0}),
    Variant("half mixed"),
    Variant("half mixed, not paired", paired=False),
    Variant("half mixed, reals softened", soften_reals=0.3),
    Variant("three quarters mixed, reals softened", made_share=0.75, soften_reals=0.3),
    Variant("all mixed, reals softened", made_share=1.0, soften_reals=0.3),
    Variant("half mixed, reals softened, LMCL", head="lmcl", soften_reals=0.3),
)


def prepare(
    faces: pd.DataFrame, work: str | os.PathLike, seed: int
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Split a manifest, find landmarks, and make the face swaps; returns what `compare` takes."""
    splits = {
        name: faces[faces["split"] == name].reset_index(drop=True) for name in ("train", "val", "unseen")
    }
    paths = sorted({*splits["train"]["path"], *splits["val"]["path"]})
    landmarks = find_landmarks(paths, Path(work) / "landmarks.csv")
    splits["swaps"] = make_swaps(splits["val"], landmarks, Path(work) / "swaps", seed)
    return splits, landmarks


def rank(table: pd.DataFrame) -> pd.DataFrame:
    """Average the seeds of `compare`'s table and sort by the rule; the first row is chosen."""
    columns = ["auc", "swap_auc", "mean_auc", "log_loss", "unseen_auc"]
    means = table.groupby("variant", sort=False)[columns].mean()
    return means.sort_values("mean_auc", ascending=False, kind="stable")


def compare(
    splits: dict[str, pd.DataFrame],
    landmarks: pd.DataFrame,
    config: models.ModelConfig,
    folder: str | os.PathLike,
    variants: tuple[Variant, ...] = VARIANTS,
    seeds: Sequence[int] = (42,),
    **budget,
) -> pd.DataFrame:
    """Train each variant with each seed; results that exist are taken up.

    Parameters
    ----------
    splits : dict of pandas.DataFrame
        Manifests: ``"train"``, ``"val"``, ``"swaps"`` (see `dfutils.swaps.make_swaps`, of the
        validation's reals) and ``"unseen"``, which may be empty.
    landmarks : pandas.DataFrame
        See `dfutils.landmarks.find_landmarks`.
    config : ModelConfig
        Its head is replaced by the variant's.
    folder : str or os.PathLike
        Gets one JSON file per variant and seed.
    variants : tuple of Variant
    seeds : sequence of int
    **budget
        ``epochs``, ``samples_per_epoch``, ``learning_rate``, ``batch_size``, ``weights``: the same for all.

    Returns
    -------
    pandas.DataFrame
        One row per variant and seed: ``auc`` and its interval, ``log_loss``, ``swap_auc``,
        ``mean_auc`` (what is chosen by), ``unseen_auc``, ``seconds``.
    """
    rows = []
    for seed in seeds:
        for variant in variants:
            run = training.run_folder(
                folder,
                "ablation",
                splits["train"],
                splits["val"],
                variant=asdict(variant),
                config=config.to_dict(),
                seed=seed,
                **budget,
            )
            result = take_up(
                run.with_suffix(".json"),
                lambda: train_variant(variant, splits, landmarks, config, seed, **budget),  # noqa: B023
            )
            rows.append({"variant": variant.name, "seed": seed, **result})
            print(f"{variant.name}, seed {seed}: {rows[-1]['mean_auc']:.3f}")
    return pd.DataFrame(rows)


def take_up(path: Path, make: Callable[[], dict]) -> dict:
    """Read the result in a JSON file, or make it and write it there."""
    if not path.exists():
        result = make()
        keras.utils.clear_session()  # else what each model leaves behind piles up, a gigabyte a time
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(result))
    return json.loads(path.read_text())


def train_variant(
    variant: Variant,
    splits: dict[str, pd.DataFrame],
    landmarks: pd.DataFrame,
    config: models.ModelConfig,
    seed: int,
    epochs: int = 3,
    samples_per_epoch: int = 4000,
    learning_rate: float = 3e-4,
    batch_size: int = 32,
    weights: str = "auto",
) -> dict:
    """Train one variant from the pretrained backbone, all weights, and score it; see `compare`."""
    missing = {"train", "val", "swaps", "unseen"} - set(splits)
    if missing:
        raise InputError("splits", f"lack {sorted(missing)}")
    start = time.monotonic()
    training.set_seed(seed)
    train, points = add_made_fakes(
        splits["train"], landmarks, variant.made_share, seed, variant.kinds or None
    )
    if not variant.paired:
        train = train.drop(columns="pair")
    config = replace(config, head=variant.head)
    model = models.build_model(config, weights)
    models.unfreeze(model, train_batch_norm=True)
    data = FaceSequence(
        train, config.size_hw, variant.augmentation, points, variant.soften_reals, batch_size=batch_size,
        shuffle=True, seed=seed, samples_per_epoch=samples_per_epoch,
    )  # fmt: skip
    schedule = models.warm_up_and_cosine(learning_rate, epochs * len(data))
    models.compile_model(model, config, schedule, "adamw")
    model.fit(data, epochs=epochs, verbose=0, shuffle=False)
    logits = {
        name: training.predict_logits(
            model, FaceSequence(table, config.size_hw, batch_size=64), progress=False
        )
        for name, table in splits.items()
        if name != "train" and len(table)
    }
    labels = splits["val"]["label"]
    skilled = metrics.auc(labels, logits["val"]) > 0.5  # else there is nothing to calibrate
    p_fake = (fit_calibration(labels, logits["val"]) if skilled else Calibration()).p_fake(logits["val"])
    scores = metrics.evaluate(labels, p_fake, clusters=splits["val"]["person"], seed=seed)
    real_logits = logits["val"][labels.to_numpy() == 0]
    swap_auc = metrics.auc(
        np.r_[np.zeros(len(real_logits)), np.ones(len(logits["swaps"]))].astype(int),
        np.r_[real_logits, logits["swaps"]],
    )
    unseen = metrics.auc(splits["unseen"]["label"], logits["unseen"]) if "unseen" in logits else None
    return {
        **{name: scores[name] for name in ("auc", "auc_low", "auc_high", "log_loss")},
        "swap_auc": swap_auc,
        "mean_auc": (scores["auc"] + swap_auc) / 2,
        "unseen_auc": unseen,
        "seconds": round(time.monotonic() - start, 1),
    }
