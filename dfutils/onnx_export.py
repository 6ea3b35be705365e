"""Write a trained Keras model as ONNX, which onnxruntime runs without TensorFlow.

Keras 3.15's own export goes through tf2onnx, and for EfficientNetV2-B0 it writes, without a word, a
graph that does not run (the constants of a normalisation are missing). So the graph is written here,
layer by layer: the ones that our backbones and heads are made of, and a refusal of any other.
"""

from __future__ import annotations

import hashlib
import json
import os

import cv2
import numpy as np

from dfutils.backend import keras
from dfutils.descriptions import read_verified
from dfutils.errors import InputError, IntegrityError
from dfutils.model_config import ModelConfig
from dfutils.onnx_layers import CONVERTERS, Graph
from dfutils.onnx_model import FEATURE_MAP, INPUT, LOGITS, OnnxModel
from dfutils.onnx_weights import fill_model, import_onnx
from dfutils.paths import atomic_path

OPSET, IR_VERSION = 17, 8  # old enough for every runtime of today


def export_onnx(
    model: keras.Model, config: ModelConfig, path: str | os.PathLike, half_precision: bool = True
) -> str:
    """Write a model as ONNX; the same weights give the same bytes.

    Two outputs: ``logits``, shape=(batch, 2), and ``feature_map``, shape=(batch, height, width,
    channels), the last map before its global average: where in the picture the backbone saw what.
    The weights have the names of `dfutils.onnx_weights.name_variables`, so that they find back into a
    Keras model.

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
        The model has a layer that is not known here, no global average pooling, or is not of this
        ``config``; or the package onnx is missing.
    """
    onnx = import_onnx()
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(model.name, "has more than one input or output")
    shape = tuple(model.inputs[0].shape)
    if shape != (None, *config.size_hw, 3):
        raise InputError(model.name, f"takes input of shape {shape}, its config says {config.size_hw}")
    graph = Graph(model, half_precision)
    pictures = graph.add("Transpose", INPUT, perm=[0, 3, 1, 2])  # channels first from here on
    graph.add("Identity", _convert(graph, model, pictures), output=LOGITS)
    if graph.feature_map is None:
        raise InputError(model.name, "has no global average pooling: the ONNX export does not know it")
    features, (_, *map_shape) = graph.feature_map
    graph.add("Transpose", features, output=FEATURE_MAP, perm=[0, 2, 3, 1])
    graph.store_unused(model)
    value, numbers = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "dfutils",
            [value(INPUT, numbers, ["batch", *shape[1:]])],
            [
                value(LOGITS, numbers, ["batch", model.outputs[0].shape[-1]]),
                value(FEATURE_MAP, numbers, ["batch", *map_shape]),
            ],
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
    images: np.ndarray | None = None,
    tolerance: float = 1e-3,
) -> float:
    """Compare an exported model with the Keras model that it was made of.

    Keras computes with the weights as they are stored in the file, rounded to half precision or not;
    ``model`` is as it was afterwards.

    Parameters
    ----------
    model : keras.Model
    path : str or os.PathLike
    sha256 : str
        Of the file.
    images : numpy.ndarray, shape=(n, height, width, 3), float32, or None
        None: `random_pictures`.
    tolerance : float
        Largest difference that is let pass, of the margin of the two logits: relative to it where it is
        above 1. A probability then differs by less than a quarter of ``tolerance``. Probabilities
        themselves would not do: of noise they are often 0 or 1 to many digits, whatever the export does.

    Returns
    -------
    float
        The largest such difference.

    Raises
    ------
    IntegrityError
        It is above ``tolerance``, or not a number; or the file holds other weights than ``model``.
    """
    exported = OnnxModel(path, sha256)
    if images is None:
        images = random_pictures(ModelConfig(**exported.config))
    kept = model.get_weights()
    try:
        fill_model(model, read_verified(path, sha256), path)
        stored = model.get_weights()
        expected = keras.ops.convert_to_numpy(model(images, training=False))
    finally:
        model.set_weights(kept)
    with np.errstate(over="ignore"):
        same = [np.array_equal(a.astype(np.float16), b.astype(np.float16)) for a, b in zip(kept, stored)]
    if not all(same):
        raise IntegrityError(model.name, "as ONNX it holds other weights")
    pair = (exported.predict(images), expected)
    found, expected = (np.asarray(logits, np.float64) @ [-1, 1] for logits in pair)
    difference = float((np.abs(found - expected) / np.maximum(1, np.abs(expected))).max())
    if not difference <= tolerance:
        raise IntegrityError(
            model.name, f"as ONNX its logits differ from Keras' by {difference:.2g}, over {tolerance:.2g}"
        )
    return difference


def random_pictures(config: ModelConfig, n: int = 4, seed: int = 0) -> np.ndarray:
    """Make noise, fine to coarse, of several brightnesses and contrasts, in the range that a model takes.

    Returns
    -------
    numpy.ndarray, shape=(n, height, width, 3), float32
    """
    generator = np.random.default_rng(seed)
    height, width = config.size_hw
    pictures = np.empty((n, height, width, 3), np.float32)
    for number, picture in enumerate(pictures):
        grain = 4 ** (number % 4)  # [px]
        coarse = generator.random((-(-height // grain), -(-width // grain), 3), np.float32)
        low, span = generator.uniform(0.1, 0.5, (2, 3)).astype(np.float32)
        picture[:] = low + span * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return pictures * np.float32(255 if config.kind == "video" else 1)


def _convert(graph: Graph, model: keras.Model, source: str) -> str:
    """Add all layers of a model; ``source`` names its input, the result its output."""
    if not hasattr(model, "operations"):
        raise InputError(model.name, "is no functional model: the ONNX export does not know it")
    names = {id(model.inputs[0]): source}
    own = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
    for layer in model.operations:  # sorted: each after those that feed it
        if isinstance(layer, keras.layers.InputLayer):
            continue
        nested = isinstance(layer, keras.Model)
        convert = _convert if nested else CONVERTERS.get(type(layer))
        if convert is None:
            raise InputError(
                layer.name, f"is a layer of type {type(layer).__name__}, which the ONNX export does not know"
            )
        used = [node for node in layer._inbound_nodes if id(node) in own]  # a head of its own uses it, too
        if len(used) != 1:
            raise InputError(layer.name, "is used more than once, which the ONNX export does not know")
        (node,) = used
        if not nested and getattr(layer, "data_format", "channels_last") != "channels_last":
            raise InputError(layer.name, "has its channels first, which the ONNX export does not know")
        inputs = [names[id(tensor)] for tensor in node.input_tensors]
        names[id(node.outputs[0])] = convert(graph, layer, *inputs)
    return names[id(model.outputs[0])]
