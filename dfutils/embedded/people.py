"""Stand-in people: the base portrait under a smooth random warp, recoloured and redressed.

They show the mechanics of the study (identities, splits, face crops). All of them come from
one photograph, so they prove nothing about how a detector does on real people.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dfutils.embedded import portraits
from dfutils.embedded.complexion import paint_head
from dfutils.embedded.portraits import CANVAS_HW, LANDMARKS
from dfutils.embedded.wardrobe import draw_back_hair, draw_body, draw_glasses, draw_head_cover

SKIN_TONES = [(222, 178, 152), (214, 164, 134), (206, 154, 120), (184, 130, 96), (156, 104, 74),
              (124, 82, 60), (228, 184, 164), (208, 160, 120)]  # fmt: skip
HAIR_COLOURS = [(34, 28, 26), (66, 44, 32), (112, 76, 48), (176, 138, 88), (136, 62, 36), (150, 146, 142),
                (52, 34, 28), (206, 176, 124), (92, 56, 40)]  # fmt: skip
HAIR_STYLES = ["bob", "short", "long", "volume", "beanie", "scarf", "short", "long_front"]


@dataclass
class Person:
    """A person's portrait and how it moves.

    Attributes
    ----------
    name : str
    portrait : numpy.ndarray [shape=(660, 720, 4), uint8, RGBA, colours premultiplied by alpha]
    landmarks : numpy.ndarray [shape=(11, 2), float32]
        Canvas coordinates (x, y) of `portraits.LANDMARKS`, in that order.
    inner : numpy.ndarray [shape=(660, 720), float32 in 0..1]
        The part of the face that a manipulation replaces.
    blinks : bool
    """

    name: str
    portrait: np.ndarray
    landmarks: np.ndarray
    inner: np.ndarray
    blinks: bool


def traits_of(index: int, seed: int) -> dict:
    """Draw a person's traits so that neighbours in the list differ in tone, hair colour and style."""
    shared = np.random.default_rng([seed, 11])
    order = {key: shared.permutation(len(values)) for key, values in
             {"tone": SKIN_TONES, "hair": HAIR_COLOURS, "style": HAIR_STYLES}.items()}  # fmt: skip
    rng = np.random.default_rng([seed, 12, index])
    cycle = index // len(HAIR_STYLES)
    style = HAIR_STYLES[order["style"][index % len(HAIR_STYLES)]]
    beard = style in ("short", "beanie", "bob") and rng.random() < 0.55
    return {
        "tone": np.float32(SKIN_TONES[order["tone"][(index + 3 * cycle) % len(SKIN_TONES)]])
        * rng.uniform(0.94, 1.05),
        "hair": np.float32(HAIR_COLOURS[order["hair"][index % len(HAIR_COLOURS)]]) * rng.uniform(0.9, 1.1),
        "style": style,
        "glasses": rng.random() < 0.25,
        "beard": rng.uniform(0.45, 0.9) if beard else 0.0,
        "moustache": bool(beard and rng.random() < 0.7),
        "brow": rng.uniform(0.1, 0.9),
        "lip": rng.uniform(0.0, 0.6) * (not beard),
        "freckles": rng.random() < 0.25,
        "age": rng.uniform(0, 1),
    }


