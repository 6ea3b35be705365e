"""Parametric vocoders on the parameters of WORLD: its own synthesis, and a sum of harmonics with noise."""

from __future__ import annotations

import numpy as np

from dfutils.vocoder_analysis import (
    FRAME_S,
    N_FFT,
    SR,
    analyse,
    draw_ratio,
    import_pyworld,
    pitch_per_sample,
    smooth,
)


def world(
    audio: np.ndarray, rng: np.random.Generator, dims=None, smooth_s=None, pitch=None, formant=None,
    melody=None, aperiodic=None, hold=None,
) -> np.ndarray:  # fmt: skip
    """WORLD (Morise et al. 2016), its parameters coded, smoothed, shifted or held; ranges to draw from."""
    pyworld = import_pyworld()
    f0, envelope, noisiness = analyse(audio)
    if dims:
        coded = pyworld.code_spectral_envelope(envelope, SR, int(rng.integers(*dims)))
        envelope = pyworld.decode_spectral_envelope(coded, SR, N_FFT)
        noisiness = pyworld.decode_aperiodicity(pyworld.code_aperiodicity(noisiness, SR), SR, N_FFT)
    if smooth_s:
        envelope = np.exp(smooth(np.log(envelope), rng.uniform(*smooth_s) / FRAME_S, 0))
    if formant:
        place = np.arange(envelope.shape[1]) * draw_ratio(formant, rng)
        low = np.minimum(place.astype(int), envelope.shape[1] - 2)
        share = np.minimum(place - low, 1)
        envelope = envelope[:, low] ** (1 - share) * envelope[:, low + 1] ** share
    voiced = f0 > 0
    if melody and voiced.any():
        middle = np.log(f0[voiced]).mean()
        swing = np.log(np.maximum(f0, 1)) - middle
        f0 = np.where(voiced, np.exp(middle + rng.uniform(*melody) * swing), 0)
    if pitch:
        f0 = f0 * draw_ratio(pitch, rng)
    if aperiodic:
        noisiness = np.clip(noisiness * rng.uniform(*aperiodic), 1e-9, 1)
    if hold:
        frames = int(rng.integers(*hold))
        index = np.arange(f0.size) // frames * frames
        f0, envelope, noisiness = f0[index], envelope[index], noisiness[index]
    f0, envelope, noisiness = (np.ascontiguousarray(part) for part in (f0, envelope, noisiness))
    return pyworld.synthesize(f0, envelope, noisiness, SR, 1000 * FRAME_S)


def harmonic(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sum of in-phase harmonics below a voicing limit, noise above it and where unvoiced."""
    f0, envelope, noisiness = analyse(audio)
    limit_hz = rng.uniform(3500, 7500)
    pitch, frames = pitch_per_sample(audio), np.arange(f0.size) * round(FRAME_S * SR)
    turns = np.cumsum(pitch) / SR
    voiced = np.zeros(audio.size)
    for k in range(1, int(limit_hz / max(f0[f0 > 0].min(initial=100), 50)) + 1):
        bins = np.minimum(k * f0 / SR * N_FFT, N_FFT // 2).astype(int)
        height = 2 * np.sqrt(envelope[np.arange(f0.size), bins] * f0 / SR) * (k * f0 < limit_hz)
        voiced += np.interp(np.arange(audio.size), frames, height) * np.cos(2 * np.pi * k * turns)
    hz = np.linspace(0, SR / 2, envelope.shape[1])
    share = np.where((f0[:, None] > 0) & (hz < limit_hz), noisiness**2, 1.0)
    noise = import_pyworld().synthesize(
        np.zeros_like(f0), envelope * share, np.ones_like(envelope), SR, 1000 * FRAME_S
    )
    return voiced + np.resize(noise, audio.size)
