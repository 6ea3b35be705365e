"""Write a trained Keras model as ONNX, which onnxruntime runs without TensorFlow.

Keras 3.15's own export goes through tf2onnx, and for EfficientNetV2-B0 it writes, without a word, a
graph that does not run (the constants of a normalisation are missing). So the graph is written here,
layer by layer: the ones that our backbones and heads are made of, and a refusal of any other.
"""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np

from dfutils.backend import keras
from dfutils.errors import InputError, IntegrityError
from dfutils.models import ModelConfig
from dfutils.onnx_layers import CONVERTERS, Graph, import_onnx
from dfutils.paths import atomic_path

OPSET, IR_VERSION = 17, 8  # old enough for every runtime of today
INPUT, OUTPUT = "image", "logits"


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
    onnx = import_onnx()
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(model.name, "has more than one input or output")
    shape = tuple(model.inputs[0].shape)
    if shape != (None, *config.size_hw, 3):
        raise InputError(model.name, f"takes input of shape {shape}, its config says {config.size_hw}")
    graph = Graph(half_precision)
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
    difference = float(np.abs(OnnxModel(path, sha256).predict(images) - expected).max())
    if not difference <= tolerance:
        raise IntegrityError(path, f"its logits differ from Keras' by {difference:.2g}, over {tolerance:.2g}")
    return difference


def _convert(graph: Graph, model: keras.Model, source: str) -> str:
    """Add all layers of a model; ``source`` names its input, the result its output."""
    if not hasattr(model, "operations"):
        raise InputError(model.name, "is no functional model: the ONNX export does not know it")
    names = {id(model.inputs[0]): source}
    for layer in model.operations:  # sorted: each after those that feed it
        if isinstance(layer, keras.layers.InputLayer):
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
