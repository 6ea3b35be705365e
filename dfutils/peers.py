"""Compare a model with its peers on the same trials, and with what needs no skill at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping

import numpy as np
import pandas as pd

from dfutils import evaluation, manifest
from dfutils.comparison import clustered_interval, paired_test
from dfutils.errors import InputError
from dfutils.landmarks import find_landmarks
from dfutils.metrics import auc, equal_error_rate
from dfutils.shortcut_picture import audit_pictures, mask_background, mask_face, picture_table, write_masked


def compare_peers(
    scored: pd.DataFrame, peers: Mapping[str, np.ndarray], n_resamples: int = 1000, seed: int = 42
) -> pd.DataFrame:
    """Put a model beside others that scored the same trials.

    Parameters
    ----------
    scored : pandas.DataFrame
        From `dfutils.evaluation.score`.
    peers : Mapping of str to array_like, shape=(n,)
        Name to scores in the order of ``scored``, higher = more likely fake.
    n_resamples, seed : int
        Of `dfutils.comparison.paired_test`, which draws whole persons.

    Returns
    -------
    pandas.DataFrame
        One row per split and peer: ``split``, ``peer``, ``n``; ``auc``, ``peer_auc``, their
        ``difference`` with ``low`` and ``high`` (95 %), ``p_value``; ``eer``, ``peer_eer``.
    """
    rows = []
    for split, part in scored.groupby("split"):
        labels, own, persons = part["label"], part["logit"], part["dataset"] + "/" + part["person"]
        for name, scores in peers.items():
            theirs = pd.Series(np.asarray(scores), scored.index)[part.index]
            test = paired_test(auc, labels, own, theirs, persons, n_resamples, seed=seed)
            rows.append(
                {
                    "split": split,
                    "peer": name,
                    "n": len(part),
                    "auc": test.value_a,
                    "peer_auc": test.value_b,
                    "difference": test.difference,
                    "low": test.low,
                    "high": test.high,
                    "p_value": test.p_value,
                    "eer": equal_error_rate(labels, own)[0],
                    "peer_eer": equal_error_rate(labels, theirs)[0],
                }
            )
    return pd.DataFrame(rows)


def audit_picture_model(
    bundle, scored: pd.DataFrame, landmarks: str | os.PathLike, max_faces: int = 400, seed: int = 42
) -> pd.DataFrame:
    """Say what of a picture model's skill could be shortcuts: trivial features, background, the face alone.

    Parameters
    ----------
    bundle : dfutils.bundles.Bundle
    scored : pandas.DataFrame
        From `dfutils.evaluation.score`.
    landmarks : str or os.PathLike
        Table of `dfutils.landmarks.find_landmarks`.
    max_faces : int
        Faces of each split that are masked and scored again.
    seed : int

    Returns
    -------
    pandas.DataFrame
        One row per split and ``seen``: "whole crop" (the model), "face only" and "background only"
        (the model, the rest grey), "six trivial features" (a classifier of their own, out of fold), "size of
        the file" (its bytes per pixel, no classifier); with ``n``, ``auc``, ``low``, ``high`` (95 %,
        drawing whole persons).

    Raises
    ------
    InputError
        Not one face has landmarks.
    """
    rows = []
    for split, part in scored.groupby("split"):
        rows.append({"split": split, "seen": "whole crop", **_interval(part)})
        features, _ = picture_table(part)
        n_persons = (part["dataset"] + "/" + part["person"]).nunique()
        found = audit_pictures(features, min(5, n_persons), seed)
        bounds = {"n": found["n"], "auc": found["auc"], "low": found["auc_low"], "high": found["auc_high"]}
        rows.append({"split": split, "seen": "six trivial features", **bounds})
        by_size = part.assign(logit=part["path"].map(features.set_index("path")["bytes_per_pixel"]))
        size = _interval(by_size.dropna(subset=["logit"]))
        if size["auc"] < 0.5:  # which way round is no matter
            size |= {"auc": 1 - size["auc"], "low": 1 - size["high"], "high": 1 - size["low"]}
        rows.append({"split": split, "seen": "size of the file", **size})
        some = manifest.subset(part, max_faces, seed) if max_faces else part
        points = find_landmarks(some["path"].tolist(), landmarks)
        for seen, mask in (("face only", mask_background), ("background only", mask_face)):
            with tempfile.TemporaryDirectory() as folder:
                masked, _ = write_masked(some, points, folder, mask)
                again = evaluation.score(bundle, masked, progress=False)
            rows.append({"split": split, "seen": seen, **_interval(again)})
    return pd.DataFrame(rows)


def _interval(scored: pd.DataFrame) -> dict[str, float]:
    persons = scored["dataset"] + "/" + scored["person"]
    try:
        found = clustered_interval(auc, scored["label"], scored["logit"], persons)
    except InputError:  # one class left, or the same score for all: it tells nothing
        return {"n": len(scored), "auc": np.nan, "low": np.nan, "high": np.nan}
    return {"n": len(scored), "auc": found.value, "low": found.low, "high": found.high}
