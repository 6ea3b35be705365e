"""LFCC-GMM, the classical peer of the voice model: one Gaussian mixture per class, no neural network."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.audio import load_audio
from dfutils.errors import InputError
from dfutils.lfcc import voice_features
from dfutils.paths import atomic_path

_CLASSES = ("bona_fide", "spoof")
_ARRAYS = ("weights", "means", "variances")


@dataclass(frozen=True)
class DiagonalGmm:
    """A mixture of Gaussians with diagonal covariances.

    Attributes
    ----------
    weights : numpy.ndarray, shape=(n_components,), float64, sum 1
    means, variances : numpy.ndarray, shape=(n_components, n_features), float64
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    def __post_init__(self):
        good = self.means.ndim == 2 and self.means.shape == self.variances.shape
        good = good and self.weights.shape == self.means.shape[:1] and bool((self.variances > 0).all())
        if not good or not all(np.isfinite(getattr(self, name)).all() for name in _ARRAYS):
            raise InputError("mixture", "its arrays do not fit together, or hold impossible values")

    def log_likelihood(self, frames: np.ndarray) -> np.ndarray:
        """Natural logarithm of the density at each frame, shape=(n_frames, n_features) -> (n_frames,)."""
        from scipy.special import logsumexp

        precisions = 1 / self.variances
        distances = frames**2 @ precisions.T - 2 * frames @ (self.means * precisions).T
        constants = (self.means**2 * precisions + np.log(2 * np.pi * self.variances)).sum(axis=1)
        return logsumexp(np.log(self.weights) - (distances + constants) / 2, axis=1)


