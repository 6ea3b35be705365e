"""Compose training sets by drawing rows: under-sampling (RUS), over-sampling (ROS), made fakes."""

from __future__ import annotations

import numpy as np
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


def add_made_fakes(
    manifest: pd.DataFrame,
    landmarks: pd.DataFrame,
    share: float,
    seed: int,
    shares: dict[str, float] | None = None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Compose a training manifest of reals, the dataset's fakes, and fakes made from its reals.

    Each fake comes with a real as its partner, so that both classes are equally frequent: a made
    fake with the face it is made from, a fake of the dataset with its original, or, where that is
    missing, with another real of the person or of anyone.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Of face crops, with both classes.
    landmarks : pandas.DataFrame
        See `dfutils.landmarks.find_landmarks`; indexed by path.
    share : float
        Of the fakes that are made, 0..1; 1 leaves the dataset's own fakes out.
    seed : int
    shares : dict, optional
        How often each of `KINDS` is made; .6, .15 and .25 by default.

    Returns
    -------
    manifest : pandas.DataFrame
        With the column ``made``: a kind, or "" for the face as it is; and ``pair``, the same number
        for partners (see `dfutils.batches.ManifestSequence`). A made row has the path of its real
        face, label 1 and the method "made-<kind>".
    landmarks : numpy.ndarray, shape=(n, 5, 2), float32
        Of its rows.
    """
    if not 0 <= share <= 1:
        raise InputError("share", f"must lie in 0..1, got {share}")
    shares = shares or {"self-blend": 0.6, "warp": 0.15, "expression": 0.25}
    generator = np.random.default_rng(seed)
    reals, fakes = (manifest[manifest["label"] == label].assign(made="") for label in (0, 1))
    usable = reals[landmarks.loc[reals["path"]].notna().all(axis=1).to_numpy()]
    if share == 1:
        fakes = fakes.iloc[:0]
        n_made = len(usable)
    else:
        n_made = round(len(fakes) * share / (1 - share))
    made = usable.iloc[_draw(len(usable), n_made, generator)] if n_made else usable.iloc[:0]
    partners = pd.concat([reals.loc[_find_partners(fakes, reals, generator)], made])
    kinds = generator.choice(list(shares), size=len(made), p=np.array(list(shares.values())))
    made = made.assign(label=1, made=kinds, method=[f"made-{kind}" for kind in kinds])
    pairs = np.arange(len(partners))
    table = pd.concat([partners.assign(pair=pairs), pd.concat([fakes, made]).assign(pair=pairs)])
    table = table.reset_index(drop=True)
    points = landmarks.loc[table["path"]].to_numpy(np.float32).reshape(-1, 5, 2)
    return table, points


def pair_with_originals(manifest: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Give each fake a real as its partner, so that both classes are equally frequent.

    Parameters
    ----------
    manifest : pandas.DataFrame
        With both classes.
    seed : int

    Returns
    -------
    pandas.DataFrame
        Every fake once, and as often a real: the fake's original (same ``source``), or, where that
        is missing, another of the person or of anyone; partners share the number in ``pair`` (see
        `dfutils.batches.ManifestSequence`). Reals without a fake of theirs may be left out.
    """
    _counts(manifest)
    reals, fakes = (manifest[manifest["label"] == label] for label in (0, 1))
    partners = reals.loc[_find_partners(fakes, reals, np.random.default_rng(seed))]
    pairs = np.arange(len(fakes))
    return pd.concat([partners.assign(pair=pairs), fakes.assign(pair=pairs)]).reset_index(drop=True)


def compose_voices(
    manifest: pd.DataFrame, seed: int, given_repeats: int = 1, without: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Compose what the voice model learns from: bona fide clips, given spoofs, vocoded copies, in pairs.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Of clips, with both classes.
    seed : int
    given_repeats : int
        How often a spoof of the corpus counts for each time that a copy made by
        `dfutils.copy_synthesis` (method "copy-...") counts.
    without : tuple of str
        Methods to leave out, by the beginning of their name.

    Returns
    -------
    pandas.DataFrame
        See `pair_with_originals`.
    """
    if given_repeats < 1:
        raise InputError("given_repeats", f"must be at least 1, got {given_repeats}")
    table = manifest[~manifest["method"].str.startswith(without)] if without else manifest
    given = table[(table["label"] == 1) & ~table["method"].str.startswith("copy-")]
    repeated = pd.concat([table, *[given] * (given_repeats - 1)], ignore_index=True)
    return pair_with_originals(repeated, seed)


def _find_partners(fakes: pd.DataFrame, reals: pd.DataFrame, generator: np.random.Generator) -> list:
    """Index label of a real for every fake: its original, else one of the same person, else any."""
    groups = {column: reals.groupby(column).groups for column in ("source", "person")}
    found = []
    for row in fakes.itertuples():
        pool = groups["source"].get(row.source, groups["person"].get(row.person, reals.index))
        found.append(pool[generator.integers(len(pool))])
    return found


def _draw(n: int, wanted: int, generator: np.random.Generator) -> np.ndarray:
    """Draw row numbers; each comes up equally often, to within one."""
    rounds = [generator.permutation(n) for _ in range(-(-wanted // n))]
    return np.concatenate(rounds)[:wanted] if rounds else np.empty(0, int)


def _counts(manifest: pd.DataFrame) -> pd.Series:
    counts = manifest["label"].value_counts()
    if len(counts) < 2:
        raise InputError("manifest", f"needs both classes to balance them, has only {list(counts.index)}")
    return counts
