"""Named augmentation pipelines for voices, seeded per sample; only here is audiomentations used."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

import numpy as np

from dfutils.audio import condition_voice, peak_normalise
from dfutils.channels import ChannelAugmentation
from dfutils.errors import InputError

_AUDIO_LOCK = threading.Lock()
VOICE_PIPELINES = ("none", "thesis", "channel")


class VoiceAugmentation:
    """A named pipeline for waveforms.

    Parameters
    ----------
    name : {"none", "thesis", "channel"}
        ``"thesis"``: noise p .1, room response p .5, shift p .3, stretch p .5, pitch p .3, then
        peak normalisation. ``"channel"``: `dfutils.channels.ChannelAugmentation`, which leaves the
        voice itself alone, then band, level and noise floor as of any clip. ``"none"``: peak
        normalisation only, as the thesis evaluates.
    impulse_responses : str, os.PathLike or None
        Folder of room responses; None leaves that step out ("thesis") or makes some ("channel").
    noises : str, os.PathLike or None
        Folder of noises, for "channel"; None makes some.
    strength : float
        0..1, of "channel".
    """

    def __init__(
        self,
        name: str = "thesis",
        impulse_responses: str | os.PathLike | None = None,
        noises: str | os.PathLike | None = None,
        strength: float = 1.0,
    ):
        if name not in VOICE_PIPELINES:
            raise InputError("augmentation", f"must be one of {VOICE_PIPELINES}, got {name!r}")
        steps = []
        if name == "thesis":
            import audiomentations as A

            steps.append(A.AddGaussianNoise(p=0.1))
            if impulse_responses is not None:
                if not any(Path(impulse_responses).glob("*.*")):
                    raise InputError(impulse_responses, "holds no impulse responses")
                steps.append(
                    A.ApplyImpulseResponse(str(impulse_responses), p=0.5, leave_length_unchanged=True)
                )
            steps += [
                A.Shift(fade_duration=0.01, p=0.3),
                A.TimeStretch(p=0.5),
                A.PitchShift(p=0.3),
            ]
        self.name = name
        self._channel = (
            ChannelAugmentation(impulse_responses, noises, strength) if name == "channel" else None
        )
        self._pipeline = A.Compose(steps) if steps else None

    def __call__(self, audio: np.ndarray, sr: int, seed: int) -> np.ndarray:
        """Augment one sound.

        Parameters
        ----------
        audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
        sr : int
            [Hz]
        seed : int

        Returns
        -------
        numpy.ndarray, shape=(n_samples,), float32 in -1..1
        """
        if self._channel is not None:
            audio = condition_voice(self._channel(audio, sr, seed), sr, seed=seed)
        if self._pipeline is None:
            return peak_normalise(np.asarray(audio, np.float32))
        # audiomentations draws from the two global generators: lend them to one thread at a time
        with _AUDIO_LOCK:
            states = random.getstate(), np.random.get_state()  # noqa: NPY002
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            try:
                return peak_normalise(self._pipeline(np.ascontiguousarray(audio), sample_rate=sr))
            finally:
                random.setstate(states[0])
                np.random.set_state(states[1])  # noqa: NPY002


def mask_features(
    features: np.ndarray,
    seed: int,
    p: float = 0.5,
    max_rows: float = 0.25,
    max_frames: float = 0.15,
    n_row_masks: int = 1,
    n_frame_masks: int = 1,
) -> np.ndarray:
    """Set random bands of rows and stripes of frames to 0 (SpecAugment without time warping).

    Parameters
    ----------
    features : numpy.ndarray, shape=(n_rows, n_frames), float32
    seed : int
    p : float
        Chance of each mask.
    max_rows, max_frames : float
        Largest share of rows, and of frames, in one mask.
    n_row_masks, n_frame_masks : int

    Returns
    -------
    numpy.ndarray, shape=(n_rows, n_frames), float32
        A copy.

    Notes
    -----
    After Park et al.: SpecAugment, Interspeech 2019; on LFCC for spoofing, Chen et al.:
    Generalization of audio deepfake detection, Odyssey 2020.
    """
    generator = np.random.default_rng(seed)
    masked = features.copy()
    for axis, share, count in ((0, max_rows, n_row_masks), (1, max_frames, n_frame_masks)):
        for _ in range(count):
            width = int(generator.integers(0, max(1, round(share * features.shape[axis])) + 1))
            start = int(generator.integers(0, features.shape[axis] - width + 1))
            if generator.random() < p:
                masked[(slice(None),) * axis + (slice(start, start + width),)] = 0
    return masked
