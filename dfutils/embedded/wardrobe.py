"""What stand-in people wear, drawn by code: bodies, long hair, head covers and glasses."""

from __future__ import annotations

import cv2
import numpy as np

from dfutils.embedded import portraits
from dfutils.embedded.portraits import CANVAS_HW, ellipse_mask, polygon_mask, smooth_noise

CLOTHES = [(52, 70, 110), (150, 44, 50), (60, 96, 72), (196, 190, 178), (44, 44, 50), (188, 144, 70),
           (110, 84, 130), (84, 130, 150), (120, 120, 124), (214, 120, 110)]  # fmt: skip


def streaks(rng: np.random.Generator, width: float, length: float) -> np.ndarray:
    """Vertical strands.

    Parameters
    ----------
    rng : numpy.random.Generator
    width, length : float
        Typical size of a strand [canvas pixels].

    Returns
    -------
    numpy.ndarray [shape=(660, 720), float32, mean 1, about .5 to 1.5]
    """
    height_width = (int(CANVAS_HW[0] / length) + 2, int(CANVAS_HW[1] / width) + 2)
    coarse = rng.standard_normal(height_width).astype(np.float32)
    return 1 + 0.25 * cv2.resize(coarse, CANVAS_HW[::-1], interpolation=cv2.INTER_CUBIC)


def _symmetric(corners: list[tuple], feather: float) -> np.ndarray:
    """Fill a polygon given by its right half: (pixels right of the middle, row)."""
    right = [(222 + across, down) for across, down in corners]
    return polygon_mask([*right, *[(444 - x, y) for x, y in right[::-1]]], feather)


