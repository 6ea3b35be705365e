"""Adversarial noise: a linear model's loss rises by what can be computed by hand; never beyond epsilon."""

import numpy as np
import pytest

from dfutils import InputError
from dfutils.adversarial import fgsm, losses_and_gradients, pgd
from dfutils.backend import keras
from dfutils.bundles import Bundle
from dfutils.calibration import Calibration
from dfutils.model_config import ModelConfig
from dfutils.robustness_attacks import measure_attacks

LABELS = np.array([0, 1, 0, 1])
SIZE_HW = (12, 10)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(60, 200, (4, *SIZE_HW, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def linear():
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((*SIZE_HW, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(2)
    layers = keras.layers
    convolution = layers.Conv2D(6, 3, activation="relu")
    return keras.Sequential(
        [
            keras.Input((*SIZE_HW, 3)),
            layers.Rescaling(1 / 255),
            convolution,
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


@pytest.mark.parametrize("flip", [False, True])
def test_a_linear_model_loses_what_its_weights_say(linear, pictures, flip):
    weights = linear.layers[-1].kernel.numpy()
    direction = (weights[:, 1] - weights[:, 0]).reshape(*SIZE_HW, 3)
    if flip:
        direction = (direction + direction[:, ::-1]) / 2
    losses, gradients = losses_and_gradients(linear, pictures, LABELS, flip)
    signs = np.where(LABELS == 1, -1, 1)
    np.testing.assert_allclose(gradients, signs[:, None, None, None] * direction[None], atol=1e-6)
    attacked = fgsm(linear, pictures, LABELS, 4.0, flip)
    after, _ = losses_and_gradients(linear, attacked, LABELS, flip)
    np.testing.assert_allclose(after - losses, 4 * np.abs(direction).sum(), rtol=1e-3)
    if not flip:
        logits = linear.predict(pictures, verbose=0)
        np.testing.assert_allclose(losses, signs * (logits[:, 1] - logits[:, 0]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_pgd_is_at_least_as_strong_as_fgsm(network, pictures, epsilon):
    clean, _ = losses_and_gradients(network, pictures, LABELS)
    single = fgsm(network, pictures, LABELS, epsilon)
    many = pgd(network, pictures, LABELS, epsilon, n_steps=8)
    for attacked in (single, many):
        assert attacked.dtype == np.float32
        assert np.abs(attacked - pictures).max() <= epsilon + 1e-3
        assert attacked.min() >= 0
        assert attacked.max() <= 255
    after_one, after_many = (losses_and_gradients(network, one, LABELS)[0] for one in (single, many))
    assert (after_one > clean).all()
    assert (after_many >= after_one - 1e-5).all()
    np.testing.assert_array_equal(pgd(network, pictures, LABELS, epsilon, n_steps=8), many)


def test_attacks_stay_pictures(network):
    extreme = np.zeros((2, *SIZE_HW, 3), np.float32)
    extreme[1] = 255
    attacked = pgd(network, extreme, LABELS[:2], 16.0, n_steps=3)
    assert attacked.min() >= 0
    assert attacked.max() <= 255


def test_a_model_without_gradients_is_refused(pictures):
    with pytest.raises(InputError, match="no gradients"):
        fgsm(object(), pictures, LABELS, 1.0)


def test_attacks_are_measured_and_kept(network, textured_manifest, tmp_path):
    config = ModelConfig("video", "EfficientNetV2B0", SIZE_HW)
    bundle = Bundle(network, config, {"flip": True}, Calibration(), {}, "89ab")
    options = {
        "epsilons": (2.0, 16.0),
        "n_steps": 2,
        "progress": False,
        "folder": tmp_path,
        "n_resamples": 20,
    }
    table = measure_attacks(bundle, textured_manifest, **options)
    assert table["perturbation"].tolist() == ["none", "fgsm", "fgsm", "pgd", "pgd"]
    assert table["value"].tolist() == ["", "2", "16", "2, 2 steps", "16, 2 steps"]
    towards_wrong = table.set_index(["perturbation", "level"])
    for name in ("fgsm", "pgd"):
        rows = towards_wrong.loc[name]
        assert (rows["shift_fake"] < 0).all()
        assert (rows["shift_real"] > 0).all()
        assert rows["shift_real"].is_monotonic_increasing
        assert (rows["auc"] <= towards_wrong.loc["none", 0]["auc"]).all()
    bundle.model = None  # not needed again
    assert measure_attacks(bundle, textured_manifest, **options).equals(table)
    voice = Bundle(network, ModelConfig("audio", "MobileNetV2"), {}, Calibration(), {}, "89ab")
    with pytest.raises(InputError, match="voice model"):
        measure_attacks(voice, textured_manifest, progress=False)
