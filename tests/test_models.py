"""Models: their size, what reaches the backbone, their errors, and bundles on disk."""

import json
import os
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest

from dfutils import InputError, IntegrityError
from dfutils.backbones import find_weights
from dfutils.bundles import Bundle, load_bundle, load_weights, read_description, save_bundle
from dfutils.calibration import Calibration
from dfutils.losses import LargeMarginCosineLoss
from dfutils.model_config import input_scaling
from dfutils.models import (
    ModelConfig,
    build_audio_model,
    build_model,
    build_video_model,
    change_size,
    compile_model,
    get_backbone,
    unfreeze,
)
from dfutils.onnx_model import open_bundle

SMALL = {"size_hw": (48, 48), "hidden_units": 8}


@pytest.fixture(autouse=True)
def no_weights(monkeypatch):
    """Nothing here may depend on weights that happen to lie about."""
    monkeypatch.delenv("DFUTILS_WEIGHTS", raising=False)


def logits_of(model, images):
    """Evaluate without compiling, which would take longer than the test."""
    return np.asarray(model(images, training=False))


@pytest.fixture(scope="module")
def small():
    """A small voice model with random weights, and its configuration."""
    keras.utils.set_random_seed(3)
    config = ModelConfig(kind="audio", backbone="MobileNetV2", **SMALL)
    return build_model(config, None), config


def n_parameters(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


@pytest.mark.slow
def test_the_thesis_video_model_has_its_parameters():
    model = build_video_model(weights=None)
    assert model.count_params() == 20_413_474
    assert n_parameters(model.trainable_weights) == 82_114
    assert model.input_shape == (None, 275, 225, 3)
    assert model.output_shape == (None, 2)


def test_the_voice_model_has_its_parameters():
    model = build_audio_model(weights=None, hidden_units=64)
    assert model.count_params() == 2_340_098
    assert n_parameters(model.trainable_weights) == 1280 * 64 + 64 + 64 * 2 + 2
    assert model.input_shape == (None, 224, 224, 3)


def head_weights(**options):
    model = build_model(ModelConfig(kind="audio", backbone="MobileNetV2", size_hw=(32, 32), **options), None)
    return model, [tuple(weight.shape) for weight in model.trainable_weights]


def test_heads():
    softmax, shapes = head_weights(hidden_units=512, dropout=0.4, l2=0.01)
    assert shapes == [(1280, 512), (512,), (512, 2), (2,)]
    assert softmax.get_layer("hidden").kernel_regularizer.l2 == pytest.approx(0.01)
    assert softmax.get_layer("dropout").rate == 0.4
    assert head_weights(hidden_units=0)[1] == [(1280, 2), (2,)]
    lmcl, shapes = head_weights(head="lmcl", hidden_units=64, scale=16.0)
    assert shapes == [(1280, 64), (64,), (64, 2)]
    assert lmcl.get_layer("logits").scale == 16
    logits = logits_of(lmcl, np.random.default_rng(0).random((4, 32, 32, 3), np.float32))
    assert np.abs(logits).max() <= 16.001


# ------------------------------------------------------------------ input scaling


def reaching(kind, backbone, pixels):
    """What the layers in front of the backbone make of pixels."""
    model = build_model(
        ModelConfig(kind=kind, backbone=backbone, size_hw=pixels.shape[1:3], hidden_units=4), None
    )
    seen = []
    inner = get_backbone(model)
    original = inner.call

    def spy(inputs, *args, **options):
        seen.append(np.asarray(inputs))
        return original(inputs, *args, **options)

    inner.call = spy
    model(pixels)
    inner.call = original
    return seen[0]


@pytest.fixture(scope="module")
def faces():
    """Pixels 0..255 in which every channel differs."""
    images = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    images[0, 0, 0], images[0, 0, 1] = 0, 255
    images[..., 2] *= 0.5
    return images


@pytest.mark.parametrize("kind", ["video", "audio"])
@pytest.mark.parametrize(
    ("backbone", "module"),
    [
        ("EfficientNetV2B0", "efficientnet_v2"),
        ("MobileNetV2", "mobilenet_v2"),
        ("MobileNetV3Small", "mobilenet_v3"),
        ("MobileNet", "mobilenet"),
        ("VGG16", "vgg16"),
    ],
)
def test_the_backbone_sees_what_keras_prepares_for_it(faces, kind, backbone, module):
    """Our faces are 0..255 and our LFCC pictures 0..1; Keras' own function takes 0..255."""
    prepare = getattr(keras.applications, module).preprocess_input
    expected = np.asarray(prepare(faces.copy()))
    given = faces if kind == "video" else faces / 255
    np.testing.assert_allclose(reaching(kind, backbone, given), expected, atol=1e-3)
    assert {"efficientnet_v2": 255, "mobilenet_v3": 255}.get(module, 1) <= expected.max()


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "module"), [("DenseNet121", "densenet"), ("ResNet50V2", "resnet_v2"),
                                                  ("ResNet50", "resnet50")])  # fmt: skip
