"""What the voice model sees of a sound: windows, features, a picture; the same in training and in use."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from dfutils.audio import MIN_SECONDS, SAMPLE_RATE_HZ, normalise_voice, peak_normalise
from dfutils.errors import InputError
from dfutils.lfcc import KINDS, band_maps, lfcc_image, voice_features

FEATURES = (*KINDS, "bands")
FRAME_SAMPLES = 160  # for the activity of speech
ACTIVE_BELOW_PEAK_DB = 35.0
MIN_ACTIVE = 0.5  # share of a window that must be speech


@dataclass(frozen=True)
class VoiceInput:
    """How pictures are made of sounds.

    Attributes
    ----------
    features : {"static", "dynamic", "all", "bands"}
        The thesis' pictures of LFCC (`dfutils.lfcc.lfcc_image`), or maps of the filter bank
        (`dfutils.lfcc.band_maps`), which keep the high band at full height.
    seconds : float
        Length of a window [s]; 0 takes the whole utterance.
    size_hw : tuple of int
        [px]
    n_filters : int
        Of "bands".
    range_hz : tuple of float
        Of the filters [Hz].
    normalise : bool
        Normalise sounds (`dfutils.audio.normalise_voice`); clips of notebook 02 are normalised.
    """

    features: str = "static"
    seconds: float = 0.0
    size_hw: tuple[int, int] = (224, 224)
    n_filters: int = 20
    range_hz: tuple[float, float] = (0.0, 8000.0)
    normalise: bool = True

    def __post_init__(self):
        if self.features not in FEATURES:
            raise InputError("features", f"must be one of {FEATURES}, got {self.features!r}")
        if self.seconds and not MIN_SECONDS <= self.seconds <= 60:
            raise InputError("seconds", f"must be 0 or lie in {MIN_SECONDS}..60, got {self.seconds}")
        object.__setattr__(self, "size_hw", tuple(self.size_hw))
        object.__setattr__(self, "range_hz", tuple(self.range_hz))

    def to_dict(self) -> dict:
        """Return what ``VoiceInput(**...)`` takes, for JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def picture(self, audio: np.ndarray, masks=None) -> np.ndarray:
        """Make the picture of one window.

        Parameters
        ----------
        audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
            16 kHz; scaled to full scale, as the thesis does, and repeated until it fills the window.
        masks : callable, optional
            Applied to the features, shape=(n_rows, n_frames[, 3]), before they become a picture.

        Returns
        -------
        numpy.ndarray, shape=(height, width, 3), float32
            0..1 (about 0..1 for "bands").
        """
        audio = peak_normalise(audio)
        if self.seconds:
            audio = fill_window(audio, round(self.seconds * SAMPLE_RATE_HZ))
        low, high = self.range_hz
        if self.features == "bands":
            rows = band_maps(audio, SAMPLE_RATE_HZ, n_filters=self.n_filters, fmin_hz=low, fmax_hz=high)
        else:
            options = {"n_filters": self.n_filters, "fmin_hz": low, "fmax_hz": high}
            rows = voice_features(audio, SAMPLE_RATE_HZ, self.features, **options)
        rows = rows if masks is None else masks(rows)
        if self.features == "bands":
            return 0.5 + 0.5 * resize_maps(rows, self.size_hw)
        return lfcc_image(rows, self.size_hw)

    def windows(self, audio: np.ndarray, n: int) -> list[tuple[int, np.ndarray]]:
        """Cut the windows that are judged: evenly spread over those that hold speech.

        Parameters
        ----------
        audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
            16 kHz, normalised where the model wants that.
        n : int
            At most; neighbours overlap by no more than half.

        Returns
        -------
        list of (int, numpy.ndarray)
            First sample and window; empty where no window holds enough speech.
        """
        length = round(self.seconds * SAMPLE_RATE_HZ)
        if not length or audio.size <= length:
            return [(0, audio)]
        n_starts = max(2, -(-2 * (audio.size - length) // length) + 1)
        starts = np.linspace(0, audio.size - length, n_starts).astype(int)
        active = np.concatenate([[0], np.cumsum(_is_active(audio))])
        first, last = starts // FRAME_SAMPLES, (starts + length) // FRAME_SAMPLES
        last = np.minimum(last, active.size - 1)
        share = (active[last] - active[first]) / np.maximum(1, last - first)
        starts = starts[share >= MIN_ACTIVE]
        if starts.size > n:
            starts = (
                starts[np.linspace(0, starts.size - 1, n).round().astype(int)]
                if n > 1
                else (starts[[starts.size // 2]])
            )
        return [(int(start), audio[start : start + length]) for start in starts]

    def prepare(self, audio: np.ndarray) -> np.ndarray:
        """Normalise a sound of any source as clips for training are; raises InputError for silence."""
        if self.normalise:
            return normalise_voice(audio, seconds=None)
        if audio.size < MIN_SECONDS * SAMPLE_RATE_HZ:
            seconds = audio.size / SAMPLE_RATE_HZ
            raise InputError("audio", f"holds {seconds:.2f} s of sound, less than {MIN_SECONDS} s")
        return audio


def fill_window(audio: np.ndarray, length: int) -> np.ndarray:
    """Cut a sound to ``length`` samples, or repeat it until it has as many."""
    return np.resize(audio, length) if audio.size < length else audio[:length]


def cut_window(signal: np.ndarray, length: int, generator: np.random.Generator) -> np.ndarray:
    """Cut a random window for training out of the last axis; a quarter is shorter, down to half.

    Shorter ones are to be repeated to ``length``, so that a repeated end tells nothing of a class.
    """
    place, shorter, share = generator.random(3)
    if shorter < 0.25:
        length = round(length * (0.5 + 0.5 * share))
    start = int(place * max(0, signal.shape[-1] - length + 1))
    return signal[..., start : start + length]


def resize_maps(maps: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resize maps of features, shape=(n_rows, n_frames, 3), by area; as they are where that fits."""
    import cv2

    if maps.shape[:2] == tuple(size_hw):
        return maps
    return cv2.resize(maps, tuple(size_hw)[::-1], interpolation=cv2.INTER_AREA)


def _is_active(audio: np.ndarray) -> np.ndarray:
    """Frames of 10 ms that are less than 35 dB below a loud one (95th percentile)."""
    frames = audio[: audio.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return power > np.quantile(power, 0.95) * 10 ** (-ACTIVE_BELOW_PEAK_DB / 10)
