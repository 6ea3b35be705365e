"""Optional face detectors: MTCNN, RetinaFace and DSFD, imported only when asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dfutils.errors import InputError
from dfutils.faces import Face, largest_first
from dfutils.paths import weights_dir

# our name -> the package's class, the file names under which its weights are known
KINDS = {
    "retinaface": (
        "RetinaNetMobileNetV1",
        ("RetinaFace_mobilenet0.25_Final.pth", "RetinaFace_mobilenet025.pth"),
    ),
    "dsfd": ("DSFDDetector", ("WIDERFace_DSFD_RES152.pth",)),
}


class MtcnnDetector:
    """MTCNN as packaged in ``mtcnn`` 1.0 (extra ``mtcnn``; needs TensorFlow, weights in the wheel)."""

    def __init__(self, min_confidence: float = 0.9):
        try:
            from mtcnn import MTCNN
        except ImportError as error:
            raise InputError(
                "mtcnn", "this detector needs the extra: pip install 'dfutils[mtcnn]'"
            ) from error
        self._model = MTCNN()
        self._min_confidence = min_confidence

    def detect(self, image: np.ndarray) -> list[Face]:
        """See `FaceDetector.detect`."""
        found = self._model.detect_faces(image) or []
        # the package names the sides as the viewer sees them, we as the person has them
        names = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
        return largest_first(
            Face(
                tuple(float(v) for v in item["box"]),
                float(item["confidence"]),
                np.array([item["keypoints"][name] for name in names], np.float32),
            )
            for item in found
            if item["confidence"] >= self._min_confidence
        )


class FaceDetectionPackageDetector:
    """RetinaFace or DSFD of the package ``face-detection`` 0.2.2 (extra ``dsfd``; needs PyTorch).

    Its constructor downloads weights; ours takes them from ``DFUTILS_WEIGHTS`` instead, and reads
    them with PyTorch's restricted loader. Its prior boxes overflow 16-bit integers under NumPy 2;
    ours are made of 64-bit ones.

    Parameters
    ----------
    name : {"retinaface", "dsfd"}
    min_confidence : float
    max_side : int
        Long side to which images are scaled down [px].
    """

    def __init__(self, name: str = "retinaface", min_confidence: float = 0.6, max_side: int = 640):
        kind, file_names = KINDS[name]
        weights = _find_weights(name, file_names)
        try:
            import torch
            from face_detection import build_detector
            from face_detection.dsfd import detect as dsfd
            from face_detection.retinaface import detect as retinaface
        except (ImportError, RuntimeError) as error:  # torchvision raises RuntimeError on a wrong torch
            raise InputError(
                name, f"needs the extra: pip install 'dfutils[dsfd]' (PyTorch could not be used: {error})"
            ) from error

        def load_local(*_args, **_options):
            state = torch.load(weights, map_location="cpu", weights_only=True)
            return {key.removeprefix("module."): value for key, value in state.items()}

        class WidePriorBox(retinaface.PriorBox):
            def __init__(self, cfg, image_size=None, phase="train"):
                super().__init__(cfg, image_size, phase)
                self.min_sizes = np.array(cfg["min_sizes"], np.int64)
                self.steps = np.array(cfg["steps"], np.int64)
                self.image_size = np.array(image_size, np.int64)
                self.feature_maps = -(-self.image_size[None] // self.steps[:, None])

        retinaface.PriorBox = WidePriorBox
        originals = {module: module.load_state_dict_from_url for module in (retinaface, dsfd)}
        try:
            for module in originals:
                module.load_state_dict_from_url = load_local
            self._model = build_detector(kind, confidence_threshold=min_confidence, max_resolution=max_side)
        finally:
            for module, original in originals.items():
                module.load_state_dict_from_url = original

    def detect(self, image: np.ndarray) -> list[Face]:
        """See `FaceDetector.detect`; this package's boxes come without landmarks here."""
        rows = self._model.detect(image)
        return largest_first(
            Face((float(x0), float(y0), float(x1 - x0), float(y1 - y0)), float(score))
            for x0, y0, x1, y1, score in rows
        )


def _find_weights(name: str, file_names: tuple[str, ...]) -> Path:
    folder = weights_dir()
    for file_name in file_names if folder else ():
        if (folder / file_name).is_file():
            return folder / file_name
    raise InputError(
        name,
        f"its weights are not there: set DFUTILS_WEIGHTS to a folder that holds {' or '.join(file_names)}"
        f" (now {folder or 'not set'}), or use the detector 'yunet', which needs none",
    )
