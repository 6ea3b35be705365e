"""Augmentations: seeded, free of side effects, and of the strength that the thesis' arguments mean."""

import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from media import voice, write_sound

from dfutils import InputError
from dfutils.augment import FACE_PIPELINES, FaceAugmentation, _face_pipelines
from dfutils.augment_voice import VOICE_PIPELINES, VoiceAugmentation, mask_features

STRENGTHS = [name for name in FACE_PIPELINES if name != "none"]


@pytest.fixture(scope="module")
def face(portrait):
    return np.ascontiguousarray(portrait[40:240, 130:300])


def step(pipeline, kind):
    """One transform of a pipeline, by its class name, made to happen always."""
    found = next(item for item in _face_pipelines()[pipeline]() if type(item).__name__ == kind)
    found.p = 1
    return found


def apply(transform, image, seed=0):
    import albumentations as A

    compose = A.Compose([transform])
    compose.set_random_seed(seed)
    return compose(image=image)["image"]


# ------------------------------------------------------------------ faces


@pytest.mark.parametrize("name", FACE_PIPELINES)
def test_albumentations_understands_every_argument(name, face):
    """It ignores unknown arguments with no more than a warning."""
    _face_pipelines.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FaceAugmentation(name)(face, 0)


@pytest.mark.parametrize("name", STRENGTHS)
def test_same_seed_same_face(name, face):
    first, second = FaceAugmentation(name), FaceAugmentation(name)
    original = face.copy()
    for seed in (0, 7, 2**32 - 1):
        second(face, seed + 1 if seed < 2**32 - 1 else 3)  # history must not matter
        np.testing.assert_array_equal(first(face, seed), second(face, seed))
    np.testing.assert_array_equal(face, original)


@pytest.mark.parametrize(
    ("name", "n_least"),
    [("flip", 2), ("mirror", 1), *((name, 15) for name in STRENGTHS if name not in ("flip", "mirror"))],
)
def test_other_seeds_other_faces(name, n_least, face):
    augment = FaceAugmentation(name)
    results = {augment(face, seed).tobytes() for seed in range(30)}
    assert len(results) >= n_least
    assert all(augment(face, seed).shape == face.shape for seed in range(5))
    assert augment(face, 0).dtype == np.uint8


def test_mirror_always_mirrors(face):
    for seed in range(4):
        np.testing.assert_array_equal(FaceAugmentation("mirror")(face, seed), face[:, ::-1])


def test_none_changes_nothing(face):
    np.testing.assert_array_equal(FaceAugmentation("none")(face, 5), face)


def test_global_seeds_have_no_effect(face):
    augment = FaceAugmentation("thesis")
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    first = augment(face, 11)
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    np.testing.assert_array_equal(first, augment(face, 11))


def test_threads_give_the_same_faces(face):
    augment = FaceAugmentation("thesis")
    serial = [augment(face, seed) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(lambda seed: augment(face, seed), range(24)))
    for expected, found in zip(serial, parallel):
        np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize("shape", [(40, 36), (17, 90)])
