"""Cut face crops: one geometry for training and for the detector."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dfutils.errors import InputError


@dataclass(frozen=True)
class CropGeometry:
    """How a crop lies around a detected box.

    Parameters
    ----------
    kind : {"tight", "margin"}
        ``"tight"``: a square in which the box has the place that YuNet's boxes have in the
        published DFDC face crops (median of our measurement: .885 of the side wide, 1.095 of it
        high, centre at (.493, .455)). A model trained on such crops must see such crops.
        ``"margin"``: the box grown by a share of its own size, half on each side, clipped to the
        image (the thesis' way, there in pixels).
    margin : float
        Share of the box's width and height, for ``"margin"``; .3 and more show hair and neck.
    """

    kind: str = "tight"
    margin: float = 0.3

    def __post_init__(self):
        if self.kind not in ("tight", "margin"):
            raise InputError("crop geometry", f"must be 'tight' or 'margin', got {self.kind!r}")
        if not 0 <= self.margin <= 3:
            raise InputError("margin", f"must lie in 0..3 (a share of the box's size), got {self.margin}")

    def rectangle(self, box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
        """Place the crop around a box ``(x, y, width, height)`` [px]; it may reach beyond the image.

        Returns
        -------
        tuple of int
            ``(x0, y0, x1, y1)`` [px], ends excluded.
        """
        x, y, width, height = box
        centre_x, centre_y = x + width / 2, y + height / 2
        if self.kind == "tight":
            side = (width / 0.885 + height / 1.095) / 2
            left, top = centre_x - 0.493 * side, centre_y - 0.455 * side
            right, bottom = left + side, top + side
        else:
            half_width, half_height = width * (1 + self.margin) / 2, height * (1 + self.margin) / 2
            left, right = centre_x - half_width, centre_x + half_width
            top, bottom = centre_y - half_height, centre_y + half_height
        x0, y0 = round(left), round(top)
        if self.kind == "tight":  # rounding must not make the square a rectangle
            side_px = max(1, round(right - left))
            return x0, y0, x0 + side_px, y0 + side_px
        return x0, y0, max(x0 + 1, round(right)), max(y0 + 1, round(bottom))


def crop_face(
    image: np.ndarray, box: tuple[float, float, float, float], geometry: CropGeometry
) -> np.ndarray:
    """Cut one face.

    Parameters
    ----------
    image : numpy.ndarray, shape=(height, width, 3), uint8, RGB
    box : tuple of float
        ``(x, y, width, height)`` [px].
    geometry : CropGeometry

    Returns
    -------
    numpy.ndarray, shape=(crop height, crop width, 3), uint8, RGB
        A ``"tight"`` crop that reaches beyond the image repeats its border, so that the face keeps
        its place and scale; a ``"margin"`` crop is clipped.

    Raises
    ------
    InputError
        The box lies outside the image.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = geometry.rectangle(box)
    inside = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise InputError("box", f"{box} lies outside an image of {width} x {height} px")
    part = image[inside[1] : inside[3], inside[0] : inside[2]]
    if geometry.kind == "margin" or inside == (x0, y0, x1, y1):
        return np.ascontiguousarray(part)
    border = inside[1] - y0, y1 - inside[3], inside[0] - x0, x1 - inside[2]
    return cv2.copyMakeBorder(part, *border, cv2.BORDER_REPLICATE)


def resize_image(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resize to ``(height, width)`` [px]: by area when shrinking, else linearly.

    Every path to a model goes through this one function, so that training and the detector
    resample alike.
    """
    shrinks = image.shape[0] > size_hw[0] or image.shape[1] > size_hw[1]
    return cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