def test_larger_backbones_see_what_keras_prepares_for_them(faces, backbone, module):
    expected = np.asarray(getattr(keras.applications, module).preprocess_input(faces.copy()))
    np.testing.assert_allclose(reaching("video", backbone, faces), expected, atol=1e-3)


# ------------------------------------------------------------------ freezing


def test_only_the_head_trains_at_first(small):
    model, _ = small
    assert not get_backbone(model).trainable_weights
    assert len(model.trainable_weights) == 4


@pytest.mark.parametrize("train_batch_norm", [False, True])
def test_unfreezing(train_batch_norm):
    model = build_model(ModelConfig(kind="audio", backbone="MobileNetV2", size_hw=(32, 32)), None)
    unfreeze(model, train_batch_norm)
    backbone = get_backbone(model)
    kinds = {
        type(layer).__name__ for layer in backbone.layers if layer.weights and not layer.trainable_weights
    }
    assert kinds == (set() if train_batch_norm else {"BatchNormalization"})
    norm = next(layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = norm.moving_mean.numpy().copy()
    model(np.random.default_rng(0).random((2, 32, 32, 3), np.float32), training=True)
    assert (np.abs(norm.moving_mean.numpy() - before).max() > 0) == train_batch_norm


def test_another_size_keeps_weights_and_function():
    keras.utils.set_random_seed(3)
    config = ModelConfig("video", "MobileNetV2", (64, 64), hidden_units=8)
    model = build_model(config, None)
    smaller = change_size(model, config, (32, 32))
    assert smaller.input_shape == (None, 32, 32, 3)
    assert not get_backbone(smaller).trainable_weights
    for one, other in zip(model.get_weights(), smaller.get_weights()):
        np.testing.assert_array_equal(one, other)
    model.set_weights([weights + 0.01 for weights in model.get_weights()])
    assert not np.array_equal(model.get_weights()[-1], smaller.get_weights()[-1])  # copies


def test_compiling_chooses_the_loss_of_the_head(small):
    model, config = small
    compile_model(model, config, 1e-3, "adam")
    assert isinstance(model.loss, keras.losses.SparseCategoricalCrossentropy)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    compile_model(model, replace(config, head="lmcl", scale=8.0, margin=0.25), 1e-3)
    assert isinstance(model.loss, LargeMarginCosineLoss)
    assert (model.loss.scale, model.loss.margin) == (8.0, 0.25)
    assert isinstance(model.optimizer, keras.optimizers.RMSprop)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    with pytest.raises(InputError, match=r"optimizer.*'sgdd'"):
        compile_model(model, config, 1e-3, "sgdd")


# ------------------------------------------------------------------ errors


def test_configuration_errors():
    with pytest.raises(InputError, match="'EfficientNetV9'"):
        ModelConfig(backbone="EfficientNetV9")
    with pytest.raises(InputError, match="'mobilenet'"):
        ModelConfig(backbone="mobilenet")  # a module of keras.applications, not a model
    with pytest.raises(InputError, match=r"head.*'sigmoid'"):
        ModelConfig(head="sigmoid")
    with pytest.raises(InputError, match="'picture'"):
        ModelConfig(kind="picture")
    with pytest.raises(InputError, match="dropout"):
        ModelConfig(dropout=1.0)
    with pytest.raises(InputError, match="hidden_units"):
        ModelConfig(hidden_units=-1)


def test_all_backbones_of_keras_are_known_and_no_others():
    names = [name for name, value in vars(keras.applications).items() if callable(value)]
    assert len(names) > 30
    assert [name for name in names if not input_scaling(name)] == []
    for name in ("MobileNetV1", "EfficientNetV2B4", "ResNet50V3", "VGG", "xMobileNet", ""):
        assert input_scaling(name) is None
    assert {name: input_scaling(name) for name in ("ResNet50", "ResNet50V2", "MobileNetV3Small")} == {
        "ResNet50": "bgr",
        "ResNet50V2": "-1..1",
        "MobileNetV3Small": "0..255",
    }


def test_configuration_survives_json():
    config = ModelConfig(kind="audio", backbone="MobileNetV2", size_hw=(64, 48), head="lmcl", scale=2.0)
    assert ModelConfig(**json.loads(json.dumps(config.to_dict()))) == config


def test_weights_that_are_not_there(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"none\.h5.*do not exist"):
        build_audio_model(weights=tmp_path / "none.h5")
    assert find_weights("MobileNetV2") is None
    monkeypatch.setenv("DFUTILS_WEIGHTS", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"DFUTILS_WEIGHTS.*does not exist"):
        find_weights("MobileNetV2")


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def offline(**options):
        if options["weights"] == "imagenet":
            raise Exception("URL fetch failure on https://example.invalid: no route")
        raise AssertionError("asked for other weights")

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(
        InputError, match=r"could not be downloaded; set DFUTILS_WEIGHTS.*mobilenetv2_1.0_224"
    ):
        build_audio_model(weights="imagenet")


def test_weights_of_another_architecture(tmp_path):
    other = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.25)
    path = tmp_path / "other.weights.h5"
    other.save_weights(path)
    with pytest.raises(InputError, match=r"other\.weights\.h5.*does not hold weights of MobileNetV2"):
        build_audio_model(weights=path, size_hw=(32, 32))
    text = tmp_path / "text.weights.h5"
    text.write_text("no weights")
    with pytest.raises(InputError, match=r"text\.weights\.h5.*does not hold weights"):
        build_audio_model(weights=text, size_hw=(32, 32))


