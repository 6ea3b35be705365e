"""What a model gets of perturbed faces and voices, and what it says of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import joblib
import numpy as np
import pandas as pd

from dfutils.audio import load_audio
from dfutils.crops import resize_image
from dfutils.descriptions import Bundle
from dfutils.errors import InputError
from dfutils.images import read_image
from dfutils.margins import predict_margins
from dfutils.perturbation import Perturbation
from dfutils.voice_input import VoiceInput

AT_A_TIME = 128  # samples whose pictures are in memory


def predict_perturbed(
    bundle: Bundle,
    table: pd.DataFrame,
    perturbation: Perturbation | None,
    level: int,
    seed: int,
    points: np.ndarray | None = None,
) -> np.ndarray:
    """Compute logit margins of samples that are perturbed first; None leaves them as they are.

    Returns
    -------
    numpy.ndarray, shape=(n,), float64
        NaN for a voice of which the perturbation leaves too little.
    """
    make = load_face if bundle.config.kind == "video" else load_voice
    margins, paths = [], table["path"].tolist()
    with joblib.Parallel(n_jobs=2, prefer="threads") as parallel:
        for first in range(0, len(paths), AT_A_TIME):
            jobs = []
            for row in range(first, min(first + AT_A_TIME, len(paths))):
                change = None
                if perturbation is not None:
                    change = partial(perturbation, level=level, rng=np.random.default_rng([seed, row]))
                place = None if points is None else points[row]
                jobs.append(joblib.delayed(make)(bundle, paths[row], change, place))
            groups = parallel(jobs)
            images = [image for group in groups for image in group]
            found = predict_margins(bundle.model, images) if images else np.empty(0)
            parts = np.split(found, np.cumsum([len(group) for group in groups])[:-1])
            margins += [part.mean() if part.size else np.nan for part in parts]
    return np.array(margins)


def load_face(
    bundle: Bundle, path: str, change: Callable | None = None, points: np.ndarray | None = None
) -> list[np.ndarray]:
    """Read, perturb and resize one crop as `dfutils.datasets.FaceSequence` does; and its mirror image.

    Returns
    -------
    list of numpy.ndarray, shape=(height, width, 3), uint8, RGB
        One, or two where the model averages over both.
    """
    image, size_hw = read_image(path), tuple(bundle.config.size_hw)
    smaller = tuple(int(side) for side in np.minimum(image.shape[:2], size_hw))
    scale = np.divide(smaller[::-1], image.shape[1::-1])
    image = resize_image(image, smaller)
    if change is not None:
        image = change(image, points=None if points is None else points * scale)
    image = resize_image(image, size_hw)
    return [image, image[:, ::-1]] if bundle.inputs.get("flip", False) else [image]


def load_voice(bundle: Bundle, path: str, change: Callable | None = None, points=None) -> list[np.ndarray]:
    """Read, perturb and normalise one clip; the pictures of its windows, as `evaluation.predict_voices`.

    Returns
    -------
    list of numpy.ndarray, shape=(height, width, 3), float32
        Empty where nothing is left that could be judged.
    """
    voice_input, n_windows = VoiceInput(**bundle.inputs["voice"]), bundle.inputs["n_windows"]
    audio = load_audio(path)
    if change is not None:
        audio = change(audio)
    try:
        audio = voice_input.prepare(audio)
    except InputError:  # too short, or silent
        return []
    windows = voice_input.windows(audio, n_windows) or [(0, audio)]
    return [voice_input.picture(part) for _, part in windows]
