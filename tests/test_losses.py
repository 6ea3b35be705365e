"""LMCL against its formula, its layer's storage, and the AUC metric against scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dfutils import InputError
from dfutils.losses import CosineLogits, FakeAUC, LargeMarginCosineLoss


def cosines(n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, 2)).astype(np.float32)


def formula(labels, cosine, scale, margin):
    """Equation 4 of Wang et al., CVPR 2018, sample by sample, in double precision."""
    losses = []
    for label, row in zip(labels, cosine.astype(np.float64)):
        own = np.exp(scale * (row[label] - margin))
        others = sum(np.exp(scale * value) for j, value in enumerate(row) if j != label)
        losses.append(-np.log(own / (own + others)))
    return np.array(losses)


@pytest.mark.parametrize(("scale", "margin"), [(4, 0.35), (2, 0.25), (64, 0.35), (4, 0)])
def test_lmcl_is_the_formula(scale, margin):
    cosine, labels = cosines(50), np.random.default_rng(1).integers(0, 2, 50)
    loss = LargeMarginCosineLoss(scale, margin, reduction="none")
    found = np.asarray(loss(labels, scale * cosine))
    np.testing.assert_allclose(found, formula(labels, cosine, scale, margin), rtol=1e-5, atol=1e-6)


def test_lmcl_of_more_classes():
    cosine = np.random.default_rng(5).uniform(-1, 1, (20, 5)).astype(np.float32)
    labels = np.arange(20) % 5
    found = np.asarray(LargeMarginCosineLoss(4, 0.25, reduction="none")(labels, 4 * cosine))
    np.testing.assert_allclose(found, formula(labels, cosine, 4, 0.25), atol=1e-6)


def test_lmcl_without_margin_is_softmax_cross_entropy():
    logits, labels = 4 * cosines(40), np.random.default_rng(1).integers(0, 2, 40)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    assert float(LargeMarginCosineLoss(4, 0)(labels, logits)) == pytest.approx(float(expected), abs=1e-6)


def test_lmcl_by_hand():
    """cos = (.9, .1), class 0, s 2, m .5: ln(1 + exp(.2 - .8)) = .437488."""
    loss = LargeMarginCosineLoss(2, 0.5)(np.array([0]), np.array([[1.8, 0.2]], np.float32))
    assert float(loss) == pytest.approx(0.4374879504858856, abs=1e-6)


def test_lmcl_takes_labels_as_a_column():
    cosine, labels = cosines(8), np.array([0, 1] * 4)
    loss = LargeMarginCosineLoss(4, 0.35)
    assert float(loss(labels[:, None], 4 * cosine)) == pytest.approx(float(loss(labels, 4 * cosine)))


def test_lmcl_does_not_overflow():
    loss = LargeMarginCosineLoss(64, 0.35, reduction="none")
    found = np.asarray(loss(np.array([0, 1]), np.array([[64, -64], [64, -64]], np.float32)))
    np.testing.assert_allclose(found, [0, 128 + 64 * 0.35], atol=1e-4)


def test_lmcl_refuses_nonsense():
    with pytest.raises(InputError, match="scale > 0"):
        LargeMarginCosineLoss(0, 0.35)
    with pytest.raises(InputError, match=r"margin in 0..2"):
        LargeMarginCosineLoss(4, -0.1)


def test_lmcl_config_round_trip():
    loss = LargeMarginCosineLoss(2.5, 0.25)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(copy, LargeMarginCosineLoss)
    assert (copy.scale, copy.margin, copy.name) == (2.5, 0.25, "lmcl")


as_array = keras.ops.convert_to_numpy


def test_cosine_logits_are_scaled_cosines():
    layer = CosineLogits(3, scale=4)
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32) * 10
    found = as_array(layer(x))
    w = as_array(layer.kernel)
    expected = 4 * (x @ w) / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(w, axis=0))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found).max() <= 4 + 1e-5
    np.testing.assert_allclose(as_array(layer(100 * x)), found, atol=1e-5)


def test_cosine_logits_by_hand():
    layer = CosineLogits(2, scale=2)
    layer.build((None, 2))
    layer.kernel.assign([[1.0, 0.0], [1.0, 3.0]])
    found = as_array(layer(np.array([[5.0, 0.0]], np.float32)))
    np.testing.assert_allclose(found, [[2 / np.sqrt(2), 0]], atol=1e-6)


def test_cosine_logits_config_round_trip():
    layer = CosineLogits(3, scale=2.5, name="angles")
    copy = CosineLogits.from_config(layer.get_config())
    assert (copy.units, copy.scale, copy.name) == (3, 2.5, "angles")
    assert layer.compute_output_shape((None, 7)) == (None, 3)
    with pytest.raises(InputError, match="units >= 2"):
        CosineLogits(1)
    with pytest.raises(InputError, match="scale > 0"):
        CosineLogits(2, scale=0)


def test_model_with_all_of_them_survives_a_keras_file(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5), CosineLogits(2, 3.0)])
    model.compile("sgd", LargeMarginCosineLoss(3.0, 0.25), metrics=[FakeAUC()])
    x = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    y = np.array([0, 1] * 5)
    model.evaluate(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
    np.testing.assert_allclose(copy.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-6)
    assert copy.loss.margin == 0.25


def test_a_step_stays_finite_even_at_zero_features():
    x = np.array([[0, 0, 0], [1e-20, 0, 0], [1, 2, 3]], np.float32)
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(3, use_bias=False, kernel_initializer="identity")  # its gradient is that of x
    model = keras.Model(inputs, CosineLogits(2, 64.0)(hidden(inputs)))
    model.compile(keras.optimizers.SGD(0.01), LargeMarginCosineLoss(64.0, 0.35))
    before = hidden.get_weights()[0]
    loss = model.train_on_batch(x, np.array([0, 1, 0]))
    assert np.isfinite(loss)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())
    assert not np.array_equal(hidden.get_weights()[0], before)


def test_training_with_lmcl_separates_two_clouds():
    keras.utils.set_random_seed(1)
    generator = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = (generator.normal(size=(200, 2)) * 0.3 + np.where(y[:, None], [1, 0], [0, 1])).astype(np.float32)
    model = keras.Sequential([keras.Input((2,)), CosineLogits(2, 4.0)])
    model.compile(keras.optimizers.SGD(0.5), LargeMarginCosineLoss(4.0, 0.35), metrics=["accuracy"])
    model.fit(x, y, epochs=8, batch_size=20, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] > 0.9


def test_auc_metric_is_scikit_learns():
    generator = np.random.default_rng(3)
    y = generator.integers(0, 2, 600)
    logits = generator.normal(size=(600, 2)).astype(np.float32)
    logits[:, 1] += y
    metric = FakeAUC(num_thresholds=2000)
    for part in np.array_split(np.arange(600), 7):  # batches, one of another size
        metric.update_state(y[part], logits[part])
    assert float(metric.result()) == pytest.approx(roc_auc_score(y, logits[:, 1] - logits[:, 0]), abs=1e-3)
    coarse = FakeAUC()
    coarse.update_state(y[:, None], logits)
    assert float(coarse.result()) == pytest.approx(roc_auc_score(y, logits[:, 1] - logits[:, 0]), abs=0.01)


def test_auc_metric_config_round_trip():
    copy = FakeAUC.from_config(FakeAUC(name="val").get_config())
    copy.update_state(np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert float(copy.result()) == pytest.approx(1)
    assert copy.name == "val"
