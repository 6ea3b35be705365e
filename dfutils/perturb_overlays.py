"""Distractors drawn over a face: dots, shapes, text, small pictures, a dog's face, a crown of flowers.

After the kinds that the DFDC test videos have; all drawn by the code below. Each takes an image (uint8
RGB), a level's value and a random generator, and returns a new image. What is drawn at one level is drawn
at the next one too, with more or larger of it.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from dfutils.crops import resize_image
from dfutils.made_fakes import fit_template

# right eye, left eye, nose, mouth corners as shares of width and height, where a tight crop
# (`dfutils.crops.CropGeometry`) has them
USUAL_POINTS = np.array([[0.29, 0.31], [0.69, 0.31], [0.49, 0.52], [0.33, 0.71], [0.65, 0.71]], np.float32)
WORDS = ("LIVE", "BREAKING NEWS", "EXCLUSIVE", "@viewer", "SUBSCRIBE", "REPLAY", "12:45", "EPISODE 7")
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_ITALIC)
FURS = ((150, 102, 62), (196, 160, 112), (98, 74, 58))
PETALS = ((240, 98, 146), (255, 255, 255), (171, 106, 214), (255, 202, 80), (236, 80, 66))
# a dog: x, y, radii and tilt [degrees] in the eye-distance units of `dfutils.made_fakes`
_DOG = (
    (-0.95, -0.62, 0.34, 0.62, 24, "fur"), (0.95, -0.62, 0.34, 0.62, -24, "fur"),
    (-0.93, -0.55, 0.18, 0.4, 24, (222, 150, 140)), (0.93, -0.55, 0.18, 0.4, -24, (222, 150, 140)),
    (0, 1.28, 0.2, 0.34, 0, (232, 106, 120)),
    (-0.24, 0.82, 0.3, 0.22, -12, (240, 226, 204)), (0.24, 0.82, 0.3, 0.22, 12, (240, 226, 204)),
    (0, 0.6, 0.25, 0.17, 0, (38, 30, 30)), (-0.07, 0.55, 0.06, 0.04, -20, (150, 140, 140)),
)  # fmt: skip


def draw_dots(image: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``n`` filled circles, 1 to 3 % of the shorter side in radius."""
    canvas, (height, width) = image.copy(), image.shape[:2]
    for x, y, size, *colour in rng.random((n, 6)):
        radius = max(1, round((0.01 + 0.02 * size) * min(height, width)))
        place = int(x * width), int(y * height)
        cv2.circle(canvas, place, radius, _colour(colour), cv2.FILLED, cv2.LINE_AA)
    return canvas


