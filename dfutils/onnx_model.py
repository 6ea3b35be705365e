"""Run an exported model with onnxruntime: this module imports neither TensorFlow nor Keras."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from dfutils.errors import InputError, IntegrityError
from dfutils.quiet import native_stderr_to

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime 1.29 and later would phone home
with native_stderr_to():  # it looks for graphics cards, and says so
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # what Windows builds before 1.29 hand to the system


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

    Raises
    ------
    IntegrityError
        The file is missing, altered, or not a model that onnxruntime can run.
    """

    def __init__(self, path: str | os.PathLike, sha256: str, n_threads: int | None = None):
        path = Path(path)
        try:
            content = path.read_bytes()  # once: what was checked is what gets loaded
        except OSError as error:
            raise IntegrityError(path, f"this model cannot be read ({error.strerror})") from error
        if (found := hashlib.sha256(content).hexdigest()) != sha256:
            raise IntegrityError(path, f"sha256 is {found[:12]}…, recorded is {sha256[:12]}…; not loaded")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads or count_cores()
        # threads that wait for work sleep: spinning ones made a busy machine up to four times slower
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # failures come as exceptions
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            (image,), (logits,) = session.get_inputs(), session.get_outputs()
            _, height, width, _ = image.shape
            self.config = json.loads(session.get_modelmeta().custom_metadata_map["config"])
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise IntegrityError(path, f"is no model of this project ({error})") from error
        self.sha256, self.size_hw = found, (height, width)
        self._session, self._input, self._output = session, image.name, logits.name

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
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:] != (*self.size_hw, 3):
            raise InputError(
                "images", f"must have shape (n, {self.size_hw[0]}, {self.size_hw[1]}, 3), got {images.shape}"
            )
        if batch_size < 1:
            raise InputError("batch_size", f"must be at least 1, got {batch_size}")
        logits = [np.empty((0, 2), np.float32)]
        for start in range(0, len(images), batch_size):
            batch = np.ascontiguousarray(images[start : start + batch_size], np.float32)
            logits += self._session.run([self._output], {self._input: batch})
        return np.concatenate(logits)


def count_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS, Windows
