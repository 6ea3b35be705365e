"""Perturbations of face crops: DeeperForensics' seven, DFDC's augmenters, and distractors."""

from __future__ import annotations

import cv2
import numpy as np

from dfutils.codecs_video import compress_h264
from dfutils.crops import resize_image
from dfutils.perturb_overlays import (
    draw_dog,
    draw_dots,
    draw_flowers,
    draw_shapes,
    draw_text,
    paste_face,
    paste_picture,
)
from dfutils.perturbation import Perturbation

MIN_CODED_PX = 16  # what H.264 needs a side


def _scale_colour(image: np.ndarray, share: float, rng) -> np.ndarray:
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.float32)
    ycc[..., 1:] = 128 + share * (ycc[..., 1:] - 128)
    return cv2.cvtColor(_to_uint8(ycc), cv2.COLOR_YCrCb2RGB)


def _multiply(image: np.ndarray, factor: float, rng) -> np.ndarray:
    return _to_uint8(np.float32(factor) * image)


def _cover_blocks(image: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    # theirs are 8 px wide, and ``n`` for every 256 px of the shorter side, which gives crops none at all
    changed, (height, width) = image.copy(), image.shape[:2]
    side = max(1, round(min(height, width) / 32))
    for y, x in rng.integers((height - side + 1, width - side + 1), size=(n, 2)):
        changed[y : y + side, x : x + side] = 128
    return changed


def _add_colour_noise(image: np.ndarray, variance: float, rng: np.random.Generator) -> np.ndarray:
    # the variance is one of BT.601's studio range: 219 steps of luma and 224 of chroma out of 255
    ycc = cv2.cvtColor(np.float32(1 / 255) * image, cv2.COLOR_RGB2YCrCb)
    deviation = np.float32(np.sqrt(variance)) * 255 / np.array([219, 224, 224], np.float32)
    ycc += deviation * rng.standard_normal(image.shape, np.float32)
    return _to_uint8(255 * cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB))


def _blur_kernel(image: np.ndarray, width_px: int, rng) -> np.ndarray:
    return cv2.GaussianBlur(image, (width_px, width_px), width_px / 6)


