"""Vocoders on the short-time spectrum: lost magnitudes, a phase guessed or made wrong."""

from __future__ import annotations

import numpy as np

from dfutils.vocoder_analysis import HOP, SR, draw_ratio, istft, mel_bank, smooth, stft


def _griffin_lim(
    magnitude: np.ndarray, n_samples: int, rng: np.random.Generator, n_iter: tuple[int, int]
) -> np.ndarray:
    """Guess the phase (Griffin and Lim 1984, with the momentum of Perraudin et al. 2013)."""
    angles = np.exp(2j * np.pi * rng.random(magnitude.shape, dtype=np.float32))
    before = 0
    for _ in range(int(rng.integers(*n_iter))):
        rebuilt = stft(istft(magnitude * angles, n_samples))
        angles = rebuilt + 0.99 * (rebuilt - before)
        angles /= np.maximum(np.abs(angles), 1e-9)
        before = rebuilt
    return istft(magnitude * angles, n_samples)


def mel_inversion(
    audio: np.ndarray, rng: np.random.Generator, n_mels, n_iter, fmax_hz=(8000, 8000), smooth_s=None,
    codebook=None,
) -> np.ndarray:  # fmt: skip
    """Mel spectrogram, blurred as by a mean-square loss or coded by few frames, then Griffin-Lim."""
    top_hz = float(rng.uniform(*fmax_hz))
    bank, inverse = mel_bank(int(rng.integers(*n_mels)), round(top_hz, -2))
    bands = np.log(np.maximum(bank @ np.abs(stft(audio)), 1e-5))
    if smooth_s:
        bands = smooth(bands, rng.uniform(*smooth_s) * SR / HOP, 1)
        bands = smooth(bands, rng.uniform(0.4, 1.4), 0)
    if codebook:
        words = bands[:, rng.permutation(bands.shape[1])[: int(rng.integers(*codebook))]]
        distance = np.square(words).sum(0)[:, None] - 2 * words.T @ bands
        bands = words[:, distance.argmin(0)]
    return _griffin_lim(np.maximum(inverse @ np.exp(bands), 0), audio.size, rng, n_iter)


def spectrum_inversion(audio: np.ndarray, rng: np.random.Generator, n_iter) -> np.ndarray:
    """Right magnitudes, guessed phase."""
    return _griffin_lim(np.abs(stft(audio)), audio.size, rng, n_iter)


def phase_noise(audio: np.ndarray, rng: np.random.Generator, checkerboard: bool = False) -> np.ndarray:
    """Phase more and more wrong towards high frequencies; if wished, a gain that repeats every few samples.

    The latter is what transposed convolutions leave: images about multiples of the repetition rate.
    """
    spectrum = stft(audio)
    ramp = np.clip(np.linspace(-rng.uniform(0.05, 0.4), 1, len(spectrum)), 0, 1)[:, None]
    worst = rng.uniform(0.3, 1.2) if checkerboard else rng.uniform(1, 3)
    noise = smooth(rng.standard_normal(spectrum.shape), rng.uniform(0.1, 1.2), 1)
    out = istft(spectrum * np.exp(1j * worst * ramp * noise / noise.std()), audio.size)
    if checkerboard:
        period = int(rng.choice([2, 4, 5, 8, 16, 64]))
        pattern = np.resize(rng.standard_normal(period), out.size)
        loudness = np.sqrt(smooth(np.square(out), 200, 0))
        depth, tone = 10 ** rng.uniform(-1.8, -1), 10 ** rng.uniform(-3, -2)
        out = out + pattern * (depth * out + tone * loudness)
    return out


def phase_vocoder(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stretch and squeeze back by a phase vocoder: vertical phase coherence is lost."""
    import librosa

    rate = draw_ratio((3, 8), rng)
    out = istft(librosa.phase_vocoder(stft(audio), rate=rate, hop_length=HOP), round(audio.size / rate))
    return istft(librosa.phase_vocoder(stft(out), rate=1 / rate, hop_length=HOP), audio.size)
