"""What the vocoders of `dfutils.copy_synthesis` share: pitch, envelopes, spectra, mel bands, ratios."""

from __future__ import annotations

import functools
import warnings

import numpy as np

from dfutils.audio import SAMPLE_RATE_HZ

SR = SAMPLE_RATE_HZ
N_FFT, HOP = 1024, 256
FRAME_S = 0.005  # of WORLD


def import_pyworld():
    """Import pyworld on demand, without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyworld 0.3.5 still asks pkg_resources for its version
        import pyworld
    return pyworld


def analyse(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pitch [Hz, 0 unvoiced], power envelope and aperiodicity, one row per 5 ms, by WORLD."""
    return _analyse_bytes(np.ascontiguousarray(audio, np.float64).tobytes())


@functools.lru_cache(maxsize=2)  # one clip is copied by many methods in a row
def _analyse_bytes(samples: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    pyworld, audio = import_pyworld(), np.frombuffer(samples).copy()
    rough, times = pyworld.dio(audio, SR, frame_period=1000 * FRAME_S)
    f0 = pyworld.stonemask(audio, rough, times, SR)
    envelope = pyworld.cheaptrick(audio, f0, times, SR, fft_size=N_FFT)
    return f0, envelope, pyworld.d4c(audio, f0, times, SR, fft_size=N_FFT)


def pitch_per_sample(audio: np.ndarray) -> np.ndarray:
    """Pitch per sample [Hz], 0 where unvoiced."""
    f0 = analyse(audio)[0]
    return np.repeat(f0, round(FRAME_S * SR))[: audio.size]


def stft(audio: np.ndarray) -> np.ndarray:
    """Spectrum, shape=(n_bins, n_frames), complex64."""
    import librosa

    return librosa.stft(np.asarray(audio, np.float32), n_fft=N_FFT, hop_length=HOP)


def istft(spectrum: np.ndarray, n_samples: int) -> np.ndarray:
    """Sound of a spectrum of `stft`, cut or padded to ``n_samples``."""
    import librosa

    return librosa.istft(spectrum, n_fft=N_FFT, hop_length=HOP, length=n_samples)


@functools.lru_cache(maxsize=64)
def mel_bank(n_mels: int, fmax_hz: float = SR / 2) -> tuple[np.ndarray, np.ndarray]:
    """Filters, shape=(n_mels, n_bins), and their pseudo-inverse."""
    import librosa

    bank = librosa.filters.mel(sr=SR, n_fft=N_FFT, n_mels=n_mels, fmax=fmax_hz)
    return bank, np.linalg.pinv(bank)


def draw_ratio(semitones: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw a factor up or down by so many semitones."""
    return float(2 ** (rng.choice([-1, 1]) * rng.uniform(*semitones) / 12))


def smooth(values: np.ndarray, sigma: float, axis: int) -> np.ndarray:
    """Blur along one axis by a Gaussian of ``sigma`` steps."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(values, sigma, axis=axis, mode="nearest")
