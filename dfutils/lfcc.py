"""Linear-frequency cepstral coefficients (LFCC) and the picture that the voice model sees."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from dfutils.errors import InputError

KINDS = ("static", "dynamic", "all")
LOG_FLOOR = 1e-6
MAP_SCALES = (6.0, 1.5, 0.8)  # of log power, its slope and its curvature


@functools.lru_cache(maxsize=8)
def linear_filter_bank(
    n_filters: int, n_fft: int, sr: int, fmin_hz: float = 0.0, fmax_hz: float | None = None
) -> np.ndarray:
    """Triangular filters whose corners are spaced evenly in frequency, peak 1.

    Returns
    -------
    numpy.ndarray, shape=(n_filters, n_fft // 2 + 1), float32, read-only
    """
    fmax_hz = sr / 2 if fmax_hz is None else fmax_hz
    if not 0 <= fmin_hz < fmax_hz <= sr / 2:
        raise InputError("filter range", f"must lie in 0..{sr / 2:.0f} Hz, got {fmin_hz}..{fmax_hz} Hz")
    bins_hz = np.linspace(0, sr / 2, n_fft // 2 + 1)
    corners_hz = np.linspace(fmin_hz, fmax_hz, n_filters + 2)
    spacing_hz = corners_hz[1] - corners_hz[0]
    distance = np.abs(bins_hz[None] - corners_hz[1:-1, None]) / spacing_hz
    bank = np.maximum(0, 1 - distance).astype(np.float32)
    bank.setflags(write=False)
    return bank


def lfcc(
    audio: np.ndarray,
    sr: int = 16_000,
    n_coefficients: int = 20,
    n_filters: int = 20,
    window_samples: int = 512,
    hop_samples: int = 160,
    fmin_hz: float = 0.0,
    fmax_hz: float | None = None,
) -> np.ndarray:
    """Compute static LFCC: STFT, power, linear filter bank, logarithm, DCT-II.

    Parameters
    ----------
    audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
    sr : int
        [Hz]
    n_coefficients : int
        Kept, from the zeroth on.
    n_filters : int
        Triangular filters, evenly spaced in frequency.
    window_samples, hop_samples : int
        Hann window and hop [samples]; 32 ms and 10 ms at 16 kHz.
    fmin_hz, fmax_hz : float
        Range of the filters [Hz]; up to ``sr / 2`` by default.

    Returns
    -------
    numpy.ndarray, shape=(n_coefficients, n_frames), float32
        ``n_frames = 1 + n_samples // hop_samples``.

    Raises
    ------
    InputError
        The sound is shorter than half a window, or not mono.

    Notes
    -----
    After Sahidullah, Kinnunen, Hanilçi: A comparison of features for synthetic speech detection,
    Interspeech 2015. The logarithm is natural, of the power plus 1e-6; the DCT is orthonormal.
    A gain changes the zeroth coefficient only (as far as the power stands above that floor).

    Examples
    --------
    >>> lfcc(np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype("float32")).shape
    (20, 101)
    """
    from scipy.fft import dct

    if not 1 <= n_coefficients <= n_filters:
        raise InputError("n_coefficients", f"must lie in 1..{n_filters} (n_filters), got {n_coefficients}")
    bands = _bands(audio, sr, n_filters, window_samples, hop_samples, fmin_hz, fmax_hz)
    return dct(np.log(bands + LOG_FLOOR), type=2, axis=0, norm="ortho")[:n_coefficients].astype(np.float32)


def _bands(
    audio: np.ndarray,
    sr: int,
    n_filters: int,
    window_samples: int,
    hop_samples: int,
    fmin_hz: float,
    fmax_hz: float | None,
) -> np.ndarray:
    """Power in each band; shape=(n_filters, n_frames)."""
    import librosa

    audio = np.asarray(audio)
    if audio.ndim != 1:
        raise InputError("audio", f"must be mono, shape (n_samples,), got shape {audio.shape}")
    if audio.size <= window_samples // 2:
        raise InputError("audio", f"holds {audio.size} samples, too few for a window of {window_samples}")
    spectrum = librosa.stft(
        audio.astype(np.float32), n_fft=window_samples, hop_length=hop_samples, pad_mode="reflect"
    )
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return _sparse_bank(n_filters, window_samples, sr, fmin_hz, fmax_hz) @ power


@functools.lru_cache(maxsize=8)
def _sparse_bank(*filters):
    """The same filters, nearly all of whose weights are 0, so that no threaded BLAS is woken for them."""
    from scipy.sparse import csr_array

    return csr_array(linear_filter_bank(*filters))


def delta(coefficients: np.ndarray, order: int = 1, width: int = 9) -> np.ndarray:
    """Slope (order 1) or curvature (order 2) over time, by local polynomial fit of ``width`` frames."""
    import librosa

    return librosa.feature.delta(coefficients, width=width, order=order, mode="nearest").astype(np.float32)


def voice_features(audio: np.ndarray, sr: int = 16_000, kind: str = "static", **options) -> np.ndarray:
    """Stack LFCC as the thesis compared them.

    Parameters
    ----------
    audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
    sr : int
        [Hz]
    kind : {"static", "dynamic", "all"}
        The coefficients (20 rows), their delta and delta-delta (40), or all three (60).
    **options
        See `lfcc`.

    Returns
    -------
    numpy.ndarray, shape=(n_rows, n_frames), float32
    """
    if kind not in KINDS:
        raise InputError("features", f"must be one of {KINDS}, got {kind!r}")
    static = lfcc(audio, sr, **options)
    if kind == "static":
        return static
    dynamic = np.concatenate([delta(static, 1), delta(static, 2)])
    return dynamic if kind == "dynamic" else np.concatenate([static, dynamic])


def band_maps(audio: np.ndarray, sr: int = 16_000, **options) -> np.ndarray:
    """Compute the filter bank behind the LFCC, before the DCT mixes its bands, as maps for a network.

    Parameters
    ----------
    audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
    sr : int
        [Hz]
    **options
        See `log_bands`.

    Returns
    -------
    numpy.ndarray, shape=(n_filters, n_frames, 3), float32
        See `maps_of`.

    Raises
    ------
    InputError
        As `lfcc`.
    """
    return maps_of(log_bands(audio, sr, **options))


def log_bands(
    audio: np.ndarray,
    sr: int = 16_000,
    n_filters: int = 80,
    fmin_hz: float = 60.0,
    fmax_hz: float = 7000.0,
    window_samples: int = 512,
    hop_samples: int = 160,
) -> np.ndarray:
    """Compute the natural logarithm of the power in each band; shape=(n_filters, n_frames), float32.

    Parameters are those of `lfcc`, of which this is what comes before the DCT, with filters where
    speech is left after `dfutils.audio.normalise_voice`.
    """
    bands = _bands(audio, sr, n_filters, window_samples, hop_samples, fmin_hz, fmax_hz)
    return np.log(bands + LOG_FLOOR)


def maps_of(log_power: np.ndarray) -> np.ndarray:
    """Turn log power, shape=(n_filters, n_frames), into three maps for a network.

    Returns
    -------
    numpy.ndarray, shape=(n_filters, n_frames, 3), float32
        Log power less the mean of each band over time (which takes away gain and a constant channel),
        its slope and its curvature over +-2 frames; scaled so that each has a standard deviation of
        about .4 on speech. Nothing is stretched to its own range.
    """
    slope = _slope(log_power)
    maps = [log_power - log_power.mean(axis=1, keepdims=True), slope, _slope(slope)]
    return np.stack([values / scale for values, scale in zip(maps, MAP_SCALES)], axis=-1).astype(np.float32)


def _slope(rows: np.ndarray, reach: int = 2) -> np.ndarray:
    """Regression slope over ``+-reach`` frames, the edge frames repeated."""
    n = rows.shape[1]
    padded = np.pad(rows, ((0, 0), (reach, reach)), mode="edge")
    steps = range(1, reach + 1)
    rises = [k * (padded[:, reach + k : reach + k + n] - padded[:, reach - k : reach - k + n]) for k in steps]
    return sum(rises) / (2 * sum(k * k for k in steps))


def lfcc_image(features: np.ndarray, size_hw: tuple[int, int] = (224, 224)) -> np.ndarray:
    """Turn features into the picture that an image model takes, as the thesis does.

    Parameters
    ----------
    features : numpy.ndarray, shape=(n_rows, n_frames), float32
    size_hw : tuple of int
        [px]

    Returns
    -------
    numpy.ndarray, shape=(height, width, 3), float32 in 0..1
        Resized by area, stretched to 0..1 (a constant picture becomes 0), three equal channels.
    """
    image = cv2.resize(np.ascontiguousarray(features), size_hw[::-1], interpolation=cv2.INTER_AREA)
    low, high = float(image.min()), float(image.max())
    image = (image - low) / (high - low) if high > low else np.zeros_like(image)
    return np.repeat(image[..., None], 3, axis=2)
