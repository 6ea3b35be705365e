"""Building blocks of `dfutils.channels`: resampling, filtering, rooms and noise drawn at random."""

from __future__ import annotations

import math

import numpy as np


def resample(audio: np.ndarray, sr: int, to_sr: int) -> np.ndarray:
    """Change the sampling rate by a polyphase filter, without delay; float32 in and out."""
    from scipy.signal import resample_poly

    if sr == to_sr or not audio.size:
        return audio
    divisor = math.gcd(sr, to_sr)
    return resample_poly(audio, to_sr // divisor, sr // divisor).astype(np.float32)


def fit_length(audio: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut, or pad with zeros, to so many samples."""
    return np.pad(audio, (0, max(0, n_samples - audio.size)))[:n_samples]


def filter_sound(audio: np.ndarray, response: np.ndarray | None, curve=None, sr: int = 16_000) -> np.ndarray:
    """Convolve with an impulse response, or weigh the spectrum by ``curve(frequencies in Hz)``."""
    from scipy import fft

    tail = sr // 20 if response is None else response.size
    size = fft.next_fast_len(audio.size + tail, real=True)
    spectrum = fft.rfft(audio, size)
    if response is not None:
        spectrum *= fft.rfft(response, size)
    if curve is not None:
        spectrum *= curve(fft.rfftfreq(size, 1 / sr).astype(np.float32))
    return fft.irfft(spectrum, size)[: audio.size]


def synthetic_response(sr: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a room: direct sound, then noise decaying by 60 dB in .1 to .8 s, 0 to 15 dB below it.

    Returns
    -------
    numpy.ndarray, shape=(n_taps,), float32
        Energy 1, the direct sound first.
    """
    decay_s = rng.uniform(0.1, 0.8)
    tail = rng.standard_normal(int(decay_s * sr), dtype=np.float32)
    tail *= np.exp(-6.9 * np.arange(tail.size, dtype=np.float32) / tail.size)
    tail[: int(rng.uniform(0.001, 0.008) * sr)] = 0  # until the first reflection
    tail[1:] += rng.uniform(0, 0.9) * tail[:-1]  # walls absorb high frequencies
    tail *= 10 ** (-rng.uniform(0, 15) / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1
    return tail / np.sqrt(np.sum(tail**2))


def synthetic_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw coloured noise, power falling by 0 to 6 dB an octave; shape=(n_samples,), float32, RMS 1."""
    from scipy import fft

    size = fft.next_fast_len(n_samples, real=True)
    spectrum = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    spectrum *= np.maximum(np.arange(spectrum.size, dtype=np.float32), 30) ** np.float32(-rng.uniform(0, 1))
    noise = fft.irfft(spectrum, size)[:n_samples]
    return noise / max(float(noise.std()), 1e-9)


def rms(audio: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
