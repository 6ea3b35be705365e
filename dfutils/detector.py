"""Judge a clip: is its picture, is its voice, pristine or manipulated?"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dfutils import paths
from dfutils.descriptions import Bundle
from dfutils.errors import InputError, ModelError, NoModelError
from dfutils.report import Judgement, Report

MAX_AUDIO_SECONDS = 600.0


def find_model(kind: str) -> Path:
    """Return the folder of the model to use for ``"picture"`` or ``"voice"``.

    The model that ships with the project comes first; where there is none, the one that the
    notebooks trained last on this machine.

    Raises
    ------
    NoModelError
        There is neither.
    """
    places = [paths.models_dir() / kind, paths.work_dir() / "models" / kind]
    for folder in places:
        if (folder / "model.json").is_file():
            return folder
    raise NoModelError(
        kind, "there is no trained model yet; `make study` trains one, or give the folder of a model"
    )


class DeepfakeDetector:
    """Judge videos, pictures and sound files; the models load once, on first use.

    Parameters
    ----------
    picture_model, voice_model : str, os.PathLike or None
        Folders of trained models (`dfutils.descriptions`); None: see `find_model`.

    Examples
    --------
    >>> from dfutils.detector import DeepfakeDetector      # doctest: +SKIP
    >>> print(DeepfakeDetector().analyze("clip.mp4"))      # doctest: +SKIP
    clip.mp4
      picture  looks manipulated, probability 93%
      voice    cannot tell: has no sound
    """

    def __init__(
        self,
        picture_model: str | os.PathLike | None = None,
        voice_model: str | os.PathLike | None = None,
    ):
        self._folders = {"picture": picture_model, "voice": voice_model}
        self._bundles: dict = {}
        self._detectors: dict = {}

    def bundle(self, kind: str) -> Bundle:
        """Return the loaded model for ``"picture"`` or ``"voice"``, a `dfutils.descriptions.Bundle`.

        Its ``model`` is a `dfutils.onnx_model.OnnxModel` where the folder has one, which needs neither
        Keras nor TensorFlow and starts at once; else a Keras model.
        """
        if kind not in self._bundles:
            from dfutils.onnx_model import open_bundle

            try:
                self._bundles[kind] = open_bundle(self._folders[kind] or find_model(kind))
            except NoModelError:
                raise
            except InputError as error:  # the model is at fault, not the file that is judged
                raise ModelError(error.subject, error.reason) from error
        return self._bundles[kind]

    def analyze(
        self,
        path: str | os.PathLike,
        n_frames: int = 20,
        n_fragments: int = 5,
        fragment_seconds: float | None = None,
    ) -> Report:
        """Judge one file.

        Parameters
        ----------
        path : str or os.PathLike
            A video, a picture or a sound file.
        n_frames : int
            Frames to look at, 1..1000, evenly spread.
        n_fragments : int
            Fragments of sound to listen to, 1..1000, evenly spread.
        fragment_seconds : float or None
            Their length [s]; None takes the length that the model was trained on.

        Returns
        -------
        Report
            A part that cannot be judged abstains and says why.

        Raises
        ------
        InputError
            The file is missing, empty, or neither its picture nor its sound can be read; or an
            argument is out of range.
        ModelError
            There is no trained model, or its weights are not the recorded ones.
        """
        _check_count("n_frames", n_frames)
        _check_count("n_fragments", n_fragments)
        if fragment_seconds is not None and not 0.5 <= fragment_seconds <= 60:
            raise InputError("fragment_seconds", f"must lie in 0.5..60, got {fragment_seconds}")
        from dfutils.video import check_file

        path = check_file(path)
        picture, no_picture = _try(lambda: self._judge_picture(path, n_frames))
        voice, no_voice = _try(lambda: self._judge_voice(path, n_fragments, fragment_seconds))
        if no_picture and no_voice and no_picture.no_model and no_voice.no_model:
            raise no_picture.no_model
        if no_picture and no_voice and not (no_picture.readable or no_voice.readable):
            raise InputError(
                path, f"neither picture nor sound can be read: {no_picture.abstained}; {no_voice.abstained}"
            )
        models = {
            kind: {"sha256": bundle.sha256[:16], "trained_on": bundle.about.get("corpus", "unknown")}
            for kind, bundle in self._bundles.items()
            if (picture if kind == "picture" else voice) is not None
        }
        return Report(str(path), picture or no_picture, voice or no_voice, models)

    def _judge_picture(self, path: Path, n_frames: int) -> Judgement:
        from dfutils.crops import CropGeometry, crop_face, resize_image
        from dfutils.faces import make_detector
        from dfutils.video import read_frames

        frames = read_frames(path, n_frames)
        first = next(frames)  # raises if there is no picture, before the model is loaded
        bundle = self.bundle("picture")
        inputs = bundle.inputs
        name = inputs["detector"]
        if name not in self._detectors:
            self._detectors[name] = make_detector(name, min_confidence=inputs["min_confidence"])
        geometry = CropGeometry(**inputs["geometry"])
        images, indices, n_seen, too_small = [], [], 0, 0
        for index, frame in _chain(first, frames):
            n_seen += 1
            faces = self._detectors[name].detect(frame)
            if not faces:
                continue
            if faces[0].box[2] < inputs["min_face_px"]:
                too_small += 1
                continue
            crop = crop_face(frame, faces[0].box, geometry)
            images.append(resize_image(crop, bundle.config.size_hw).astype(np.float32))
            indices.append(index)
        if not images:
            found = (
                f"the largest face is under {inputs['min_face_px']} px wide" if too_small else "no face found"
            )
            return _Abstention.readable_because(f"{found} in {n_seen} frames")
        logits = _logits(bundle.model, images, min(n_frames, 32))
        if inputs.get("flip", False):
            mirrored = [image[:, ::-1] for image in images]
            logits = (logits + _logits(bundle.model, mirrored, min(n_frames, 32))) / 2
        p_fake = bundle.calibration.p_fake(logits)
        scores = [{"frame_index": int(i), "p_fake": float(p)} for i, p in zip(indices, p_fake)]
        return Judgement.from_scores(scores, bundle.calibration.threshold, inputs.get("aggregation", "mean"))

    def _judge_voice(self, path: Path, n_fragments: int, seconds: float | None) -> Judgement:
        from dfutils.audio import SAMPLE_RATE_HZ, load_audio, peak_normalise
        from dfutils.voice_input import VoiceInput

        audio = load_audio(path, max_seconds=MAX_AUDIO_SECONDS)
        bundle = self.bundle("voice")
        inputs = bundle.inputs
        voice_input = VoiceInput(**inputs["voice"])
        windowed = replace(voice_input, seconds=seconds or voice_input.seconds or inputs["window_seconds"])
        try:
            windows = windowed.windows(windowed.prepare(audio), n_fragments)
        except InputError as error:
            return _Abstention.readable_because(f"too little sound to judge: it {error.reason}")
        if not windows:
            return _Abstention.readable_because("too little sound to judge: nothing in it is like speech")
        images = [windowed.picture(peak_normalise(part)) for _, part in windows]
        p_fake = bundle.calibration.p_fake(_logits(bundle.model, images, min(n_fragments, 32)))
        times = [start / SAMPLE_RATE_HZ for start, _ in windows]
        scores = [{"time_s": round(t, 2), "p_fake": float(p)} for t, p in zip(times, p_fake)]
        return Judgement.from_scores(scores, bundle.calibration.threshold, inputs.get("aggregation", "mean"))


@dataclass
class _Abstention(Judgement):
    readable: bool = False
    no_model: NoModelError | None = None

    @classmethod
    def readable_because(cls, reason: str) -> _Abstention:
        return cls(abstained=reason, readable=True)


def _try(judge: Callable[[], Judgement]) -> tuple[Judgement | None, _Abstention | None]:
    try:
        judgement = judge()
    except NoModelError as error:
        return None, _Abstention(abstained=error.reason, readable=True, no_model=error)
    except ModelError:
        raise
    except InputError as error:
        return None, _Abstention(abstained=error.reason)
    return (None, judgement) if isinstance(judgement, _Abstention) else (judgement, None)


def _logits(model, images: list[np.ndarray], batch_size: int) -> np.ndarray:
    """Predict the margins of two logits, by an ONNX or a Keras model."""
    n = len(images)
    if hasattr(model, "predict_with_feature_map"):
        logits = model.predict(np.stack(images))
    else:  # in batches of one size: every new size would cost Keras seconds of tracing
        padded = images + [images[-1]] * (-n % batch_size)
        logits = model.predict(np.stack(padded), batch_size=batch_size, verbose=0)[:n]
    return np.asarray(logits[:, 1], np.float64) - logits[:, 0]


def _chain(first, rest):
    yield first
    yield from rest


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= 1000:
        raise InputError(name, f"must be a whole number in 1..1000, got {value!r}")