def test_small_crops_pass(name, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    augment = FaceAugmentation(name)
    assert all(augment(image, seed).shape == image.shape for seed in range(12))


def test_noise_has_the_strength_of_the_thesis():
    """Variance 10..50 of 255, so a deviation of 3.2 to 7.1; today's default would give about 70."""
    grey = np.full((120, 120, 3), 128, np.uint8)
    noise = step("thesis", "GaussNoise")
    deviations = [(apply(noise, grey, seed).astype(float) - 128).std() for seed in range(20)]
    assert 3 <= min(deviations) < 4.5
    assert 5.5 < max(deviations) <= 7.3


def test_compression_stays_between_60_and_100(face):
    """The result must be one of the 41 pictures that JPEG of these qualities gives, or of that error."""
    cv2 = pytest.importorskip("cv2")

    def error(quality):
        _, data = cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.abs(cv2.imdecode(data, 1)[..., ::-1].astype(float) - face).mean()

    compression = step("thesis", "ImageCompression")
    assert compression.quality_range == (60, 100)
    errors = [np.abs(apply(compression, face, seed).astype(float) - face).mean() for seed in range(25)]
    assert error(100) * 0.9 <= min(errors) < error(90)
    assert error(70) < max(errors) <= error(60) * 1.1


def test_grid_dropout_blackens_a_part_in_a_grid(face):
    white = np.full((200, 200, 3), 255, np.uint8)
    result = apply(step("thesis", "GridDropout"), white)
    black = (result == 0).all(axis=-1)
    assert 0.15 < black.mean() < 0.45
    assert ((result == 0) | (result == 255)).all()
    changes = np.abs(np.diff(black.astype(int), axis=1)).sum(axis=1).max()
    assert changes >= 4  # several holes in a row
    five = apply(step("study-e-grid", "GridDropout"), white)
    rows = np.abs(np.diff((five == 0).all(axis=-1).any(axis=1).astype(int)))
    assert rows.sum() in (9, 10)  # five holes one above the other


def test_coarse_dropout_has_two_holes_of_64():
    white = np.full((224, 224, 3), 255, np.uint8)
    for seed in range(8):
        black = (apply(step("study-e-coarse", "CoarseDropout"), white, seed) == 0).all(axis=-1).sum()
        assert 64 * 64 <= black <= 2 * 64 * 64


@pytest.mark.parametrize(("pipeline", "degrees"), [("thesis", 45), ("study-e", 10)])
def test_shifting_leaves_a_black_border_and_stays_in_range(pipeline, degrees):
    white = np.full((160, 160, 3), 255, np.uint8)
    transform = step(pipeline, "Affine")
    results = [apply(transform, white, seed) for seed in range(20)]
    assert sum((result == 0).all(axis=-1).any() for result in results) > 12
    assert all(result[80, 80].tolist() == [255, 255, 255] for result in results)
    assert transform.rotate == (-degrees, degrees)
    # a full turn by 45° about the middle keeps pi/4-ish of the square; scale and shift take a little more
    least = min((result == 255).all(axis=-1).mean() for result in results)
    assert least > (0.55 if degrees == 45 else 0.7)


def test_shifting_keeps_proportions():
    """One scale for both axes, as ShiftScaleRotate had: a disc stays a disc."""
    y, x = np.mgrid[:200, :200]
    disc = np.repeat(((np.hypot(x - 100, y - 100) < 40) * 255).astype(np.uint8)[..., None], 3, axis=2)
    radii = []
    for seed in range(12):
        mask = apply(step("thesis", "Affine"), disc, seed)[..., 0] > 127
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert abs(np.ptp(rows) - np.ptp(columns)) <= 2
        radii.append((np.ptp(rows) + 1) / 2)
    assert 35 <= min(radii) < 39
    assert 41 < max(radii) <= 45


def test_probabilities_of_the_thesis_pipeline():
    found = [(type(item).__name__, item.p) for item in _face_pipelines()["thesis"]()]
    assert found == [
        ("ImageCompression", 0.4),
        ("GaussNoise", 0.1),
        ("HorizontalFlip", 0.5),
        ("OneOf", 0.7),
        ("Affine", 0.6),
        ("GridDropout", 0.2),
        ("ToGray", 0.1),
    ]


def test_flip_happens_half_of_the_time(face):
    augment = FaceAugmentation("flip")
    flipped = [np.array_equal(augment(face, seed), face[:, ::-1]) for seed in range(200)]
    kept = [np.array_equal(augment(face, seed), face) for seed in range(200)]
    assert sum(flipped) + sum(kept) == 200
    assert 70 <= sum(flipped) <= 130


def test_unknown_pipelines():
    with pytest.raises(InputError, match="'strong'"):
        FaceAugmentation("strong")
    with pytest.raises(InputError, match="'strong'"):
        VoiceAugmentation("strong")


# ------------------------------------------------------------------ voices


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with one decaying room response."""
    folder = tmp_path_factory.mktemp("rooms")
    t = np.arange(3200) / 16_000
    response = np.random.default_rng(0).standard_normal(3200) * np.exp(-25 * t) * 0.3
    response[0] = 1
    write_sound(folder / "room.wav", response / 3)
    return folder


@pytest.fixture(scope="module")
def augment(room):
    return VoiceAugmentation("thesis", room)


@pytest.fixture(scope="module")
def speech():
    return voice(0.8)


def test_same_seed_same_voice(augment, room, speech):
    other = VoiceAugmentation("thesis", room)
    original = speech.copy()
    for seed in (0, 5, 2**32 - 1):
        other(speech, 16_000, 99)
        np.testing.assert_array_equal(augment(speech, 16_000, seed), other(speech, 16_000, seed))
    np.testing.assert_array_equal(speech, original)


def test_other_seeds_other_voices(augment, speech):
    results = [augment(speech, 16_000, seed) for seed in range(16)]
    assert len({result.tobytes() for result in results}) > 8
    for result in results:
        assert result.shape == speech.shape
        assert result.dtype == np.float32
        assert np.abs(result).max() == pytest.approx(1, abs=1e-5)  # Normalize p 1


def test_threads_give_the_same_voices(augment, speech):
    serial = [augment(speech, 16_000, seed) for seed in range(10)]
    with ThreadPoolExecutor(4) as pool:
        parallel = list(pool.map(lambda seed: augment(speech, 16_000, seed), range(10)))
    for expected, found in zip(serial, parallel):
        np.testing.assert_array_equal(expected, found)


def test_global_random_state_is_left_alone(augment, speech):
    random.seed(12)
    np.random.seed(12)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(12)
    np.random.seed(12)  # noqa: NPY002
    for seed in range(3):
        augment(speech, 16_000, seed)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_global_random_state_survives_an_error(augment):
    random.seed(3)
    expected = random.random()
    random.seed(3)
    with pytest.raises(Exception, match=r".+"):
        augment(np.array(["no sound"]), 16_000, 1)
    assert random.random() == expected
    finished = threading.Event()
    thread = threading.Thread(target=lambda: (augment(voice(0.5), 16_000, 1), finished.set()))
    thread.start()
    thread.join(20)
    assert finished.is_set(), "the lock was not given back"


def test_evaluation_only_normalises_the_peak(speech):
    assert VOICE_PIPELINES == ("none", "thesis", "channel")
    result = VoiceAugmentation("none")(speech, 16_000, 4)
    np.testing.assert_allclose(result, speech / np.abs(speech).max(), atol=1e-6)


def test_a_channel_is_seeded_keeps_the_length_and_ends_as_clips_do(speech):
    augment = VoiceAugmentation("channel")
    one, again, other = (augment(speech, 16_000, seed) for seed in (3, 3, 5))
    np.testing.assert_array_equal(one, again)
    assert one.shape == other.shape == speech.shape
    assert one.dtype == np.float32
    assert np.abs(one).max() == pytest.approx(1)
    assert not np.allclose(one, other, atol=0.01)
    spectrum = np.abs(np.fft.rfft(one)) ** 2
    hz = np.fft.rfftfreq(one.size, 1 / 16_000)
    assert spectrum[hz > 7600].mean() < 0.01 * spectrum[(hz > 200) & (hz < 3000)].mean()


def test_silence_stays_silent():
    result = VoiceAugmentation("none")(np.zeros(8000, np.float32), 16_000, 0)
    assert not result.any()


def test_folder_without_room_responses(tmp_path):
    with pytest.raises(InputError, match="holds no impulse responses"):
        VoiceAugmentation("thesis", tmp_path)


# ------------------------------------------------------------------ masks


def test_masks_are_bands_of_rows_and_stripes_of_frames():
    features = np.random.default_rng(0).uniform(1, 2, (20, 100)).astype(np.float32)
    row_shares, frame_shares = [], []
    for seed in range(150):
        masked = mask_features(features, seed, p=1)
        zero = masked == 0
        rows, frames = np.flatnonzero(zero.all(axis=1)), np.flatnonzero(zero.all(axis=0))
        assert len(rows) <= 5
        assert len(frames) <= 15
        for band in (rows, frames):
            assert len(band) == 0 or np.ptp(band) == len(band) - 1
        expected = features.copy()
        expected[rows] = 0
        expected[:, frames] = 0
        np.testing.assert_array_equal(masked, expected)
        row_shares.append(len(rows))
        frame_shares.append(len(frames))
    assert set(row_shares) == {0, 1, 2, 3, 4, 5}
    assert max(frame_shares) == 15


def test_masks_are_seeded_and_leave_the_input_alone():
    features = np.ones((20, 100), np.float32)
    np.testing.assert_array_equal(mask_features(features, 3, p=1), mask_features(features, 3, p=1))
    assert len({mask_features(features, seed, p=1).tobytes() for seed in range(20)}) > 15
    assert features.all()


def test_chance_of_masks():
    features = np.ones((20, 100), np.float32)
    np.testing.assert_array_equal(mask_features(features, 1, p=0), features)
    untouched = sum(mask_features(features, seed, p=0.5).all() for seed in range(400))
    assert 100 < untouched < 190  # a quarter by p, more where a mask has width 0


def test_several_masks():
    features = np.ones((20, 100), np.float32)
    one = np.mean([1 - mask_features(features, seed, p=1).mean() for seed in range(100)])
    four = np.mean(
        [1 - mask_features(features, seed, p=1, n_row_masks=4, n_frame_masks=4).mean() for seed in range(100)]
    )
    assert four > 2 * one
