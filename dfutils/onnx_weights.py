"""The weights inside an exported model: their names, and the way back into a Keras model."""

from __future__ import annotations

import os
import re
from collections import Counter

import numpy as np

from dfutils.backend import keras
from dfutils.errors import InputError, IntegrityError


def import_onnx():
    """Return the package onnx, which only writing and reading of weights needs, not the detector."""
    try:
        import onnx
    except ImportError as error:
        raise InputError(
            "onnx", "this package is needed to export a model, or to open one in Keras: pip install onnx"
        ) from error
    return onnx


def name_variables(model: keras.Model, prefix: str = "") -> dict[str, keras.Variable]:
    """Name all weights of a model by layer, such as ``backbone/stem_conv/kernel``.

    Keras' own paths do not do: they leave the backbone out, and a layer without a name of its own gets
    a number that depends on what was built before in the same process.

    Parameters
    ----------
    model : keras.Model
        A model inside it is its backbone.
    prefix : str

    Raises
    ------
    InputError
        Two weights would have the same name.
    """
    named: dict[str, keras.Variable] = {}
    numbers: Counter[str] = Counter()
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found = list(name_variables(layer, f"{prefix}backbone/").items())
        else:
            steady = _steady_name(layer, numbers) if layer.weights else ""
            found = [(f"{prefix}{steady}/{variable.name}", variable) for variable in layer.weights]
        for name, variable in found:
            if name in named:
                raise InputError(model.name, f"has two weights that would be called {name!r}")
            named[name] = variable
    return named


def _steady_name(layer: keras.layers.Layer, numbers: Counter) -> str:
    kind = re.sub("([a-z])([A-Z])", r"\1_\2", type(layer).__name__).lower()  # as Keras names by class
    if not re.fullmatch(rf"{kind}(_\d+)?", layer.name):
        return layer.name
    numbers[kind] += 1
    return f"{kind}_{numbers[kind]}"


def to_onnx_axes(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bring a convolution's kernel from Keras' order of axes into that of ONNX.

    Parameters
    ----------
    kernel : numpy.ndarray, shape=(height, width, in, out)
    shape : tuple of int
        What it is seen as before: of a depthwise kernel, shape=(height, width, in, per input), all
        outputs come last, (height, width, 1, in * per input).

    Returns
    -------
    numpy.ndarray, shape=(out, in, height, width)
    """
    return np.ascontiguousarray(kernel.reshape(shape).transpose(3, 2, 0, 1))


def fill_model(model: keras.Model, content: bytes, subject: str | os.PathLike = "model.onnx") -> None:
    """Fill a Keras model with the weights of an exported one.

    Parameters
    ----------
    model : keras.Model
        Of the same `dfutils.models.ModelConfig`.
    content : bytes
        Of the ``.onnx`` file.
    subject : str or os.PathLike
        Its name, for messages.

    Raises
    ------
    IntegrityError
        It is no ONNX file, or lacks weights of the model, or has them in another shape.
    """
    onnx = import_onnx()
    try:
        stored = {item.name: item for item in onnx.load_model_from_string(content).graph.initializer}
    except Exception as error:  # protobuf's own
        raise IntegrityError(subject, f"is no model of this project ({error})") from error
    for name, variable in name_variables(model).items():
        if name not in stored:
            raise IntegrityError(subject, f"the weights {name!r} of the model are missing")
        value = onnx.numpy_helper.to_array(stored[name])
        if value.ndim == 4:  # back from `to_onnx_axes`
            value = value.transpose(2, 3, 1, 0)
        if value.size != np.prod(variable.shape):
            raise IntegrityError(
                subject, f"the weights {name!r} have shape {value.shape}, the model's {tuple(variable.shape)}"
            )
        variable.assign(value.reshape(variable.shape).astype(variable.dtype))
