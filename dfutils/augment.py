"""Named augmentation pipelines for face crops, seeded per sample.

The only module that touches albumentations: it renamed arguments between versions with no more
than a warning, so the meaning of the thesis' arguments is kept here and tested.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import numpy as np

from dfutils.codecs import compress_h264
from dfutils.errors import InputError


def _video_compression(p: float, rate_factors: tuple[int, int] = (18, 38)):
    """H.264 at a random rate factor, half of the time as a predicted frame; an albumentations transform."""
    import albumentations as A

    class VideoCompression(A.ImageOnlyTransform):
        def get_params(self) -> dict:
            moves = tuple(self.py_random.uniform(-2, 2) for _ in range(2))
            return {
                "rate_factor": self.py_random.randint(*rate_factors),
                "motion_px": moves if self.py_random.random() < 0.5 else None,
            }

        def apply(self, img: np.ndarray, rate_factor: int, motion_px, **params) -> np.ndarray:
            if min(img.shape[:2]) < 16:
                return img
            return compress_h264(img, rate_factor, motion_px)

    return VideoCompression(p=p)


@functools.lru_cache(maxsize=1)
def _face_pipelines() -> dict[str, Callable[[], list]]:
    import albumentations as A
    import cv2

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

    def robust() -> list:
        # what happens to a clip on its way through the net, the same for both classes; cropping is
        # jittered because another video's faces are never framed quite like the training crops
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
            # half of all, lest softness tell the classes apart
            A.OneOf(
                [
                    A.Downscale(
                        scale_range=(0.4, 0.95),
                        interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": up},
                        p=1,
                    )
                    for up in (cv2.INTER_LINEAR, cv2.INTER_CUBIC)
                ],
                p=0.5,
            ),
            noise(0.1),
            A.OneOf([A.ImageCompression(quality_range=(35, 100), p=1), _video_compression(p=1)], p=0.7),
        ]

    return {
        "none": list,
        "robust": robust,
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


FACE_PIPELINES = ("none", "flip", "mirror", "robust", "thesis", "study-e", "study-e-coarse", "study-e-grid")


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
