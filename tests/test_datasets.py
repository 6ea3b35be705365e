"""Loaders: each sample once per epoch, the same numbers for the same seed, whatever the threads."""

from collections import Counter

import keras
import numpy as np
import pytest

from dfutils import InputError
from dfutils.audio import load_audio
from dfutils.batches import ManifestSequence
from dfutils.crops import resize_image
from dfutils.datasets import FaceSequence, LfccSequence
from dfutils.images import read_image
from dfutils.lfcc import lfcc, lfcc_image
from dfutils.voice_input import VoiceInput

SMALL = (24, 20)


def row_of(image):
    """Which row of ``face_manifest`` a plain picture comes from."""
    return round((float(image.mean()) - 20) / 30)


def epoch_rows(data):
    return [[row_of(image) for image in data[index][0]] for index in range(len(data))]


def flat(batches):
    return [row for batch in batches for row in batch]


class Counting(FaceSequence):
    """Counts every row that is loaded, by epoch."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = Counter()

    def load(self, row, seed):
        self.seen[self.epoch, row] += 1
        return super().load(row, seed)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 32])
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_sample_once_per_epoch(face_manifest, batch_size, shuffle):
    data = FaceSequence(face_manifest, SMALL, batch_size=batch_size, shuffle=shuffle)
    batches = epoch_rows(data)
    assert len(data) == -(-7 // batch_size)
    assert sorted(flat(batches)) == list(range(7))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(data) - 1)
    assert len(batches[-1]) == (7 % batch_size or batch_size)  # the short last batch


def test_labels_belong_to_their_pictures(face_manifest):
    data = FaceSequence(face_manifest, SMALL, batch_size=4, shuffle=True)
    for index in range(len(data)):
        images, labels = data[index]
        assert [row_of(image) % 2 for image in images] == labels.tolist()
        assert labels.dtype == np.int32


def test_without_shuffling_the_order_is_the_manifests(face_manifest):
    data = FaceSequence(face_manifest, SMALL, batch_size=3)
    assert flat(epoch_rows(data)) == list(range(7))
    data.on_epoch_end()
    assert flat(epoch_rows(data)) == list(range(7))
    np.testing.assert_array_equal(data.labels, face_manifest["label"])


def test_order_depends_on_seed_and_epoch_only(face_manifest):
    def order(seed, epoch):
        data = FaceSequence(face_manifest, SMALL, shuffle=True, seed=seed)
        data.set_epoch(epoch)
        return tuple(flat(epoch_rows(data)))

    assert order(1, 0) == order(1, 0)
    assert len({order(1, epoch) for epoch in range(6)} | {order(2, 0)}) == 7


def test_set_epoch_reproduces_what_passing_epochs_gave(textured_manifest):
    walked = FaceSequence(textured_manifest, SMALL, "thesis", shuffle=True, batch_size=2)
    batches = []
    for _ in range(3):
        batches = [walked[index][0] for index in range(len(walked))]
        walked.on_epoch_end()
    jumped = FaceSequence(textured_manifest, SMALL, "thesis", shuffle=True, batch_size=2)
    jumped.set_epoch(2)
    for index, images in enumerate(batches):
        np.testing.assert_array_equal(images, jumped[index][0])


def test_faces_are_float32_0_to_255_rgb(textured_manifest):
    data = FaceSequence(textured_manifest, (30, 26), batch_size=2)
    images, labels = data[0]
    assert images.shape == (2, 30, 26, 3)
    assert images.dtype == np.float32
    assert labels.shape == (2,)
    assert images.min() >= 0
    assert 150 < images.max() <= 255
    expected = resize_image(read_image(textured_manifest["path"][1]), (30, 26))
    np.testing.assert_array_equal(images[1], expected)


def test_lfcc_pictures_are_float32_0_to_1(voice_manifest):
    data = LfccSequence(voice_manifest, VoiceInput(size_hw=(48, 40)), batch_size=2)
    images, labels = data[0]
    assert images.shape == (2, 48, 40, 3)
    assert images.dtype == np.float32
    assert images.min(axis=(1, 2, 3)).tolist() == [0, 0]
    assert images.max(axis=(1, 2, 3)).tolist() == [1, 1]
    assert labels.tolist() == [0, 1]
    audio = load_audio(voice_manifest["path"][1])
    expected = lfcc_image(lfcc(audio / np.abs(audio).max()), (48, 40))
    np.testing.assert_allclose(images[1], expected, atol=1e-4)
    assert LfccSequence(voice_manifest, batch_size=1)[0][0].shape == (1, 224, 224, 3)


@pytest.mark.parametrize("augmentation", ["thesis", "channel"])
def test_windows_are_random_in_training_and_the_middle_otherwise(voice_manifest, augmentation):
    half_second = VoiceInput(seconds=0.5, size_hw=(20, 51))
    fixed = LfccSequence(voice_manifest, half_second, batch_size=1)
    first = fixed[4][0]
    fixed.set_epoch(3)
    np.testing.assert_array_equal(first, fixed[4][0])
    audio = load_audio(voice_manifest["path"][4])
    middle = audio[(audio.size - 8000) // 2 :][:8000]
    expected = lfcc_image(lfcc(middle / np.abs(middle).max()), (20, 51))
    np.testing.assert_allclose(first[0], expected, atol=1e-4)
    training = LfccSequence(voice_manifest, half_second, augmentation, batch_size=1)
    different = set()
    for epoch in range(5):
        training.set_epoch(epoch)
        different.add(training[4][0].tobytes())
    assert len(different) == 5


@pytest.mark.parametrize("features", ["static", "dynamic", "all"])
def test_kinds_of_features_give_different_pictures(voice_manifest, features):
    image = LfccSequence(voice_manifest, VoiceInput(features, size_hw=(60, 60)), batch_size=1)[0][0]
    static = LfccSequence(voice_manifest, VoiceInput(size_hw=(60, 60)), batch_size=1)[0][0]
    assert (np.abs(image - static).max() == 0) == (features == "static")


def through_keras(data):
    """The batches that Keras hands to a model, with the data's own threads, two epochs."""
    if keras.backend.backend() == "jax":
        pytest.skip("with JAX a training step is compiled: it cannot keep what it is given")
    received = []

    class Collect(keras.Model):
        def train_step(self, batch):
            received.append(tuple(keras.ops.convert_to_numpy(part) for part in batch))
            return {"loss": 0.0}

        def call(self, inputs):
            return keras.ops.mean(inputs, axis=(1, 2, 3))

    model = Collect()
    model.compile(run_eagerly=True, optimizer="sgd", loss="mse")
    model.fit(data, epochs=2, shuffle=False, verbose=0)
    return received


