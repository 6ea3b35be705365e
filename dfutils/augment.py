"""Named augmentation pipelines for face crops, seeded per sample.

The only module that touches albumentations: it renamed arguments between versions with no more
than a warning, so the meaning of the thesis' arguments is kept here and tested.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import cv2
import numpy as np

from dfutils.codecs_video import compress_h264
from dfutils.errors import InputError


def _compression(p: float, scales: tuple[float, float] | None = None):
    """H.264 or JPEG at a random quality, H.264 half of the time as a predicted frame.

    With ``scales``, the picture is coded at a lower resolution and scaled up again, as a small face
    in a clip is.
    """
    import albumentations as A

    class Compression(A.ImageOnlyTransform):
        def get_params(self) -> dict:
            draw = self.py_random
            moves = (draw.uniform(-2, 2), draw.uniform(-2, 2))
            return {
                "scale": draw.uniform(*scales) if scales else 1.0,
                "rate_factor": draw.randint(18, 38) if draw.random() < 0.5 else None,
                "quality": draw.randint(35, 100),
                "motion_px": moves if draw.random() < 0.5 else None,
                "upscale": draw.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]),
            }

        def apply(self, img, scale, rate_factor, quality, motion_px, upscale, **params) -> np.ndarray:
            size_hw = img.shape[:2]
            if scale < 1:
                small = tuple(max(16, round(side * scale)) for side in size_hw)
                img = cv2.resize(img, small[::-1], interpolation=cv2.INTER_AREA)
            if rate_factor is not None and min(img.shape[:2]) >= 16:
                img = compress_h264(img, rate_factor, motion_px)
            else:
                _, data = cv2.imencode(".jpg", img[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
                img = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
            if img.shape[:2] != size_hw:
                img = cv2.resize(img, size_hw[::-1], interpolation=upscale)
            return np.ascontiguousarray(img)

    return Compression(p=p)


@functools.lru_cache(maxsize=1)
def _face_pipelines() -> dict[str, Callable[[], list]]:
    import albumentations as A

    def shift_scale_rotate(shift: float, scale: float, rotate: float, p: float) -> A.Affine:
        # ShiftScaleRotate's meaning: one scale for both axes, black border
        return A.Affine(
            translate_percent=(-shift, shift),
            scale=(1 - scale, 1 + scale),
            rotate=(-rotate, rotate),
            keep_ratio=True,
            border_mode=cv2.BORDER_CONSTANT,
            fill=0,
            p=p,
        )

    def noise(p: float) -> A.GaussNoise:
        # variance 10..50 of 255, the default before version 2; today's default is ten times as strong
        return A.GaussNoise(std_range=(0.0124, 0.0277), p=p)

    def thesis() -> list:
        return [
            A.ImageCompression(quality_range=(60, 100), p=0.4),
            noise(0.1),
            A.HorizontalFlip(p=0.5),
            A.OneOf([A.RandomBrightnessContrast(p=1), A.FancyPCA(p=1)], p=0.7),
            shift_scale_rotate(0.0625, 0.1, 45, p=0.6),
            A.GridDropout(p=0.2),
            A.ToGray(p=0.1),
        ]

    def study_e() -> list:
        return [
            A.ImageCompression(quality_range=(60, 100), p=0.5),
            noise(0.1),
            A.OneOf([A.GaussianBlur(p=1), A.Sharpen(p=1)], p=0.3),
            A.HorizontalFlip(p=0.5),
            A.RandomBrightnessContrast(p=0.5),
            A.ToGray(p=0.2),
            shift_scale_rotate(0.0625, 0.1, 10, p=0.5),
        ]

    def filmed() -> list:
        # cropping is jittered because another video's faces are never framed quite like the training crops
        return [
            A.HorizontalFlip(p=0.5),
            A.Affine(
                scale=(0.9, 1.12),
                translate_percent=(-0.05, 0.05),
                rotate=(-8, 8),
                border_mode=cv2.BORDER_REFLECT_101,
                p=0.6,
            ),
            A.RandomBrightnessContrast(brightness_limit=0.25, contrast_limit=0.25, p=0.5),
            A.RandomGamma(gamma_limit=(70, 140), p=0.2),
            A.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=25, val_shift_limit=10, p=0.3),
            A.RGBShift(r_shift_limit=15, g_shift_limit=15, b_shift_limit=15, p=0.2),
            A.ToGray(p=0.05),
            A.OneOf(
                [
                    A.GaussianBlur(blur_limit=(3, 5), p=1),
                    A.MotionBlur(blur_limit=(3, 5), p=1),
                    A.Sharpen(alpha=(0.1, 0.5), p=1),
                ],
                p=0.2,
            ),
        ]

    def robust() -> list:
        # what happens to a clip on its way through the net, the same for both classes
        rescale = [
            A.Downscale(
                scale_range=(0.4, 0.95),
                interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": up},
                p=1,
            )
            for up in (cv2.INTER_LINEAR, cv2.INTER_CUBIC)
        ]
        return [*filmed(), A.OneOf(rescale, p=0.5), noise(0.1), _compression(p=0.7)]

    def recompressed() -> list:
        # the same, but small faces are coded small and then scaled up, which makes larger blocks
        coded = [_compression(p=1, scales=(0.35, 0.95)), _compression(p=1)]
        return [*filmed(), noise(0.1), A.OneOf(coded, p=0.85)]

    return {
        "none": list,
        "robust": robust,
        "recompressed": recompressed,
        "flip": lambda: [A.HorizontalFlip(p=0.5)],
        "mirror": lambda: [A.HorizontalFlip(p=1)],
        "thesis": thesis,
        "study-e": study_e,
        "study-e-coarse": lambda: [
            *study_e(),
            # 64 of the 224 px that study E resizes to first; ours come in any size, some below 64 px
            A.CoarseDropout(
                num_holes_range=(2, 2), hole_height_range=(0.286, 0.286), hole_width_range=(0.286, 0.286)
            ),
        ],
        "study-e-grid": lambda: [*study_e(), A.GridDropout(holes_number_xy=(5, 5), p=0.5)],
    }


FACE_PIPELINES = (
    "none",
    "flip",
    "mirror",
    "robust",
    "recompressed",
    "thesis",
    "study-e",
    "study-e-coarse",
    "study-e-grid",
)


class FaceAugmentation:
    """A named pipeline for face crops.

    Parameters
    ----------
    name : str
        One of `FACE_PIPELINES`. ``"thesis"`` is the audio-visual thesis' list, ``"study-e"`` the
        default of the eight-backbones study, ``"robust"`` ours: framing, colour, resolution and
        compression, as they vary between sources.
    """

    def __init__(self, name: str = "thesis"):
        if name not in FACE_PIPELINES:
            raise InputError("augmentation", f"must be one of {FACE_PIPELINES}, got {name!r}")
        self.name = name
        self._local = threading.local()  # a pipeline holds its random state: one per thread

    def __reduce__(self):  # threads do not go to other machines
        return type(self), (self.name,)

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        """Augment one image.

        Parameters
        ----------
        image : numpy.ndarray, shape=(height, width, 3), uint8, RGB
        seed : int
            The same seed gives the same picture.

        Returns
        -------
        numpy.ndarray, shape=(height, width, 3), uint8, RGB
        """
        if self.name == "none":
            return image
        if not hasattr(self._local, "pipeline"):
            import albumentations as A

            self._local.pipeline = A.Compose(_face_pipelines()[self.name]())
        self._local.pipeline.set_random_seed(seed)
        return self._local.pipeline(image=image)["image"]
