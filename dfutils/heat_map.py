"""Grad-CAM: where in a face the deployed model found what raised its score.

To lay a map over its face: `dfutils.html_pieces.overlay_heat_map`, in which light alone carries the
map, so that it reads the same whatever colours one sees, and on paper.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from dfutils.descriptions import Bundle, read_verified
from dfutils.errors import IntegrityError

if TYPE_CHECKING:
    from dfutils.onnx_model import OnnxModel

_LEAST = 1e-12  # of squared lengths, as in `dfutils.losses`


@dataclass(frozen=True)
class Head:
    """What a model computes from pooled features, in NumPy: dense layers, then logits or cosines.

    Attributes
    ----------
    kernel : numpy.ndarray, shape=(n_inputs, 2), float64
        Of the logits.
    bias : numpy.ndarray or None, shape=(2,)
    hidden : tuple of numpy.ndarray, or None
        Kernel, shape=(n_features, n_inputs), and bias of the dense layer before, with ReLU.
    scale : float or None
        Of the cosines (`dfutils.losses.CosineLogits`); None: the logits are linear.
    """

    kernel: np.ndarray
    bias: np.ndarray | None = None
    hidden: tuple[np.ndarray, np.ndarray] | None = None
    scale: float | None = None

    def margins(self, features: np.ndarray) -> np.ndarray:
        """Compute logit margins (fake minus real), shape=(n,), of features, shape=(n, n_features)."""
        x = self._activate(features)
        if self.scale is None:
            offset = 0.0 if self.bias is None else self.bias[1] - self.bias[0]
            return x @ self._direction() + offset
        return x @ self._direction() / _length(x)[:, 0]

    def gradients(self, features: np.ndarray) -> np.ndarray:
        """Compute the derivatives of `margins` by the features, shape=(n, n_features)."""
        x, direction = self._activate(features), self._direction()
        gradients = np.broadcast_to(direction, x.shape)
        if self.scale is not None:  # turning counts, growing does not
            length = _length(x)
            unit = x / length
            along = unit * (unit @ direction)[:, None] * (length**2 > _LEAST)
            gradients = (direction - along) / length
        if self.hidden is not None:
            gradients = (gradients * (x > 0)) @ self.hidden[0].T
        return np.array(gradients)

    def _activate(self, features: np.ndarray) -> np.ndarray:
        x = np.asarray(features, np.float64)
        return x if self.hidden is None else np.maximum(x @ self.hidden[0] + self.hidden[1], 0)

    def _direction(self) -> np.ndarray:
        kernel = self.kernel if self.scale is None else self.scale * self.kernel / _length(self.kernel.T).T
        return kernel[:, 1] - kernel[:, 0]


def _length(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.sum(rows**2, axis=1, keepdims=True), _LEAST))


@functools.lru_cache(maxsize=2)
def read_head(model: OnnxModel) -> Head:
    """Read the head's weights out of an exported model, as they are stored.

    Raises
    ------
    IntegrityError
        The file is no longer the recorded one, or lacks them.
    """
    import onnx  # not needed to judge, only to show

    proto = onnx.load_model_from_string(read_verified(model.path, model.sha256))
    stored = {item.name: item for item in proto.graph.initializer}

    def weights(name: str) -> np.ndarray:
        if name not in stored:
            raise IntegrityError(model.path, f"the weights {name!r} of the model are missing")
        return onnx.numpy_helper.to_array(stored[name]).astype(np.float64)

    hidden = (weights("hidden/kernel"), weights("hidden/bias")) if model.config["hidden_units"] else None
    if model.config["head"] == "lmcl":
        return Head(weights("logits/kernel"), None, hidden, float(model.config["scale"]))
    return Head(weights("logits/kernel"), weights("logits/bias"), hidden)


def compute_heat_maps(bundle: Bundle, images: Sequence[np.ndarray]) -> np.ndarray | None:
    """Compute Grad-CAM [1]_ of the margin of the two logits, that is, of what becomes the probability.

    Parameters
    ----------
    bundle : dfutils.descriptions.Bundle
        With an exported model, the one that judges: its last feature map is an output of the file, and
        the derivatives behind it are exact (`Head`).
    images : sequence of numpy.ndarray, shape=(height, width, 3)
        At least one, in the size and the range that the model takes.

    Returns
    -------
    numpy.ndarray or None, shape=(n, height, width), float32, 0..1
        What raised the score, relative to each picture's own maximum; 0 throughout where nothing did.
        None where the model runs in Keras.

    Raises
    ------
    IntegrityError
        The head in the file does not give the logits that the file gives.

    Notes
    -----
    A model that also judges the mirror image gets the mean of both maps: its score is the mean of
    both margins. The map is as coarse as the features (7 x 7 for 224 px) and shows what the model went
    by, not what was changed.

    References
    ----------
    .. [1] Selvaraju et al.: Grad-CAM: visual explanations from deep networks via gradient-based
       localization, ICCV 2017, equations 1 and 2; of the margin, as both logits make the score.
    """
    from dfutils.onnx_model import OnnxModel

    if not isinstance(bundle.model, OnnxModel):
        return None
    pictures = np.stack(images)
    height, width = pictures.shape[1:3]
    total = _contributions(bundle.model, pictures)
    if bundle.inputs.get("flip", False):
        total = (total + _contributions(bundle.model, pictures[:, :, ::-1])[:, :, ::-1]) / 2
    raised = np.maximum(total, 0).astype(np.float32)
    maps = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in raised])
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)


def _contributions(model: OnnxModel, pictures: np.ndarray) -> np.ndarray:
    """Each place's part in the change of the margin; their mean is features times derivatives."""
    head = read_head(model)
    logits, maps = model.predict_with_feature_map(pictures)
    features = maps.mean(axis=(1, 2), dtype=np.float64)
    if not np.allclose(head.margins(features), logits @ [-1.0, 1.0], rtol=1e-2, atol=1e-2):
        raise IntegrityError(model.path, "its head is not the one that its configuration describes")
    return np.einsum("nhwc,nc->nhw", maps, head.gradients(features))
