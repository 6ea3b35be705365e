"""Perturbed pictures: of the same kind and size, repeatable, worse with every level; published values."""

import numpy as np
import pytest

from dfutils import InputError
from dfutils.perturb_picture import PERTURBATIONS
from dfutils.perturbation import LEVELS, Perturbation, describe_perturbations, select

OVERLAYS = [name for name, one in PERTURBATIONS.items() if one.family == "distractor"]
MOVED = ["flip", "rotation"]  # which shift every pixel at once
FLAT = np.full((256, 256, 3), 128, np.uint8)


def perturb(name, image, level, seed=3, **options):
    return PERTURBATIONS[name](image, level, np.random.default_rng([seed, 7]), **options)


def psnr_db(image, reference):
    error = np.mean(np.square(image.astype(float) - reference))
    return 10 * np.log10(255**2 / max(error, 1e-9))


def covered(image, reference):
    return np.mean((image != reference).any(axis=-1))


@pytest.fixture(scope="module")
def face(portrait):
    return np.ascontiguousarray(portrait[50:189, 160:291])  # of odd size


def test_there_is_what_the_studies_had():
    families = [one.family for one in PERTURBATIONS.values()]
    assert {family: families.count(family) for family in families} == {
        "DeeperForensics": 7,
        "DFDC augmenter": 9,
        "distractor": 7,
    }
    table = describe_perturbations(PERTURBATIONS)
    assert list(table.index) == list(PERTURBATIONS)
    assert list(table.columns) == ["family", "about", "unit", "1", "2", "3", "4", "5"]
    assert table.loc["deeper-video", "5"] == "40"


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_kind_of_picture_stays(name, face):
    kept = face.copy()
    grey = np.repeat(face[:23, :17, :1], 3, axis=2)
    for image in (face, grey, grey[:9, :8], np.ascontiguousarray(face[:64:2, ::3])):
        for level in (1, 5):
            changed = perturb(name, image, level)
            assert changed.dtype == np.uint8
            assert changed.shape == image.shape
            assert changed.flags.c_contiguous
            np.testing.assert_array_equal(perturb(name, image, level), changed)
    np.testing.assert_array_equal(face, kept)
    assert not np.shares_memory(perturb(name, face, 1), face)


@pytest.mark.parametrize("name", [name for name in PERTURBATIONS if name not in [*OVERLAYS, "flip"]])
def test_every_level_does_more_damage(name, face):
    values = [psnr_db(perturb(name, face, level), face) for level in LEVELS]
    assert all(values[k] > values[k + 1] - 0.3 for k in range(4)), values
    assert values[0] > values[4] + 2
    assert values[0] > (10 if name in MOVED else 19)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_level_covers_more(name, face):
    for seed in range(3):
        shares = [covered(perturb(name, face, level, seed), face) for level in LEVELS]
        assert all(shares[k] <= shares[k + 1] + 0.005 for k in range(4)), shares
        assert 0.002 < shares[0] < 0.12
        assert shares[0] + 0.05 < shares[4] < 0.65


@pytest.mark.parametrize("name", ["noise", "dots", "text", "face", "dog", "flowers", "deeper-blocks"])
def test_seeds_differ(name, face):
    found = {perturb(name, face, 2, seed).tobytes() for seed in range(8)}
    assert len(found) >= 3


# ------------------------------------------------------------------ what is published


def test_deeper_forensics_values():
    published = {
        "saturation": (0.4, 0.3, 0.2, 0.1, 0.0),
        "contrast": (0.85, 0.725, 0.6, 0.475, 0.35),
        "blocks": (16, 32, 48, 64, 80),
        "noise": (0.001, 0.002, 0.005, 0.01, 0.05),
        "blur": (7, 9, 13, 17, 21),
        "jpeg": (2, 3, 4, 5, 6),
        "video": (30, 32, 35, 38, 40),
    }
    assert {f"deeper-{name}": values for name, values in published.items()} == {
        name: one.values for name, one in PERTURBATIONS.items() if name.startswith("deeper")
    }


def test_contrast_is_a_factor(face):
    np.testing.assert_array_equal(perturb("deeper-contrast", FLAT, 3), np.full_like(FLAT, 77))
    np.testing.assert_allclose(perturb("deeper-contrast", face, 5), 0.35 * face, atol=0.51)


