"""Write a trained Keras model as ONNX, which onnxruntime runs without TensorFlow.

Keras 3.15's own export goes through tf2onnx, and for EfficientNetV2-B0 it writes, without a word, a
graph that does not run (the constants of a normalisation are missing). So the graph is written here,
layer by layer: the ones that our backbones and heads are made of, and a refusal of any other.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from dfutils.backend import keras
from dfutils.errors import InputError, IntegrityError
from dfutils.losses import CosineLogits
from dfutils.models import ModelConfig
from dfutils.paths import atomic_path

OPSET, IR_VERSION = 17, 8  # old enough for every runtime of today
INPUT, OUTPUT = "image", "logits"

layers, activations = keras.layers, keras.activations


def export_onnx(
    model: keras.Model, config: ModelConfig, path: str | os.PathLike, half_precision: bool = True
) -> str:
    """Write a model as ONNX; the same weights give the same bytes.

    Parameters
    ----------
    model : keras.Model
        Of `dfutils.models.build_model`: one picture, shape=(batch, height, width, 3), to logits.
    config : ModelConfig
        Of ``model``; it goes into the file's metadata.
    path : str or os.PathLike
        The ``.onnx`` file.
    half_precision : bool
        Store weights as float16, which halves the file; onnxruntime makes float32 of them when it
        loads them and computes in float32. The logits are then exactly those of a bundle that was
        saved with ``half_precision``.

    Returns
    -------
    str
        sha256 of the file, which `dfutils.onnx_model.OnnxModel` asks for.

    Raises
    ------
    InputError
        The model has a layer that is not known here, or is not of this ``config``; or the package
        onnx is missing.
    """
    onnx = _import_onnx()
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(model.name, "has more than one input or output")
    shape = tuple(model.inputs[0].shape)
    if shape != (None, *config.size_hw, 3):
        raise InputError(model.name, f"takes input of shape {shape}, its config says {config.size_hw}")
    graph = _Graph(half_precision)
    pictures = graph.add("Transpose", INPUT, perm=[0, 3, 1, 2])  # channels first from here on
    graph.add("Identity", _convert(graph, model, pictures), output=OUTPUT)
    value, numbers = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "dfutils",
            [value(INPUT, numbers, ["batch", *shape[1:]])],
            [value(OUTPUT, numbers, ["batch", model.outputs[0].shape[-1]])],
            graph.constants,
        ),
        producer_name="dfutils",
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.helper.set_model_props(proto, {"config": json.dumps(config.to_dict(), sort_keys=True)})
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString(deterministic=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def verify_onnx(
    model: keras.Model,
    path: str | os.PathLike,
    sha256: str,
    images: np.ndarray,
    tolerance: float = 1e-3,
) -> float:
    """Compare an exported model with the Keras model that it was made of.

    Parameters
    ----------
    model : keras.Model
        With weights rounded to float16 (loaded from a half-precision bundle) if the export was.
    path : str or os.PathLike
    sha256 : str
        Of the file.
    images : numpy.ndarray, shape=(n, height, width, 3), float32
    tolerance : float
        Largest difference of a logit that is let pass.

    Returns
    -------
    float
        The largest difference of a logit.

    Raises
    ------
    IntegrityError
        It is above ``tolerance``, or not a number.
    """
    from dfutils.onnx_model import OnnxModel

    expected = np.asarray(model.predict(images, verbose=0))
    difference = float(np.abs(OnnxModel(Path(path), sha256).predict(images) - expected).max())
    if not difference <= tolerance:
        raise IntegrityError(path, f"its logits differ from Keras' by {difference:.2g}, over {tolerance:.2g}")
    return difference


def _import_onnx():
    try:
        import onnx
    except ImportError as error:
        raise InputError("onnx", "this package is needed to export a model: pip install onnx") from error
    return onnx


class _Graph:
    """Collects nodes and constants; names are running numbers, so that they depend on nothing else."""

    def __init__(self, half_precision: bool):
        self.half_precision = half_precision
        self.nodes: list = []
        self.constants: list = []
        self._onnx = _import_onnx()

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes) -> str:
        """Add a node with one output, and return that output's name."""
        name = output or f"{len(self.nodes)}_{kind}"
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, value) -> str:
        """Add an array as it is, float64 as float32, and return its name."""
        value = np.asarray(value)
        value = np.ascontiguousarray(value, np.float32 if value.dtype.kind == "f" else value.dtype)
        return self._store(value)

    def weights(self, value) -> str:
        """Add trained numbers, which may be stored in half precision, and return their name."""
        value = np.ascontiguousarray(value, np.float32)
        if not self.half_precision:
            return self._store(value)
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if not np.array_equal(np.isfinite(half), np.isfinite(value)):  # beyond 65,504
            return self._store(value)
        return self.add("Cast", self._store(half), to=self._onnx.TensorProto.FLOAT)

    def _store(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(self._onnx.numpy_helper.from_array(value, name))
        return name


def _convert(graph: _Graph, model: keras.Model, source: str) -> str:
    """Add all layers of a model; ``source`` names its input, the result its output."""
    names = {id(model.inputs[0]): source}
    for layer in model.operations:  # sorted: each after those that feed it
        if isinstance(layer, layers.InputLayer):
            continue
        nested = isinstance(layer, keras.Model)
        convert = _convert if nested else CONVERTERS.get(type(layer))
        if convert is None:
            raise InputError(
                layer.name, f"is a layer of type {type(layer).__name__}, which the ONNX export does not know"
            )
        if len(layer._inbound_nodes) != 1:
            raise InputError(layer.name, "is used more than once, which the ONNX export does not know")
        (node,) = layer._inbound_nodes
        if not nested and getattr(layer, "data_format", "channels_last") != "channels_last":
            raise InputError(layer.name, "has its channels first, which the ONNX export does not know")
        inputs = [names[id(tensor)] for tensor in node.input_tensors]
        names[id(node.outputs[0])] = convert(graph, layer, *inputs)
    return names[id(model.outputs[0])]


def _only(layer, condition: bool, what: str) -> None:
    if not condition:
        raise InputError(layer.name, f"{what}, which the ONNX export does not know")


def _same(graph, layer, x):
    return x


def _activate(graph, layer, x):
    activation = layer.activation
    if activation is activations.linear:
        return x
    if activation is activations.silu:
        return graph.add("Mul", x, graph.add("Sigmoid", x))
    if activation is activations.relu6:
        return graph.add("Clip", x, graph.constant(0.0), graph.constant(6.0))
    kinds = {activations.relu: "Relu", activations.sigmoid: "Sigmoid"}
    _only(layer, activation in kinds, f"has the activation {getattr(activation, '__name__', activation)}")
    return graph.add(kinds[activation], x)


def _relu(graph, layer, x):
    _only(layer, not layer.negative_slope and not layer.threshold, "has a slope or a threshold")
    if layer.max_value is None:
        return graph.add("Relu", x)
    return graph.add("Clip", x, graph.constant(0.0), graph.constant(float(layer.max_value)))


def _convolution(graph, layer, x):
    kernel = np.asarray(layer.kernel)  # height, width, in, out
    kernel_hw = kernel.shape[:2]
    groups = getattr(layer, "groups", 1)
    if isinstance(layer, layers.DepthwiseConv2D):  # height, width, in, outputs per input
        groups = kernel.shape[2]
        kernel = kernel.reshape(*kernel_hw, 1, -1)
    _only(layer, layer.padding in ("same", "valid"), f"has padding {layer.padding!r}")
    pads = [0, 0, 0, 0]
    if layer.padding == "same":  # an odd pixel goes to the bottom right
        size_hw = layer.input.shape[1:3]
        total = [
            max((-(-size // step) - 1) * step + (side - 1) * spread + 1 - size, 0)
            for size, step, side, spread in zip(size_hw, layer.strides, kernel_hw, layer.dilation_rate)
        ]
        before = [n // 2 for n in total]
        pads = [*before, *(n - b for n, b in zip(total, before))]
    inputs = [x, graph.weights(kernel.transpose(3, 2, 0, 1))]
    if layer.use_bias:
        inputs.append(graph.weights(layer.bias))
    x = graph.add(
        "Conv",
        *inputs,
        kernel_shape=kernel_hw,
        strides=layer.strides,
        dilations=layer.dilation_rate,
        group=groups,
        pads=pads,
    )
    return _activate(graph, layer, x)


def _batch_norm(graph, layer, x):
    rank = len(layer.input.shape)
    _only(layer, layer.axis in (-1, rank - 1), f"normalises axis {layer.axis}")
    n = layer.moving_mean.shape[0]
    gamma = layer.gamma if layer.scale else np.ones(n)
    beta = layer.beta if layer.center else np.zeros(n)
    inputs = [graph.weights(value) for value in (gamma, beta, layer.moving_mean, layer.moving_variance)]
    return graph.add("BatchNormalization", x, *inputs, epsilon=float(layer.epsilon))


def _dense(graph, layer, x):
    _only(layer, len(layer.input.shape) == 2, "is applied to more than one axis")
    inputs = [x, graph.weights(layer.kernel)]
    if layer.use_bias:
        inputs.append(graph.weights(layer.bias))
    return _activate(graph, layer, graph.add("Gemm", *inputs))


def _cosine_logits(graph, layer, x):
    def to_unit_length(value, axis):
        axes = graph.constant(np.array([axis]))
        squares = graph.add("ReduceSum", graph.add("Mul", value, value), axes, keepdims=1)
        return graph.add("Div", value, graph.add("Sqrt", graph.add("Max", squares, graph.constant(1e-12))))

    cosines = graph.add("MatMul", to_unit_length(x, 1), to_unit_length(graph.weights(layer.kernel), 0))
    return graph.add("Mul", cosines, graph.constant(layer.scale))


def _rescaling(graph, layer, x):
    scale, offset = (_per_channel(layer, value) for value in (layer.scale, layer.offset))
    return graph.add("Add", graph.add("Mul", x, graph.constant(scale)), graph.constant(offset))


def _normalization(graph, layer, x):
    _only(layer, not layer.invert, "is inverted")
    mean, variance = (_per_channel(layer, value) for value in (layer.mean, layer.variance))
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    return graph.add("Div", graph.add("Sub", x, graph.constant(mean)), graph.constant(deviation))


def _per_channel(layer, value) -> np.ndarray:
    shape, value = layer.input.shape, np.asarray(value, np.float32).ravel()
    _only(layer, len(shape) == 4 and value.size in (1, shape[-1]), "scales other than by channel")
    return value.reshape(-1, 1, 1)


def _zero_padding(graph, layer, x):
    (top, bottom), (left, right) = layer.padding
    pads = graph.constant(np.array([0, 0, top, left, 0, 0, bottom, right]))
    return graph.add("Pad", x, pads, mode="constant")


def _global_average(graph, layer, x):
    x = graph.add("GlobalAveragePool", x)
    return x if layer.keepdims else graph.add("Flatten", x)


def _reshape(graph, layer, x):
    (_, *old), (_, *new) = layer.input.shape, layer.output.shape
    _only(layer, len(old) == 1 and new == [1, 1, *old], f"reshapes from {old} to {new}")
    return graph.add("Reshape", x, graph.constant(np.array([0, *old, 1, 1])))


def _merge(graph, layer, first, *others):
    _only(layer, len({len(tensor.shape) for tensor in layer.input}) == 1, "merges unlike shapes")
    kind = "Add" if isinstance(layer, layers.Add) else "Mul"
    for other in others:
        first = graph.add(kind, first, other)
    return first


CONVERTERS = {  # by the very class: a subclass may compute something else
    layers.Activation: _activate,
    layers.Add: _merge,
    layers.BatchNormalization: _batch_norm,
    layers.Conv2D: _convolution,
    CosineLogits: _cosine_logits,
    layers.Dense: _dense,
    layers.DepthwiseConv2D: _convolution,
    layers.Dropout: _same,
    layers.GlobalAveragePooling2D: _global_average,
    layers.Identity: _same,
    layers.Multiply: _merge,
    layers.Normalization: _normalization,
    layers.ReLU: _relu,
    layers.Rescaling: _rescaling,
    layers.Reshape: _reshape,
    layers.ZeroPadding2D: _zero_padding,
}
