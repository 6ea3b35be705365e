"""Names, numbers and pictures as HTML: escaped, rounded, embedded."""

from __future__ import annotations

import base64
from html import escape

import cv2
import numpy as np

from dfutils.crops import resize_image
from dfutils.errors import InputError
from dfutils.names import spell_out


def show_name(name: object) -> str:
    """Escape text for HTML; what is invisible is spelled out (`dfutils.names`)."""
    return escape(spell_out(name), quote=True)


def encode_image(image: np.ndarray, max_side: int = 320) -> str:
    """Turn a picture, shape=(height, width, 3), uint8, RGB, into a JPEG data URI, reduced to ``max_side`` px.

    Raises
    ------
    InputError
        It is none.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError("image", f"must be RGB, uint8, got shape {image.shape} of {image.dtype}")
    scale = min(1.0, max_side / max(image.shape[:2]))
    size_hw = tuple(max(1, round(side * scale)) for side in image.shape[:2])
    bgr = cv2.cvtColor(resize_image(image, size_hw), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def overlay_heat_map(image: np.ndarray, heat_map: np.ndarray) -> np.ndarray:
    """Lay a heat map, not negative, over a picture: bright where high, with an outline at half its maximum.

    Returns
    -------
    numpy.ndarray, shape of ``image``, uint8, RGB
        The picture in grey and darker, so that light alone carries the map.

    Raises
    ------
    InputError
        The map is not two-dimensional, or holds values that are negative or no numbers.
    """
    heat = np.asarray(heat_map, np.float32)
    if heat.ndim != 2 or not heat.size or not np.isfinite(heat).all() or heat.min() < 0:
        raise InputError("heat_map", f"must be 2-D, finite and not negative, got shape {heat.shape}")
    heat = cv2.resize(heat, image.shape[1::-1], interpolation=cv2.INTER_LINEAR) / max(
        float(heat.max()), 1e-12
    )
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] * np.float32(0.55)
    shown = grey + heat[..., None] * np.float32([200, 150, 20])
    shown = np.ascontiguousarray(np.clip(shown, 0, 255).astype(np.uint8))
    outlines, _ = cv2.findContours((heat >= 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(shown, outlines, -1, (255, 255, 255), max(1, max(image.shape[:2]) // 150))


def show_time(time_s: float, duration_s: float) -> str:
    """Write a time as long files (1:05) and short ones (6.5 s) need it."""
    if duration_s < 60:
        return f"{time_s:.1f} s" if duration_s < 5 or time_s % 1 > 0.05 else f"{time_s:.0f} s"
    minutes, seconds = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def show_percent(probability: float) -> str:
    """Write a probability with at most two digits; nothing is ever 0 or 100 % sure.

    Examples
    --------
    >>> show_percent(0.4474), show_percent(0.998), show_percent(0.001)
    ('45%', 'over 99%', 'under 1%')
    """
    if probability > 0.99:
        return "over 99%"
    return "under 1%" if probability < 0.01 else f"{probability:.0%}"
