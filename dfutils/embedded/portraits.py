"""The base portrait: scikit-image's astronaut, matted, with hand-measured landmarks and masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

SCALE = 2  # canvas pixels per astronaut pixel: one more resampling then costs little detail
ORIGIN_XY = (42.0, -30.0)  # astronaut coordinates of the canvas' upper left corner
CANVAS_HW = (660, 720)

# Astronaut coordinates (x, y), measured by eye and by YuNet.
LANDMARKS = {
    "left_eye": (200, 101), "right_eye": (247, 103), "nose": (221, 124), "mouth_left": (203, 140),
    "mouth_right": (242, 140), "mouth": (222, 146), "chin": (222, 178), "left_brow": (202, 89),
    "right_brow": (250, 92), "left_cheek": (184, 128), "right_cheek": (266, 130),
}  # fmt: skip
_HEAD = [
    (181, 130), (176, 127), (173, 119), (166, 111), (160, 103), (157, 92), (155, 76), (156, 65), (162, 55),
    (171, 45), (183, 39), (191, 35), (199, 26), (208, 21), (219, 19), (231, 17), (243, 19), (255, 24),
    (267, 31), (279, 39), (287, 47), (293, 58), (297, 70), (298, 85), (296, 99), (291, 109), (285, 117),
    (279, 122), (276, 129), (272, 134), (267, 135), (263, 147), (257, 159), (254, 172), (251, 183),
    (240, 186), (225, 186), (206, 183), (194, 180), (188, 173), (187, 160), (185, 145), (183, 133),
]  # fmt: skip
_FACE = [  # below the fringe, between the side hair, down to the chin line
    (186, 84), (200, 79), (222, 81), (245, 83), (262, 88), (267, 100), (269, 120), (267, 138), (260, 158),
    (250, 170), (236, 179), (222, 181), (206, 177), (193, 165), (186, 148), (183, 128), (183, 105),
]  # fmt: skip
_EARS = [[(184, 112), (173, 112), (171, 122), (177, 131), (184, 134)],
         [(266, 126), (281, 122), (279, 131), (272, 138), (265, 138)]]  # fmt: skip
_INNER = [  # what a manipulation replaces: brows to just above the chin
    (190, 86), (205, 81), (223, 83), (243, 84), (260, 90), (264, 108), (262, 130), (254, 153), (240, 168),
    (223, 173), (206, 167), (194, 152), (187, 130), (186, 105),
]  # fmt: skip


@dataclass(frozen=True)
class BasePortrait:
    """The matted head on the canvas.

    Attributes
    ----------
    image : numpy.ndarray [shape=(660, 720, 3), float32 in 0..255, RGB]
        The head; its colours continue past its outline, so that soft edges take no background.
    head, hair, skin, whites, lips, inner : numpy.ndarray [shape=(660, 720), float32 in 0..1]
        Soft masks; ``whites`` are eyes and teeth, ``inner`` the part that manipulations replace.
    """

    image: np.ndarray
    head: np.ndarray
    hair: np.ndarray
    skin: np.ndarray
    whites: np.ndarray
    lips: np.ndarray
    inner: np.ndarray


def to_canvas(points: object) -> np.ndarray:
    """Convert astronaut coordinates (x, y) [pixels] to canvas coordinates."""
    return (np.asarray(points, np.float32) - np.float32(ORIGIN_XY)) * SCALE


def polygon_mask(points: object, feather: float = 2.0) -> np.ndarray:
    """Fill a polygon of astronaut coordinates with a soft edge.

    Parameters
    ----------
    points : array-like [shape=(n, 2)]
    feather : float
        Standard deviation of the edge [canvas pixels].

    Returns
    -------
    numpy.ndarray [shape=(660, 720), float32 in 0..1]
    """
    mask = np.zeros(CANVAS_HW, np.float32)
    cv2.fillPoly(mask, [np.round(to_canvas(points) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    mask = np.minimum(mask, 1.0)
    return cv2.GaussianBlur(mask, (0, 0), feather) if feather > 0 else mask


def ellipse_mask(center: tuple, radii: tuple, feather: float = 2.0, power: float = 2.0) -> np.ndarray:
    """Fill a (super)ellipse given in astronaut coordinates; as `polygon_mask`."""
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    cos, sin = np.cos(angles), np.sin(angles)
    x = center[0] + radii[0] * np.sign(cos) * np.abs(cos) ** (2 / power)
    y = center[1] + radii[1] * np.sign(sin) * np.abs(sin) ** (2 / power)
    return polygon_mask(np.stack([x, y], axis=1), feather)


def grid() -> tuple[np.ndarray, np.ndarray]:
    """Astronaut coordinates of every canvas pixel: two arrays [shape=(660, 720), float32], x and y."""
    y, x = np.mgrid[: CANVAS_HW[0], : CANVAS_HW[1]].astype(np.float32)
    return x / SCALE + ORIGIN_XY[0], y / SCALE + ORIGIN_XY[1]


def smooth_noise(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Blur white noise by ``sigma`` [canvas pixels]; shape (660, 720), float32."""
    return cv2.GaussianBlur(rng.standard_normal(CANVAS_HW, dtype=np.float32), (0, 0), sigma)


