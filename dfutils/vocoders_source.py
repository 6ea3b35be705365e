"""Vocoders of source and filter: pulses, noise or upsampling images through mel bands or all-pole filters."""

from __future__ import annotations

import numpy as np

from dfutils.vocoder_analysis import SR, istft, mel_bank, pitch_per_sample, stft


def excitation(audio: np.ndarray, rng: np.random.Generator, kind: str) -> np.ndarray:
    """Pulses (noise where unvoiced, and above a random limit if mixed), noise, or upsampling images."""
    from scipy.signal import butter, sosfilt

    noise = rng.standard_normal(audio.size)
    if kind == "noise":
        return noise
    if kind == "images":  # keep each 2nd to 4th sample, fill in by a poor kernel: the spectrum folds up
        step = int(rng.integers(2, 5))
        low = sosfilt(butter(int(rng.integers(1, 7)), 0.9 / step, output="sos"), audio)
        held = np.zeros(audio.size)
        held[::step] = low[::step]
        kernel = np.ones(step) if rng.random() < 0.5 else np.r_[1.0, rng.uniform(0, 0.5, step - 1)]
        return np.convolve(held, kernel)[: audio.size] + 1e-4 * noise
    pitch = pitch_per_sample(audio)
    pulses = np.diff(np.floor(np.cumsum(pitch) / SR), prepend=0) * np.sqrt(SR / np.maximum(pitch, 50))
    spread = np.arange(80) / (rng.uniform(0, 0.001) * SR + 1e-3)  # a real pulse is no click
    shape = np.exp(-spread) * np.where(spread > 0, rng.standard_normal(80), 1)
    pulses = np.convolve(pulses, shape / np.sqrt(np.square(shape).sum()))[: audio.size]
    if kind == "mixed":
        limit_hz = rng.uniform(2000, 6000)
        pulses = sosfilt(butter(3, limit_hz, fs=SR, output="sos"), pulses)
        pulses += sosfilt(butter(3, limit_hz, "highpass", fs=SR, output="sos"), noise)
    return np.where(pitch > 0, pulses + 0.03 * noise, noise)


def mel_source(audio: np.ndarray, rng: np.random.Generator, kind: str, n_mels) -> np.ndarray:
    """Give an excitation the mel spectrogram of the voice, as neural source-filter vocoders learn to."""
    source = stft(excitation(audio, rng, kind))
    bank, _ = mel_bank(int(rng.integers(*n_mels)))
    gains = (bank @ np.abs(stft(audio))) / np.maximum(bank @ np.abs(source), 1e-5)
    return istft(source * (bank.T @ gains / np.maximum(bank.sum(0), 1e-9)[:, None]), audio.size)


def lpc(audio: np.ndarray, rng: np.random.Generator, kind: str) -> np.ndarray:
    """All-pole filters every 6 ms, excited by pulses, noise, or a residual of 3 to 6 levels (as in CELP)."""
    from scipy.linalg import solve_toeplitz
    from scipy.signal import lfilter

    size, hop, order, emphasis = 400, 100, int(rng.integers(14, 25)), 0.95
    window = np.hanning(size)
    padded = np.pad(lfilter([1, -emphasis], [1], audio), (size, 2 * size))
    drive = padded if kind == "residual" else np.pad(excitation(audio, rng, kind), (size, 2 * size))
    levels = rng.uniform(0.7, 1.8)
    out = np.zeros(padded.size)
    for start in range(0, padded.size - size, hop):
        frame = padded[start : start + size] * window
        correlation = np.correlate(frame, frame, "full")[size - 1 : size + order]
        if correlation[0] < 1e-9:
            continue
        correlation[0] *= 1 + 1e-5
        poles = np.r_[1, -solve_toeplitz(correlation[:order], correlation[1:])]
        source = drive[start : start + size]
        if kind == "residual":
            source = lfilter(poles, [1], source)
            step = levels * source.std() + 1e-9
            source = step * np.round(source / step + rng.uniform(-0.5, 0.5, size) * 0.2)
        else:
            source = source * np.sqrt(max(poles @ correlation, 0) / size)
        out[start : start + size] += lfilter([1], poles, source) * window
    return lfilter([1], [1, -emphasis], out[size : size + audio.size])
