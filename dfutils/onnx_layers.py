"""The layers that an exported model is made of, each as the ONNX nodes that compute the same."""

from __future__ import annotations

import numpy as np

from dfutils.backend import keras
from dfutils.errors import InputError
from dfutils.losses import CosineLogits
from dfutils.onnx_weights import import_onnx, name_variables, to_onnx_axes

layers, activations = keras.layers, keras.activations


class Graph:
    """Collects nodes and constants.

    Trained weights have names that say where they belong; the others are running numbers, so that
    they depend on nothing else.

    Parameters
    ----------
    model : keras.Model
        All of it, for the names of its weights.
    half_precision : bool
        Store trained weights as float16.

    Attributes
    ----------
    nodes, constants : list
        In ONNX.
    feature_map : tuple of str and tuple of int, or None
        What goes into the last global average pooling: name, and shape in Keras' order of axes.
    """

    def __init__(self, model: keras.Model, half_precision: bool):
        self.half_precision = half_precision
        self.nodes: list = []
        self.constants: list = []
        self.feature_map: tuple[str, tuple] | None = None
        self._names = {id(variable): name for name, variable in name_variables(model).items()}
        self._onnx = import_onnx()

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes) -> str:
        """Add a node with one output, and return that output's name."""
        name = output or f"{len(self.nodes)}_{kind}"
        self.nodes.append(self._onnx.helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, value) -> str:
        """Add an array as it is, float64 as float32, and return its name."""
        value = np.asarray(value)
        return self._store(
            value.astype(np.float32) if value.dtype.kind == "f" else value, f"c{len(self.constants)}"
        )

    def weights(self, variable: keras.Variable, value=None) -> str:
        """Add trained numbers, which may be stored in half precision, and return their name.

        Parameters
        ----------
        variable : keras.Variable
            It gives the name.
        value : numpy.ndarray or None
            The same numbers with other axes, where the graph needs these.
        """
        value = keras.ops.convert_to_numpy(variable) if value is None else value
        value = np.ascontiguousarray(value, np.float32)
        name = self._names[id(variable)]
        if not self.half_precision:
            return self._store(value, name)
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if not np.array_equal(np.isfinite(half), np.isfinite(value)):  # beyond 65,504
            return self._store(value, name)
        return self.add("Cast", self._store(half, name), to=self._onnx.TensorProto.FLOAT)

    def store_unused(self, model: keras.Model) -> None:
        """Add the weights that no node asks for, such as a count: the way back needs them."""
        stored = {item.name for item in self.constants}
        for name, variable in name_variables(model).items():
            if name not in stored:
                self._store(keras.ops.convert_to_numpy(variable), name)

    def _store(self, value: np.ndarray, name: str) -> str:
        self.constants.append(self._onnx.numpy_helper.from_array(value, name))
        return name


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
    kernel = keras.ops.convert_to_numpy(layer.kernel)  # height, width, in, out
    kernel_hw = kernel.shape[:2]
    groups, seen_as = getattr(layer, "groups", 1), kernel.shape
    if isinstance(layer, layers.DepthwiseConv2D):  # height, width, in, outputs per input
        groups, seen_as = kernel.shape[2], (*kernel_hw, 1, -1)
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
    inputs = [x, graph.weights(layer.kernel, to_onnx_axes(kernel, seen_as))]
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
    gamma = graph.weights(layer.gamma) if layer.scale else graph.constant(np.ones(n))
    beta = graph.weights(layer.beta) if layer.center else graph.constant(np.zeros(n))
    statistics = [graph.weights(value) for value in (layer.moving_mean, layer.moving_variance)]
    return graph.add("BatchNormalization", x, gamma, beta, *statistics, epsilon=float(layer.epsilon))


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
    graph.feature_map = (x, tuple(layer.input.shape))  # the last one counts
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