@lru_cache(maxsize=1)
def load_base() -> BasePortrait:
    """Cut the head out of the astronaut picture (NASA, public domain; it ships with scikit-image)."""
    from skimage.data import astronaut

    matrix = np.float32([[SCALE, 0, -ORIGIN_XY[0] * SCALE], [0, SCALE, -ORIGIN_XY[1] * SCALE]])
    size_wh = (CANVAS_HW[1], CANVAS_HW[0])
    image = cv2.warpAffine(
        astronaut(), matrix, size_wh, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32)
    core = cv2.erode(polygon_mask(_HEAD, 0), np.ones((5, 5), np.uint8))
    image = _extend_colours(image, core)
    sharp = image + 0.9 * (image - cv2.GaussianBlur(image, (0, 0), 2.0))
    image = np.clip(sharp, 0, 255)

    face = polygon_mask(_FACE, 3.0)
    neck = polygon_mask([(185, 148), (264, 148), (256, 190), (186, 190)], 3.0)
    ears = np.maximum(polygon_mask(_EARS[0], 2.0), polygon_mask(_EARS[1], 2.0))
    head = polygon_mask(_HEAD, 1.6)
    skin = np.maximum(np.maximum(face, ears), neck)
    luminance = cv2.GaussianBlur(image.mean(axis=2), (0, 0), 1.5)
    y = grid()[1]
    fringe = np.clip((128 - luminance) / 50, 0, 1) * (y < 97) * np.clip((97 - y) / 8, 0, 1)
    brows = np.maximum(ellipse_mask((202, 90), (15, 5), 2.0), ellipse_mask((250, 93), (15, 5), 2.0))
    skin = skin * (1 - fringe * (1 - brows))  # strands of the fringe belong to the hair
    whites = np.maximum.reduce([
        ellipse_mask((200, 101.5), (10, 4), 1.5), ellipse_mask((246, 103.5), (10, 4), 1.5),
        polygon_mask([(206, 141), (222, 142), (239, 141), (232, 147), (222, 149), (212, 147)], 1.5),
    ])  # fmt: skip
    lips = polygon_mask([(202, 139), (222, 140), (243, 139), (236, 149), (222, 153), (209, 149)], 2.0)
    return BasePortrait(
        image=image,
        head=head,
        hair=np.clip(head - skin, 0, 1),
        skin=skin,
        whites=whites,
        lips=lips * (1 - whites),
        inner=polygon_mask(_INNER, 0),
    )


def _extend_colours(image: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Continue the colours inside ``core`` outwards, coarser the farther away."""
    filled = image * core[..., None]
    weight = core.copy()
    for sigma in (2.0, 4.0, 8.0, 16.0, 40.0):
        blurred = cv2.GaussianBlur(image * core[..., None], (0, 0), sigma)
        norm = cv2.GaussianBlur(core, (0, 0), sigma)
        gap = np.clip(norm * 8, 0, 1) * (1 - weight)
        filled += gap[..., None] * blurred / np.maximum(norm, 1e-4)[..., None]
        weight += gap
    return filled / np.maximum(weight, 1e-4)[..., None]