@pytest.mark.parametrize("kind", ["faces", "voices"])
def test_threads_do_not_change_the_batches(kind, textured_manifest, voice_manifest):
    def batches(workers):
        options = {"augmentation": "thesis", "shuffle": True, "seed": 5, "batch_size": 2, "workers": workers}
        if kind == "faces":
            return through_keras(FaceSequence(textured_manifest, (32, 32), **options))
        return through_keras(LfccSequence(voice_manifest, VoiceInput(size_hw=(32, 32)), **options))

    one, two = batches(1), batches(2)
    assert len(one) == len(two) == 6
    for (images, labels), (expected, expected_labels) in zip(two, one):
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, expected_labels)
    assert not np.array_equal(one[0][0], one[3][0])  # the second epoch is augmented anew


@pytest.mark.parametrize("workers", [1, 2])
def test_keras_sees_each_sample_once_per_epoch(face_manifest, workers):
    data = Counting(face_manifest, SMALL, shuffle=True, batch_size=2, workers=workers)
    received = through_keras(data)
    for epoch in range(2):
        rows = [row_of(image) for images, _ in received[4 * epoch : 4 * epoch + 4] for image in images]
        assert sorted(rows) == list(range(7))
    second = {row: count for (epoch, row), count in data.seen.items() if epoch == 1}
    assert second == dict.fromkeys(range(7), 1)  # in the first, Keras looks at some batches for their shape


def test_oversampled_rows_are_augmented_differently(textured_manifest):
    twice = textured_manifest.iloc[[0, 0, 0, 0]]
    images, _ = FaceSequence(twice, SMALL, "thesis", batch_size=4)[0]
    assert len({image.tobytes() for image in images}) > 1


def test_processes_are_never_used(face_manifest):
    assert FaceSequence(face_manifest, SMALL).use_multiprocessing is False


def test_missing_file_is_named(face_manifest):
    gone = face_manifest.assign(path=face_manifest["path"] + ".gone")
    with pytest.raises(InputError, match=r"0\.png\.gone.*does not exist"):
        FaceSequence(gone, SMALL)[0]
    with pytest.raises(InputError, match=r"0\.png\.gone.*does not exist"):
        LfccSequence(gone)[0]


def test_errors(face_manifest):
    with pytest.raises(InputError, match="no rows"):
        FaceSequence(face_manifest.iloc[:0], SMALL)
    with pytest.raises(InputError, match=r"batch_size.*0"):
        FaceSequence(face_manifest, SMALL, batch_size=0)
    with pytest.raises(InputError, match="'strong'"):
        FaceSequence(face_manifest, SMALL, augmentation="strong")
    with pytest.raises(IndexError, match="batch 9 of 1"):
        FaceSequence(face_manifest, SMALL)[9]
    with pytest.raises(TypeError, match="how to load"):
        ManifestSequence(face_manifest)[0]


def test_iterating_ends(face_manifest):
    data = FaceSequence(face_manifest, SMALL, batch_size=3)
    assert sum(len(labels) for _, labels in (data[index] for index in range(len(data)))) == 7


def test_softening_touches_reals_only_and_a_share_of_them(textured_manifest):
    table = textured_manifest.loc[np.repeat(textured_manifest.index, 40)].reset_index(drop=True)
    plain = FaceSequence(table, (64, 64))
    soft = FaceSequence(table, (64, 64), soften_reals=0.3)
    changed = np.array(
        [not np.array_equal(plain.load(row, row), soft.load(row, row)) for row in range(len(table))]
    )
    assert not changed[table["label"] == 1].any()
    assert 0.15 < changed[table["label"] == 0].mean() < 0.45
    row = int(np.flatnonzero(changed)[0])
    np.testing.assert_array_equal(soft.load(row, row), soft.load(row, row))
    sharpness = [np.abs(np.diff(data.load(row, row), axis=0)).mean() for data in (plain, soft)]
    assert sharpness[1] < sharpness[0]
    with pytest.raises(InputError, match=r"0\.\.1"):
        FaceSequence(table, soften_reals=1.5)
