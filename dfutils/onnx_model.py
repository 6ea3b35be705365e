"""Run an exported model with onnxruntime: this module imports neither TensorFlow nor Keras."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from dfutils.descriptions import ONNX_NAME, Bundle, read_description, read_verified
from dfutils.errors import InputError, IntegrityError
from dfutils.quiet import native_stderr_to

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime 1.29 and later would phone home
with native_stderr_to():  # it looks for graphics cards, and says so
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # what Windows builds before 1.29 hand to the system

INPUT, LOGITS, FEATURE_MAP = "image", "logits", "feature_map"  # names inside the file


def open_bundle(folder: str | os.PathLike) -> Bundle:
    """Open a trained model for use, not for training: as ONNX where there is one, else with Keras.

    Raises
    ------
    InputError
        There is no bundle, or it is of another format.
    IntegrityError
        The file is missing, altered, or not the model that ``model.json`` describes.
    """
    description = read_description(folder)
    recorded = description.get("onnx")
    if not recorded:
        with native_stderr_to():  # TensorFlow's start-up
            from dfutils.bundles import load_bundle

        return load_bundle(folder)
    path = Path(folder) / ONNX_NAME
    model = OnnxModel(path, recorded["sha256"])
    bundle = Bundle.described(description, model, model.sha256)
    if bundle.config.to_dict() != model.config:
        raise IntegrityError(path, "is of another configuration than model.json says")
    return bundle


class OnnxModel:
    """A model that `dfutils.onnx_export.export_onnx` wrote.

    Parameters
    ----------
    path : str or os.PathLike
    sha256 : str
        What was recorded when the file was written.
    n_threads : int or None
        None: as many as this process may use cores.

    Attributes
    ----------
    size_hw : tuple of int
        Input height and width [px].
    config : dict
        The ``dfutils.models.ModelConfig`` that the model was built with, as plain values.
    sha256 : str
    path : pathlib.Path

    Raises
    ------
    IntegrityError
        The file is missing, altered, or not a model that onnxruntime can run.
    """

    def __init__(self, path: str | os.PathLike, sha256: str, n_threads: int | None = None):
        content = read_verified(path, sha256)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads or count_cores()
        # threads that wait for work sleep: spinning ones made a busy machine up to four times slower
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # failures come as exceptions
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            (image,), outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
            if (image.name, *outputs) != (INPUT, LOGITS, FEATURE_MAP):
                raise ValueError(f"its input and outputs are {image.name}, {', '.join(outputs)}")
            _, height, width, _ = image.shape
            self.config = json.loads(session.get_modelmeta().custom_metadata_map["config"])
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise IntegrityError(path, f"is no model of this project ({error})") from error
        self.path, self.sha256, self.size_hw = Path(path), sha256, (height, width)
        self._session = session

    def predict(self, images: np.ndarray, batch_size: int = 8) -> np.ndarray:
        """Compute logits.

        Parameters
        ----------
        images : numpy.ndarray, shape=(n, height, width, 3)
            In the range that the model was trained on: 0..255 for pictures, 0..1 for LFCC pictures.
        batch_size : int
            Images at a time: bounds the memory.

        Returns
        -------
        numpy.ndarray, shape=(n, 2), float32
            Logits of real and fake.

        Raises
        ------
        InputError
            The images are of another shape.
        """
        (logits,) = self._run(images, batch_size, LOGITS)
        return logits

    def predict_with_feature_map(
        self, images: np.ndarray, batch_size: int = 8
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute logits, and the backbone's last feature map before its global average.

        Parameters
        ----------
        images, batch_size
            See `predict`.

        Returns
        -------
        logits : numpy.ndarray, shape=(n, 2), float32
        feature_maps : numpy.ndarray, shape=(n, map height, map width, channels), float32
            What the head gets is their mean over height and width.
        """
        logits, feature_maps = self._run(images, batch_size, LOGITS, FEATURE_MAP)
        return logits, feature_maps

    def _run(self, images: np.ndarray, batch_size: int, *outputs: str) -> list[np.ndarray]:
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:] != (*self.size_hw, 3):
            raise InputError(
                "images", f"must have shape (n, {self.size_hw[0]}, {self.size_hw[1]}, 3), got {images.shape}"
            )
        if batch_size < 1:
            raise InputError("batch_size", f"must be at least 1, got {batch_size}")
        parts = []
        for start in range(0, max(1, len(images)), batch_size):  # once even for none: for the shapes
            batch = np.ascontiguousarray(images[start : start + batch_size], np.float32)
            parts.append(self._session.run(list(outputs), {INPUT: batch}))
        return [np.concatenate(part) for part in zip(*parts)]


def count_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS, Windows
