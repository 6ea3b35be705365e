"""Training: learning, resuming, caching features, sharing a head, waking a random backbone."""

import itertools
import os
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from media import tiny_backbone

from dfutils import InputError
from dfutils.batches import ArraySequence
from dfutils.datasets import FaceSequence
from dfutils.features import adapt_batch_norm, backbone_features, head_of, measure_speed_up
from dfutils.metrics import auc
from dfutils.models import ModelConfig, build_model, compile_model, get_backbone
from dfutils.training import fine_tune, fit, predict_logits

SMALL = (12, 10)


def cloud(n=160, seed=0):
    """Two clouds that a line separates."""
    labels = np.arange(n) % 2
    points = np.random.default_rng(seed).normal(size=(n, 3)) + np.where(labels[:, None], 1.5, -1.5)
    return points.astype(np.float32), labels.astype(np.int32)


def line(learning_rate=0.05, seed=1):
    """Two logits from three numbers."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.RMSprop(learning_rate), loss, metrics=["accuracy"])
    return model


def picture_model(seed=1):
    """Two logits from a tiny picture, without any random layer."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((*SMALL, 3)),
            keras.layers.Rescaling(1 / 128, -1.0),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    model.compile(
        keras.optimizers.RMSprop(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


class Recording(FaceSequence):
    """Remembers which rows were loaded in which epoch."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.loaded = []

    def load(self, row, seed):
        self.loaded.append((self.epoch, row))
        return super().load(row, seed)


class Interrupted(RuntimeError):
    """Stands for a crash."""


def interrupt_at(monkeypatch, epoch, batch=0):
    """Let the training crash in the given epoch and batch."""
    original = keras.callbacks.EarlyStopping.__init__

    def init(self, *args, **options):
        original(self, *args, **options)
        self._epoch = -1

    def on_epoch_begin(self, number, logs=None):
        self._epoch = number

    def on_train_batch_end(self, number, logs=None):
        if self._epoch == epoch and number == batch:
            raise Interrupted

    monkeypatch.setattr(keras.callbacks.EarlyStopping, "__init__", init)
    monkeypatch.setattr(keras.callbacks.EarlyStopping, "on_epoch_begin", on_epoch_begin, raising=False)
    monkeypatch.setattr(
        keras.callbacks.EarlyStopping, "on_train_batch_end", on_train_batch_end, raising=False
    )


def test_it_learns(tmp_path):
    model = line()
    history = fit(model, cloud(), cloud(seed=1), 6, tmp_path, progress=False)
    assert history["epoch"].tolist() == list(range(6))
    assert {"loss", "val_loss", "accuracy", "val_accuracy"} <= set(history.columns)
    assert history["val_loss"].iloc[-1] < 0.5 * history["val_loss"].iloc[0]
    points, labels = cloud(seed=2)
    assert ((predict_logits(model, points) > 0) == labels).mean() > 0.95
    pd.testing.assert_frame_equal(history, pd.read_csv(tmp_path / "history.csv"))


def mirrored(points, labels):
    """Validation that gets worse the more is learnt."""
    return points, 1 - labels


def test_the_best_weights_come_back(tmp_path):
    model = line()
    validation = mirrored(*cloud(seed=1))
    history = fit(model, cloud(), validation, 4, tmp_path, patience=None, progress=False)
    assert history["val_loss"].is_monotonic_increasing
    assert history["val_loss"].iloc[-1] > 1.2 * history["val_loss"].iloc[0]
    assert model.evaluate(*validation, verbose=0)[0] == pytest.approx(history["val_loss"].iloc[0], rel=1e-4)


def test_early_stopping(tmp_path):
    history = fit(line(), cloud(), mirrored(*cloud(seed=1)), 60, tmp_path, patience=2, progress=False)
    assert len(history) == 3  # the first was the best


def test_monitoring_accuracy_wants_more(tmp_path):
    model = line(0.002)
    history = fit(model, cloud(40), cloud(seed=1), 6, tmp_path, monitor="val_accuracy", progress=False)
    assert model.evaluate(*cloud(seed=1), verbose=0)[1] == pytest.approx(history["val_accuracy"].max())


def test_a_finished_folder_is_only_loaded(tmp_path):
    model = line()
    history = fit(model, cloud(), cloud(seed=1), 3, tmp_path, progress=False)
    other = line(seed=9)
    other.fit = None  # calling it would fail
    again = fit(other, cloud(), cloud(seed=1), 3, tmp_path, progress=False)
    pd.testing.assert_frame_equal(again, history)
    for expected, found in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(found, expected)
    assert not (tmp_path / "backup").exists() or not list((tmp_path / "backup").iterdir())


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_training_ends_as_the_undisturbed_one(face_manifest, tmp_path, monkeypatch, workers):
    """Same epochs, same order of the samples, same losses, same weights."""

    def data():
        return Recording(face_manifest, SMALL, "flip", batch_size=2, shuffle=True, workers=workers)

    def train(model, train_data, folder):
        validation = FaceSequence(face_manifest, SMALL, batch_size=4, workers=workers)
        return fit(model, train_data, validation, 5, tmp_path / folder, patience=9, progress=False)

    undisturbed = picture_model()
    expected = train(undisturbed, data(), "a")
    with monkeypatch.context() as patch:
        interrupt_at(patch, epoch=2, batch=1)
        with pytest.raises(Interrupted):
            train(picture_model(), data(), "b")
    resumed, rest = picture_model(seed=77), data()
    history = train(resumed, rest, "b")
    assert history["epoch"].tolist() == expected["epoch"].tolist() == [0, 1, 2, 3, 4]
    assert {epoch for epoch, _ in rest.loaded if epoch} == {2, 3, 4}
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], expected["val_loss"], rtol=1e-5)
    for want, found in zip(undisturbed.get_weights(), resumed.get_weights()):
        np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)


def with_dropout(seed=1):
    """Two logits from three numbers, and random numbers of its own."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential([keras.Input((3,)), layers.Dense(8), layers.Dropout(0.5), layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(0.05), loss, metrics=["accuracy"])
    return model


def test_arrays_dropout_and_patience_are_taken_up_too(tmp_path, monkeypatch):
    """The same bits, and the same end: patience counts from the best epoch, not from the interruption."""
    validation = mirrored(*cloud(seed=1))  # gets worse, the first epoch being the best
    runs = []
    for folder, epochs in (("a", ()), ("b", (1, 2, 3))):
        for epoch in epochs:
            with monkeypatch.context() as patch:
                interrupt_at(patch, epoch, batch=2)
                with pytest.raises(Interrupted):
                    fit(with_dropout(), cloud(), validation, 60, tmp_path / folder, 4, progress=False)
        model = with_dropout()
        history = fit(model, cloud(), validation, 60, tmp_path / folder, 4, progress=False)
        runs.append((history, model.get_weights()))
    assert len(runs[0][0]) == 5
    pd.testing.assert_frame_equal(runs[1][0], runs[0][0])
    for expected, found in zip(runs[0][1], runs[1][1]):
        np.testing.assert_array_equal(found, expected)


def test_an_end_that_was_not_recorded_is_no_reason_to_train_again(tmp_path, monkeypatch):
    """Killed after the last epoch, before it said so."""
    with monkeypatch.context() as patch:
        patch.setattr("dfutils.training._load_quietly", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(line(), cloud(), cloud(seed=1), 2, tmp_path, progress=False)
    assert not (tmp_path / "done.json").exists()
    model = line(seed=9)
    model.fit = None  # calling it would fail
    history = fit(model, cloud(), cloud(seed=1), 2, tmp_path, progress=False)
    assert model.evaluate(*cloud(seed=1), verbose=0)[0] == pytest.approx(history["val_loss"].min(), rel=1e-4)
    assert not (tmp_path / "state.npz").exists()


@pytest.mark.parametrize("file", ["best.weights.h5", "state.npz", "history.csv"])
def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path, monkeypatch, file):
    """Wherever writing stops, the run goes on and ends as an undisturbed one."""
    expected = fit(line(), cloud(), cloud(seed=1), 3, tmp_path / "a", progress=False)
    replace, seen = os.replace, []

    def break_off(source, target):
        seen.append(Path(target).name)
        if seen.count(file) == 2:  # in the second epoch
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("dfutils.paths.os.replace", break_off)
        with pytest.raises(InputError, match=rf"{file}: cannot be written \(no space left on device"):
            fit(line(), cloud(), cloud(seed=1), 3, tmp_path / "b", progress=False)
    again = fit(line(seed=5), cloud(), cloud(seed=1), 3, tmp_path / "b", progress=False)
    pd.testing.assert_frame_equal(again, expected)


def test_batches_of_arrays():
    points, labels = cloud(70)
    data = ArraySequence(points, labels, seed=3)
    assert [len(data[index][0]) for index in range(len(data))] == [32, 32, 6]
    orders = []
    for _ in range(2):
        drawn = np.concatenate([data[index][0] for index in range(len(data))])
        np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(points, axis=0))
        orders.append(drawn)
        data.on_epoch_end()
    assert not np.array_equal(*orders)
    data.set_epoch(1)
    np.testing.assert_array_equal(data[0][0], orders[1][:32])
    data.least = 7  # a device of seven would go without
    assert [len(data[index][0]) for index in range(len(data))] == [32, 38]
    with pytest.raises(InputError, match="no rows"):
        ArraySequence(points[:0], labels[:0])


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


class Watching(keras.Model):
    """Remembers the rows of ``face_manifest`` that it is really given, batch by batch."""

    def __init__(self):
        if keras.backend.backend() == "jax":
            pytest.skip("with JAX a training step is compiled: it cannot keep what it is given")
        super().__init__()
        self.head = keras.layers.Dense(2)
        self.seen = []
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.compile("rmsprop", loss, run_eagerly=True)
        self(np.zeros((1, *SMALL, 3), np.float32))

    def call(self, inputs):
        return self.head(keras.ops.mean(inputs, axis=(1, 2)) / 255)

    def train_step(self, batch):
        self.seen.append([round((float(keras.ops.mean(image)) - 20) / 30) for image in batch[0]])
        return super().train_step(batch)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_resumed_epoch_sees_each_sample_once(face_manifest, tmp_path, monkeypatch, workers):
    def run(folder):
        model = Watching()
        train = FaceSequence(face_manifest, SMALL, batch_size=2, shuffle=True, workers=workers)
        validation = FaceSequence(face_manifest, SMALL)
        fit(model, train, validation, 3, tmp_path / folder, progress=False)
        return [flat(model.seen[start : start + 4]) for start in range(0, len(model.seen), 4)]

    undisturbed = run("undisturbed")
    assert [Counter(rows) for rows in undisturbed] == [Counter(range(7))] * 3
    with monkeypatch.context() as patch:
        interrupt_at(patch, epoch=1)
        with pytest.raises(Interrupted):
            run("broken")
    resumed = run("broken")
    assert [Counter(rows) for rows in resumed] == [Counter(range(7))] * 2
    assert resumed == undisturbed[1:]


def test_the_loader_decides_the_order(face_manifest, tmp_path):
    """Keras shuffles batches by the global generator unless told not to; then nothing repeats."""
    model = Watching()
    data = FaceSequence(face_manifest, SMALL, batch_size=1, shuffle=False)
    fit(model, data, FaceSequence(face_manifest, SMALL), 2, tmp_path, progress=False)
    assert flat(model.seen) == [*range(7), *range(7)]


def test_best_weights_from_before_an_interruption_are_kept(tmp_path, monkeypatch):
    """The best epoch lies before the crash: a worse one after it must not replace it."""
    train, validation = cloud(40), cloud(seed=1)
    with monkeypatch.context() as patch:
        interrupt_at(patch, epoch=3)
        with pytest.raises(Interrupted):
            fit(line(0.05), train, validation, 6, tmp_path, patience=9, progress=False)
    history = pd.read_csv(tmp_path / "history.csv")
    assert len(history) == 3
    model = line(1000.0)
    whole = fit(model, train, validation, 4, tmp_path, patience=9, progress=False)
    assert len(whole) == 4
    found = model.evaluate(*validation, verbose=0)[0]
    assert found == pytest.approx(whole["val_loss"].min(), rel=1e-4)


def test_class_weights_count(tmp_path):
    points, labels = cloud()
    balanced, tilted = line(), line()
    fit(balanced, (points, labels), cloud(seed=1), 2, tmp_path / "a", progress=False)
    fit(
        tilted,
        (points, labels),
        cloud(seed=1),
        2,
        tmp_path / "b",
        class_weight={0: 0.02, 1: 5.0},
        progress=False,
    )
    assert predict_logits(tilted, points).mean() > predict_logits(balanced, points).mean() + 0.1


def test_training_that_diverges_is_reported(tmp_path):
    points, labels = cloud()
    with pytest.raises(InputError, match=r"no finite val_loss.*learning rate"):
        fit(line(), (points * np.nan, labels), (points * np.nan, labels), 3, tmp_path, progress=False)


def test_progress_bar_does_not_disturb(tmp_path, capsys):
    history = fit(line(), cloud(), cloud(seed=1), 2, tmp_path, progress=True)
    assert len(history) == 2


# ------------------------------------------------------------------ predictions


def test_logit_margins_come_in_the_manifests_order(face_manifest):
    model = picture_model()
    data = FaceSequence(face_manifest, SMALL, batch_size=3)
    found = predict_logits(model, data, progress=False)
    images = np.concatenate([data[index][0] for index in range(len(data))])
    logits = keras.ops.convert_to_numpy(model(images)).astype(np.float64)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, logits[:, 1] - logits[:, 0], atol=1e-5)
    assert len(set(found.round(4))) == 7
    np.testing.assert_allclose(predict_logits(model, images), found, atol=1e-5)
    np.testing.assert_allclose(predict_logits(model, data, progress=True), found, atol=1e-5)