@dataclass(frozen=True)
class LfccGmm:
    """Two mixtures and the front end that they were fitted on (`fit_gmm`).

    Attributes
    ----------
    bona_fide, spoof : DiagonalGmm
        Of frames of 60 features.
    about : dict
        ``front_end`` (options of `dfutils.lfcc.lfcc`), ``max_seconds``, and what it was fitted on.
    """

    bona_fide: DiagonalGmm
    spoof: DiagonalGmm
    about: dict = field(default_factory=dict)

    def score_audio(self, audio: np.ndarray) -> float:
        """Score one sound, float32 in -1..1 at 16 kHz, shape=(n_samples,); see `score`."""
        frames = voice_features(audio, kind="all", **self.about.get("front_end", {})).T.astype(np.float64)
        return float(np.mean(self.spoof.log_likelihood(frames) - self.bona_fide.log_likelihood(frames)))

    def score(self, manifest: pd.DataFrame, progress: bool = True, n_jobs: int = 1) -> np.ndarray:
        """Score every sound of a manifest.

        Parameters
        ----------
        manifest : pandas.DataFrame
            Column ``path``.
        progress : bool
        n_jobs : int
            Threads.

        Returns
        -------
        numpy.ndarray, shape=(n,), float64
            Mean over the frames of the log-likelihood ratio, spoof to bona fide: higher = more fake.
            Not calibrated.

        Raises
        ------
        InputError
            A file is missing, unreadable or too short; the message names it.
        """
        seconds = self.about.get("max_seconds")

        def score_file(path: str) -> float:
            return self.score_audio(load_audio(path, max_seconds=seconds))

        jobs = [(path,) for path in _existing(manifest, ["path"])]
        return np.array(_each_file(score_file, jobs, n_jobs, progress, "scoring"))

    def save(self, path: str | os.PathLike) -> Path:
        """Write the model as one ``.npz`` without pickled objects, atomically."""
        arrays = {f"{kind}_{name}": getattr(getattr(self, kind), name)
                  for kind in _CLASSES for name in _ARRAYS}  # fmt: skip
        about = np.array(json.dumps(self.about, sort_keys=True))
        with atomic_path(path) as temporary, temporary.open("wb") as file:  # given a name, numpy adds .npz
            np.savez_compressed(file, about=about, **arrays)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> LfccGmm:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            The file is missing, or is no such model.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(path, "this LFCC-GMM does not exist; fit one with dfutils.gmm_peer.fit_gmm")
        try:
            with np.load(path, allow_pickle=False) as stored:
                parts = (DiagonalGmm(*(stored[f"{kind}_{name}"] for name in _ARRAYS)) for kind in _CLASSES)
                return cls(*parts, json.loads(str(stored["about"])))
        except (ValueError, KeyError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(path, f"is not a saved LFCC-GMM ({error})") from error


def fit_gmm(
    manifest: pd.DataFrame,
    n_components: int = 64,
    max_frames: int = 200_000,
    seed: int = 42,
    max_iter: int = 100,
    max_seconds: float = 30.0,
    n_jobs: int = 1,
    progress: bool = True,
    **front_end,
) -> LfccGmm:
    """Fit the two mixtures.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Columns ``path`` and ``label`` (1 = spoof); 16 kHz mono clips (`dfutils.preprocess_audio`) or
        whatever `dfutils.audio.load_audio` reads. Training rows only.
    n_components : int
        Gaussians per class.
    max_frames : int
        Frames per class. Both classes give the same number, and every clip of a class as nearly the
        same number as its length allows, so that long clips do not stand for their class.
    seed : int
        Of the draw of frames and of k-means; the same seed gives the same model.
    max_iter : int
        Of the EM algorithm.
    max_seconds : float
        Read no more of a file [s].
    n_jobs : int
        Threads that read.
    progress : bool
    **front_end
        Options of `dfutils.lfcc.lfcc`, kept with the model.

    Returns
    -------
    LfccGmm

    Raises
    ------
    InputError
        A class is missing, a label is not 0 or 1, there are fewer frames than ``n_components``, or a
        file is missing, unreadable or too short.

    Notes
    -----
    After the LFCC-GMM baseline (B02) of Todisco et al.: ASVspoof 2019: future horizons in spoofed and
    fake audio detection, Interspeech 2019: 20 static coefficients with deltas and delta-deltas,
    diagonal covariances, all frames, silence included. It has 512 components from a random start;
    ours are fewer, since training sets here are smaller, and start from k-means on standardised
    frames, where every feature counts alike. The window is that of our voice model, 32 ms, not 20 ms.
    """
    if not 1 <= n_components <= max_frames:
        raise InputError("n_components", f"must lie in 1..{max_frames} (max_frames), got {n_components}")
    paths = _existing(manifest, ["path", "label"])
    labels = pd.to_numeric(manifest["label"], errors="coerce").to_numpy()
    if set(labels) != {0, 1}:
        raise InputError("manifest", f"needs labels 0 and 1, both, got {sorted(set(labels))}")

    def draw(path: str, n_wanted: int, clip_seed: list[int]) -> np.ndarray:
        rows = voice_features(load_audio(path, max_seconds=max_seconds), kind="all", **front_end)
        return np.random.default_rng(clip_seed).permutation(rows.T)[:n_wanted]

    quotas = {label: -(-max_frames // int(np.sum(labels == label))) for label in (0, 1)}
    jobs = [(path, quotas[label], [seed, row]) for row, (path, label) in enumerate(zip(paths, labels))]
    drawn = _each_file(draw, jobs, n_jobs, progress, "reading")
    frames = [np.concatenate([drawn[row] for row in np.flatnonzero(labels == label)]) for label in (0, 1)]
    n_frames = min(max_frames, *(len(part) for part in frames))
    if n_frames < n_components:
        raise InputError("manifest", f"gives {n_frames} frames per class for {n_components} components")
    rng = np.random.default_rng(seed)
    frames = [rng.permutation(part)[:n_frames].astype(np.float64) for part in frames]
    pooled = np.concatenate(frames)
    centre, scale = pooled.mean(axis=0), np.maximum(pooled.std(axis=0), 1e-8)
    fitted = [_fit(part, centre, scale, n_components, seed, max_iter) for part in frames]
    about = {"front_end": front_end, "max_seconds": max_seconds, "n_components": n_components, "seed": seed}
    about |= {"frames_per_class": n_frames, "clips": len(paths), "iterations": [n for _, n in fitted]}
    return LfccGmm(*(gmm for gmm, _ in fitted), about)


def _fit(
    frames: np.ndarray, centre: np.ndarray, scale: np.ndarray, n_components: int, seed: int, max_iter: int
) -> tuple[DiagonalGmm, int]:
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    model = GaussianMixture(n_components, covariance_type="diag", max_iter=max_iter, random_state=seed)
    with threadpool_limits(1):  # threads add in any order: k-means would differ in the last digits
        model.fit((frames - centre) / scale)
    gmm = DiagonalGmm(model.weights_, model.means_ * scale + centre, model.covariances_ * scale**2)
    return gmm, int(model.n_iter_)


def _existing(manifest: pd.DataFrame, columns: list[str]) -> list[str]:
    if not set(columns) <= set(manifest.columns) or manifest.empty:
        raise InputError("manifest", f"needs the columns {columns} and at least one row")
    paths = manifest["path"].astype(str).tolist()
    gone = [path for path in paths if not os.path.exists(path)]
    if gone:
        raise InputError("manifest", f"{len(gone)} of {len(paths)} files are missing, the first is {gone[0]}")
    return paths


def _each_file(function, jobs: list[tuple], n_jobs: int, progress: bool, name: str) -> list:
    def named(path: str, *arguments):
        try:
            return function(path, *arguments)
        except InputError as error:  # "audio: too short" does not say which
            raise InputError(path, error.reason) from error

    stream = joblib.Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(
        joblib.delayed(named)(*job) for job in jobs
    )
    return list(tqdm(stream, total=len(jobs), desc=name, unit="clip", disable=not progress))
