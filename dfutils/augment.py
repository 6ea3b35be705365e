"""Named augmentation pipelines for faces and voices, seeded per sample.

The only module that touches albumentations and audiomentations: both renamed arguments between
versions, albumentations with no more than a warning, so the meaning of the thesis' arguments is
kept here and tested.
"""

from __future__ import annotations

import functools
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dfutils.errors import InputError

_AUDIO_LOCK = threading.Lock()


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
            A.RandomBrightnessContrast(p=0.4),
            A.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=20, val_shift_limit=10, p=0.3),
            A.ToGray(p=0.05),
            A.OneOf([A.GaussianBlur(blur_limit=(3, 5), p=1), A.MotionBlur(blur_limit=(3, 5), p=1)], p=0.12),
            A.Downscale(
                scale_range=(0.3, 0.9),  # half of all, lest softness tell the classes apart
                interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
                p=0.5,
            ),
            noise(0.1),
            A.ImageCompression(quality_range=(40, 100), p=0.6),
        ]

    return {
        "none": list,
        "robust": robust,
        "flip": lambda: [A.HorizontalFlip(p=0.5)],
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


FACE_PIPELINES = ("none", "flip", "robust", "thesis", "study-e", "study-e-coarse", "study-e-grid")
VOICE_PIPELINES = ("none", "thesis")


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


class VoiceAugmentation:
    """A named pipeline for waveforms.

    Parameters
    ----------
    name : {"none", "thesis"}
        ``"thesis"``: noise p .1, room response p .5, shift p .3, stretch p .5, pitch p .3, then
        peak normalisation. ``"none"``: peak normalisation only, as the thesis evaluates.
    impulse_responses : str, os.PathLike or None
        Folder of room responses; None leaves that step out.
    """

    def __init__(self, name: str = "thesis", impulse_responses: str | os.PathLike | None = None):
        if name not in VOICE_PIPELINES:
            raise InputError("augmentation", f"must be one of {VOICE_PIPELINES}, got {name!r}")
        import audiomentations as A

        steps = []
        if name == "thesis":
            steps.append(A.AddGaussianNoise(p=0.1))
            if impulse_responses is not None:
                if not any(Path(impulse_responses).glob("*.*")):
                    raise InputError(impulse_responses, "holds no impulse responses")
                steps.append(
                    A.ApplyImpulseResponse(str(impulse_responses), p=0.5, leave_length_unchanged=True)
                )
            steps += [
                A.Shift(fade_duration=0.01, p=0.3),
                A.TimeStretch(p=0.5),
                A.PitchShift(p=0.3),
            ]
        self.name = name
        self._pipeline = A.Compose([*steps, A.Normalize(p=1)])

    def __call__(self, audio: np.ndarray, sr: int, seed: int) -> np.ndarray:
        """Augment one sound.

        Parameters
        ----------
        audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
        sr : int
            [Hz]
        seed : int

        Returns
        -------
        numpy.ndarray, shape=(n_samples,), float32 in -1..1
        """
        # audiomentations draws from the two global generators: lend them to one thread at a time
        with _AUDIO_LOCK:
            states = random.getstate(), np.random.get_state()  # noqa: NPY002
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            try:
                return self._pipeline(np.ascontiguousarray(audio), sample_rate=sr)
            finally:
                random.setstate(states[0])
                np.random.set_state(states[1])  # noqa: NPY002


def mask_features(
    features: np.ndarray,
    seed: int,
    p: float = 0.5,
    max_rows: float = 0.25,
    max_frames: float = 0.15,
    n_row_masks: int = 1,
    n_frame_masks: int = 1,
) -> np.ndarray:
    """Set random bands of rows and stripes of frames to 0 (SpecAugment without time warping).

    Parameters
    ----------
    features : numpy.ndarray, shape=(n_rows, n_frames), float32
    seed : int
    p : float
        Chance of each mask.
    max_rows, max_frames : float
        Largest share of rows, and of frames, in one mask.
    n_row_masks, n_frame_masks : int

    Returns
    -------
    numpy.ndarray, shape=(n_rows, n_frames), float32
        A copy.

    Notes
    -----
    After Park et al.: SpecAugment, Interspeech 2019; on LFCC for spoofing, Chen et al.:
    Generalization of audio deepfake detection, Odyssey 2020.
    """
    generator = np.random.default_rng(seed)
    masked = features.copy()
    for axis, share, count in ((0, max_rows, n_row_masks), (1, max_frames, n_frame_masks)):
        for _ in range(count):
            width = int(generator.integers(0, max(1, round(share * features.shape[axis])) + 1))
            start = int(generator.integers(0, features.shape[axis] - width + 1))
            if generator.random() < p:
                masked[(slice(None),) * axis + (slice(start, start + width),)] = 0
    return masked
