"""What happens to a voice between mouth and file: room, noise, band limits, resampling, codec, level.

Applied alike to bona fide and spoofed speech, so that no channel tells the classes apart. Seeded per
sample, without global state: any number of threads may share one `ChannelAugmentation`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from dfutils.audio import load_audio
from dfutils.channel_signals import (
    filter_sound,
    fit_length,
    resample,
    rms,
    synthetic_noise,
    synthetic_response,
)
from dfutils.codecs_voice import CODECS, available_codecs, transcode
from dfutils.errors import InputError

VERSION = 1  # raise it when a step changes: what was computed with another version is made again
STEPS = ("room", "noise", "tone", "clip", "resample", "codec", "level")
CHANCES = {"room": 0.3, "noise": 0.45, "tone": 0.5, "clip": 0.1, "resample": 0.2, "codec": 0.4, "level": 0.9}
SNR_DB_RANGE = (5.0, 30.0)
LOW_PASS_HZ_RANGE = (3400.0, 8000.0)
HIGH_PASS_HZ_RANGE = (40.0, 300.0)
TILT_DB_RANGE = (-3.0, 3.0)  # per octave
LEVEL_DB_RANGE = (-12.0, 6.0)
RATES_HZ = (8_000, 11_025, 12_000, 22_050, 24_000, 32_000)
SILENCE = 1e-9  # mean power: -90 dBFS


class ChannelAugmentation:
    """Random channel for voices.

    Parameters
    ----------
    impulse_responses, noises : str, os.PathLike or None
        Folders of sound files, read at once; synthetic ones are drawn where None.
    strength : float
        0..1: share of the full chances (`CHANCES`) at which each step happens; 0 changes nothing.
    steps : tuple of str
        Of `STEPS`; whatever is left out never happens.

    Raises
    ------
    InputError
        A folder holds no sound, the strength lies outside 0..1, a step is unknown.

    Examples
    --------
    >>> channel = ChannelAugmentation(steps=("room", "noise", "level"))
    >>> channel(np.random.default_rng(0).uniform(-0.1, 0.1, 16_000), 16_000, seed=1).shape
    (16000,)
    """

    def __init__(
        self,
        impulse_responses: str | os.PathLike | None = None,
        noises: str | os.PathLike | None = None,
        strength: float = 1.0,
        steps: tuple[str, ...] = STEPS,
    ):
        if not 0 <= strength <= 1:
            raise InputError("strength", f"must lie in 0..1, got {strength}")
        if set(steps) - set(STEPS):
            raise InputError("steps", f"must be of {STEPS}, got {steps}")
        self.strength, self.steps = strength, tuple(steps)
        self._folders = {"room": impulse_responses, "noise": noises}
        self._sounds: dict[tuple[str, int], list[np.ndarray]] = {}
        for kind, folder in self._folders.items():
            if folder is not None:
                self._load(kind, 16_000)

    def __call__(self, audio: np.ndarray, sr: int, seed: int) -> np.ndarray:
        """Send one voice through a channel.

        Parameters
        ----------
        audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
        sr : int
            [Hz]
        seed : int
            The same seed gives the same channel.

        Returns
        -------
        numpy.ndarray, shape=(n_samples,), float32 in -1..1
            In step with ``audio``; silence (below -90 dBFS) comes back as it is.

        Raises
        ------
        InputError
            The sound is empty, not mono, or holds values that are not numbers.
        """
        audio = np.asarray(audio, np.float32)
        if audio.ndim != 1 or not audio.size:
            raise InputError("audio", f"must be mono and not empty, got shape {audio.shape}")
        if not np.isfinite(audio).all():
            raise InputError("audio", "holds values that are not numbers")
        if np.mean(np.square(audio)) < SILENCE:
            return audio.copy()
        rng = np.random.default_rng(seed)
        happens = rng.random(len(STEPS)) < self.strength * np.array([CHANCES[step] for step in STEPS])
        for step, draws in zip(STEPS, rng.spawn(len(STEPS))):
            if happens[STEPS.index(step)] and step in self.steps:
                audio = getattr(self, f"_{step}")(audio, sr, draws)
        return np.asarray(audio / max(1.0, float(np.abs(audio).max())), np.float32)

    def _load(self, kind: str, sr: int) -> list[np.ndarray]:
        key = kind, sr
        if key not in self._sounds:
            paths = [path for path in sorted(Path(self._folders[kind]).glob("*.*")) if path.is_file()]
            if not paths:
                raise InputError(self._folders[kind], f"holds no sounds for the step {kind!r}")
            sounds = [load_audio(path, sr) for path in paths]
            if kind == "room":  # from the direct sound on, or the copy would be late
                sounds = [sound[int(np.argmax(np.abs(sound))) :][: 2 * sr] for sound in sounds]
            self._sounds[key] = [sound / np.sqrt(max(np.sum(sound**2), 1e-12)) for sound in sounds]
        return self._sounds[key]

    def _room(self, audio: np.ndarray, sr: int, rng: np.random.Generator) -> np.ndarray:
        if self._folders["room"] is None:
            response = synthetic_response(sr, rng)
        else:
            responses = self._load("room", sr)
            response = responses[rng.integers(len(responses))]
        wet = filter_sound(audio, response)
        return wet * np.float32(rms(audio) / max(rms(wet), 1e-6))

    def _noise(self, audio: np.ndarray, sr: int, rng: np.random.Generator) -> np.ndarray:
        if self._folders["noise"] is None:
            noise = synthetic_noise(audio.size, rng)
        else:
            noises = self._load("noise", sr)
            noise = noises[rng.integers(len(noises))]
            noise = np.take(noise, np.arange(audio.size) + rng.integers(noise.size), mode="wrap")
        gain = rms(audio) / max(rms(noise), 1e-9) * 10 ** (-rng.uniform(*SNR_DB_RANGE) / 20)
        return audio + np.float32(gain) * noise

    def _tone(self, audio: np.ndarray, sr: int, rng: np.random.Generator) -> np.ndarray:
        low_pass, high_pass = rng.uniform(*LOW_PASS_HZ_RANGE), rng.uniform(*HIGH_PASS_HZ_RANGE)
        order_low, order_high = rng.integers(2, 13), rng.integers(1, 4)
        tilt = rng.uniform(*TILT_DB_RANGE)
        use_low, use_high, use_tilt = rng.random(3) < 0.55

        def curve(hz: np.ndarray) -> np.ndarray:
            """Butterworth magnitudes and a tilt about 1 kHz, all of zero phase."""
            gain = np.ones_like(hz)
            if use_low:
                gain /= np.sqrt(1 + (hz / low_pass) ** (2 * order_low))
            if use_high:
                gain /= np.sqrt(1 + (high_pass / np.maximum(hz, 1)) ** (2 * order_high))
            if use_tilt:
                gain *= (np.clip(hz, 100, 8000) / 1000) ** (tilt / 6.02)
            return gain

        return filter_sound(audio, None, curve, sr)

    def _clip(self, audio: np.ndarray, sr: int, rng: np.random.Generator) -> np.ndarray:
        limit = float(np.quantile(np.abs(audio), 1 - rng.uniform(0.0005, 0.01)))
        return np.clip(audio, -limit, limit)

    def _resample(self, audio: np.ndarray, sr: int, rng: np.random.Generator) -> np.ndarray:
        other = int(rng.choice(RATES_HZ))
        return fit_length(resample(resample(audio, sr, other), other, sr), audio.size)

    def _codec(self, audio: np.ndarray, sr: int, rng: np.random.Generator) -> np.ndarray:
        names = available_codecs()
        name = names[rng.integers(len(names))]
        return transcode(audio, sr, name, int(rng.choice(CODECS[name].bit_rates)))

    def _level(self, audio: np.ndarray, sr: int, rng: np.random.Generator) -> np.ndarray:
        return audio * np.float32(10 ** (rng.uniform(*LEVEL_DB_RANGE) / 20))