def test_weights_from_a_file_and_from_the_folder(small, tmp_path, monkeypatch):
    model, _ = small
    path = tmp_path / "mobilenetv2_1.0_224_notop.weights.h5"
    source = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(48, 48, 3), pooling="avg"
    )
    source.set_weights(get_backbone(model).get_weights())
    source.save_weights(path)
    monkeypatch.setenv("DFUTILS_WEIGHTS", str(tmp_path))
    for weights in (path, "auto"):
        copy = build_audio_model(weights=weights, **SMALL)
        for expected, found in zip(source.get_weights(), get_backbone(copy).get_weights()):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not os.environ.get("DFUTILS_WEIGHTS"), reason="DFUTILS_WEIGHTS is not set")
def test_imagenet_weights_in_the_folder(monkeypatch):
    monkeypatch.undo()  # bring the variable back
    path = find_weights("MobileNetV2")
    if path is None:
        pytest.skip("no MobileNetV2 in DFUTILS_WEIGHTS")
    images = np.random.default_rng(0).uniform(-1, 1, (4, 48, 48, 3)).astype(np.float32)
    alive = logits_of(get_backbone(build_audio_model(**SMALL)), images).std(axis=0) > 0.1
    asleep = logits_of(get_backbone(build_audio_model(weights=None, **SMALL)), images).std(axis=0) > 0.1
    assert alive.mean() > 0.25 > 0.02 > asleep.mean()


# ------------------------------------------------------------------ bundles


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).random((3, 48, 48, 3), np.float32)


@pytest.fixture(scope="module")
def bundle(small):
    """The small model with weights that make its output depend on the picture."""
    model, config = small
    generator = np.random.default_rng(2)
    for layer in get_backbone(model).layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(generator.uniform(0.01, 0.2, layer.moving_variance.shape))
    return Bundle(model, config, {"features": "static"}, Calibration(1.5, -0.2, 0.4, "val"), {"seed": 3})


def test_bundle_round_trip_is_exact(bundle, images, tmp_path):
    save_bundle(bundle, tmp_path / "a model")
    copy = load_bundle(tmp_path / "a model")
    expected = logits_of(bundle.model, images)
    assert np.ptp(expected, axis=0).min() > 1e-4  # the pictures differ, so equality means something
    np.testing.assert_array_equal(logits_of(copy.model, images), expected)
    assert copy.config == bundle.config
    assert copy.calibration == bundle.calibration
    assert copy.inputs == {"features": "static"}
    assert copy.about == {"seed": 3}
    assert copy.sha256 == bundle.sha256
    files = {path.name for path in (tmp_path / "a model").iterdir()}
    assert files == {"model.json", "model.weights.h5", "model.onnx"}