def test_shuffled_data_is_refused(face_manifest, tmp_path):
    with pytest.raises(InputError, match="is shuffled"):
        predict_logits(picture_model(), FaceSequence(face_manifest, SMALL, shuffle=True))


# ------------------------------------------------------------------ backbone


@pytest.fixture(scope="module")
def config():
    return ModelConfig(kind="video", backbone="MobileNetV2", size_hw=(32, 32), hidden_units=8, dropout=0.0)


@pytest.fixture(scope="module")
def deep(config):
    keras.utils.set_random_seed(5)
    return compile_model(build_model(config, None), config, 0.01)


@pytest.fixture
def crops(textured_manifest):
    return FaceSequence(textured_manifest, (32, 32), batch_size=3)


def test_features_are_cached(deep, crops, tmp_path, monkeypatch):
    features, labels = backbone_features(deep, crops, tmp_path, progress=False)
    assert features.shape == (5, 1280)
    assert features.dtype == np.float32
    assert labels.tolist() == crops.labels.tolist()
    images = np.concatenate([crops[index][0] for index in range(len(crops))])
    expected = np.asarray(get_backbone(deep)(images / 127.5 - 1))
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert len(list(tmp_path.glob("features-*.npz"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "predict_on_batch", None)  # computing again would fail
        again, _ = backbone_features(deep, crops, tmp_path, progress=False)
    np.testing.assert_array_equal(again, features)


def test_cache_notices_every_change(deep, crops, textured_manifest, tmp_path, monkeypatch):
    """Whether a new entry is made; what goes in is another test's business."""
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda self, images: np.zeros((len(images), 1280)))

    def entries(data):
        backbone_features(deep, data, tmp_path, progress=False)
        return len(list(tmp_path.glob("features-*.npz")))

    assert entries(crops) == 1
    assert entries(crops) == 1
    assert entries(FaceSequence(textured_manifest.iloc[:4], (32, 32), batch_size=3)) == 2
    weight = get_backbone(deep).weights[0]
    kept = keras.ops.convert_to_numpy(weight)
    weight.assign(kept * 1.01)
    assert entries(crops) == 3
    weight.assign(kept)
    assert entries(crops) == 3
    path = Path(textured_manifest["path"][0])
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))  # as if written anew
    assert entries(crops) == 4


