"""Recolour the base portrait's head and draw what grows on it: brows, beard, freckles, lines."""

from __future__ import annotations

import numpy as np

from dfutils.embedded import portraits
from dfutils.embedded.portraits import ellipse_mask, polygon_mask, smooth_noise
from dfutils.embedded.wardrobe import streaks


def paint_head(base: portraits.BasePortrait, traits: dict, rng: np.random.Generator) -> np.ndarray:
    """Paint a person's head.

    Parameters
    ----------
    base : portraits.BasePortrait
    traits : dict
        Of `people.traits_of`.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray [shape=(660, 720, 3), float32 in 0..255, RGB]
    """
    hair_dark = np.minimum(traits["hair"] * 0.75, 110)
    out = _recolour(base, traits, rng)
    out *= _skin_texture(base, traits, rng)
    _draw_brows(out, traits, hair_dark, rng)
    if traits["lip"] > 0:
        lipstick = np.float32([170, 50, 70]) * (0.6 + 0.4 * traits["tone"][0] / 255)
        out += (base.lips * traits["lip"])[..., None] * (lipstick - out)
    if traits["beard"] > 0:
        _grow_beard(out, base, traits, hair_dark, rng)
    bright = base.image * (0.80 + 0.15 * traits["tone"][0] / 255)
    out += base.whites[..., None] * (bright - out)
    return np.clip(out, 0, 255).astype(np.float32)


def _recolour(base: portraits.BasePortrait, traits: dict, rng: np.random.Generator) -> np.ndarray:
    """Give skin and hair the person's colours, keeping the photograph's light and strands."""
    image = base.image
    mean = (image * base.skin[..., None]).sum((0, 1)) / base.skin.sum()
    skin = 0.93 * traits["tone"] * (np.maximum(image, 1) / mean) ** rng.uniform(0.70, 0.95)
    luminance = image.mean(axis=2)
    level = (luminance * base.hair).sum() / base.hair.sum()
    shade = (np.maximum(luminance, 4) / level) ** rng.uniform(0.45, 0.75)
    hair = 1.1 * traits["hair"] * (shade * (0.55 + 0.45 * streaks(rng, 3, 24)))[..., None]
    return skin * base.skin[..., None] + hair * (1 - base.skin[..., None])


def _skin_texture(base: portraits.BasePortrait, traits: dict, rng: np.random.Generator) -> np.ndarray:
    """Factors for pores, blotches, freckles and lines [shape=(660, 720, 3)]."""
    pores, blotches = smooth_noise(rng, 0.9), smooth_noise(rng, 7.0)
    grain = 1 + base.skin * ((0.15 + 0.08 * traits["age"]) * pores + 0.5 * blotches)
    factor = np.repeat(grain[..., None], 3, axis=2)
    if traits["freckles"]:
        spots = np.clip(smooth_noise(rng, 1.8) * 6 - 1.0, 0, 1) * ellipse_mask((221, 122), (34, 14), 10.0)
        factor *= 1 - 0.45 * spots[..., None] * np.float32([0.6, 0.9, 1.0])
    if traits["age"] > 0.55:
        for side in (-1, 1):
            fold = [(15, 128), (24, 139), (27, 150), (25, 150), (21, 139)]
            line = polygon_mask([(221 + side * x, y) for x, y in fold], 2.2)
            bag = ellipse_mask((223 + side * 23.5, 110), (9, 1.2), 2.0)
            factor *= 1 - (0.35 * line + 0.3 * bag)[..., None]
    return factor


def _draw_brows(image: np.ndarray, traits: dict, colour: np.ndarray, rng: np.random.Generator) -> None:
    for cx, cy, side in ((202, 89.5, -1), (250, 92.0, 1)):
        arch, thick = rng.uniform(1.0, 3.5), 1.0 + 2.6 * traits["brow"]
        xs = np.linspace(-13, 13, 14)
        top = cy - arch * np.cos(xs / 13 * 1.3) + 0.06 * side * xs
        taper = thick * (0.55 + 0.45 * np.cos((xs * side + 6) / 19 * np.pi / 2))
        brow = polygon_mask(np.r_[np.c_[cx + xs, top], np.c_[cx + xs, top + taper][::-1]], 1.3)
        weight = brow * (0.75 + 0.25 * streaks(rng, 2, 5)) * (0.55 + 0.4 * traits["brow"])
        image += weight[..., None] * (colour - image)


def _grow_beard(
    image: np.ndarray,
    base: portraits.BasePortrait,
    traits: dict,
    colour: np.ndarray,
    rng: np.random.Generator,
) -> None:
    jaw = polygon_mask([
        (184, 132), (192, 146), (204, 155), (222, 158), (240, 155), (254, 146), (267, 132), (264, 150),
        (254, 172), (238, 183), (222, 185), (204, 181), (190, 168), (184, 150),
    ], 4.0)  # fmt: skip
    if traits["moustache"]:
        upper = polygon_mask([
            (203, 138), (214, 131.5), (222, 132.5), (231, 131.5), (243, 138), (246, 143), (240, 139),
            (222, 137.5), (205, 139), (200, 143),
        ], 1.6)  # fmt: skip
        jaw = np.maximum(jaw, upper)
    strands = np.clip(0.62 + 0.55 * smooth_noise(rng, 1.1), 0, 1)
    weight = jaw * (1 - base.lips) * base.skin * strands * traits["beard"]
    image += weight[..., None] * (1.1 * colour - image)
