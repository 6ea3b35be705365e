"""Judge a clip: is its picture, is its voice, pristine or manipulated?"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np

from dfutils import paths
from dfutils.audio import load_audio
from dfutils.descriptions import DESCRIPTION_NAME, Bundle, read_description, sha256_of
from dfutils.errors import AbstainError, InputError, ModelError, NoModelError
from dfutils.faces import make_detector
from dfutils.images import check_file
from dfutils.judge_picture import judge_picture
from dfutils.judge_voice import judge_voice
from dfutils.media_files import probe_media
from dfutils.report import Judgement, Report
from dfutils.video import read_frames

MAX_AUDIO_SECONDS = 600.0
PICTURE_SHARE, FRAMES_SHARE = 0.85, 0.65  # of the work, about: all of the picture's, its frames'

Progress = Callable[[float, str], None]


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

    @property
    def folders(self) -> tuple[str | os.PathLike | None, str | os.PathLike | None]:
        """What it was made with: `keep_detector` makes the same one in another process."""
        return self._folders["picture"], self._folders["voice"]

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

    def fingerprint(self, kind: str) -> str | None:
        """Return a hash of all that a model's judgements depend on, or None where there is no model.

        It is that of ``model.json``, which holds the calibration and vouches for the weights.
        """
        try:
            folder = self._folders[kind] or find_model(kind)
        except NoModelError:
            return None
        read_description(folder)  # says what is wrong, where something is
        return sha256_of(Path(folder) / DESCRIPTION_NAME)[:16]

    def analyze(
        self,
        path: str | os.PathLike,
        n_frames: int = 20,
        n_fragments: int = 5,
        fragment_seconds: float | None = None,
        progress: Progress | None = None,
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
        progress : callable or None
            Called with the share that is done, 0..1 and never falling, and with what is done next, in
            plain words. What it raises ends the judging.

        Returns
        -------
        Report
            A part that cannot be judged abstains and says why. How several persons in a picture make one
            verdict: see `dfutils.judge_picture.judge_picture`.

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
        path = check_file(path)
        tell = progress or _keep_quiet
        tell(0.0, "opening the file")
        media = probe_media(path)
        picture, no_picture = _try(lambda: self._judge_picture(path, n_frames, media.fps, tell))
        tell(PICTURE_SHARE, "listening to the voice")
        voice, no_voice = _try(lambda: self._judge_voice(path, n_fragments, fragment_seconds))
        if no_picture and no_voice:
            if all(isinstance(problem, NoModelError) for problem in (no_picture, no_voice)):
                raise no_picture
            if not any(isinstance(problem, _READABLE) for problem in (no_picture, no_voice)):
                reasons = f"{no_picture.reason}; {no_voice.reason}"
                raise InputError(path, f"neither picture nor sound can be read: {reasons}")
        models = {
            kind: {"sha256": bundle.sha256[:16], "trained_on": bundle.about.get("corpus", "unknown")}
            for kind, bundle in self._bundles.items()
            if (picture if kind == "picture" else voice) is not None
        }
        known = {name: value for name, value in asdict(media).items() if value is not None}
        tell(1.0, "done")
        return Report(
            str(path),
            picture or Judgement(abstained=no_picture.reason),
            voice or Judgement(abstained=no_voice.reason),
            models,
            known,
        )

    def _judge_picture(self, path: Path, n_frames: int, fps: float | None, tell: Progress) -> Judgement:
        frames = _watch(read_frames(path, n_frames), n_frames, tell)
        first = next(frames)  # raises if there is no picture, before the model is loaded
        bundle = self.bundle("picture")
        name = bundle.inputs["detector"]
        if name not in self._detectors:
            self._detectors[name] = make_detector(name, min_confidence=bundle.inputs["min_confidence"])
        return judge_picture(chain([first], frames), bundle, self._detectors[name], n_frames, fps)

    def _judge_voice(self, path: Path, n_fragments: int, seconds: float | None) -> Judgement:
        audio = load_audio(path, max_seconds=MAX_AUDIO_SECONDS)
        return judge_voice(audio, self.bundle("voice"), n_fragments, seconds)


@functools.lru_cache(maxsize=1)
def keep_detector(
    picture_model: str | os.PathLike | None, voice_model: str | os.PathLike | None
) -> DeepfakeDetector:
    """Return a detector, the same one the next time: for child processes (`dfutils.guard`)."""
    return DeepfakeDetector(picture_model, voice_model)


_READABLE = (AbstainError, NoModelError)  # what is wrong is not the file


def _try(judge: Callable[[], Judgement]) -> tuple[Judgement | None, InputError | None]:
    try:
        return judge(), None
    except InputError as error:
        if isinstance(error, ModelError) and not isinstance(error, NoModelError):
            raise
        return None, error


def _keep_quiet(share: float, what: str) -> None:
    """Stand in for `progress` where nobody wants to know."""


def _watch(frames: Iterator, n_frames: int, tell: Progress) -> Iterator:
    """Pass frames on, and tell of each when the next one is asked for: it has been looked at then."""
    for number, frame in enumerate(frames, start=1):
        yield frame
        tell(FRAMES_SHARE * min(1.0, number / n_frames), f"looked at frame {number} of {n_frames}")
    tell(FRAMES_SHARE, "scoring the faces")


def _check_count(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= 1000:
        raise InputError(name, f"must be a whole number in 1..1000, got {value!r}")
