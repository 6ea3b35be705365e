"""Negatives made from real faces only: self-blended images, face-warping and expression artefacts.

A detector trained on one dataset's fakes learns that dataset's generator. What most manipulations
share is that a region of the face was resampled, recoloured and blended back; these functions
make just that, from a single real face, so that nothing else can tell the classes apart.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np

from dfutils.errors import InputError

KINDS = ("self-blend", "warp", "expression")
# outlines in eye-distance units: origin between the eyes, x to the picture's right, y down; drawn
# after the proportions of an upright face. Eyes (-.5, 0) and (.5, 0), nose tip (0, .62), mouth
# corners (-.41, 1.08) and (.41, 1.08).
_ANCHORS = np.array([[-0.5, 0], [0.5, 0], [0, 0.62], [-0.41, 1.08], [0.41, 1.08]], np.float32)
OUTLINES = {
    "face": [(-1.0, -0.1), (-0.85, -0.42), (-0.45, -0.55), (0, -0.48), (0.45, -0.55), (0.85, -0.42),
             (1.0, -0.1), (1.0, 0.45), (0.9, 0.95), (0.66, 1.42), (0.3, 1.72), (0, 1.78), (-0.3, 1.72),
             (-0.66, 1.42), (-0.9, 0.95), (-1.0, 0.45)],
    "inner": [(-0.85, -0.15), (-0.5, -0.4), (0, -0.3), (0.5, -0.4), (0.85, -0.15), (0.75, 0.5), (0.62, 1.05),
              (0.35, 1.4), (0, 1.48), (-0.35, 1.4), (-0.62, 1.05), (-0.75, 0.5)],
    "high": [(-1.0, -0.1), (-0.9, -0.8), (-0.45, -1.05), (0, -1.1), (0.45, -1.05), (0.9, -0.8), (1.0, -0.1),
             (1.0, 0.45), (0.9, 0.95), (0.66, 1.42), (0.3, 1.72), (0, 1.78), (-0.3, 1.72), (-0.66, 1.42),
             (-0.9, 0.95), (-1.0, 0.45)],
    "lower": [(-0.8, 0.45), (-0.3, 0.35), (0, 0.3), (0.3, 0.35), (0.8, 0.45), (0.85, 0.95), (0.62, 1.45),
              (0.28, 1.74), (0, 1.78), (-0.28, 1.74), (-0.62, 1.45), (-0.85, 0.95)],
    "mouth": [(-0.58, 0.85), (-0.25, 0.74), (0, 0.72), (0.25, 0.74), (0.58, 0.85), (0.62, 1.15), (0.38, 1.42),
              (0, 1.5), (-0.38, 1.42), (-0.62, 1.15)],
    "eyes": [(-0.92, -0.1), (-0.6, -0.36), (0, -0.28), (0.6, -0.36), (0.92, -0.1), (0.82, 0.2), (0.3, 0.3),
             (0, 0.36), (-0.3, 0.3), (-0.82, 0.2)],
}  # fmt: skip
_SHARES = {
    "self-blend": {"face": 0.35, "inner": 0.2, "high": 0.1, "lower": 0.15, "mouth": 0.12, "eyes": 0.08},
    "warp": {"face": 0.5, "inner": 0.3, "lower": 0.1, "mouth": 0.1},
    "expression": {"lower": 0.4, "mouth": 0.25, "inner": 0.35},
}


def make_fake(image: np.ndarray, landmarks: np.ndarray, seed: int, kind: str = "self-blend") -> np.ndarray:
    """Turn a real face into a fake one.

    Parameters
    ----------
    image : numpy.ndarray, shape=(height, width, 3), uint8, RGB
        A real face.
    landmarks : numpy.ndarray, shape=(5, 2), float
        ``(x, y)`` [px] of right eye, left eye, nose tip, right and left mouth corner, as
        `dfutils.faces.Face` has them; they may lie outside the picture.
    seed : int
    kind : {"self-blend", "warp", "expression"}
        ``"self-blend"``: two differently treated copies of the face (colour, sharpness,
        resolution, small affine) are blended through a deformed outline of the face or of a part
        [1]_. ``"warp"``: a part is scaled down, blurred, and warped back [2]_. ``"expression"``: the
        mouth and brows are moved by a smooth field and the part is blended back, as a
        reenactment would (our own).

    Returns
    -------
    numpy.ndarray, shape=(height, width, 3), uint8, RGB

    References
    ----------
    .. [1] Shiohara, Yamasaki: Detecting deepfakes with self-blended images, CVPR 2022.
    .. [2] Li, Lyu: Exposing deepfake videos by detecting face warping artifacts, CVPR-W 2019.
    """
    if kind not in KINDS:
        raise InputError("kind", f"must be one of {KINDS}, got {kind!r}")
    generator = np.random.default_rng(seed)
    height, width = image.shape[:2]
    to_image = fit_template(np.asarray(landmarks, np.float32))
    eye_px = float(np.hypot(*to_image[:, 0]))  # length of the template's unit
    names, shares = zip(*_SHARES[kind].items())
    outline = np.array(OUTLINES[generator.choice(names, p=shares)], np.float32)
    outline += generator.normal(0, 0.045, outline.shape)
    mask = draw_mask(outline @ to_image[:, :2].T + to_image[:, 2], (height, width), eye_px, generator)
    target = image.astype(np.float32)
    if kind == "expression":
        source = _move_expression(target, to_image, eye_px, generator)
        source = _treat(source, generator, strength=0.5)
    elif kind == "warp":
        source = _lose_resolution(target, generator, least=0.15)
        source = _shift(source, generator, eye_px, strength=0.6)
    else:
        source = _shift(target, generator, eye_px)
        if generator.random() < 0.5:
            source = _treat(source, generator)
        else:
            target = _treat(target, generator)
        if generator.random() < 0.25:
            source = _move_expression(source, to_image, eye_px, generator)
    ratio = generator.choice([0.5, 0.75, 1.0, 1.0, 1.0])
    weight = (mask * ratio)[..., None]
    blended = weight * source + (1 - weight) * target
    return np.clip(np.round(blended), 0, 255).astype(np.uint8)


def fit_template(landmarks: np.ndarray) -> np.ndarray:
    """Least-squares affine map from template to image, shape=(2, 3)."""
    design = np.c_[_ANCHORS, np.ones(5, np.float32)]
    solution, *_ = np.linalg.lstsq(design, landmarks, rcond=None)
    return solution.T.astype(np.float32)


def _smooth_noise(shape: tuple[int, int], sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Smooth random field with standard deviation 1."""
    step = max(1, int(sigma / 2))
    small = generator.standard_normal((shape[0] // step + 4, shape[1] // step + 4)).astype(np.float32)
    small = cv2.GaussianBlur(small, (0, 0), max(sigma / step, 0.5))
    field = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return field / max(float(field.std()), 1e-6)


def draw_mask(points: np.ndarray, shape: tuple[int, int], eye_px: float, generator) -> np.ndarray:
    """Fill an outline, deform it elastically, soften its edge; float32 in 0..1."""
    mask = np.zeros(shape, np.float32)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1.0)
    amount = generator.uniform(0, 0.08) * eye_px
    grid_y, grid_x = _grid(shape)
    shift_x, shift_y = (_smooth_noise(shape, 0.25 * eye_px, generator) * amount for _ in range(2))
    mask = cv2.remap(mask, grid_x + shift_x, grid_y + shift_y, cv2.INTER_LINEAR)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.6, float(generator.uniform(0.02, 0.16)) * eye_px))
    if generator.random() < 0.5:  # an edge that lies further inside
        mask = np.clip(2 * mask - 1, 0, 1)
    return mask


