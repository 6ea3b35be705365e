"""Adversarial training: it helps under attack, changes what it may change, and is not done twice."""

import numpy as np
import pandas as pd
import pytest

from dfutils import InputError
from dfutils.adversarial import pgd
from dfutils.backend import keras
from dfutils.bundles import Bundle
from dfutils.calibration import Calibration
from dfutils.datasets import FaceSequence
from dfutils.hardening import harden
from dfutils.images import write_image
from dfutils.metrics import auc
from dfutils.model_config import ModelConfig
from dfutils.training import predict_logits

SIZE_HW = (16, 16)
CONFIG = ModelConfig("video", "EfficientNetV2B0", SIZE_HW)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Fakes are a little brighter as a whole; a faint pattern tells the label too, and tells it better.

    A model that looks at the pattern can be fooled by as faint a noise; the brightness of all pixels is
    as easily attacked, but is seen in the middle of the picture, where it is strong.
    """
    folder, generator, rows = tmp_path_factory.mktemp("faces"), np.random.default_rng(0), []
    pattern = np.where(np.indices(SIZE_HW).sum(0) % 2, 1.0, -1.0)[..., None]
    for number in range(96):
        label = number % 2
        image = np.full((*SIZE_HW, 3), 120.0) + generator.normal(0, 1, (*SIZE_HW, 3))
        image += (2 * label - 1) * 2 * pattern
        image[6:10, 6:10] += (2 * label - 1) * generator.uniform(10, 30)
        path = folder / f"{number}.png"
        write_image(path, image.round().clip(0, 255).astype(np.uint8))
        rows.append({"path": str(path), "label": label, "person": f"p{number % 8}", "dataset": "drawn"})
    return pd.DataFrame(rows).assign(split="train", source=[str(k) for k in range(96)], method="drawn")


def make_bundle(faces):
    """Train a small network of the same build as ours: backbone, dropout, logits."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = keras.Input((*SIZE_HW, 3))
    backbone = keras.Sequential(
        [keras.Input((*SIZE_HW, 3)), layers.Rescaling(1 / 64, -2), layers.Flatten(), layers.Dense(8, "relu")],
        name="backbone",
    )
    outputs = layers.Dense(2, name="logits")(layers.Dropout(0.0, name="dropout")(backbone(inputs)))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    model.fit(FaceSequence(faces, SIZE_HW, batch_size=16, shuffle=True), epochs=10, verbose=0)
    return Bundle(model, CONFIG, {}, Calibration(), {}, "0" * 64)


def loader(faces):
    return FaceSequence(faces, SIZE_HW, batch_size=8, shuffle=True)


def auc_under_attack(model, faces, epsilon):
    images = np.concatenate([batch for batch, _ in iter_batches(faces)])
    attacked = pgd(model, images, faces["label"].to_numpy(), epsilon, n_steps=10)
    return auc(faces["label"], predict_logits(model, attacked, progress=False))


def iter_batches(faces):
    data = FaceSequence(faces, SIZE_HW, batch_size=16)
    return (data[number] for number in range(len(data)))


def test_what_is_hardened_stands_more_and_is_kept(faces, tmp_path):
    bundle = make_bundle(faces)
    clean = auc(faces["label"], predict_logits(bundle.model, FaceSequence(faces, SIZE_HW), progress=False))
    before = auc_under_attack(bundle.model, faces, 4.0)
    assert clean > 0.99
    assert before < 0.7  # the attack works, or there is nothing to defend
    repeated = pd.concat([faces] * 12, ignore_index=True)
    hard = harden(bundle, loader(repeated), 4.0, learning_rate=3e-3, progress=False, folder=tmp_path)
    after = auc_under_attack(hard.model, faces, 4.0)
    assert after > before + 0.2
    assert hard.sha256 != bundle.sha256
    kept = [value.copy() for value in hard.model.get_weights()]
    again = harden(make_bundle(faces), loader(repeated), 4.0, learning_rate=3e-3, folder=tmp_path)
    assert again.sha256 == hard.sha256
    assert len(list(tmp_path.glob("*"))) == 1
    for ours, theirs in zip(kept, again.model.get_weights()):
        np.testing.assert_array_equal(ours, theirs)
    harden(make_bundle(faces), loader(faces), 1.0, progress=False, folder=tmp_path)
    assert len(list(tmp_path.glob("*"))) == 2  # other settings, another training


@pytest.mark.parametrize("layers", ["all", "head"])
def test_only_what_is_asked_for_learns(faces, layers):
    bundle = make_bundle(faces)
    before = [value.copy() for value in bundle.model.get_weights()]
    harden(bundle, loader(faces), 2.0, layers, progress=False)
    changed = [not np.array_equal(*pair) for pair in zip(before, bundle.model.get_weights())]
    assert changed == [layers == "all"] * 2 + [True] * 2


def test_what_makes_no_sense_is_refused(faces):
    bundle = make_bundle(faces.iloc[:16])
    with pytest.raises(InputError, match="layers"):
        harden(bundle, loader(faces), layers="some")
    with pytest.raises(InputError, match="epsilon"):
        harden(bundle, loader(faces), epsilon=0.0)
    voice = Bundle(bundle.model, ModelConfig("audio", "MobileNetV2", (40, 224)), {}, sha256="1" * 64)
    with pytest.raises(InputError, match="voice"):
        harden(voice, loader(faces))
    with pytest.raises(InputError, match="sha256"):
        harden(Bundle(bundle.model, CONFIG, {}), loader(faces))
