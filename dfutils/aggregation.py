"""From the scores of frames, or of fragments of sound, to one score of the clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dfutils.errors import InputError

if TYPE_CHECKING:  # the detector summarises scores too, and need not wait for pandas
    import pandas as pd

AGGREGATIONS = ("mean", "mean-logit", "median", "trimmed", "top-half")


def aggregate(p_fake: np.ndarray, how: str = "mean") -> float:
    """Summarise the scores of one clip.

    Parameters
    ----------
    p_fake : array_like, shape=(n,), 0..1
        At least one.
    how : str
        ``"mean"`` (the thesis'); ``"mean-logit"``, the mean of the logits, as a probability;
        ``"median"``; ``"trimmed"``, the mean logit without the lowest and the highest fifth;
        ``"top-half"``, the mean logit of the higher half, for clips that are manipulated in part.

    Returns
    -------
    float
        0..1.
    """
    p_fake = np.sort(np.asarray(p_fake, np.float64))
    if how not in AGGREGATIONS:
        raise InputError("aggregation", f"must be one of {AGGREGATIONS}, got {how!r}")
    if p_fake.ndim != 1 or not p_fake.size or not np.isfinite(p_fake).all():
        raise InputError("p_fake", f"needs a row of finite scores, got {p_fake!r}")
    if how == "mean":
        return float(p_fake.mean())
    if how == "median":
        return float(np.median(p_fake))
    inside = np.clip(p_fake, 1e-9, 1 - 1e-9)
    logits = np.log(inside) - np.log1p(-inside)
    n = len(logits)
    if how == "trimmed":
        logits = logits[n // 5 : n - n // 5]
    elif how == "top-half":
        logits = logits[n // 2 :]
    return float(1 / (1 + np.exp(-logits.mean())))


def aggregate_by_video(
    table: pd.DataFrame, score: str = "p_fake", key: str = "video", how: str = "mean"
) -> pd.DataFrame:
    """Summarise frame scores to one row per video, keyed by its full path.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``key``, ``label``, ``score``; others are taken from the first row of a video.
    score, key : str
    how : str
        See `aggregate`.

    Raises
    ------
    InputError
        A video has both labels (a key that is not unique, such as a bare file name).
    """
    share = table.groupby(key)["label"].mean()
    mixed = share.between(0, 1, inclusive="neither")
    if mixed.any():
        raise InputError(mixed.index[mixed][0], "has frames of both labels; key videos by their full path")
    first = table.groupby(key, sort=True).first()
    grouped = table.groupby(key, sort=True)[score]
    values = grouped.apply(lambda scores: aggregate(scores.to_numpy(), how))
    return first.assign(**{score: values, "n_frames": grouped.size()}).reset_index()


def compare_aggregations(scored: pd.DataFrame) -> pd.DataFrame:
    """Compare the aggregations on clips of several frames.

    Parameters
    ----------
    scored : pandas.DataFrame
        Columns ``path``, ``label``, ``person``, ``p_fake``, and ``video`` where known. Where no video
        has two frames, all faces of one person and label stand in for a clip.

    Returns
    -------
    pandas.DataFrame
        One row per aggregation: ``aggregation``, ``auc``, ``n_clips``, ``clips_are`` ("videos" or
        "persons"); best first, the simpler one first among equals.
    """
    import pandas as pd

    from dfutils.metrics import auc

    videos = scored["video"] if "video" in scored.columns else scored["path"]
    label = scored["label"].astype(str)
    keys = {"videos": videos.astype(str) + "/" + label, "persons": scored["person"] + "/" + label}
    clips_are = "videos" if keys["videos"].duplicated().any() else "persons"
    rows = []
    for how in AGGREGATIONS:
        clips = aggregate_by_video(scored.assign(clip=keys[clips_are]), key="clip", how=how)
        value = auc(clips["label"], clips["p_fake"])
        rows.append({"aggregation": how, "auc": value, "n_clips": len(clips), "clips_are": clips_are})
    return pd.DataFrame(rows).sort_values("auc", ascending=False, kind="stable").reset_index(drop=True)