def _divide_size(image: np.ndarray, divisor: int, rng) -> np.ndarray:
    height, width = image.shape[:2]
    small = cv2.resize(image, (max(1, width // divisor), max(1, height // divisor)))
    return cv2.resize(small, (width, height))


def _code_video(image: np.ndarray, rate_factor: int, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    missing = max(0, MIN_CODED_PX - height), max(0, MIN_CODED_PX - width)
    padded = cv2.copyMakeBorder(image, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    right, down = rng.uniform(-2, 2, 2)
    return compress_h264(padded, rate_factor, (float(right), float(down)))[:height, :width]


def _blur_share(image: np.ndarray, share: float, rng) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), share * min(image.shape[:2]))


def _shift_brightness(image: np.ndarray, by: float, rng: np.random.Generator) -> np.ndarray:
    return _to_uint8(image + np.float32(by if rng.random() < 0.5 else -by))


def _stretch_contrast(image: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    mean = np.float32(image.mean())
    return _to_uint8(mean + np.float32(factor if rng.random() < 0.5 else 1 / factor) * (image - mean))


def _mix_grey(image: np.ndarray, share: float, rng) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, 1 - share, grey, share, 0)


def _turn_over(image: np.ndarray, way: str, rng) -> np.ndarray:
    ways = {
        "mirrored": image[:, ::-1],
        "upside down": image[::-1],
        "half turn": image[::-1, ::-1],
        "quarter left": np.rot90(image),
        "quarter right": np.rot90(image, -1),
    }
    return resize_image(np.ascontiguousarray(ways[way]), image.shape[:2])


def _add_noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    return _to_uint8(image + np.float32(deviation) * rng.standard_normal(image.shape, np.float32))


def _code_jpeg(image: np.ndarray, quality: int, rng) -> np.ndarray:
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def _lose_resolution(image: np.ndarray, share: float, rng) -> np.ndarray:
    small = tuple(max(2, round(share * side)) for side in image.shape[:2])
    return resize_image(resize_image(image, small), image.shape[:2])


def _rotate(image: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    angle = degrees if rng.random() < 0.5 else -degrees
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def _make(family: str, about: str, unit: str, values: tuple, change, **options) -> Perturbation:
    return Perturbation("picture", family, about, unit, values, change, **options)


# Jiang et al.: DeeperForensics-1.0, CVPR 2020; values from perturbation/add_distortion_to_video.py of the
# authors' repository (EndlessSora/DeeperForensics-1.0, commit 4f6ecff). Theirs act on frames of 1080p, ours
# on crops. Their "JPEG" codes nothing, it takes resolution away; JPEG proper is "quality" below.
_D, _A, _O = "DeeperForensics", "DFDC augmenter", "distractor"
PERTURBATIONS: dict[str, Perturbation] = {
    "deeper-saturation": _make(_D, "colours fade", "share left", (0.4, 0.3, 0.2, 0.1, 0.0), _scale_colour),
    "deeper-contrast": _make(_D, "all gets darker", "factor", (0.85, 0.725, 0.6, 0.475, 0.35), _multiply),
    "deeper-blocks": _make(_D, "grey squares", "squares", (16, 32, 48, 64, 80), _cover_blocks),
    "deeper-noise": _make(
        _D, "noise in luma and chroma", "variance of 0..1",
        (0.001, 0.002, 0.005, 0.01, 0.05), _add_colour_noise,
    ),
    "deeper-blur": _make(_D, "Gaussian blur", "kernel [px]", (7, 9, 13, 17, 21), _blur_kernel),
    "deeper-jpeg": _make(_D, "made smaller, then large again", "divisor", (2, 3, 4, 5, 6), _divide_size),
    "deeper-video": _make(_D, "H.264", "rate factor", (30, 32, 35, 38, 40), _code_video),
    # Dolhansky et al.: The DeepFake Detection Challenge dataset, 2020. It names kinds and no strengths: the
    # values are ours. A changed frame rate or missing sound does nothing to a single face.
    "blur": _make(_A, "Gaussian blur", "share of side", (0.003, 0.006, 0.01, 0.016, 0.025), _blur_share),
    "brightness": _make(_A, "brighter or darker", "of 255", (20, 40, 60, 80, 100), _shift_brightness),
    "contrast": _make(_A, "more or less contrast", "factor", (1.25, 1.5, 2.0, 2.75, 4.0), _stretch_contrast),
    "grey": _make(_A, "towards black and white", "share", (0.2, 0.4, 0.6, 0.8, 1.0), _mix_grey),
    "flip": _make(
        _A, "turned over; levels are kinds", "way",
        ("mirrored", "upside down", "half turn", "quarter left", "quarter right"), _turn_over,
    ),
    "noise": _make(_A, "noise in every channel", "of 255", (5, 10, 20, 35, 50), _add_noise),
    "quality": _make(_A, "JPEG", "quality", (70, 50, 30, 15, 7), _code_jpeg),
    "resolution": _make(_A, "fewer pixels", "share of side", (0.75, 0.5, 0.35, 0.25, 0.15), _lose_resolution),
    "rotation": _make(_A, "turned left or right", "degrees", (5, 10, 20, 30, 45), _rotate),
    "dots": _make(_O, "coloured dots", "dots", (5, 10, 20, 40, 80), draw_dots),
    "shapes": _make(_O, "coloured shapes", "shapes", (1, 2, 4, 7, 12), draw_shapes),
    "text": _make(_O, "words", "words", (1, 2, 3, 5, 8), draw_text),
    "face": _make(_O, "another small face", "share of side", (0.15, 0.2, 0.3, 0.4, 0.5), paste_face),
    "picture": _make(_O, "a small picture", "share of side", (0.15, 0.2, 0.3, 0.4, 0.5), paste_picture),
    "dog": _make(_O, "a dog's face", "size", (0.5, 0.75, 1.0, 1.25, 1.5), draw_dog, uses_points=True),
    "flowers": _make(_O, "a crown", "size", (0.5, 0.75, 1.0, 1.25, 1.5), draw_flowers, uses_points=True),
}  # fmt: skip
