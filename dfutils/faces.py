"""Find faces: YuNet by default, other detectors behind the same interface."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from dfutils.errors import InputError, IntegrityError
from dfutils.paths import ASSETS

YUNET_FILE = ASSETS / "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
MAX_PIXELS = 24_000_000  # that YuNet looks at: it takes 80 bytes for each
DETECTORS = ("yunet", "mtcnn", "retinaface", "dsfd")


@dataclass(frozen=True)
class Face:
    """One detected face.

    Attributes
    ----------
    box : tuple of float
        ``(x, y, width, height)`` [px]; may reach beyond the image.
    confidence : float
        0..1, as the detector gives it (not comparable between detectors).
    landmarks : numpy.ndarray or None, shape=(5, 2), float32
        ``(x, y)`` [px] of right eye, left eye, nose tip, right and left mouth corner; right and
        left are the person's.
    """

    box: tuple[float, float, float, float]
    confidence: float
    landmarks: np.ndarray | None = None

    @property
    def area(self) -> float:
        """Box area [px²]."""
        return self.box[2] * self.box[3]


class FaceDetector(Protocol):
    """What every detector does."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """Find the faces of an RGB image, shape=(height, width, 3), uint8; the largest first."""
        ...


class YuNetDetector:
    """YuNet through ``cv2.FaceDetectorYN`` [1]_; the model file ships with the package (MIT).

    The image is scaled so that its long side is at most ``max_side``, because YuNet was trained
    on faces of 10 to 300 px; where that finds nothing, the full size is tried, up to `MAX_PIXELS`.

    Parameters
    ----------
    min_confidence : float
        0..1; .6 finds .98 of the faces of our test clips without a false one.
    max_side : int
        [px]

    References
    ----------
    .. [1] Wu, Peng, Yu: YuNet: a tiny millisecond-level face detector. Machine Intelligence
       Research 20, 2023.
    """

    def __init__(self, min_confidence: float = 0.6, max_side: int = 640):
        digest = hashlib.sha256(YUNET_FILE.read_bytes()).hexdigest()
        if digest != YUNET_SHA256:
            raise IntegrityError(YUNET_FILE, f"is not the recorded YuNet model (sha256 {digest[:12]}…)")
        self._model = cv2.FaceDetectorYN.create(str(YUNET_FILE), "", (320, 320), min_confidence, 0.3)
        self._max_side = max_side

    def detect(self, image: np.ndarray) -> list[Face]:
        """See `FaceDetector.detect`."""
        scale = min(1.0, self._max_side / max(image.shape[:2]))
        faces = self._detect_at(image, scale)
        if faces or scale == 1.0:
            return faces
        n_pixels = image.shape[0] * image.shape[1]
        return self._detect_at(image, min(1.0, (MAX_PIXELS / n_pixels) ** 0.5))

    def _detect_at(self, image: np.ndarray, scale: float) -> list[Face]:
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else image
        # below 64 px OpenCV's YuNet returns random boxes at times; padding moves no coordinate
        pad_bottom, pad_right = max(0, 64 - height), max(0, 64 - width)
        if pad_bottom or pad_right:
            resized = cv2.copyMakeBorder(resized, 0, pad_bottom, 0, pad_right, cv2.BORDER_REPLICATE)
        self._model.setInputSize((width + pad_right, height + pad_bottom))
        _, rows = self._model.detect(cv2.cvtColor(resized, cv2.COLOR_RGB2BGR))
        rows = np.empty((0, 15), np.float32) if rows is None else rows
        return largest_first(
            Face(
                tuple(float(v) for v in row[:4] / scale),
                float(row[14]),
                (row[4:14].reshape(5, 2) / scale).astype(np.float32),
            )
            for row in rows
            if np.isfinite(row).all() and row[2] > 1 and row[3] > 1
        )


def make_detector(name: str = "yunet", **options) -> FaceDetector:
    """Build a face detector by name.

    Parameters
    ----------
    name : {"yunet", "mtcnn", "retinaface", "dsfd"}
    **options
        ``min_confidence`` and what else the detector takes.

    Raises
    ------
    InputError
        The name is unknown, or the detector's package or weights are not there.
    """
    if name not in DETECTORS:
        raise InputError("detector", f"must be one of {DETECTORS}, got {name!r}")
    if name == "yunet":
        return YuNetDetector(**options)
    from dfutils import faces_optional  # heavy packages, only when asked for

    if name == "mtcnn":
        return faces_optional.MtcnnDetector(**options)
    return faces_optional.FaceDetectionPackageDetector(name, **options)


def largest_first(faces: Iterable[Face]) -> list[Face]:
    """Sort faces by box area, the largest first."""
    return sorted(faces, key=lambda face: -face.area)
