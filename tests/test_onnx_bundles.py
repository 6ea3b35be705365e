"""Bundles as ONNX: opened without Keras, filled back into Keras, refused where they are not the recorded."""

import hashlib
import json

import keras
import numpy as np
import onnx
import pytest
from keras import layers

from dfutils import InputError, IntegrityError, ModelError
from dfutils.bundles import Bundle, load_bundle, save_bundle
from dfutils.calibration import Calibration
from dfutils.detector import DeepfakeDetector
from dfutils.models import ModelConfig, build_model, compile_model, get_backbone
from dfutils.onnx_export import export_onnx, random_pictures
from dfutils.onnx_layers import CONVERTERS
from dfutils.onnx_model import OnnxModel, open_bundle
from dfutils.onnx_weights import fill_model, name_variables

CONFIG = ModelConfig("audio", "MobileNetV2", (32, 48), "lmcl", hidden_units=6, scale=5.0)


def random_model(config, seed=0):
    """A model none of whose weights are as built, and whose output depends on the picture."""
    model = build_model(config, None)
    generator = np.random.default_rng(seed)
    ranges = {"moving_variance": (0.01, 0.2), "variance": (0.5, 2), "count": (1, 9), "gamma": (0.7, 1.2)}
    for name, variable in name_variables(model).items():
        what = name.split("/")[-1]
        if what != "kernel":
            value = generator.uniform(*ranges.get(what, (-0.2, 0.2)), variable.shape)
            variable.assign(value.astype(variable.dtype))
    return model


@pytest.fixture(scope="module")
def bundle():
    inputs, about = {"features": "static"}, {"corpus": "real"}
    return Bundle(random_model(CONFIG), CONFIG, inputs, Calibration(1.5, -0.2, 0.4, "val"), about)


@pytest.fixture
def folder(bundle, tmp_path):
    """As it ships: ONNX alone."""
    return save_bundle(bundle, tmp_path / "model", onnx_only=True)


def describe(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# ------------------------------------------------------------------ there and back


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        ModelConfig("video", "EfficientNetV2B0", (32, 32)),
        ModelConfig("video", "EfficientNetB0", (32, 32), hidden_units=0),
    ],
    ids=lambda config: config.backbone,
)
def test_all_weights_find_back_into_keras(config, tmp_path):
    model = random_model(config)
    path = tmp_path / "model.onnx"
    for half_precision in (True, False):
        export_onnx(model, config, path, half_precision)
        copy = build_model(config, None)
        fill_model(copy, path.read_bytes())
        for name, variable in name_variables(model).items():
            expected = np.asarray(variable)
            found = np.asarray(name_variables(copy)[name])
            if half_precision and not name.startswith("backbone/normalization"):
                expected = expected.astype(np.float16)
            np.testing.assert_array_equal(found, expected.astype(found.dtype), err_msg=name)
    names = [item.name for item in onnx.load(path).graph.initializer if "/" in item.name]
    assert len(names) == len(set(names)) == len(model.get_weights())


def test_weights_are_named_by_where_they_belong(bundle):
    names = name_variables(bundle.model)
    assert {"backbone/Conv1/kernel", "backbone/bn_Conv1/gamma", "hidden/bias", "logits/kernel"} <= set(names)
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.Conv2D(2, 1)(layers.Conv2D(2, 1)(layers.ReLU()(inputs))))
    assert list(name_variables(model)) == [
        f"conv2d_{n}/{what}" for n in (1, 2) for what in ("kernel", "bias")
    ]
    inner = [keras.Sequential([keras.Input((3,)), layers.Dense(3, name="same")]) for _ in range(2)]
    with pytest.raises(InputError, match="two weights that would be called 'backbone/same/kernel'"):
        name_variables(keras.Sequential([keras.Input((3,)), *inner]))


