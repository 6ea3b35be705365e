"""Perturbations of voices: noise, rooms, codecs, band limits, silence, level; each at five levels.

They are the deterministic relatives of `dfutils.channels`, which draws such things at random for training.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from dfutils.audio import SAMPLE_RATE_HZ, peak_normalise
from dfutils.channel_signals import filter_sound, fit_length, resample, rms, synthetic_noise
from dfutils.codecs_voice import transcode
from dfutils.perturbation import Perturbation

FRAME_SAMPLES = 160  # 10 ms
FILTER_ORDER = 8
FIRST_REFLECTION_S = 0.002


def _add_noise(audio: np.ndarray, snr_db: float, rng: np.random.Generator, coloured: bool) -> np.ndarray:
    noise = synthetic_noise(audio.size, rng) if coloured else rng.standard_normal(audio.size, np.float32)
    gain = rms(audio) / max(rms(noise), 1e-9) * 10 ** (-snr_db / 20)
    return _into_range(audio + np.float32(gain) * noise)


def _add_room(audio: np.ndarray, room: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Convolve with noise that decays by 60 dB, the direct sound so far above all of it."""
    decay_s, direct_db = room
    tail = rng.standard_normal(round(decay_s * SAMPLE_RATE_HZ), np.float32)
    tail *= np.exp(np.linspace(0, -6.9, tail.size, dtype=np.float32))
    tail[: round(FIRST_REFLECTION_S * SAMPLE_RATE_HZ)] = 0
    tail *= np.float32(10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2)))
    tail[0] = 1
    wet = filter_sound(audio, tail)
    return _into_range(wet * np.float32(rms(audio) / max(rms(wet), 1e-9)))


def _code(audio: np.ndarray, bit_rate: int, rng, codec: str) -> np.ndarray:
    return _into_range(transcode(audio, SAMPLE_RATE_HZ, codec, bit_rate))


def _code_mulaw(audio: np.ndarray, bits: int, rng) -> np.ndarray:
    # G.711's law at 8 kHz, its curve without the segments; the standard has 8 bits and no other choice
    narrow = np.clip(resample(audio, SAMPLE_RATE_HZ, 8000), -1, 1)
    n_steps = 2 ** (bits - 1) - 1
    code = np.round(n_steps * np.log1p(255 * np.abs(narrow)) / np.log(256)) / n_steps
    decoded = np.sign(narrow) * np.expm1(code * np.log(256)) / 255
    return _into_range(fit_length(resample(decoded.astype(np.float32), 8000, SAMPLE_RATE_HZ), audio.size))


def _low_pass(audio: np.ndarray, hz: float, rng) -> np.ndarray:
    curve = partial(_butterworth, edge_hz=hz, sign=1)
    return _into_range(filter_sound(audio, None, curve, SAMPLE_RATE_HZ))


def _high_pass(audio: np.ndarray, hz: float, rng) -> np.ndarray:
    curve = partial(_butterworth, edge_hz=hz, sign=-1)
    return _into_range(filter_sound(audio, None, curve, SAMPLE_RATE_HZ))


def _butterworth(hz: np.ndarray, edge_hz: float, sign: int) -> np.ndarray:
    ratio = np.maximum(hz, 20) / np.float32(edge_hz)  # float32 holds its powers from there on
    return 1 / np.sqrt(1 + ratio ** np.float32(2 * FILTER_ORDER * sign))


def _resample(audio: np.ndarray, sr: int, rng) -> np.ndarray:
    there = resample(audio, SAMPLE_RATE_HZ, sr)
    return _into_range(fit_length(resample(there, sr, SAMPLE_RATE_HZ), audio.size))


def _cut_pauses(audio: np.ndarray, below_db: float, rng) -> np.ndarray:
    """Take out frames of 10 ms that are so far below a loud one (95th percentile)."""
    n_frames = audio.size // FRAME_SAMPLES
    if n_frames < 2:
        return audio.copy()
    frames = audio[: n_frames * FRAME_SAMPLES].reshape(n_frames, FRAME_SAMPLES)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return frames[power >= np.quantile(power, 0.95) * 10 ** (-below_db / 10)].ravel()


