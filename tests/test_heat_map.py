"""Grad-CAM: exact derivatives, those of Keras, bright where the reason is, and only of what is deployed."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from stand_ins import INPUTS, red_is_fake

from dfutils.descriptions import Bundle
from dfutils.detector import DeepfakeDetector
from dfutils.errors import IntegrityError
from dfutils.evidence import make_case
from dfutils.heat_map import Head, compute_heat_maps, read_head
from dfutils.html_report import render_report
from dfutils.images import write_image
from dfutils.losses import CosineLogits
from dfutils.model_config import ModelConfig
from dfutils.onnx_export import export_onnx
from dfutils.onnx_model import OnnxModel

SIZE_HW = (32, 24)
KINDS = [("softmax", 0), ("softmax", 5), ("lmcl", 0), ("lmcl", 5)]


def random_head(head, hidden_units, n_features=7, seed=0):
    generator = np.random.default_rng(seed)
    n_inputs = hidden_units or n_features
    hidden = (generator.normal(0, 1, (n_features, n_inputs)), generator.normal(0, 1, n_inputs))
    return Head(
        generator.normal(0, 1, (n_inputs, 2)),
        generator.normal(0, 1, 2) if head == "softmax" else None,
        hidden if hidden_units else None,
        4.0 if head == "lmcl" else None,
    )


@pytest.mark.parametrize(("head", "hidden_units"), KINDS)
def test_derivatives_are_the_numerical_ones(head, hidden_units):
    one = random_head(head, hidden_units)
    features = np.random.default_rng(1).normal(0, 1, (6, 7))
    step, expected = 1e-6, np.zeros((6, 7))
    for k in range(7):
        shift = step * np.eye(7)[k]
        expected[:, k] = (one.margins(features + shift) - one.margins(features - shift)) / (2 * step)
    np.testing.assert_allclose(one.gradients(features), expected, rtol=1e-5, atol=1e-7)
    assert np.abs(expected).max() > 0.1


def test_a_head_without_any_input_has_finite_derivatives():
    for head, hidden_units in KINDS:
        one = random_head(head, hidden_units)
        assert np.isfinite(one.gradients(np.zeros((2, 7)))).all()
        assert np.isfinite(one.margins(np.zeros((2, 7)))).all()


def exported(tmp_path, convolution, head="softmax", hidden_units=0, activation="relu", flip=False):
    """A small model, and its bundle as it is deployed."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((*SIZE_HW, 3))
    maps = convolution(layers.Rescaling(1 / 127.5, -1)(inputs))  # places then differ in sign
    x = layers.GlobalAveragePooling2D()(maps)
    if hidden_units:
        x = layers.Dense(hidden_units, activation, bias_initializer="glorot_normal", name="hidden")(x)
    last = CosineLogits(2, 3.0, name="logits") if head == "lmcl" else layers.Dense(2, name="logits")
    model = keras.Model(inputs, last(x))
    config = ModelConfig("video", "MobileNetV2", SIZE_HW, head, hidden_units, scale=3.0)
    path = tmp_path / "model.onnx"
    onnx_model = OnnxModel(path, export_onnx(model, config, path, half_precision=False))
    return model, maps, Bundle(onnx_model, config, {**INPUTS, "flip": flip})


