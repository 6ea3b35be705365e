"""Read and write single images, and say clearly what is wrong with a file."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from dfutils.errors import InputError
from dfutils.paths import atomic_path


def check_file(path: str | os.PathLike) -> Path:
    """Return ``path`` if it is a readable, non-empty file.

    Raises
    ------
    InputError
        Missing, a folder, empty or unreadable, or its name is no text.
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
    return path


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
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(path, "is not an image that can be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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
        if not cv2.imwrite(str(temporary), bgr, options):
            raise InputError(path, "could not be written as an image (disk full, or unknown suffix?)")
    return Path(path)
