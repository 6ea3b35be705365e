"""Read and write single images, and say clearly what is wrong with a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np

from dfutils.errors import InputError
from dfutils.paths import atomic_path

_LIST = re.compile(rb"\A\s*#EXTM3U|\A\s*ffconcat|<MPD|^c=IN IP", re.I | re.M)  # HLS, concat, DASH, SDP
_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*")


def check_file(path: str | os.PathLike) -> Path:
    """Return ``path`` if it is a readable, non-empty file.

    Raises
    ------
    InputError
        Missing, a folder, empty or unreadable, its name is no text, or it is a list of other files.
    """
    path = Path(path)
    if any("\ud800" <= char <= "\udfff" for char in str(path)):
        raise InputError(path, "has a name that is not UTF-8; rename it")  # OpenCV would crash on it
    if not path.exists():
        raise InputError(path, "does not exist")
    if not path.is_file():
        raise InputError(path, "is a folder, not a file" if path.is_dir() else "is not a regular file")
    if path.stat().st_size == 0:
        raise InputError(path, "is empty (0 bytes)")
    if not os.access(path, os.R_OK):
        raise InputError(path, "may not be read (permission denied)")
    try:
        text = _read_text(path)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from error
    if _LIST.search(text):  # FFmpeg would open what it names, and that would be judged
        raise InputError(path, "is a list of other files or streams, which are not looked at")
    return path


def _read_text(path: Path) -> bytes:
    """Read what FFmpeg, looking for lists, takes for text: up to a null, after a tag as MP3 files have."""
    with open(path, "rb") as file:
        head = file.read(4096)
        if head.startswith(b"ID3") and len(head) >= 10:
            first, second, third, fourth = head[6:10]
            file.seek(10 + ((first & 127) << 21 | (second & 127) << 14 | (third & 127) << 7 | fourth & 127))
            head = file.read(4096)
        return head.partition(b"\0")[0] if b"\0" in head else head + file.read(1 << 20).partition(b"\0")[0]


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read one image.

    Returns
    -------
    numpy.ndarray, shape=(height, width, 3), uint8, RGB

    Raises
    ------
    InputError
        The file is missing, empty or no image.
    """
    data = np.fromfile(check_file(path), np.uint8)  # imread fails silently on some unusual names
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise
        raise InputError(
            path, "is not an image that can be decoded (it claims a size that none has)"
        ) from error
    if image is None:
        raise InputError(path, "is not an image that can be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def begins_like_picture(path: str | os.PathLike) -> bool:
    """Whether a file begins as JPEG, PNG, WebP, BMP or TIFF do; not where it cannot be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(_STARTS) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def write_image(path: str | os.PathLike, image: np.ndarray, quality: int = 95) -> Path:
    """Write an image atomically; the suffix chooses the format (PNG is lossless).

    Parameters
    ----------
    path : str or os.PathLike
    image : numpy.ndarray, shape=(height, width, 3), uint8, RGB
    quality : int
        1..100, for JPEG and WebP.
    """
    with atomic_path(path) as temporary:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        options = [] if temporary.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
        # encoded here, written by Python: imwrite does not say that the disk is full
        encoded, content = cv2.imencode(temporary.suffix, bgr, options)
        if not encoded:
            raise InputError(path, "could not be written as an image")
        temporary.write_bytes(content)
    return Path(path)