def test_features_come_in_blocks_that_an_interruption_keeps(deep, crops, tmp_path, monkeypatch):
    """Two batches in blocks of one: the second fails, and only that is computed again."""
    whole, _ = backbone_features(deep, crops, tmp_path / "a", progress=False)
    predict, calls = keras.Model.predict_on_batch, []

    def break_off(self, images):
        calls.append(len(images))
        if len(calls) == 2:
            raise Interrupted
        return predict(self, images)

    monkeypatch.setattr(keras.Model, "predict_on_batch", break_off)
    with pytest.raises(Interrupted):
        backbone_features(deep, crops, tmp_path / "b", progress=False, block_batches=1)
    assert len(list((tmp_path / "b").glob("parts-*/*.npz"))) == 1
    features, labels = backbone_features(deep, crops, tmp_path / "b", progress=False, block_batches=1)
    assert len(calls) == 3
    np.testing.assert_allclose(features, whole, rtol=1e-6, atol=1e-6)
    assert labels.tolist() == crops.labels.tolist()
    assert [path.suffix for path in (tmp_path / "b").iterdir()] == [".npz"]


def test_features_of_what_changes_cannot_be_cached(deep, textured_manifest, tmp_path):
    for options in ({"shuffle": True}, {"augmentation": "flip"}):
        with pytest.raises(InputError, match="without shuffling and augmentation"):
            backbone_features(deep, FaceSequence(textured_manifest, (32, 32), **options), tmp_path)


