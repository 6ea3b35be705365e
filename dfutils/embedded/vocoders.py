"""Vocoded copies of an utterance: WORLD, Griffin-Lim and linear prediction.

The first two also smooth the spectrum over time, the best-known fault of statistical parametric
synthesis (Toda and Tokuda, 2007); without it, copies of a synthetic voice are nearly perfect.
"""

from __future__ import annotations

import numpy as np
from scipy import signal

from dfutils.embedded.voices import SR

SEEN_ATTACKS = ("world", "griffinlim")
HELD_OUT_ATTACKS = ("lpc",)
EMPHASIS = 0.95
FADE_S = 0.03  # [s]
SMOOTHING_S = 0.05  # [s], half width of the window over the log spectrum


def vocode(voice: np.ndarray, attack: str, rng: np.random.Generator) -> np.ndarray:
    """Make a spoofed copy of the same length, level and leading silence.

    Parameters
    ----------
    voice : numpy.ndarray [shape=(n_samples,), float64, 16 kHz]
    attack : str
        "world", "griffinlim" or "lpc".
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray [shape=(n_samples,), float64]
    """
    copy = {"world": _world, "griffinlim": _griffin_lim, "lpc": _lpc}[attack](voice, rng)
    copy = np.pad(copy, (0, max(0, len(voice) - len(copy))))[: len(voice)]
    copy = copy - copy.mean()
    lead = int(np.argmax(voice != 0))
    copy[:lead] = 0
    return match_level(fade_end(copy), voice)


def fade_end(voice: np.ndarray) -> np.ndarray:
    """Fade the last 30 ms out: how a vocoder treats the end must not tell."""
    length = min(len(voice), round(FADE_S * SR))
    gain = np.ones(len(voice))
    gain[len(voice) - length :] = np.cos(np.linspace(0, np.pi / 2, length)) ** 2
    return voice * gain


def match_level(copy: np.ndarray, voice: np.ndarray) -> np.ndarray:
    """Scale ``copy`` to the root mean square of ``voice``."""
    return copy * np.sqrt((voice**2).mean() / max((copy**2).mean(), 1e-12))


def _world(voice: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Analyse by WORLD, code the envelope in 16 numbers per 10 ms, smooth it, synthesise."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyworld 0.3.5 still asks pkg_resources for its version
        import pyworld

    period_ms = 10.0
    samples = np.ascontiguousarray(voice, np.float64)
    rough, times = pyworld.dio(samples, SR, frame_period=period_ms)
    pitch = pyworld.stonemask(samples, rough, times, SR)
    envelope = pyworld.cheaptrick(samples, pitch, times, SR)
    aperiodicity = pyworld.d4c(samples, pitch, times, SR)
    size = 2 * (envelope.shape[1] - 1)
    coded = pyworld.code_spectral_envelope(envelope, SR, 16)
    coded = _over_smooth(coded, 0, 1000 / period_ms)
    envelope = pyworld.decode_spectral_envelope(np.ascontiguousarray(coded), SR, size)
    return pyworld.synthesize(pitch, envelope, aperiodicity, SR, frame_period=period_ms)


def _over_smooth(log_spectrum: np.ndarray, axis: int, frames_per_s: float) -> np.ndarray:
    """Average over time with a Hann window."""
    half = max(1, round(SMOOTHING_S * frames_per_s))
    window = np.hanning(2 * half + 3)[1:-1]
    widths = [(0, 0), (0, 0)]
    widths[axis] = (half, half)
    padded = np.pad(log_spectrum, widths, mode="edge")
    return signal.convolve(padded, np.expand_dims(window / window.sum(), 1 - axis), mode="valid")


def _griffin_lim(
    voice: np.ndarray, rng: np.random.Generator, n_mels: int = 40, n_iter: int = 16
) -> np.ndarray:
    """Go through a smoothed 40-band mel spectrogram and guess the phase (Griffin and Lim, 1984).

    Own code rather than librosa's: importing that would cost every process seconds.
    """
    frames = {"fs": SR, "nperseg": 512, "noverlap": 384}
    spectrum = signal.stft(voice, **frames)[2]
    filters = _mel_filters(n_mels, len(spectrum))
    bands = np.log(np.maximum(filters @ np.abs(spectrum), 1e-6))
    bands = np.exp(_over_smooth(bands, 1, SR / 128))
    restored = np.maximum(np.linalg.pinv(filters) @ bands, 0)
    phase = np.exp(2j * np.pi * rng.random(restored.shape))
    for _ in range(n_iter):
        guess = signal.stft(signal.istft(restored * phase, **frames)[1], **frames)[2][:, : restored.shape[1]]
        phase = guess / np.maximum(np.abs(guess), 1e-12)
    return signal.istft(restored * phase, **frames)[1]


def _mel_filters(n_mels: int, n_bins: int) -> np.ndarray:
    """Triangles with their corners evenly spaced in mel [shape=(n_mels, n_bins)]."""
    top = 2595 * np.log10(1 + SR / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, n_mels + 2) / 2595) - 1)
    bins = np.linspace(0, SR / 2, n_bins)
    left, middle, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return np.maximum(np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)), 0)


def _lpc(voice: np.ndarray, rng: np.random.Generator, order: int = 18) -> np.ndarray:
    """Excite all-pole filters (autocorrelation method, 32 ms frames) by pulses or noise."""
    from scipy.linalg import solve_toeplitz

    size, hop = 512, 128
    window = np.hanning(size)
    # Pre-emphasis: otherwise 18 poles spend themselves on the low formants.
    padded = np.pad(signal.lfilter([1, -EMPHASIS], [1], voice), (size // 2, size))
    out = np.zeros(len(padded))
    next_pulse = 0.0
    for start in range(0, len(padded) - size, hop):
        frame = padded[start : start + size] * window
        correlation = signal.fftconvolve(frame, frame[::-1])[size - 1 :]
        if correlation[0] < 1e-9:
            next_pulse = start + size // 2 + hop
            continue
        correlation[0] *= 1 + 1e-5
        coefficients = solve_toeplitz(correlation[:order], correlation[1 : order + 1])
        gain = np.sqrt(max(correlation[0] - coefficients @ correlation[1 : order + 1], 0))
        lag = 50 + int(np.argmax(correlation[50:230]))  # 70 to 320 Hz
        excitation = np.zeros(size)
        if correlation[lag] > 0.35 * correlation[0]:
            next_pulse = max(next_pulse, start)
            at = next_pulse
            while at < start + size:
                excitation[int(at) - start] = np.sqrt(lag)
                at += lag
            excitation -= excitation.mean()
            next_pulse += lag * np.ceil(max(start + hop - next_pulse, 0) / lag)
        else:
            excitation = rng.standard_normal(size)
        synthetic = signal.lfilter([gain], np.r_[1, -coefficients], excitation)
        out[start : start + size] += synthetic * window / np.sqrt((window**2).sum())
    return signal.lfilter([1], [1, -EMPHASIS], out[size // 2 : size // 2 + len(voice)])
