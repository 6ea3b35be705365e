"""The shortcut audit: how well do ten content-free features tell bona fide from spoofed clips?

A model that reaches no more than this may have learnt the recording, not the voice. `normalise_voice`
(`dfutils.audio`) takes most of it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd

from dfutils.comparison import clustered_interval
from dfutils.errors import InputError
from dfutils.metrics import auc
from dfutils.shortcut_features import FEATURES


def audit(
    features: pd.DataFrame,
    labels: np.ndarray | pd.Series | None = None,
    groups: np.ndarray | pd.Series | None = None,
    n_folds: int = 5,
    seed: int = 42,
    n_resamples: int = 0,
    persons: np.ndarray | pd.Series | None = None,
) -> dict[str, float]:
    """Say how well the content-free features tell the classes apart.

    Parameters
    ----------
    features : pandas.DataFrame
        With the columns `FEATURES` (`dfutils.shortcut_features.feature_table`).
    labels : array, shape=(n_clips,), optional
        1 = spoof; by default the column ``label``.
    groups : array, shape=(n_clips,), optional
        The set that each clip comes from, to leave out whole; no such figure where None.
    n_folds : int
        Random stratified folds.
    seed : int
    n_resamples : int
        For the 95 % interval of the first figure; 0 gives none.
    persons : array, shape=(n_clips,), optional
        Drawn whole for that interval; clips are drawn where None, which is too narrow if persons repeat.

    Returns
    -------
    dict
        ``auc_random``: AUC of the pooled out-of-fold scores, the better of boosted trees
        (``auc_random_trees``) and logistic regression (``auc_random_logistic``), with ``low`` and
        ``high`` where resampled. ``auc_left_out`` (and its two parts): mean AUC over folds whose test
        sets were left out whole: a set of both classes by itself, and each pair of a bona fide and a
        spoofed set; 0.5 = nothing learnt that carries over. ``n_left_out``: such folds.

    Raises
    ------
    InputError
        A feature is missing or not a number, or a class has fewer clips than there are folds.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    missing = [name for name in FEATURES if name not in features.columns]
    if missing:
        raise InputError("features", f"lack the columns {missing}")
    values = features[list(FEATURES)].to_numpy(np.float64)
    labels = np.asarray(features["label"] if labels is None else labels).astype(int)
    if not np.isfinite(values).all():
        raise InputError("features", "hold values that are not numbers")
    if len(labels) != len(values) or min(np.sum(labels == 0), np.sum(labels == 1)) < n_folds:
        raise InputError("labels", f"must be {len(values)} of 0 and 1, with {n_folds} or more of each")
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    splits = list(folds.split(values, labels))
    result, scores = {}, {}
    for name in ("trees", "logistic"):
        scores[name] = np.empty(len(labels))
        for train, test in splits:
            scores[name][test] = fit_and_score(name, values, labels, train, test, seed)
        result[f"auc_random_{name}"] = float(roc_auc_score(labels, scores[name]))
    best = max(scores, key=lambda name: result[f"auc_random_{name}"])
    result["auc_random"] = result[f"auc_random_{best}"]
    if n_resamples:
        units = np.arange(len(labels)) if persons is None else persons
        interval = clustered_interval(auc, labels, scores[best], units, n_resamples, seed=seed)
        result["low"], result["high"] = interval.low, interval.high
    if groups is not None:
        result |= _leave_sets_out(values, labels, np.asarray(groups).astype(str), seed)
    return result


def refuse_shortcuts(aucs: Mapping[str, float], limit: float) -> None:
    """Stop a run in which something without content tells the classes apart.

    Parameters
    ----------
    aucs : mapping of str to float
        What was looked at, and the AUC that it reaches.
    limit : float
        The highest AUC, 0.5..1, that is put up with; 1 puts up with everything.

    Raises
    ------
    InputError
        One is above, or could not be measured; names the worst.
    """
    if not 0.5 <= limit <= 1:
        raise InputError("limit", f"must lie in 0.5..1, got {limit}")
    worst = max(aucs, key=lambda name: (np.isnan(aucs[name]), aucs[name]), default=None)
    if worst is not None and limit < 1 and not aucs[worst] <= limit:
        raise InputError(worst, f"tells fake from real with an AUC of {aucs[worst]:.3f}, above {limit:g}")


def _leave_sets_out(
    values: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int
) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    classes = {group: set(labels[groups == group]) for group in sorted(set(groups))}
    real, fake = ([group for group in classes if classes[group] == {label}] for label in (0, 1))
    held_out = [(group,) for group in classes if len(classes[group]) == 2] + list(product(real, fake))
    found = {"trees": [], "logistic": []}
    for names in held_out:
        inside = np.isin(groups, names)
        train, test = np.flatnonzero(~inside), np.flatnonzero(inside)
        if len(set(labels[train])) < 2:
            continue
        for name in found:
            scores = fit_and_score(name, values, labels, train, test, seed)
            found[name].append(roc_auc_score(labels[test], scores))
    if not found["trees"]:
        raise InputError("groups", "no set can be left out: nothing of both classes would remain to train on")
    means = {f"auc_left_out_{name}": float(np.mean(aucs)) for name, aucs in found.items()}
    return {"auc_left_out": max(means.values()), **means, "n_left_out": len(found["trees"])}


def fit_and_score(
    name: str, values: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    """Fit a small classifier, score what it has not seen.

    Parameters
    ----------
    name : str
        "trees" (boosted) or "logistic" (regression on standardised features).
    values : numpy.ndarray, shape=(n_clips, n_features)
    labels : numpy.ndarray, shape=(n_clips,)
        1 = spoof.
    train, test : numpy.ndarray of int
        Rows to fit and to score.
    seed : int

    Returns
    -------
    numpy.ndarray, shape=(len(test),)
        Probability of class 1.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    if name == "trees":
        model = HistGradientBoostingClassifier(
            max_iter=100, max_leaf_nodes=15, learning_rate=0.1, min_samples_leaf=10,
            class_weight="balanced", random_state=seed,
        )  # fmt: skip
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    with threadpool_limits(1):  # so few numbers are done sooner by one core than by cores that wait
        model.fit(values[train], labels[train])
        return model.predict_proba(values[test])[:, 1]
