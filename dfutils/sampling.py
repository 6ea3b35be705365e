"""Balance classes by drawing rows: random under-sampling (RUS) and over-sampling (ROS)."""

from __future__ import annotations

import pandas as pd

from dfutils.errors import InputError


def random_under_sample(manifest: pd.DataFrame, seed: int, ratio: float = 1.0) -> pd.DataFrame:
    """Thin the larger class to ``ratio`` times the smaller one.

    Parameters
    ----------
    manifest : pandas.DataFrame
    seed : int
    ratio : float
        Rows of the larger class per row of the smaller, >= 1; a class that is already rarer than
        that stays whole.
    """
    counts = _counts(manifest)
    if ratio < 1:
        raise InputError("ratio", f"must be at least 1, got {ratio}")
    small, large = counts.idxmin(), counts.idxmax()
    keep = min(counts[large], round(counts[small] * ratio))
    if small == large:
        return manifest.reset_index(drop=True)
    thinned = manifest[manifest["label"] == large].sample(n=keep, random_state=seed)
    return pd.concat([manifest[manifest["label"] == small], thinned]).sort_index().reset_index(drop=True)


def random_over_sample(manifest: pd.DataFrame, seed: int, factor: float = 2.0) -> pd.DataFrame:
    """Repeat rows of the smaller class until it is ``factor`` times as large (never above the larger).

    The loaders seed by row, so that repeated rows are augmented differently.
    """
    counts = _counts(manifest)
    if factor < 1:
        raise InputError("factor", f"must be at least 1, got {factor}")
    small, large = counts.idxmin(), counts.idxmax()
    if small == large:
        return manifest.reset_index(drop=True)
    extra = min(round(counts[small] * factor), counts[large]) - counts[small]
    pool = manifest[manifest["label"] == small]
    repeats = [pool] * (extra // len(pool)) + [pool.sample(n=extra % len(pool), random_state=seed)]
    return pd.concat([manifest, *repeats]).sort_index(kind="stable").reset_index(drop=True)


def _counts(manifest: pd.DataFrame) -> pd.Series:
    counts = manifest["label"].value_counts()
    if len(counts) < 2:
        raise InputError("manifest", f"needs both classes to balance them, has only {list(counts.index)}")
    return counts