def test_saturation_scales_chroma(face):
    grey = perturb("deeper-saturation", face, 5).astype(int)
    assert np.abs(grey - grey.mean(axis=-1, keepdims=True)).max() <= 2
    spread = [
        np.ptp(perturb("deeper-saturation", face, level).astype(int), axis=-1).mean() for level in (1, 3)
    ]
    assert spread[1] == pytest.approx(spread[0] / 2, rel=0.05)


def test_blocks_are_grey_and_as_many():
    black = np.zeros((256, 320, 3), np.uint8)
    for level, n in zip(LEVELS, (16, 32, 48, 64, 80)):
        changed = perturb("deeper-blocks", black, level)
        assert set(np.unique(changed)) == {0, 128}
        assert 0.8 * 64 * n < (changed[..., 0] == 128).sum() <= 64 * n


@pytest.mark.parametrize(("level", "variance"), [(1, 0.001), (3, 0.005)])
def test_noise_has_the_variance_of_the_studio_range(level, variance):
    changed = perturb("deeper-noise", FLAT, level).astype(float)
    luma = changed @ (0.299, 0.587, 0.114)
    assert luma.std() == pytest.approx(np.sqrt(variance) * 255 * 255 / 219, rel=0.02)
    red = (changed[..., 0] - luma) * 0.713  # Cr
    assert red.std() == pytest.approx(np.sqrt(variance) * 255 * 255 / 224, rel=0.03)


def test_noise_and_brightness_are_as_strong_as_they_say():
    assert perturb("noise", FLAT, 3).std() == pytest.approx(20, rel=0.02)
    steps = {int(perturb("brightness", FLAT, 2, seed)[0, 0, 0]) - 128 for seed in range(12)}
    assert steps == {-40, 40}


def test_full_grey_is_grey(face):
    grey = perturb("grey", face, 5)
    assert (np.ptp(grey, axis=-1) == 0).all()


def test_the_ways_to_turn_over(face):
    np.testing.assert_array_equal(perturb("flip", face, 1), face[:, ::-1])
    np.testing.assert_array_equal(perturb("flip", face, 2), face[::-1])
    np.testing.assert_array_equal(perturb("flip", face, 3), face[::-1, ::-1])
    square = np.ascontiguousarray(face[:100, :100])
    np.testing.assert_array_equal(perturb("flip", square, 4), np.rot90(square))


# ------------------------------------------------------------------ overlays that sit on a face


@pytest.mark.parametrize("name", ["dog", "flowers"])
def test_overlays_follow_the_points(name, face):
    points = np.array([[40, 50], [80, 50], [60, 70], [45, 90], [76, 90]], float)
    here, there = (perturb(name, face, 1, points=points + shift) for shift in (0, 20))
    centres = [np.mean(np.nonzero((image != face).any(axis=-1)), axis=1) for image in (here, there)]
    np.testing.assert_allclose(centres[1] - centres[0], 20, atol=4)
    lost = np.where(np.arange(5)[:, None] == 2, np.nan, points)
    np.testing.assert_array_equal(perturb(name, face, 2, points=lost), perturb(name, face, 2))


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize("level", [0, 6, 1.5])
def test_other_levels_are_refused(face, level):
    with pytest.raises(InputError, match=r"one of \(1, 2, 3, 4, 5\)"):
        perturb("noise", face, level)


@pytest.mark.parametrize("image", [FLAT[..., 0], FLAT.astype(np.float32), FLAT[:5], FLAT[..., :2]])
def test_other_pictures_are_refused(image):
    with pytest.raises(InputError, match="must be uint8 RGB"):
        perturb("noise", image, 1)


def test_unknown_names_are_refused():
    assert list(select(PERTURBATIONS, "dog noise")) == ["dog", "noise"]
    assert list(select(PERTURBATIONS)) == list(PERTURBATIONS)
    with pytest.raises(InputError, match=r"\['cat'\] are unknown"):
        select(PERTURBATIONS, "cat dog")
    with pytest.raises(InputError, match="one per level"):
        Perturbation("picture", "", "", "", (1, 2), None)