def some_pictures(n=3, seed=0):
    """Coarse noise, so that places differ."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, SIZE_HW[0] // 4, SIZE_HW[1] // 4, 3))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


@pytest.mark.parametrize(("head", "hidden_units"), KINDS)
def test_maps_are_those_of_keras(head, hidden_units, tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the derivatives are taken by TensorFlow")
    convolution = layers.Conv2D(6, 3, strides=4, padding="same")
    model, maps, bundle = exported(tmp_path, convolution, head, hidden_units)
    pictures = some_pictures()
    features = keras.Model(model.inputs[0], maps)(pictures.astype(np.float32))
    at = next(k for k, layer in enumerate(model.layers) if isinstance(layer, layers.GlobalAveragePooling2D))
    with tensorflow.GradientTape() as tape:
        tape.watch(features)
        x = features
        for layer in model.layers[at:]:
            x = layer(x)
        margin = x[:, 1] - x[:, 0]
    weights = np.asarray(tape.gradient(margin, features)).mean(axis=(1, 2))
    expected = np.maximum(np.einsum("nhwc,nc->nhw", np.asarray(features), weights), 0)
    found = compute_heat_maps(bundle, pictures)
    assert (found.shape, found.dtype) == ((3, *SIZE_HW), np.float32)
    assert expected.max(axis=(1, 2)).min() > 0
    for one, other in zip(found, expected):
        import cv2

        resized = cv2.resize(other.astype(np.float32), SIZE_HW[::-1], interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(one, resized / resized.max(), atol=1e-4)
    head_read = read_head(bundle.model)
    pooled = np.asarray(features).mean(axis=(1, 2))
    np.testing.assert_allclose(head_read.margins(pooled), margin, rtol=1e-4, atol=1e-4)


def red_detector(tmp_path, sign=1.0, **options):
    """Its feature is the red that exceeds the blue; its margin grows with it (``sign``)."""
    convolution = layers.Conv2D(1, 1, activation="relu", use_bias=False)
    model, _, bundle = exported(tmp_path, convolution, **options)
    convolution.kernel.assign(np.array([0.01, 0, -0.01]).reshape(1, 1, 3, 1))
    model.get_layer("logits").kernel.assign([[-sign, sign]])
    path = tmp_path / "red.onnx"
    sha256 = export_onnx(model, bundle.config, path, half_precision=False)
    return Bundle(OnnxModel(path, sha256), bundle.config, bundle.inputs)


def test_it_is_bright_where_the_reason_is_and_relative_to_each_picture(tmp_path):
    pictures = np.full((2, *SIZE_HW, 3), 100, np.uint8)
    pictures[0, 4:12, 2:8, 0] = 250
    pictures[1, 20:28, 10:20, 0] = 120  # far weaker
    pictures[1, :4, :4, 2] = 250  # blue lowers nothing below 0 here
    first, second = compute_heat_maps(red_detector(tmp_path), pictures)
    assert first.max() == second.max() == 1
    np.testing.assert_array_equal(first > 0.5, pictures[0, :, :, 0] > 200)
    np.testing.assert_array_equal(second > 0.5, pictures[1, :, :, 0] > 110)


def test_what_lowers_the_score_is_not_shown(tmp_path):
    pictures = np.full((1, *SIZE_HW, 3), 100, np.uint8)
    pictures[0, 4:12, 2:8, 0] = 250
    found = compute_heat_maps(red_detector(tmp_path, sign=-1.0), pictures)
    np.testing.assert_array_equal(found, 0)


def test_a_model_that_judges_the_mirror_image_too_gets_a_map_that_mirrors(tmp_path):
    pictures = some_pictures()
    for flip in (True, False):
        convolution = layers.Conv2D(4, 6, strides=2)
        _, _, bundle = exported(tmp_path, convolution, hidden_units=5, flip=flip)
        one = compute_heat_maps(bundle, pictures)
        mirrored = compute_heat_maps(bundle, pictures[:, :, ::-1])[:, :, ::-1]
        assert np.ptp(one, axis=(1, 2)).min() > 0.3
        assert np.allclose(one, mirrored, atol=1e-4) == flip


def test_without_an_exported_model_there_is_none():
    assert compute_heat_maps(red_is_fake(), some_pictures()) is None


def test_a_head_that_is_not_the_described_one_is_refused(tmp_path):
    convolution = layers.Conv2D(4, 3, strides=4)
    _, _, bundle = exported(tmp_path, convolution, hidden_units=5, activation="sigmoid")
    with pytest.raises(IntegrityError, match="its head is not the one"):
        compute_heat_maps(bundle, some_pictures())
    (tmp_path / "model.onnx").write_bytes(b"another")
    read_head.cache_clear()
    with pytest.raises(IntegrityError, match="not loaded"):
        compute_heat_maps(bundle, some_pictures())


def test_the_page_shows_maps_of_the_deployed_model(tmp_path, portrait):
    detector = DeepfakeDetector()
    detector._bundles["picture"] = red_detector(tmp_path)
    report = detector.analyze(write_image(tmp_path / "one.png", portrait))
    findings = json.loads(json.dumps(report.to_dict()))
    for crops in (report.picture.crops, None):
        case = make_case(findings, detector, crops)
        (moment,) = case.moments
        assert moment.heat_map.shape == SIZE_HW
        assert "bright where it raised the score" in render_report([case])
    (tmp_path / "one.png").unlink()
    assert make_case(findings, detector).moments == []  # the findings stand without pictures