def draw_person(index: int, seed: int, glasses: bool = True) -> Person:
    """Draw one person; the same for the same index and seed.

    Parameters
    ----------
    index : int
        0 or more; every index is another person.
    seed : int
    glasses : bool
        False takes off the glasses of a person who wears them (donors of a swap).

    Returns
    -------
    Person
    """
    traits = traits_of(index, seed)
    rng = np.random.default_rng([seed, 13, index])
    base = portraits.load_base()
    head = paint_head(base, traits, rng)
    alpha = base.head
    if traits["style"] in ("beanie", "scarf"):
        head, alpha = draw_head_cover(head, alpha, base, traits["style"], rng)
    displacement = _identity_displacement(traits, rng)
    map_x, map_y = _maps(displacement)
    head = cv2.remap(head, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.remap(alpha, map_x, map_y, cv2.INTER_LINEAR)
    inner = cv2.remap(base.inner, map_x, map_y, cv2.INTER_LINEAR)
    landmarks = _move_points(portraits.to_canvas(list(LANDMARKS.values())), displacement)
    if traits["glasses"] and glasses:
        draw_glasses(head, landmarks, np.random.default_rng([seed, 14, index]))

    image = np.zeros((*CANVAS_HW, 3), np.float32)
    cover = np.zeros(CANVAS_HW, np.float32)
    layers = [draw_body(traits, rng)]
    if traits["style"].startswith("long"):
        hair = draw_back_hair(traits, rng)
        layers.insert(1 if traits["style"] == "long_front" else 0, hair)
    for colour, mask in [*layers, (head, alpha)]:
        image += mask[..., None] * (colour - image)
        cover = np.maximum(cover, mask)
    light = _light(rng)
    image = _soft_clip(image * light[..., None]) * cover[..., None]
    portrait = np.dstack([image, cover * 255]).round().astype(np.uint8)
    return Person(f"person{index:02d}", portrait, landmarks, inner, blinks=not traits["glasses"])


def _identity_displacement(traits: dict, rng: np.random.Generator) -> np.ndarray:
    """Displacement (canvas pixels, shape (660, 720, 2)): a point p of the person shows p - d of the base."""
    x, y = portraits.grid()
    shift = np.zeros((*CANVAS_HW, 2), np.float32)

    def scale(center: tuple, radii: tuple, amount_x: float, amount_y: float) -> None:
        dx, dy = x - center[0], y - center[1]
        weight = np.exp(-((dx / radii[0]) ** 2 + (dy / radii[1]) ** 2) / 2)
        shift[..., 0] += amount_x * dx * weight
        shift[..., 1] += amount_y * dy * weight

    def move(center: tuple, radii: tuple, vector: tuple) -> None:
        weight = np.exp(-(((x - center[0]) / radii[0]) ** 2 + ((y - center[1]) / radii[1]) ** 2) / 2)
        shift[..., 0] += vector[0] * weight
        shift[..., 1] += vector[1] * weight

    draw = rng.uniform
    scale((222, 125), (55, 60), draw(-0.11, 0.11), draw(-0.09, 0.09))  # whole face
    scale((222, 163), (38, 20), draw(-0.16, 0.20) + 0.08 * (traits["beard"] > 0), draw(-0.1, 0.1))  # jaw
    move((222, 178), (26, 16), (draw(-2, 2), draw(-4, 6)))  # chin
    eye_x, eye_y, eye_apart, eye_up = draw(-0.18, 0.2), draw(-0.28, 0.28), draw(-2.5, 2.5), draw(-3, 3)
    for (cx, cy), side in ((LANDMARKS["left_eye"], -1), (LANDMARKS["right_eye"], 1)):
        scale((cx, cy), (12, 8), eye_x, eye_y)
        move((cx, cy), (14, 12), (side * eye_apart, eye_up + draw(-0.5, 0.5)))
    brow = draw(-3.5, 2)
    move((202, 88), (16, 6), (0, brow))
    move((250, 91), (16, 6), (0, brow))
    scale((221, 124), (13, 12), draw(-0.25, 0.35), draw(-0.15, 0.15))  # nose
    move((221, 127), (12, 9), (draw(-1.5, 1.5), draw(-3, 3)))
    scale((222, 145), (24, 9), draw(-0.22, 0.18), draw(-0.45, 0.15))  # mouth
    move((222, 145), (26, 10), (draw(-1, 1), draw(-2.5, 2.5)))
    smile = draw(-0.5, 3.2)
    for cx in (204, 241):
        move((cx, 140), (8, 7), (0, smile))
    bulk = {"short": (-0.16, -0.10), "volume": (0.10, 0.10), "beanie": (-0.10, -0.05), "scarf": (-0.06, 0.0)}
    wide, tall = bulk.get(traits["style"], (0.0, 0.0))
    scale((226, 70), (75, 55), wide + draw(-0.04, 0.04), tall + draw(-0.05, 0.05))
    move((222, 78), (45, 14), (0, draw(-5, 2)))  # hairline
    coarse = rng.standard_normal((6, 6, 2)).astype(np.float32) * 1.6
    shift += cv2.resize(coarse, CANVAS_HW[::-1], interpolation=cv2.INTER_CUBIC)
    return shift * portraits.SCALE


def _maps(displacement: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[: CANVAS_HW[0], : CANVAS_HW[1]].astype(np.float32)
    return x - displacement[..., 0], y - displacement[..., 1]


def _move_points(points: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Where base points lie on the person: the fixed point of p = base + d(p)."""
    moved = points.copy()
    for _ in range(12):
        column = np.clip(moved[:, 0].round().astype(int), 0, CANVAS_HW[1] - 1)
        row = np.clip(moved[:, 1].round().astype(int), 0, CANVAS_HW[0] - 1)
        moved = 0.5 * moved + 0.5 * (points + displacement[row, column])
    return moved


def _soft_clip(image: np.ndarray) -> np.ndarray:
    """Roll highlights off towards 250, as a camera does, rather than cut them."""
    knee = 185.0
    excess = np.maximum(image - knee, 0)
    return np.where(
        image > knee, knee + (250 - knee) * (1 - np.exp(-excess / (250 - knee))), np.maximum(image, 0)
    )


def _light(rng: np.random.Generator) -> np.ndarray:
    """Smooth light from one side, mean about 1."""
    x, y = portraits.grid()
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.04, 0.14)
    return 1 + strength * np.tanh(((x - 222) * np.cos(angle) + (y - 125) * np.sin(angle)) / 50)
