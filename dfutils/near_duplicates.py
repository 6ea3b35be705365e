"""Find the same face, or the same sound, in more than one split, after it was coded or lit anew."""

from __future__ import annotations

from itertools import combinations

import cv2
import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.audio import load_audio, trim_silence
from dfutils.errors import InputError, LeakError
from dfutils.images import read_image

FACE_SIDE = 16  # coefficients along each side: 256 bits
VOICE_FRAMES, VOICE_BANDS = 64, 16  # 1,024 bits of the first 1.2 s
WINDOW, HOP = 2048, 256  # samples of 16 kHz
# Bits apart, up to which two are taken for the same. Measured on 6,692 DFDC and Face2Face crops: JPEG at
# 40, half the size, other light: 99 % within 24, all within 42; the nearest crop of another split: 58 or
# more, of the drawn corpus 46. Voices, 1,700 clips: level, silence, most MP3: within 250; others: 399 up.
LIMITS = {"picture": 36, "voice": 300}


def face_fingerprint(image: np.ndarray) -> np.ndarray:
    """Hash what a picture looks like, so that few bits change when it is coded, scaled or lit anew.

    Parameters
    ----------
    image : numpy.ndarray, shape=(height, width, 3), uint8, RGB

    Returns
    -------
    numpy.ndarray, shape=(256,), bool
        Whether each of the lowest 16 x 16 coefficients of the cosine transform is above their median.

    References
    ----------
    .. [1] Zauner: Implementation and benchmarking of perceptual image hash functions, 2010 (pHash).
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (4 * FACE_SIDE, 4 * FACE_SIDE), interpolation=cv2.INTER_AREA)
    lowest = cv2.dct(small.astype(np.float32))[:FACE_SIDE, :FACE_SIDE]
    return (lowest > np.median(lowest)).ravel()


def voice_fingerprint(audio: np.ndarray) -> np.ndarray | None:
    """Hash how a sound begins, whatever its level and the silence before it.

    Parameters
    ----------
    audio : numpy.ndarray, shape=(n,), float32
        At 16 kHz.

    Returns
    -------
    numpy.ndarray, shape=(1024,), bool, or None
        Whether the difference of energy of neighbouring bands (17 from 300 to 3,400 Hz) rises from frame
        to frame, for 64 frames; None for less sound than that (1.2 s).

    References
    ----------
    .. [1] Haitsma, Kalker: A highly robust audio fingerprinting system, ISMIR 2002, eq. 1.
    """
    from scipy import signal

    audio = trim_silence(audio)
    if len(audio) < WINDOW + VOICE_FRAMES * HOP:
        return None
    audio = audio[: WINDOW + VOICE_FRAMES * HOP]
    frequencies, _, spectrum = signal.stft(
        audio, 16_000, nperseg=WINDOW, noverlap=WINDOW - HOP, boundary=None, padded=False
    )
    edges = np.searchsorted(frequencies, np.geomspace(300, 3400, VOICE_BANDS + 2))
    power = np.add.reduceat(np.abs(spectrum[: edges[-1]]) ** 2, edges[:-1], axis=0)
    steps = np.diff(np.diff(np.log(power + 1e-12), axis=0), axis=1)
    return (steps[:, :VOICE_FRAMES] > 0).ravel()


def find_near_duplicates(
    manifest: pd.DataFrame, kind: str, max_bits: int | None = None, progress: bool = True
) -> pd.DataFrame:
    """List files that are nearly the same as one of another split.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Of face crops, or of 16 kHz clips.
    kind : {"picture", "voice"}
        Pictures are compared mirrored, too. Sounds of less than 1.2 s are passed over.
    max_bits : int, optional
        Bits in which two fingerprints may differ; see `LIMITS`, which are chosen so that what is listed
        is the same recording. Crops cut elsewhere, and sounds cut elsewhere or buried in noise, are missed.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        Columns ``kind`` ("near-duplicate"), ``value`` (both paths, and the bits apart), ``splits``; one
        row per file that has such a twin, with its nearest. Empty when clean.

    Raises
    ------
    InputError
        Another kind, or a file cannot be read.

    Notes
    -----
    All pairs across splits are compared, some 10 million a second on one core.
    """
    if kind not in LIMITS:
        raise InputError("kind", f"must be one of {sorted(LIMITS)}, got {kind!r}")
    max_bits = LIMITS[kind] if max_bits is None else max_bits
    manifest = manifest.reset_index(drop=True)
    make = _face_words if kind == "picture" else _voice_words
    jobs = (joblib.delayed(make)(path) for path in manifest["path"])
    made = joblib.Parallel(2, prefer="threads", return_as="generator")(jobs)
    made = list(tqdm(made, "fingerprints", len(manifest), disable=not progress))
    rows_of = {
        split: np.array([row for row in rows if made[row] is not None], int)
        for split, rows in manifest.groupby("split").indices.items()
    }
    found = []
    for first, second in combinations(sorted(rows_of, key=lambda split: len(rows_of[split])), 2):
        if not len(rows_of[first]) or not len(rows_of[second]):
            continue
        others = np.stack([made[row][0] for row in rows_of[second]])
        for row in rows_of[first]:
            bits, place = min(_nearest(way, others) for way in made[row])
            if bits <= max_bits:
                twin = rows_of[second][place]
                value = f"{manifest['path'][row]} and {manifest['path'][twin]}, {bits} bits apart"
                found.append({"kind": "near-duplicate", "value": value, "splits": f"{first}+{second}"})
    return pd.DataFrame(found, columns=["kind", "value", "splits"])


def check_near_duplicates(manifest: pd.DataFrame, kind: str, progress: bool = True) -> None:
    """Raise `LeakError` if `find_near_duplicates` finds anything."""
    found = find_near_duplicates(manifest, kind, progress=progress)
    if len(found):
        first = found.iloc[0]
        raise LeakError(
            "manifest", f"{len(found)} files have a near-duplicate in another split; first: "
            f"{first['value']}, in {first['splits']}",
        )  # fmt: skip


def _nearest(words: np.ndarray, others: np.ndarray) -> tuple[int, int]:
    """Fewest bits apart, and where."""
    apart = np.bitwise_count(others ^ words).sum(axis=1, dtype=np.int64)
    place = int(apart.argmin())
    return int(apart[place]), place


def _face_words(path: str) -> np.ndarray:
    image = read_image(path)
    ways = [face_fingerprint(image), face_fingerprint(image[:, ::-1])]
    return np.packbits(ways, axis=1).view(np.uint64)


def _voice_words(path: str) -> np.ndarray | None:
    bits = voice_fingerprint(load_audio(path, max_seconds=10.0))
    return None if bits is None else np.packbits(bits[None], axis=1).view(np.uint64)
