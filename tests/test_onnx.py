"""Exported models: the same logits as Keras, from a file that is checked, without TensorFlow."""

import hashlib
import json
import os
import subprocess
import sys

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from dfutils import InputError, IntegrityError
from dfutils.features import head_of
from dfutils.losses import CosineLogits
from dfutils.models import ModelConfig, build_model, get_backbone
from dfutils.onnx_export import export_onnx, verify_onnx
from dfutils.onnx_layers import CONVERTERS
from dfutils.onnx_model import OnnxModel, count_cores

TOLERANCE = 1e-3
CONFIGS = [
    ModelConfig("video", "EfficientNetV2B0", (64, 64), "softmax"),
    ModelConfig("video", "EfficientNetV2B0", (75, 57), "lmcl"),
    ModelConfig("audio", "MobileNetV2", (64, 48), "lmcl", hidden_units=0),
    ModelConfig("audio", "MobileNetV2", (57, 75), "softmax", hidden_units=32),
]


def logits_of(model, images):
    """Evaluate without compiling, which would take longer than the test."""
    return np.asarray(model(images, training=False))


def pictures(config, n, seed=0):
    """Random pictures, each of its own brightness and contrast."""
    generator = np.random.default_rng(seed)
    noise = generator.random((n, *config.size_hw, 3), np.float32)
    low, span = generator.uniform(0.3, 0.5, (2, n, 1, 1, 3)).astype(np.float32)
    return (low + span * noise) * (255 if config.kind == "video" else 1)


def awake(config, seed=0):
    """A random model whose normalisations have seen pictures, so that its output depends on them."""
    keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(seed)
    model = build_model(config, None)
    for layer in get_backbone(model).layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable, layer.momentum = True, 0.0
            layer.gamma.assign(generator.uniform(0.7, 1.2, layer.gamma.shape))
            layer.beta.assign(generator.normal(0, 0.2, layer.beta.shape))
    model(pictures(config, 16, seed + 1), training=True)
    return model


