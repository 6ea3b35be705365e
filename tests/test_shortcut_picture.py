"""The picture's shortcut audit: known pictures, planted shortcuts, masks that hide what they say."""

import cv2
import media
import numpy as np
import pandas as pd
import pytest
from conftest import manifest_row

from dfutils import InputError
from dfutils.images import read_image, write_image
from dfutils.landmarks import COLUMNS
from dfutils.manifest import make_manifest
from dfutils.shortcut_picture import (
    FEATURES,
    GREY,
    audit_pictures,
    face_region,
    mask_background,
    mask_face,
    picture_features,
    picture_table,
    write_masked,
)
from dfutils.shortcuts import refuse_shortcuts

POINTS = np.array([[35, 40], [65, 40], [50, 58], [39, 72], [61, 72]], np.float32)  # of a face of 100 px


def texture(seed, size=64):
    """Grey clouds with a little colour: nothing in them tells a label."""
    generator = np.random.default_rng(seed)
    image = cv2.GaussianBlur(generator.normal(0, 60, (size, size, 3)).astype(np.float32), (0, 0), 4) * 5
    return np.clip(128 + image + generator.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def feature_frame(n_persons=40, size=6, seed=0, shift=0.0, name="noise"):
    """Random features; ``shift`` standard deviations of one feature tell the fakes."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(generator.normal(size=(n_persons * size, len(FEATURES))), columns=list(FEATURES))
    table["label"] = np.arange(len(table)) % 2
    table["person"] = np.repeat([f"p{k}" for k in range(n_persons)], size)
    table[name] += shift * table["label"]
    return table


# ------------------------------------------------------------------ features


def test_features_of_flat_pictures():
    found = picture_features(np.full((32, 40, 3), 90, np.uint8))
    assert tuple(found) == FEATURES
    assert found == pytest.approx(
        {"brightness": 90, "contrast": 0, "sharpness": 0, "blockiness": 1, "saturation": 0, "noise": 0}
    )
    red = picture_features(np.full((32, 32, 3), (200, 0, 0), np.uint8))
    assert red["saturation"] == 1
    assert red["brightness"] == pytest.approx(0.299 * 200, abs=0.5)
    half = np.zeros((32, 32, 3), np.uint8)
    half[:, 16:] = 100
    assert picture_features(half)["contrast"] == pytest.approx(50)
    assert picture_features(np.full((32, 32, 3), (200, 100, 100), np.uint8))["saturation"] == pytest.approx(
        0.5, abs=0.01
    )


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0])
def test_noise_is_estimated_in_grey_values(sigma):
    generator = np.random.default_rng(0)
    ramp = np.linspace(60, 190, 256)[None, :] + np.linspace(-20, 20, 256)[:, None]  # a slope is no noise
    noisy = np.clip(ramp + generator.normal(0, sigma, ramp.shape), 0, 255).round().astype(np.uint8)
    assert picture_features(np.repeat(noisy[..., None], 3, 2))["noise"] == pytest.approx(sigma, rel=0.05)


def test_sharpness_falls_with_blur_and_blockiness_rises_with_compression():
    image = media.portrait()[64:224, 160:320]
    blurred = cv2.GaussianBlur(image, (0, 0), 2)
    assert picture_features(blurred)["sharpness"] < 0.1 * picture_features(image)["sharpness"]
    assert picture_features(blurred)["noise"] < picture_features(image)["noise"]
    blockiness = []
    for quality in (95, 50, 10):
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        blockiness.append(picture_features(cv2.imdecode(data, cv2.IMREAD_COLOR))["blockiness"])
    assert blockiness[0] == pytest.approx(1, abs=0.15)
    assert blockiness[0] < blockiness[1] < blockiness[2]
    assert blockiness[2] > 2


def test_mirrored_and_upended_pictures_are_the_same():
    image = texture(3)
    first = picture_features(image)
    for other in (image[:, ::-1], image[::-1], image.transpose(1, 0, 2)):
        assert picture_features(np.ascontiguousarray(other)) == pytest.approx(first, rel=1e-6)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((32, 32), np.uint8),
        np.zeros((32, 32, 4), np.uint8),
        np.zeros((32, 32, 3), np.float32),
        np.zeros((15, 32, 3), np.uint8),
        [[1, 2], [3, 4]],
    ],
)
def test_what_is_no_picture_is_refused(image):
    with pytest.raises(InputError, match="uint8 RGB of 16 px"):
        picture_features(image)
    with pytest.raises(InputError, match="uint8 RGB"):
        mask_face(image, POINTS)


# ------------------------------------------------------------------ audit


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Sixty crops of twenty persons; the fakes are the same pictures, a little blurred."""
    folder = tmp_path_factory.mktemp("crops")
    rows = []
    for k in range(60):
        image = texture(k // 2)
        if k % 2:
            image = cv2.GaussianBlur(image, (0, 0), 0.7)
        path = write_image(folder / f"{k:02d}.png", image)
        rows.append(manifest_row(path, k % 2, k // 6, source=f"s{k // 2}"))
    return make_manifest(rows)


def test_planted_shortcut_in_pictures_is_found(crops):
    broken = pd.concat([crops, crops.iloc[:1].assign(path="/nowhere.png")])
    features, rejects = picture_table(broken, workers=1)
    assert len(features) == 60
    assert rejects[["path", "reason"]].to_numpy().tolist() == [["/nowhere.png", "does not exist"]]
    found = audit_pictures(features, n_folds=4, n_resamples=50)
    assert found["auc"] > 0.9
    assert found["auc_low"] > 0.8
    assert found["auc_sharpness"] < 0.1  # fakes have less of it
    assert (found["n"], found["n_persons"]) == (60, 10)
    with pytest.raises(InputError, match=r"six features: tells fake from real with an AUC of .*, above 0\.7"):
        refuse_shortcuts({"six features": found["auc"]}, 0.7)


def test_nothing_is_found_where_nothing_is():
    found = audit_pictures(feature_frame(), n_folds=4, n_resamples=100)
    assert found["auc"] == pytest.approx(0.5, abs=0.1)
    assert found["auc_low"] < 0.5 < found["auc_high"]
    assert found["auc"] == max(found["auc_trees"], found["auc_logistic"])
    refuse_shortcuts({"six features": found["auc"]}, 0.7)


def test_shortcut_is_named():
    found = audit_pictures(feature_frame(shift=2.0, name="saturation"), n_folds=4, n_resamples=20)
    assert found["auc"] > 0.85
    assert found["auc_saturation"] == pytest.approx(0.92, abs=0.05)  # normal, two deviations apart
    with pytest.raises(InputError, match=r"^saturation: "):
        refuse_shortcuts({name: found[f"auc_{name}"] for name in ("blockiness", "saturation")}, 0.7)
    with pytest.raises(InputError, match=r"^b: "):
        refuse_shortcuts({"a": 0.99, "b": float("nan")}, 0.7)
    refuse_shortcuts({"a": 0.99, "b": float("nan")}, 1.0)  # reported only
    with pytest.raises(InputError, match="limit"):
        refuse_shortcuts({}, 0.2)


def test_what_tells_persons_tells_no_fakes():
    """One label per person and a feature that is the person's: known persons would give AUC 1."""
    table = feature_frame(40, 6)
    numbers = table["person"].str[1:].astype(int)
    personal = np.random.default_rng(1).permutation(40)[numbers]
    table = table.assign(label=numbers % 2, noise=personal * 1.0)
    assert audit_pictures(table, n_folds=4, n_resamples=10)["auc"] < 0.75


def test_persons_of_two_datasets_are_two():
    table = feature_frame(10, 6).assign(dataset=np.tile(["a", "b"], 30))
    assert audit_pictures(table, n_folds=3, n_resamples=10)["n_persons"] == 20


def test_audit_refuses():
    table = feature_frame(6, 4)
    with pytest.raises(InputError, match=r"lack the columns \['noise', 'person'\]"):
        audit_pictures(table.drop(columns=["noise", "person"]))
    with pytest.raises(InputError, match="not numbers"):
        audit_pictures(table.assign(noise=np.nan))
    with pytest.raises(InputError, match="7 folds need as many persons, got 6"):
        audit_pictures(table, n_folds=7)
    with pytest.raises(InputError, match="one class"):
        audit_pictures(table.assign(label=1), n_folds=3)
    with pytest.raises(InputError, match="not one of 1 crops"):
        picture_table(make_manifest([manifest_row("/nowhere.png", 0)]), workers=1)


# ------------------------------------------------------------------ masks


def test_region_holds_the_face():
    region = face_region((100, 100), POINTS)
    assert region.shape == (100, 100)
    assert all(region[int(y), int(x)] for x, y in POINTS)
    assert region[95, 50] or region[90, 50]  # the chin
    assert not region[[0, 0, 99, 99], [0, 99, 0, 99]].any()  # the corners
    assert 0.4 < region.mean() < 0.8
    assert (face_region((100, 100), POINTS, 0.0) <= region).all()
    assert face_region((100, 100), POINTS, 0.0).sum() < region.sum()


def test_region_follows_the_landmarks():
    moved = face_region((140, 140), POINTS + 20)
    np.testing.assert_array_equal(moved[20:120, 20:120], face_region((100, 100), POINTS))
    larger, small = face_region((400, 400), 4 * POINTS).mean(), face_region((200, 200), 2 * POINTS).mean()
    assert larger == pytest.approx(small, abs=0.02)
    assert not face_region((100, 100), POINTS + 500).any()  # outside


def test_masks_are_counterparts():
    image = texture(1, 100)
    before = image.copy()
    background, face = mask_face(image, POINTS), mask_background(image, POINTS)
    np.testing.assert_array_equal(image, before)
    region = face_region((100, 100), POINTS)
    assert (background[region] == GREY).all()
    assert (face[~region] == GREY).all()
    np.testing.assert_array_equal(np.where(region[..., None], face, background), image)


def test_masked_pictures_tell_nothing_of_what_they_hide():
    image, other = texture(1, 100), texture(1, 100)
    region = face_region((100, 100), POINTS)
    other[region] = 255 - other[region]
    np.testing.assert_array_equal(mask_face(image, POINTS), mask_face(other, POINTS))
    other = texture(1, 100)
    other[~region] = 0
    np.testing.assert_array_equal(mask_background(image, POINTS), mask_background(other, POINTS))


@pytest.mark.parametrize(
    ("points", "margin"), [(POINTS[:4], 0.1), (POINTS * np.nan, 0.1), (POINTS.ravel(), 0.1), (POINTS, -1)]
)
def test_masks_need_landmarks(points, margin):
    for mask in (mask_face, mask_background):
        with pytest.raises(InputError, match="five points"):
            mask(texture(1, 100), points, margin)


@pytest.mark.parametrize("transform", [mask_face, mask_background])
def test_masked_copies(crops, tmp_path, transform):
    points = pd.DataFrame([0.6 * POINTS.ravel()] * 60, columns=list(COLUMNS), index=crops["path"])
    points.iloc[3] = np.nan
    points = points.drop(index=crops["path"][7])
    masked, rejects = write_masked(crops, points, tmp_path / "masked", transform)
    assert len(make_manifest(masked)) == 58
    assert rejects["path"].tolist() == crops["path"][[3, 7]].tolist()
    assert masked["label"].tolist() == crops["label"].drop([3, 7]).tolist()
    expected = transform(read_image(crops["path"][4]), 0.6 * POINTS)
    np.testing.assert_array_equal(read_image(masked["path"][3]), expected)
    with pytest.raises(InputError, match="not one of 60"):
        write_masked(crops, points * np.nan, tmp_path / "none", transform)