def test_fine_tuning_moves_the_backbone_and_keeps_the_best_epoch(textured_manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("dfutils.models.build_backbone", tiny_backbone)
    keras.utils.set_random_seed(2)
    config = ModelConfig("video", "EfficientNetV2B0", (32, 32), hidden_units=0, dropout=0.0)
    model = build_model(config, None)
    before = [weights.copy() for weights in get_backbone(model).get_weights()]
    train = FaceSequence(textured_manifest, (32, 32), batch_size=2, shuffle=True)
    held_out = FaceSequence(textured_manifest, (32, 32), batch_size=5)
    history = fine_tune(model, config, train, held_out, 30, tmp_path, 1e-2, "adamw")
    assert len(history) == 30
    after = get_backbone(model).get_weights()
    assert any(np.abs(old - new).max() > 1e-4 for old, new in zip(before, after))
    margins = predict_logits(model, held_out)
    assert history["val_auc"].max() > 0.9
    assert auc(held_out.labels, margins) == pytest.approx(history["val_auc"].max(), abs=0.01)


def test_the_cache_is_measurably_faster(deep, crops, tmp_path):
    cached, _ = backbone_features(deep, crops, tmp_path, progress=False)
    speed = measure_speed_up(deep, crops, cached)
    assert speed["speed_up"] == pytest.approx(speed["backbone_ms"] / speed["cached_ms"])
    assert speed["speed_up"] > 1


def test_head_shares_its_weights(deep, config, crops, tmp_path):
    adapt_batch_norm(deep, crops, 2)
    head = compile_model(head_of(deep), config, 0.01)
    features, labels = backbone_features(deep, crops, tmp_path, progress=False)
    np.testing.assert_allclose(
        predict_logits(head, features), predict_logits(deep, crops, progress=False), atol=1e-4
    )
    before = predict_logits(deep, crops, progress=False)
    head.fit(features, labels, epochs=10, verbose=0)
    after = predict_logits(deep, crops, progress=False)
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(predict_logits(head, features), after, atol=1e-4)


def test_adapting_batch_norm_wakes_a_random_backbone(config, crops):
    keras.utils.set_random_seed(6)
    model = build_model(config, None)
    images = np.concatenate([crops[index][0] for index in range(len(crops))])
    inner = get_backbone(model)
    norms = [layer for layer in inner.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    asleep = np.asarray(inner(images / 127.5 - 1))
    adapt_batch_norm(model, crops)
    awake = np.asarray(inner(images / 127.5 - 1))
    assert np.isfinite(awake).all()
    assert awake.std(axis=0).mean() > 20 * asleep.std(axis=0).mean()
    assert (awake.std(axis=0) > 0.01).mean() > 0.3
    assert (asleep.std(axis=0) > 0.01).mean() < 0.1
    assert [norm.momentum for norm in norms] == momenta
    assert not inner.trainable_weights


def test_adapted_statistics_are_those_of_the_data(config, crops):
    model = build_model(config, None)
    adapt_batch_norm(model, crops, n_batches=len(crops))
    inner = get_backbone(model)
    convolution, norm = inner.get_layer("Conv1"), inner.get_layer("bn_Conv1")
    batches = [np.asarray(convolution(crops[index][0] / 127.5 - 1)) for index in range(len(crops))]
    mean = np.mean([batch.mean(axis=(0, 1, 2)) for batch in batches], axis=0)
    variance = np.mean([batch.var(axis=(0, 1, 2)) for batch in batches], axis=0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(norm.moving_mean), mean, atol=1e-4)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(norm.moving_variance), variance, rtol=1e-3)


@pytest.mark.slow
def test_adapting_sends_pictures_through_the_same_scaling(crops):
    """ResNet50 wants blue first: the flip of channels must not be lost on the way."""
    model = build_model(ModelConfig(backbone="ResNet50", size_hw=(32, 32), hidden_units=4), None)
    adapt_batch_norm(model, crops, n_batches=1)
    inner = get_backbone(model)
    prepared = keras.applications.resnet.preprocess_input(crops[0][0].copy())
    activations = np.asarray(
        inner.get_layer("conv1_conv")(np.pad(prepared, ((0, 0), (3, 3), (3, 3), (0, 0))))
    )
    found = keras.ops.convert_to_numpy(inner.get_layer("conv1_bn").moving_mean)
    np.testing.assert_allclose(found, activations.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-2)