def round_weights(model):
    model.set_weights([value.astype(np.float16).astype(np.float32) for value in model.get_weights()])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The smallest model, exported: config, model, path, sha256."""
    model = awake(CONFIGS[2])
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return CONFIGS[2], model, path, export_onnx(model, CONFIGS[2], path)


def toy(size_hw, *stack):
    """A model of some layers, two outputs, and its config."""
    x = inputs = keras.Input((*size_hw, 3))
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x), ModelConfig("audio", "MobileNetV2", size_hw)


# ------------------------------------------------------------------ the same numbers


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.backbone} {c.size_hw} {c.head}")
def test_logits_are_those_of_keras(config, tmp_path):
    model = awake(config)
    images = pictures(config, 5)
    path = tmp_path / "model.onnx"
    exact = OnnxModel(path, export_onnx(model, config, path, half_precision=False)).predict(images)
    size = path.stat().st_size
    expected = logits_of(model, images)
    assert expected.std(axis=0).min() > 0.02  # or the comparison would show nothing
    np.testing.assert_allclose(exact, expected, rtol=0, atol=TOLERANCE)

    sha256 = export_onnx(model, config, path)
    assert path.stat().st_size < 0.52 * size
    round_weights(model)
    half = OnnxModel(path, sha256).predict(images)
    expected = logits_of(model, images)
    np.testing.assert_allclose(half, expected, rtol=0, atol=TOLERANCE)
    assert half.dtype == np.float32

    other = tmp_path / "rounded.onnx"
    assert export_onnx(model, config, other) == sha256  # rounded before or by the export: the same file
    one = OnnxModel(other, sha256).predict(images[:1])
    np.testing.assert_allclose(one, expected[:1], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("side", [8, 9, 10, 11])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_padding_is_that_of_keras_at_odd_and_even_sizes(side, kernel, tmp_path):
    keras.utils.set_random_seed(side)
    model, config = toy(
        (side, side + 3),
        layers.Conv2D(4, kernel, strides=2, padding="same", activation="relu"),
        layers.DepthwiseConv2D(kernel, strides=2, padding="same", depth_multiplier=2),
        layers.ZeroPadding2D(((1, 2), (0, 3))),
        layers.Conv2D(6, 3, dilation_rate=2, groups=2, padding="same", activation="sigmoid"),
        layers.Conv2D(6, 2, padding="valid", activation="silu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )
    images = pictures(config, 3)
    path = tmp_path / "toy.onnx"
    found = OnnxModel(path, export_onnx(model, config, path, False)).predict(images)
    np.testing.assert_allclose(found, logits_of(model, images), rtol=0, atol=1e-5)


def test_scalings_and_heads_are_those_of_keras(tmp_path):
    model, config = toy(
        (9, 8),
        layers.Rescaling([2.0, 0.5, 1.0], [-1.0, 0.0, 0.5]),
        layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.04, 0.05, 0.0]),
        layers.BatchNormalization(scale=False, center=False, epsilon=0.1),
        layers.Activation("relu6"),
        layers.ReLU(),
        layers.GlobalAveragePooling2D(keepdims=False),
        CosineLogits(2, 3.0),
    )
    images = pictures(config, 4) * np.float32(1e-3)
    path = tmp_path / "toy.onnx"
    images[0] = -9  # all features 0: their length is bounded from below
    found = OnnxModel(path, export_onnx(model, config, path, False)).predict(images)
    np.testing.assert_allclose(found, logits_of(model, images), rtol=0, atol=1e-5)


def test_weights_beyond_half_precision_stay_whole(tmp_path):
    model, config = toy((8, 8), layers.GlobalAveragePooling2D(), layers.Dense(2))
    model.layers[-1].kernel.assign([[70_000.0, 1], [2, 3], [4, 5]])
    images = pictures(config, 2)
    path = tmp_path / "toy.onnx"
    found = OnnxModel(path, export_onnx(model, config, path)).predict(images)
    np.testing.assert_allclose(found, logits_of(model, images), rtol=1e-6)


# ------------------------------------------------------------------ the file


def test_the_file_is_the_same_each_time_and_says_what_it_is(small, tmp_path):
    config, model, path, sha256 = small
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    copy = build_model(config, None)  # Keras numbers its layers on: their names differ
    copy.set_weights(model.get_weights())
    assert export_onnx(copy, config, tmp_path / "copy.onnx") == sha256
    assert (tmp_path / "copy.onnx").read_bytes() == path.read_bytes()
    proto = onnx.load(path)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    exported = OnnxModel(path, sha256)
    assert exported.size_hw == config.size_hw
    assert ModelConfig(**exported.config) == config
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing half-written


def test_verification_lets_the_same_pass_and_another_not(small):
    config, model, path, sha256 = small
    before = model.get_weights()
    assert verify_onnx(model, path, sha256) < TOLERANCE
    for one, other in zip(before, model.get_weights()):
        np.testing.assert_array_equal(one, other)  # rounded for the comparison only
    with pytest.raises(IntegrityError, match="as ONNX its logits differ from Keras' by"):
        verify_onnx(model, path, sha256, pictures(config, 2), tolerance=-1)
    with pytest.raises(IntegrityError, match="holds other weights"):
        verify_onnx(build_model(config, None), path, sha256)


def test_an_export_that_computes_something_else_is_noticed(small, tmp_path, monkeypatch):
    config, model, _, _ = small

    def forget_activation(graph, layer, x):
        return x

    monkeypatch.setitem(CONVERTERS, layers.ReLU, forget_activation)
    path = tmp_path / "model.onnx"
    sha256 = export_onnx(model, config, path)
    with pytest.raises(IntegrityError, match="its logits differ"):
        verify_onnx(model, path, sha256)


def test_nothing_lies_outside_the_file_and_all_operations_are_standard(small):
    proto = onnx.load_model(small[2], load_external_data=False)
    assert {node.domain for node in proto.graph.node} == {""}
    assert [(item.domain, item.version) for item in proto.opset_import] == [("", 17)]
    assert not proto.functions
    assert not any(item.external_data or item.data_location for item in proto.graph.initializer)
    assert {item.data_type for item in proto.graph.initializer if "/" in item.name} == {
        onnx.TensorProto.FLOAT16
    }


def test_the_feature_map_is_what_the_backbone_averages(small):
    config, model, path, sha256 = small
    images = pictures(config, 3)
    exported = OnnxModel(path, sha256)
    logits, maps = exported.predict_with_feature_map(images, batch_size=2)
    np.testing.assert_allclose(logits, exported.predict(images), atol=1e-5)
    kept = model.get_weights()
    round_weights(model)
    backbone = get_backbone(model)
    scaled = model.get_layer("scaled").output
    head = keras.Model(model.inputs[0], scaled)
    body = keras.Model(backbone.inputs[0], [backbone.layers[-1].input, backbone.output])
    expected, averages = (np.asarray(value) for value in body(head(images), training=False))
    model.set_weights(kept)
    assert maps.shape == expected.shape == (3, 2, 2, 1280)
    np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), averages, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        ([layers.MaxPooling2D()], "is a layer of type MaxPooling2D, which the ONNX export does not know"),
        ([layers.Conv2D(2, 1, activation="tanh")], "has the activation tanh, which"),
        ([layers.ReLU(negative_slope=0.1)], "has a slope or a threshold"),
        ([layers.BatchNormalization(axis=1)], "normalises axis 1"),
        ([layers.Reshape((64, 3))], "reshapes from"),
        ([layers.Dense(2)], "is applied to more than one axis"),
        ([layers.Conv2D(2, 1)], "has no global average pooling"),
    ],
)
def test_what_the_export_does_not_know_is_refused(stack, reason, tmp_path):
    model, config = toy((8, 8), *stack)
    with pytest.raises(InputError, match=reason):
        export_onnx(model, config, tmp_path / "toy.onnx")
    assert not list(tmp_path.iterdir())


def test_operations_that_are_no_layers_and_wrong_configs_are_refused(small, tmp_path):
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.ops.flip(inputs, axis=-1))
    with pytest.raises(InputError, match="of type Flip, which the ONNX export does not know"):
        export_onnx(model, ModelConfig("audio", "MobileNetV2", (8, 8)), tmp_path / "toy.onnx")
    with pytest.raises(InputError, match=r"its config says \(8, 8\)"):
        export_onnx(small[1], ModelConfig("audio", "MobileNetV2", (8, 8)), tmp_path / "toy.onnx")
    shared = layers.ReLU()
    model = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(InputError, match="is used more than once"):
        export_onnx(model, ModelConfig("audio", "MobileNetV2", (8, 8)), tmp_path / "toy.onnx")
    model = keras.Sequential([inputs, layers.ReLU()])
    with pytest.raises(InputError, match="is no functional model"):
        export_onnx(model, ModelConfig("audio", "MobileNetV2", (8, 8)), tmp_path / "toy.onnx")


def test_a_head_of_its_own_does_not_stand_in_the_way(tmp_path):
    """Notebook 04 trains the head on cached features: a second model that uses the same layers."""
    config = CONFIGS[3]
    model = build_model(config, None)
    head_of(model)
    sha256 = export_onnx(model, config, tmp_path / "model.onnx")
    assert verify_onnx(model, tmp_path / "model.onnx", sha256) < TOLERANCE


def test_altered_missing_and_foreign_files_are_refused(small, tmp_path):
    _, _, path, sha256 = small
    altered = tmp_path / "altered.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    with pytest.raises(IntegrityError, match=f"recorded is {sha256[:12]}…; not loaded"):
        OnnxModel(altered, sha256)
    with pytest.raises(IntegrityError, match="cannot be read"):
        OnnxModel(tmp_path / "nothing.onnx", sha256)
    with pytest.raises(IntegrityError, match="cannot be read"):
        OnnxModel(tmp_path, sha256)  # a folder
    for content in (b"", b"no model", path.read_bytes()[:-1000]):
        altered.write_bytes(content)
        with pytest.raises(IntegrityError, match="is no model of this project"):
            OnnxModel(altered, hashlib.sha256(content).hexdigest())


# ------------------------------------------------------------------ use


def test_batches_do_not_change_the_logits_and_wrong_images_get_a_message(small):
    config, _, path, sha256 = small
    exported = OnnxModel(path, sha256, n_threads=1)
    images = pictures(config, 5)
    whole = exported.predict(images)
    np.testing.assert_allclose(exported.predict(images, batch_size=2), whole, atol=1e-5)
    np.testing.assert_allclose(
        exported.predict(images.astype(np.float64)[:, ::-1]),
        exported.predict(np.ascontiguousarray(images[:, ::-1])),
        atol=1e-5,
    )
    assert exported.predict(images[:0]).shape == (0, 2)
    for wrong in (images[0], images[:, 1:], images[..., :1]):
        with pytest.raises(InputError, match=r"images: must have shape \(n, 64, 48, 3\), got"):
            exported.predict(wrong)
    with pytest.raises(InputError, match="batch_size: must be at least 1"):
        exported.predict(images, batch_size=0)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_it_takes_as_many_threads_as_there_are_cores_for_it():
    cores = os.sched_getaffinity(0)
    assert count_cores() == len(cores)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, cores)


def test_it_runs_quietly_without_tensorflow_keras_and_telemetry(small, tmp_path):
    config, _, path, sha256 = small
    code = f"""
import json, os, sys
import numpy as np
from dfutils.onnx_model import OnnxModel
logits = OnnxModel({str(path)!r}, {sha256!r}).predict(np.ones((1, *{config.size_hw!r}, 3), np.float32))
roots = sorted({{name.split(".")[0] for name in sys.modules}})
print(json.dumps([logits.shape, roots, os.environ["ORT_DISABLE_TELEMETRY"]]))
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI")}
    environment["HOME"] = str(tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    shape, roots, telemetry = json.loads(run.stdout)
    assert shape == [1, 2]
    assert not {"tensorflow", "keras", "onnx", "h5py", "torch", "jax"} & set(roots)
    assert telemetry == "1"
    assert run.stderr == ""
    assert not list(tmp_path.rglob("*onnxruntime*"))  # later versions keep a device number there