def test_onnx_alone_opens_in_keras_goes_on_training_and_saves_the_same(bundle, folder, tmp_path):
    assert {path.name for path in folder.iterdir()} == {"model.json", "model.onnx"}
    copy = load_bundle(folder)
    assert (copy.config, copy.calibration) == (bundle.config, bundle.calibration)
    assert (copy.inputs, copy.about) == (bundle.inputs, bundle.about)
    assert copy.sha256 == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    again = save_bundle(copy, tmp_path / "again", onnx_only=True)
    assert (again / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    assert (again / "model.json").read_bytes() == (folder / "model.json").read_bytes()

    images = random_pictures(CONFIG, 6)
    expected = np.asarray(copy.model(images, training=False))
    opened = open_bundle(folder)
    assert isinstance(opened.model, OnnxModel)
    assert (opened.config, opened.calibration, opened.sha256) == (copy.config, copy.calibration, copy.sha256)
    assert (opened.inputs, opened.about) == (copy.inputs, copy.about)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(opened.model.predict(images), expected, rtol=0, atol=1e-3)

    before = [np.array(value) for value in copy.model.get_weights()]
    compile_model(copy.model, copy.config, 1e-2)
    copy.model.train_on_batch(images, np.arange(6) % 2)
    assert not np.array_equal(copy.model.get_weights()[-1], before[-1])


def test_both_are_saved_side_by_side_and_agree(bundle, tmp_path):
    folder = save_bundle(bundle, tmp_path)
    description = json.loads((folder / "model.json").read_text())
    for key, name in (("weights", "model.weights.h5"), ("onnx", "model.onnx")):
        assert description[key]["file"] == name
        assert description[key]["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    images = random_pictures(CONFIG)
    keras_bundle = load_bundle(folder)
    expected = np.asarray(keras_bundle.model(images, training=False))  # single precision, exact
    np.testing.assert_array_equal(expected, np.asarray(bundle.model(images, training=False)))
    found = open_bundle(folder).model.predict(images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)
    save_bundle(bundle, folder, onnx_only=True)  # leaves no file behind that nobody vouches for
    assert {path.name for path in folder.iterdir()} == {"model.json", "model.onnx"}


def test_a_model_that_cannot_be_exported_is_saved_without_and_runs_in_keras(bundle, tmp_path, monkeypatch):
    save_bundle(bundle, tmp_path / "model")
    monkeypatch.delitem(CONVERTERS, layers.ReLU)
    with pytest.raises(InputError, match="type ReLU, which the ONNX export does not know"):
        save_bundle(bundle, tmp_path / "other", onnx_only=True)
    assert not list((tmp_path / "other").glob("*"))
    with pytest.warns(UserWarning, match=r"saved without model\.onnx: .*type ReLU"):
        save_bundle(bundle, tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"model.json", "model.weights.h5"}
    opened = DeepfakeDetector(voice_model=tmp_path / "model").bundle("voice")
    assert isinstance(opened.model, keras.Model)


# ------------------------------------------------------------------ what is refused


def openers(folder):
    return (
        (load_bundle, IntegrityError),
        (open_bundle, IntegrityError),
        (lambda path: DeepfakeDetector(path).bundle("picture"), ModelError),
    )


@pytest.mark.parametrize("damage", ["altered", "truncated", "missing", "empty"])
def test_a_file_that_is_not_the_recorded_one_is_not_loaded(folder, damage):
    path = folder / "model.onnx"
    content = path.read_bytes()
    middle = len(content) // 2
    damaged = {
        "altered": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "truncated": content[:middle],
        "empty": b"",
    }
    path.unlink()
    if damage in damaged:
        path.write_bytes(damaged[damage])
    reason = "cannot be read" if damage == "missing" else "sha256 is .* not loaded"
    for opener, error in openers(folder):
        with pytest.raises(error, match=rf"model\.onnx: .*{reason}"):
            opener(folder)


def test_another_configuration_than_recorded_is_noticed(folder, bundle):
    config = {**bundle.config.to_dict(), "hidden_units": 7}
    describe(folder, config=config)
    with pytest.raises(IntegrityError, match="of another configuration than"):
        open_bundle(folder)
    with pytest.raises(
        IntegrityError, match=r"'hidden/kernel' have shape \(1280, 6\), the model's \(1280, 7\)"
    ):
        load_bundle(folder)
    describe(folder, config={**config, "hidden_units": 0})
    with pytest.raises(IntegrityError, match="'logits/kernel' have shape"):
        load_bundle(folder)
    describe(folder, config={**config, "backbone": "EfficientNetV2B0"})
    with pytest.raises(IntegrityError, match="'backbone/stem_conv/kernel' of the model are missing"):
        load_bundle(folder)
    describe(folder, config={**config, "colour": "red"})
    for opener in (open_bundle, load_bundle):
        with pytest.raises(InputError, match=r"holds what this version does not know .*colour"):
            opener(folder)


def test_weights_that_did_not_arrive_and_none_at_all_are_noticed(folder):
    describe(folder, weights={"values_sha256": "0" * 64})
    with pytest.raises(IntegrityError, match="did not all arrive"):
        load_bundle(folder)
    describe(folder, onnx=None)
    for opener in (open_bundle, load_bundle):
        with pytest.raises(IntegrityError, match="no weights are recorded"):
            opener(folder)


def test_a_recorded_file_that_is_no_model_is_refused(folder):
    content = b"no model"
    (folder / "model.onnx").write_bytes(content)
    describe(folder, onnx={"file": "model.onnx", "sha256": hashlib.sha256(content).hexdigest()})
    for opener, error in openers(folder):
        with pytest.raises(error, match="is no model of this project"):
            opener(folder)


def test_backbones_are_filled_whatever_was_built_before(folder):
    """Keras numbers its layers on within a process; names in the file do not depend on it."""
    for _ in range(2):
        build_model(CONFIG, None)
    assert get_backbone(load_bundle(folder).model).name.startswith("mobilenetv2")
