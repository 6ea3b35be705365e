"""The methods of copy synthesis by name, and one copy by one of them; `dfutils.copy_synthesis` tells why."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from dfutils.audio import rms_dbfs
from dfutils.errors import InputError
from dfutils.psola import psola
from dfutils.vocoder_analysis import SR
from dfutils.vocoders_source import lpc, mel_source
from dfutils.vocoders_spectral import mel_inversion, phase_noise, phase_vocoder, spectrum_inversion
from dfutils.vocoders_world import harmonic, world

VERSION = 1  # raise it when a method changes: copies of another version are made again
MIN_SECONDS = 0.1

METHODS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    # parametric vocoders and voice conversion
    "world": world,
    "world-coded": partial(world, dims=(16, 41)),
    "world-smooth": partial(world, dims=(20, 41), smooth_s=(0.01, 0.03)),
    "world-shifted": partial(world, pitch=(1, 5), formant=(0.5, 2.5)),
    "world-flat": partial(world, melody=(0, 0.5)),
    "world-buzzy": partial(world, aperiodic=(0, 0.1)),
    "world-held": partial(world, dims=(24, 61), hold=(2, 5)),
    "harmonic": harmonic,
    # spectrogram inversion
    "mel-griffinlim": partial(mel_inversion, n_mels=(80, 129), n_iter=(30, 61)),
    "mel-coarse": partial(mel_inversion, n_mels=(24, 49), n_iter=(4, 17), fmax_hz=(6500, 8000)),
    "mel-smooth": partial(mel_inversion, n_mels=(80, 81), n_iter=(16, 33), smooth_s=(0.008, 0.025)),
    "mel-quantised": partial(mel_inversion, n_mels=(60, 101), n_iter=(16, 33), codebook=(24, 97)),
    "spectrum-griffinlim": partial(spectrum_inversion, n_iter=(2, 25)),
    # what neural vocoders leave: right envelope, excitation or phase of their own, images
    "mel-pulse": partial(mel_source, kind="pulse", n_mels=(50, 101)),
    "mel-mixed": partial(mel_source, kind="mixed", n_mels=(50, 101)),
    "mel-noise": partial(mel_source, kind="noise", n_mels=(80, 129)),
    "mel-images": partial(mel_source, kind="images", n_mels=(60, 129)),
    "phase-noise": phase_noise,
    "checkerboard": partial(phase_noise, checkerboard=True),
    "phase-vocoder": phase_vocoder,
    # linear prediction and concatenation
    "lpc-pulse": partial(lpc, kind="pulse"),
    "lpc-noise": partial(lpc, kind="noise"),
    "lpc-residual": partial(lpc, kind="residual"),
    "psola-pitch": partial(psola, pitch=(1.5, 5)),
    "psola-tempo": partial(psola, tempo=0.25),
    "joins": partial(psola, tempo=0.1, joins=True),
}


def copy_synthesize(audio: np.ndarray, method: str, seed: int) -> np.ndarray:
    """Make one vocoded copy.

    Parameters
    ----------
    audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1, 16 kHz
    method : str
        One of `METHODS`.
    seed : int
        Draws the method's parameters and noise; the same seed gives the same copy.

    Returns
    -------
    numpy.ndarray, shape=(n_samples,), float32 in -1..1
        In step with ``audio`` (within a few ms; "psola-tempo" and "joins" wander by up to .2 s) and
        of its RMS level; quieter only where its peaks would otherwise pass full scale.

    Raises
    ------
    InputError
        The method is unknown; the sound is not mono, shorter than .1 s, silent, or not finite; or
        nothing came out.

    Examples
    --------
    >>> voice = np.sin(np.arange(8_000) / 20).astype("float32") / 2
    >>> copy_synthesize(voice, "lpc-noise", seed=1).shape
    (8000,)
    """
    if method not in METHODS:
        raise InputError("method", f"must be one of {tuple(METHODS)}, got {method!r}")
    audio = np.asarray(audio)
    if audio.ndim != 1:
        raise InputError("audio", f"must be mono, shape (n_samples,), got shape {audio.shape}")
    if audio.size < MIN_SECONDS * SR:
        raise InputError("audio", f"holds {audio.size / SR:.2f} s of sound, less than {MIN_SECONDS} s")
    if not np.isfinite(audio).all():
        raise InputError("audio", "holds values that are not numbers")
    level = rms_dbfs(audio)
    if level < -90:
        raise InputError("audio", "is silent (below -90 dBFS)")
    rng = np.random.default_rng([seed % 2**32, *method.encode()])
    copy = METHODS[method](audio.astype(np.float64), rng)
    copy = np.pad(copy, (0, max(0, audio.size - copy.size)))[: audio.size]
    if not np.isfinite(copy).all() or not np.any(copy):
        raise InputError("audio", f"nothing came out of the method {method!r}")
    copy = copy * np.sqrt(
        np.mean(np.square(audio, dtype=np.float64)) / np.mean(np.square(copy, dtype=np.float64))
    )
    return (copy / max(1.0, float(np.abs(copy).max()))).astype(np.float32)