def draw_body(traits: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw neck, shoulders and clothes.

    Returns
    -------
    image : numpy.ndarray [shape=(660, 720, 3), float32 in 0..255]
    mask : numpy.ndarray [shape=(660, 720), float32 in 0..1]
    """
    x, y = portraits.grid()
    colour = np.float32(CLOTHES[rng.integers(len(CLOTHES))]) * rng.uniform(0.85, 1.1)
    half, top, drop = rng.uniform(98, 128), rng.uniform(188, 194), rng.uniform(30, 46)
    u = np.linspace(-1, 1, 61)
    shoulder = (
        top + 4 + drop * np.abs(u) ** rng.uniform(1.3, 1.8) + 60 * np.clip(np.abs(u) - 0.86, 0, 1) ** 1.3
    )
    outline = np.r_[np.c_[222 + half * u, shoulder], [(222 + half * 1.08, 420), (222 - half * 1.08, 420)]]
    torso = polygon_mask(outline, 2.0)
    folds = cv2.resize(
        rng.standard_normal((9, 14)).astype(np.float32), CANVAS_HW[::-1], interpolation=cv2.INTER_CUBIC
    )
    weave = smooth_noise(rng, 1.0)
    shade = (1 + 0.08 * folds + 0.10 * weave) * (1.06 - 0.22 * np.abs(x - 222) / half)
    if rng.random() < 0.25:
        period = rng.uniform(9, 16)
        shade = shade * (
            0.86 + 0.14 * np.tanh(6 * np.sin(2 * np.pi * (y + 0.1 * (x - 222) ** 2 / 60) / period))
        )
    image = colour * shade[..., None]

    skin = traits["tone"] * (0.92 - 0.16 * np.clip((194 - y) / 16, 0, 1))[..., None]
    skin = skin * (1.0 - 0.18 * np.minimum(np.abs(x - 222) / 40, 1.2) ** 2)[..., None]
    neck_half = rng.uniform(27, 34)
    neck = _symmetric([(neck_half, 140), (neck_half, 186), (neck_half + 14, 206)], 2.0)
    kind = "high" if traits["style"] == "scarf" else rng.choice(["crew", "vee", "shirt", "high"])
    if kind == "vee":
        opening = polygon_mask([(222 - neck_half - 10, 186), (222 + neck_half + 10, 186), (222, 240)], 1.5)
    else:
        opening = ellipse_mask((222, 192), (neck_half + 8, 14 if kind == "crew" else 10), 1.5)
    image += opening[..., None] * (skin - image)
    mask = np.maximum(torso, neck)
    image += (neck * (1 - torso))[..., None] * (skin - image)
    if kind == "high":
        collar = _symmetric([(neck_half + 2, 175), (neck_half + 16, 214)], 2.0)
        ribs = 0.9 + 0.1 * np.sin(x * 1.6)
        image += collar[..., None] * (colour * (ribs * 0.92)[..., None] - image)
        mask = np.maximum(mask, collar)
    if kind == "shirt":
        light = np.minimum(colour * 0.4 + 150, 245)
        for side in (-1, 1):
            corners = [(neck_half + 3, 183), (3, 214), (20, 226), (neck_half + 13, 194)]
            lapel = polygon_mask([(222 + side * across, down) for across, down in corners], 1.2)
            image += lapel[..., None] * (light * (1 + 0.05 * weave)[..., None] - image)
    return np.clip(image, 0, 255).astype(np.float32), mask


def draw_back_hair(traits: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw long hair behind the head; returns as `draw_body`."""
    x, _ = portraits.grid()
    length, wide = rng.uniform(205, 255), rng.uniform(0, 10)
    outline = [(160, 60), (154 - wide, 100), (152 - wide, 150), (156 - wide, length - 15), (172, length),
               (200, length - 18), (200, 120), (250, 120), (250, length - 22), (272, length - 2),
               (294 + wide, length - 18), (298 + wide, 150), (298 + wide, 100), (292, 60)]  # fmt: skip
    mask = polygon_mask(outline, 3.5)
    tone = 0.55 + 0.5 * np.clip(np.abs(x - 226) / 70, 0, 1)
    image = traits["hair"] * (tone * streaks(rng, 4, 130) * (0.8 + 0.2 * streaks(rng, 2, 60)))[..., None]
    return np.clip(image, 0, 255).astype(np.float32), mask


def draw_head_cover(
    head: np.ndarray, alpha: np.ndarray, base: portraits.BasePortrait, style: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Put a knitted cap ("beanie") or a headscarf ("scarf") over the hair.

    Parameters
    ----------
    head : numpy.ndarray [shape=(660, 720, 3), float32 in 0..255]
    alpha : numpy.ndarray [shape=(660, 720), float32 in 0..1]
    base : portraits.BasePortrait
    style : str
    rng : numpy.random.Generator

    Returns
    -------
    tuple
        The new ``head`` and ``alpha``.
    """
    x, y = portraits.grid()
    colour = np.float32(CLOTHES[rng.integers(len(CLOTHES))]) * rng.uniform(0.8, 1.05)
    weave = 1 + 0.10 * smooth_noise(rng, 1.0)
    if style == "beanie":
        cover = polygon_mask([
            (156, 76), (155, 56), (168, 30), (190, 14), (226, 8), (262, 14), (286, 32), (299, 58), (298, 80),
            (262, 70), (226, 66), (188, 68),
        ], 1.8)  # fmt: skip
        rim = polygon_mask([
            (154, 76), (154, 60), (190, 51), (226, 49), (262, 52), (300, 62), (299, 81), (262, 71), (226, 67),
            (188, 69),
        ], 1.8)  # fmt: skip
        knit = 0.9 + 0.12 * np.sin(x * 1.5 + 0.4 * np.sin(y)) + 0.1 * rim
    else:
        outer = polygon_mask([
            (162, 150), (160, 90), (170, 48), (196, 24), (228, 17), (262, 25), (286, 50), (294, 90),
            (290, 150), (276, 200), (250, 214), (200, 214), (174, 200),
        ], 2.0)  # fmt: skip
        opening = polygon_mask([
            (187, 92), (200, 79), (224, 74), (250, 80), (264, 94), (267, 125), (263, 148), (252, 166),
            (236, 177), (222, 179), (207, 175), (193, 162), (186, 145), (184, 120),
        ], 2.0)  # fmt: skip
        cover = outer * (1 - opening)
        alpha = np.minimum(alpha, outer)  # no hair sticks out
        radius = np.hypot((x - 224) / 48, (y - 125) / 62)
        angle = np.arctan2(y - 125, x - 224)
        knit = (
            0.72 + 0.25 * np.clip(radius - 0.75, 0, 0.8) + 0.07 * np.sin(radius * 17 + 2 * np.sin(angle * 2))
        )
    shade = knit * weave * (1.05 - 0.3 * ((x - 226) / 80) ** 2)
    head = head + cover[..., None] * (colour * shade[..., None] - head)
    return np.clip(head, 0, 255).astype(np.float32), np.maximum(alpha, cover)


def draw_glasses(head: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> None:
    """Draw glasses on ``head`` [shape=(660, 720, 3)] in place, around the eyes of ``landmarks``."""
    left, right = landmarks[0], landmarks[1]
    apart = float(np.linalg.norm(right - left))
    radii = (apart * rng.uniform(0.34, 0.40), apart * rng.uniform(0.24, 0.34))
    power, width = rng.uniform(2.0, 4.0), rng.uniform(2.0, 4.5)
    colour = np.float32([(28, 26, 26), (88, 52, 34), (120, 110, 100), (40, 44, 74)][rng.integers(4)])
    frame = np.zeros(CANVAS_HW, np.float32)
    for eye in (left, right):
        center = eye / portraits.SCALE + portraits.ORIGIN_XY + (0, 1.5)
        outer = ellipse_mask(center, (radii[0] / 2, radii[1] / 2), 0.8, power)
        inner = ellipse_mask(center, ((radii[0] - width) / 2, (radii[1] - width) / 2), 0.8, power)
        frame = np.maximum(frame, outer - inner)
        glare = polygon_mask(center + np.float32([(2, -6), (5, -6), (-1, 6), (-4, 6)]), 2.0) * inner
        head += 0.12 * glare[..., None] * (255 - head)
    along = (right - left) / apart
    for start, end in ((left + along * radii[0], right - along * radii[0]),
                       (left - along * radii[0], left - along * apart * 0.62),
                       (right + along * radii[0], right + along * apart * 0.62)):  # fmt: skip
        line = np.zeros(CANVAS_HW, np.float32)
        ends = [tuple(int(v * 16) for v in point) for point in (start, end)]
        cv2.line(line, *ends, 1.0, max(1, round(width * 0.8)), cv2.LINE_AA, 4)
        frame = np.maximum(frame, np.minimum(line, 1))
    head += np.clip(frame, 0, 1)[..., None] * (colour - head)
    np.clip(head, 0, 255, out=head)
