"""Backbones of keras.applications by name: input range, weights, clear errors."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from dfutils.backend import keras
from dfutils.errors import InputError
from dfutils.model_config import input_scaling
from dfutils.paths import weights_dir

# file names under which DFUTILS_WEIGHTS may hold ImageNet weights without top
WEIGHT_FILES = {
    "EfficientNetV2B0": "efficientnetv2-b0_notop.weights.h5",
    "EfficientNetV2S": "efficientnetv2-s_notop.weights.h5",
    "MobileNetV2": "mobilenetv2_1.0_224_notop.weights.h5",
}


def scale_input(inputs, backbone: str, unit: float):
    """Bring pictures into the range that a backbone expects, by layers.

    Parameters
    ----------
    inputs : keras.KerasTensor, shape=(batch, height, width, 3)
        Values in 0..``unit``, RGB.
    backbone : str
    unit : float
        255 for pixels, 1 for LFCC pictures.
    """
    layers = keras.layers
    scaling = input_scaling(backbone)
    if scaling == "-1..1":
        return layers.Rescaling(2 / unit, -1.0, name="scaling")(inputs)
    scaled = inputs if unit == 255.0 else layers.Rescaling(255.0, name="scaling")(inputs)
    if scaling == "imagenet":
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        return layers.Normalization(
            mean=[255 * v for v in mean], variance=[(255 * v) ** 2 for v in std], name="normalisation"
        )(scaled)
    if scaling == "bgr":
        centred = layers.Normalization(
            mean=[123.68, 116.779, 103.939], variance=[1.0, 1.0, 1.0], name="normalisation"
        )(scaled)
        return keras.ops.flip(centred, axis=-1)
    return scaled


def build_backbone(backbone: str, size_hw: tuple[int, int], weights: str | os.PathLike | None) -> keras.Model:
    """Build a backbone without top, with global average pooling.

    Parameters
    ----------
    backbone : str
        A class of ``keras.applications``.
    size_hw : tuple of int
        [px]
    weights : str, os.PathLike or None
        See `dfutils.models.build_model`.

    Raises
    ------
    InputError
        Weights cannot be had, or are of another architecture.
    """
    source = None if weights == "random" else weights
    if weights == "auto":
        source = find_weights(backbone) or "imagenet"
    elif source not in (None, "imagenet") and not Path(weights).is_file():
        raise InputError(weights, "these weights do not exist")
    build = getattr(keras.applications, backbone)
    shape = (*size_hw, 3)
    try:
        with warnings.catch_warnings():  # a false alarm of Keras 3.15 for nested models, by the hundred
            warnings.filterwarnings("ignore", message="Skipping nested container")
            return build(
                include_top=False,
                weights=source and str(source),
                input_shape=shape,
                pooling="avg",
            )
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if source == "imagenet" and "URL fetch failure" in str(error):
            raise InputError(
                "weights",
                f"ImageNet weights of {backbone} could not be downloaded; set DFUTILS_WEIGHTS to a"
                f" folder with {WEIGHT_FILES.get(backbone, 'them')}, give a path, or weights=None",
            ) from error
        if source and source != "imagenet" and isinstance(error, ValueError | OSError | KeyError):
            raise InputError(source, f"does not hold weights of {backbone} ({error})") from error
        raise


def find_weights(backbone: str) -> Path | None:
    """Return the file in ``DFUTILS_WEIGHTS`` with ImageNet weights of a backbone, or None."""
    folder = weights_dir()
    name = WEIGHT_FILES.get(backbone)
    return folder / name if folder and name and (folder / name).is_file() else None