def draw_shapes(image: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``n`` filled triangles, squares, pentagons or discs, 5 to 15 % of the shorter side in radius."""
    canvas, (height, width) = image.copy(), image.shape[:2]
    for kind, x, y, size, turn, *colour in rng.random((n, 8)):
        n_corners = (3, 4, 5, 24)[int(4 * kind)]
        angles = 2 * np.pi * (turn + np.arange(n_corners) / n_corners)
        reach = (0.05 + 0.1 * size) * min(height, width)
        corners = np.stack([x * width + reach * np.cos(angles), y * height + reach * np.sin(angles)], axis=1)
        _fill(canvas, corners, _colour(colour))
    return canvas


def draw_text(image: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Write ``n`` words, 35 to 80 % of the width each."""
    canvas, (height, width) = image.copy(), image.shape[:2]
    for word, style, share, x, y, *colour in rng.random((n, 8)):
        text, font = WORDS[int(word * len(WORDS))], FONTS[int(style * len(FONTS))]
        (length_px, _), _ = cv2.getTextSize(text, font, 1.0, 1)
        scale = (0.35 + 0.45 * share) * width / length_px
        place = int(x * (0.65 - 0.45 * share) * width), int((0.1 + 0.9 * y) * height)
        cv2.putText(canvas, text, place, font, scale, _colour(colour), max(1, round(2 * scale)), cv2.LINE_AA)
    return canvas


def paste_face(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Paste another face; ``share``: its side over the shorter side of the image."""
    return _paste(image, _stickers()["face"], share, rng)


def paste_picture(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Paste a picture of a cat, a cup or a rocket; ``share`` as in `paste_face`."""
    names = ("chelsea", "coffee", "rocket")
    return _paste(image, _stickers()[names[rng.integers(len(names))]], share, rng)


def draw_dog(
    image: np.ndarray, size: float, rng: np.random.Generator, points: np.ndarray | None = None
) -> np.ndarray:
    """Draw a dog's ears, muzzle, nose and tongue; ``size`` 1 fits the face."""
    canvas, to_image = image.copy(), _fit_face(image, points)
    fur = FURS[rng.integers(len(FURS))]
    for x, y, radius_x, radius_y, tilt, colour in _DOG:
        outline = _ellipse(x, y, size * radius_x, size * radius_y, tilt)
        _fill(canvas, _move(outline, to_image), fur if colour == "fur" else colour)
    return canvas


def draw_flowers(
    image: np.ndarray, size: float, rng: np.random.Generator, points: np.ndarray | None = None
) -> np.ndarray:
    """Draw a crown of seven flowers over the forehead; ``size`` 1 fits the face."""
    canvas, to_image = image.copy(), _fit_face(image, points)
    for x, kind, turn in zip(np.linspace(-1.15, 1.15, 7), rng.integers(len(PETALS), size=7), rng.random(7)):
        y = 0.25 * x**2 - 0.75
        leaf = _ellipse(x, y + 0.2 * size, 0.1 * size, 0.3 * size, 50 * x)
        _fill(canvas, _move(leaf, to_image), (64, 138, 62))
        for petal in range(6):
            angle = 2 * np.pi * (turn + petal / 6)
            place = x + 0.17 * size * np.cos(angle), y + 0.17 * size * np.sin(angle)
            outline = _ellipse(*place, 0.15 * size, 0.1 * size, np.degrees(angle))
            _fill(canvas, _move(outline, to_image), PETALS[kind])
        _fill(canvas, _move(_ellipse(x, y, 0.09 * size, 0.09 * size, 0), to_image), (250, 214, 60))
    return canvas


def _fit_face(image: np.ndarray, points: np.ndarray | None) -> np.ndarray:
    if points is None or not np.isfinite(points).all():
        points = USUAL_POINTS * image.shape[1::-1]
    return fit_template(np.asarray(points, np.float32))


def _ellipse(x: float, y: float, radius_x: float, radius_y: float, tilt: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    outline = np.stack([radius_x * np.cos(angles), radius_y * np.sin(angles)], axis=1)
    cosine, sine = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    return outline @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y)


def _move(outline: np.ndarray, to_image: np.ndarray) -> np.ndarray:
    return outline @ to_image[:, :2].T + to_image[:, 2]


def _fill(canvas: np.ndarray, outline: np.ndarray, colour: tuple[int, ...]) -> None:
    sixteenths = np.round(16 * outline).astype(np.int32)  # so that small faces keep the shape
    cv2.fillPoly(canvas, [sixteenths], colour, cv2.LINE_AA, shift=4)


def _colour(shares) -> tuple[int, ...]:
    return tuple(int(256 * share) for share in shares)


def _paste(image: np.ndarray, sticker: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    canvas, (height, width) = image.copy(), image.shape[:2]
    side = max(2, round(share * min(height, width)))
    y, x = (rng.random(2) * (height - side + 1, width - side + 1)).astype(int)
    canvas[y : y + side, x : x + side] = resize_image(sticker, (side, side))
    return canvas


@functools.lru_cache(maxsize=1)
def _stickers() -> dict[str, np.ndarray]:
    """Squares out of scikit-image's pictures: public domain (NASA, SpaceX) and CC0 (the cat, the cup)."""
    from skimage import data

    return {
        "face": data.astronaut()[50:190, 150:290],
        "chelsea": data.chelsea()[:, 75:375],
        "coffee": data.coffee()[:, 100:500],
        "rocket": data.rocket()[:, 106:533],
    }