def _add_silence(audio: np.ndarray, seconds: float, rng) -> np.ndarray:
    """Add digital silence: a quarter at each end, half at the quietest place of the middle half."""
    n_quarter = round(seconds * SAMPLE_RATE_HZ / 4)
    quarter = np.zeros(n_quarter, np.float32)
    power = np.convolve(np.square(audio), np.ones(FRAME_SAMPLES, np.float32), "same")
    start, end = audio.size // 4, max(audio.size // 4 + 1, 3 * audio.size // 4)
    place = start + int(np.argmin(power[start:end]))
    return np.concatenate([quarter, audio[:place], quarter, quarter, audio[place:], quarter])


def _overdrive(audio: np.ndarray, over_db: float, rng) -> np.ndarray:
    return np.clip(peak_normalise(audio) * np.float32(10 ** (over_db / 20)), -1, 1)


def _make_quiet(audio: np.ndarray, level_dbfs: float, rng) -> np.ndarray:
    """Set the level, and round to 16 bits as a sound file does."""
    quiet = audio * np.float32(10 ** (level_dbfs / 20) / max(rms(audio), 1e-9))
    return (np.round(np.clip(quiet, -1, 1) * 32767) / 32767).astype(np.float32)


def _into_range(audio: np.ndarray) -> np.ndarray:
    return np.asarray(audio / max(1.0, float(np.abs(audio).max())), np.float32)


def _make(family: str, about: str, unit: str, values: tuple, change, **options) -> Perturbation:
    return Perturbation("voice", family, about, unit, values, change, **options)


_ROOMS = ((0.2, 10), (0.4, 5), (0.6, 2), (0.9, 0), (1.3, -4))
_MP3, _OPUS = (64_000, 48_000, 32_000, 24_000, 16_000), (32_000, 20_000, 14_000, 10_000, 6_000)
PERTURBATIONS: dict[str, Perturbation] = {
    "white-noise": _make(
        "noise", "hiss", "SNR [dB]", (30, 20, 10, 5, 0), partial(_add_noise, coloured=False)
    ),
    "coloured-noise": _make(
        "noise", "noise, power falling by 0 to 6 dB an octave", "SNR [dB]", (30, 20, 10, 5, 0),
        partial(_add_noise, coloured=True),
    ),
    "room": _make("room", "reverberation", "decay [s], direct sound [dB]", _ROOMS, _add_room),
    "mp3": _make("codec", "MP3", "bit/s", _MP3, partial(_code, codec="mp3")),
    "opus": _make("codec", "Opus", "bit/s", _OPUS, partial(_code, codec="opus")),
    "mulaw": _make("codec", "telephone, 8 kHz", "bits (standard: 8)", (8, 7, 6, 5, 4), _code_mulaw),
    "low-pass": _make("band", "dull", "edge [Hz]", (6000, 4800, 3800, 3000, 2200), _low_pass),
    "high-pass": _make("band", "thin", "edge [Hz]", (100, 200, 300, 500, 800), _high_pass),
    "resampling": _make(
        "band", "to a lower rate and back", "rate [Hz]", (12_000, 11_025, 8_000, 6_000, 4_000), _resample
    ),
    "pauses-cut": _make(
        "silence", "quiet parts taken out", "below a loud one [dB]", (45, 35, 30, 25, 20), _cut_pauses,
        keeps_length=False,
    ),
    "silence-added": _make(
        "silence", "a pause, and silence at the ends", "s in all", (0.25, 0.5, 1.0, 2.0, 4.0), _add_silence,
        keeps_length=False,
    ),
    "overdriven": _make("level", "too loud: clipped", "peak [dBFS]", (3, 6, 12, 18, 24), _overdrive),
    "quiet": _make("level", "quiet, 16 bits", "level [dBFS]", (-40, -50, -60, -70, -80), _make_quiet),
}  # fmt: skip