@functools.lru_cache(maxsize=4)
def _grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32))


def _shift(image: np.ndarray, generator, eye_px: float, strength: float = 1.0) -> np.ndarray:
    """Small affine change about the middle, resampled."""
    height, width = image.shape[:2]
    angle = generator.normal(0, 1.2) * strength
    scale = float(np.exp(generator.normal(0, 0.03) * strength))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(angle), scale)
    matrix[:, 2] += generator.normal(0, 0.035 * eye_px * strength, 2)
    filters = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)
    return cv2.warpAffine(
        image,
        matrix,
        (width, height),
        flags=filters[generator.integers(3)],
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _lose_resolution(image: np.ndarray, generator, least: float = 0.25) -> np.ndarray:
    """Scale down and up again, with random filters; or blur."""
    height, width = image.shape[:2]
    if generator.random() < 0.35:
        return cv2.GaussianBlur(image, (0, 0), float(generator.uniform(0.5, 2.5)) * width / 224)
    share = generator.uniform(least, 0.85)
    size = max(8, round(width * share)), max(8, round(height * share))
    down = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[generator.integers(3)]
    up = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[generator.integers(2)]
    return cv2.resize(cv2.resize(image, size, interpolation=down), (width, height), interpolation=up)


def _treat(image: np.ndarray, generator, strength: float = 1.0) -> np.ndarray:
    """Change colour, contrast and sharpness; float32 in and out."""
    image = image.copy()
    if generator.random() < 0.7:
        image += generator.normal(0, 9 * strength, 3)
    if generator.random() < 0.6:
        image = (image - 128) * float(np.exp(generator.normal(0, 0.1 * strength))) + 128
        image += generator.normal(0, 8 * strength)
    if generator.random() < 0.4:
        grey = image.mean(axis=2, keepdims=True)
        image = grey + (image - grey) * float(np.exp(generator.normal(0, 0.2 * strength)))
    if generator.random() < 0.3:
        image = 255 * np.power(
            np.clip(image / 255, 0, 1), float(np.exp(generator.normal(0, 0.12 * strength)))
        )
    chance = generator.random()
    if chance < 0.5:
        image = _lose_resolution(image, generator)
    elif chance < 0.7:
        soft = cv2.GaussianBlur(image, (0, 0), 1.5)
        image = image + float(generator.uniform(0.2, 1.0)) * (image - soft)
    return np.clip(image, 0, 255)


def _move_expression(image: np.ndarray, to_image: np.ndarray, eye_px: float, generator) -> np.ndarray:
    """Move mouth corners, lips, chin, brows and lids along a smooth field, and resample."""
    height, width = image.shape[:2]
    points = np.array(
        [(-0.41, 1.08), (0.41, 1.08), (0, 0.95), (0, 1.22), (0, 1.6),
         (-0.5, -0.3), (0.5, -0.3), (-0.5, 0.05), (0.5, 0.05)],
        np.float32,
    )  # fmt: skip
    reach = np.array([0.28, 0.28, 0.25, 0.28, 0.45, 0.3, 0.3, 0.18, 0.18], np.float32) * eye_px
    places = points @ to_image[:, :2].T + to_image[:, 2]
    moves = generator.normal(0, 1, points.shape) * np.array([0.05, 0.075]) * eye_px
    opening = generator.normal(0, 0.09) * eye_px  # lips part or close, and take the chin along
    moves[2, 1] -= 0.3 * opening
    moves[3, 1] += 0.7 * opening
    moves[4, 1] += 0.6 * opening
    grid_y, grid_x = _grid((height, width))
    map_x, map_y = grid_x.copy(), grid_y.copy()
    for (x, y), radius, (move_x, move_y) in zip(places, reach, moves):
        bump = np.exp(-((grid_x - x) ** 2 + (grid_y - y) ** 2) / (2 * radius**2))
        map_x -= bump * move_x
        map_y -= bump * move_y
    return cv2.remap(
        image,
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