def test_half_precision_halves_the_file_and_hardly_moves_the_logits(bundle, images, tmp_path):
    full = save_bundle(bundle, tmp_path / "full") / "model.weights.h5"
    half = save_bundle(bundle, tmp_path / "half", onnx_only=True) / "model.onnx"
    assert half.stat().st_size < 0.6 * full.stat().st_size
    expected = logits_of(bundle.model, images)
    found = logits_of(load_bundle(tmp_path / "half").model, images)
    assert np.abs(found - expected).max() < 0.12 * np.abs(expected).max()
    assert np.abs(found - expected).max() > 0


def test_values_too_large_for_half_precision_do_not_become_infinite(bundle, images, tmp_path):
    norm = next(
        layer
        for layer in get_backbone(bundle.model).layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
    kept = norm.moving_variance.numpy()
    norm.moving_variance.assign(np.full_like(kept, 1e5))  # > 65,504; pixels 0..255 squared come near it
    try:
        save_bundle(bundle, tmp_path, onnx_only=True)
        copy = load_bundle(tmp_path)
        expected = logits_of(bundle.model, images)
        np.testing.assert_allclose(
            logits_of(copy.model, images), expected, atol=0.05 * np.abs(expected).max()
        )
        assert all(np.isfinite(value).all() for value in copy.model.get_weights())
    finally:
        norm.moving_variance.assign(kept)


def test_lmcl_bundle(images, tmp_path):
    config = ModelConfig(kind="audio", backbone="MobileNetV2", head="lmcl", scale=8.0, **SMALL)
    original = Bundle(build_model(config, None), config, {})
    save_bundle(original, tmp_path)
    copy = load_bundle(tmp_path)
    assert copy.model.get_layer("logits").scale == 8
    np.testing.assert_array_equal(logits_of(copy.model, images), logits_of(original.model, images))


def test_altered_weights_are_not_loaded(bundle, tmp_path):
    save_bundle(bundle, tmp_path)
    path = tmp_path / "model.weights.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"model\.weights\.h5.*sha256 is .*not loaded"):
        load_bundle(tmp_path)
    path.unlink()
    with pytest.raises(IntegrityError, match="are missing"):
        load_bundle(tmp_path)


def test_weights_that_did_not_arrive_are_noticed(bundle, tmp_path):
    """The file is the recorded one, but the recorded values are others: as if Keras skipped layers."""
    save_bundle(bundle, tmp_path)
    description = json.loads((tmp_path / "model.json").read_text())
    description["weights"]["values_sha256"] = "0" * 64
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(IntegrityError, match="did not all arrive"):
        load_bundle(tmp_path)


def test_missing_bundle(tmp_path):
    with pytest.raises(InputError, match=r"no model\.json"):
        load_bundle(tmp_path / "nothing")
    (tmp_path / "model.json").write_text("{broken")
    with pytest.raises(InputError, match="not readable JSON"):
        read_description(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match=r"format 99.*reads 1"):
        read_description(tmp_path)
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(InputError, match=r"format None.*reads 1"):
        read_description(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 1, "config": {}, "inputs": {}, "weights": {}}')
    with pytest.raises(InputError, match="does not say all that is needed: about, calibration"):
        read_description(tmp_path)


def test_interrupted_saving_keeps_the_old_bundle(bundle, tmp_path, monkeypatch):
    save_bundle(bundle, tmp_path)
    before = (tmp_path / "model.weights.h5").read_bytes()

    def fail(path):
        path.write_bytes(b"half a file")
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(type(bundle.model), "save_weights", lambda self, path: fail(path))
        with pytest.raises(OSError, match="disk full"):
            save_bundle(bundle, tmp_path)
        patch.undo()
        patch.setattr("dfutils.bundles.export_onnx", lambda model, config, path: fail(path))
        with pytest.raises(OSError, match="disk full"):
            save_bundle(bundle, tmp_path)
    assert (tmp_path / "model.weights.h5").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3
    load_bundle(tmp_path)
    open_bundle(tmp_path)


def test_loading_raises_no_false_alarm(bundle, tmp_path, recwarn):
    save_bundle(bundle, tmp_path)
    load_weights(bundle.model, tmp_path / "model.weights.h5")
    assert not [warning for warning in recwarn if "nested container" in str(warning.message)]
    with h5py.File(tmp_path / "model.weights.h5") as file:
        assert len(file) > 0
