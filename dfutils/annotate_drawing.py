"""Letters, boxes and marks on frames: words besides every colour, sizes that follow the frame's height."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from dfutils.html_pieces import show_percent
from dfutils.report import MANIPULATED

INK, SOFT, GROUND, PANEL = (236, 240, 244), (167, 177, 187), (20, 24, 29), (38, 45, 53)
FAKE, REAL, OPEN = (255, 157, 133), (127, 216, 191), (236, 213, 122)  # as the dark page has them
LEAST_PX = 12  # letters that can be read at 240 lines


def letter_px(size_hw: tuple[int, int]) -> int:
    """Height of letters [px] on a frame: the same part of any frame, upright or lying."""
    height, width = size_hw
    return max(LEAST_PX, round(min(height, 0.75 * width) / 27))


def colour_of(verdict: str | None) -> tuple[int, int, int]:
    """Colour [RGB] of a verdict, or of none."""
    return OPEN if verdict is None else FAKE if verdict == MANIPULATED else REAL


@functools.lru_cache(256)
def draw_text(text: str, px: int, width_px: int, colour=INK, ground=GROUND) -> np.ndarray:
    """Set a line of text.

    Parameters
    ----------
    text : str
    px : int
        Height of the letters [px]; smaller where the line is too long, and then cut.
    width_px : int
        At most.
    colour, ground : tuple of int
        RGB.

    Returns
    -------
    numpy.ndarray, shape=(about 1.35 px, at most width_px, 3), uint8, RGB
        Not to be written to: it is kept.
    """
    from PIL import Image, ImageDraw

    height, font = round(1.35 * px), _font(px)
    if font.getlength(text) > width_px:
        font = _font(max(0.7 * px, px * width_px / font.getlength(text)))
    while text and font.getlength(text) > width_px:
        text = text.rstrip("….")[:-1].rstrip() + "..." if len(text) > 4 else ""
    image = Image.new("RGB", (max(1, min(width_px, int(font.getlength(text)) + 1)), height), ground)
    ImageDraw.Draw(image).text((0, height / 2), text, font=font, fill=colour, anchor="lm")
    pixels = np.asarray(image)
    pixels.flags.writeable = False
    return pixels


def wrap_text(text: str, px: int, width_px: int) -> list[str]:
    """Break a text into lines that fit."""
    font, lines = _font(px), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width_px:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@functools.lru_cache(16)
def _font(px: float):
    from PIL import ImageFont  # Pillow comes with MoviePy, and its letters with Pillow

    return ImageFont.load_default(px)


def paste(canvas: np.ndarray, image: np.ndarray, x: int, y: int) -> None:
    """Lay an image on a canvas, in place; what reaches beyond it is cut."""
    height, width = image.shape[:2]
    left, top = max(0, -x), max(0, -y)
    right, bottom = min(width, canvas.shape[1] - x), min(height, canvas.shape[0] - y)
    if right > left and bottom > top:
        canvas[y + top : y + bottom, x + left : x + right] = image[top:bottom, left:right]


@functools.lru_cache(256)
def make_label(person: int, p_fake: float | None, verdict: str | None, px: int, width_px: int) -> np.ndarray:
    """Make the label of a box, shape=(about 3 px, at most width_px, 3), uint8, RGB."""
    colour, pad = colour_of(verdict), max(2, px // 4)
    score = "" if p_fake is None else f": score {show_percent(p_fake)}"
    words = f"looks {verdict}" if verdict else "not judged alone"
    room = max(1, width_px - 3 * pad)
    lines = [draw_text(f"Person {person}{score}", px, room), draw_text(words, px, room, colour)]
    size = (sum(line.shape[0] for line in lines) + pad, max(line.shape[1] for line in lines) + 3 * pad, 3)
    label = np.full(size, GROUND, np.uint8)
    label[:, :pad] = colour
    for line, y in zip(lines, (pad // 2, pad // 2 + lines[0].shape[0])):
        paste(label, line, 2 * pad, y)
    return label


def draw_box(canvas: np.ndarray, box: np.ndarray, label: np.ndarray, verdict: str | None, px: int) -> None:
    """Draw a box and its label, in place.

    Parameters
    ----------
    canvas : numpy.ndarray, shape=(height, width, 3), uint8, RGB
        The picture alone.
    box : numpy.ndarray, shape=(4,)
        ``x``, ``y``, ``width``, ``height`` [px].
    label : numpy.ndarray
        See `make_label`.
    verdict : str or None
    px : int
        Height of letters [px], which everything goes by.
    """
    height, width = canvas.shape[:2]
    left, top, right, bottom = (round(float(v)) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    thick = line_px(px)
    for colour, more in ((GROUND, 2 * max(1, thick // 2)), (colour_of(verdict), 0)):  # to be seen on anything
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, thick + more)
    y = top - label.shape[0] - thick
    if y < 0:  # no room above: below, or else inside
        y = bottom + thick if bottom + thick + label.shape[0] <= height else max(0, top + thick)
    paste(canvas, label, min(max(0, left), max(0, width - label.shape[1])), y)


def line_px(px: int) -> int:
    """Width of lines [px] beside letters of ``px``."""
    return max(2, round(px / 10))
