"""Fakes made from real faces: deterministic, confined to the face, of the promised kind and number."""

import cv2
import numpy as np
import pandas as pd
import pytest
from skimage.data import astronaut

from dfutils import InputError
from dfutils.datasets import FaceSequence
from dfutils.faces import YuNetDetector
from dfutils.images import write_image
from dfutils.landmarks import COLUMNS, find_landmarks
from dfutils.made_fakes import KINDS, make_fake
from dfutils.manifest import make_manifest
from dfutils.sampling import add_made_fakes


@pytest.fixture(scope="module")
def face():
    """A tight crop of the astronaut, 224 px, and its five points."""
    crop = cv2.resize(astronaut()[52:188, 156:292], (224, 224), interpolation=cv2.INTER_CUBIC)
    border = 56
    padded = cv2.copyMakeBorder(crop, border, border, border, border, cv2.BORDER_REPLICATE)
    return crop, YuNetDetector().detect(padded)[0].landmarks - border


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_one_fake_and_another_seed_another(face, kind):
    image, points = face
    first, again, other = (make_fake(image, points, seed, kind) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert first.shape == image.shape
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", ["warp", "expression"])
def test_what_lies_outside_the_face_stays_as_it_is(face, kind):
    image, points = face
    for seed in range(12):
        change = np.abs(make_fake(image, points, seed, kind).astype(int) - image).max(axis=2)
        rows, columns = np.nonzero(change > 12)
        corners = np.concatenate([change[:12, :12].ravel(), change[:12, -12:].ravel()])
        assert corners.max() <= 12
        assert len(rows) > 30, "nothing was changed"
        centre = points.mean(axis=0)
        assert abs(np.median(columns) - centre[0]) < 60
        assert abs(np.median(rows) - centre[1]) < 80


def test_a_self_blend_keeps_the_person(face):
    image, points = face
    changes = [np.abs(make_fake(image, points, seed).astype(int) - image).mean() for seed in range(20)]
    assert 0.3 < np.median(changes) < 25
    assert min(changes) > 0.02


def test_unknown_kind_is_refused(face):
    with pytest.raises(InputError, match="must be one of"):
        make_fake(*face, 0, "swap")


@pytest.fixture
def crops(face, tmp_path):
    rows = []
    for index in range(12):
        path = write_image(tmp_path / "crops" / f"{index:02d}.png", np.roll(face[0], index % 3, axis=1))
        label = int(index >= 8)
        rows.append(
            {
                "path": str(path), "label": label, "split": "train", "person": f"p{index}",
                "source": f"s{index}", "method": "swap" if label else "none", "dataset": "d",
            }
        )  # fmt: skip
    return make_manifest(rows)


def test_landmarks_are_found_once_and_kept(face, crops, tmp_path, monkeypatch):
    write_image(tmp_path / "blank.png", np.full((120, 120, 3), 90, np.uint8))
    paths = [*crops["path"], str(tmp_path / "blank.png")]
    found = find_landmarks(paths, tmp_path / "landmarks.csv", n_jobs=1, progress=False)
    assert list(found.columns) == list(COLUMNS)
    assert found.loc[paths[-1]].isna().all()
    np.testing.assert_allclose(found.loc[paths[0]].to_numpy().reshape(5, 2), face[1], atol=3)
    monkeypatch.setattr("dfutils.landmarks._find_block", lambda block: pytest.fail("looked again"))
    again = find_landmarks(paths[::-1], tmp_path / "landmarks.csv", n_jobs=1, progress=False)
    pd.testing.assert_frame_equal(again.iloc[::-1], found)


def test_mixture_is_balanced_and_made_only_from_reals(crops, tmp_path):
    points = find_landmarks(list(crops["path"]), tmp_path / "l.csv", n_jobs=1, progress=False)
    table, landmarks = add_made_fakes(crops, points, 0.5, seed=3)
    assert landmarks.shape == (len(table), 5, 2)
    made = table["made"] != ""
    assert made.sum() == 4
    assert table["label"].mean() == 0.5
    assert set(table.loc[made, "path"]) <= set(crops.loc[crops["label"] == 0, "path"])
    assert (table.loc[made, "label"] == 1).all()
    assert set(table.loc[made, "made"]) <= set(KINDS)
    only_made, _ = add_made_fakes(crops, points, 1.0, seed=3)
    assert set(only_made.loc[only_made["label"] == 1, "made"]) <= set(KINDS)
    assert (only_made["label"] == 1).sum() == 8


def test_each_fake_has_a_real_as_its_partner(crops, tmp_path):
    points = find_landmarks(list(crops["path"]), tmp_path / "l.csv", n_jobs=1, progress=False)
    crops = crops.copy()
    crops.loc[[8, 9], "source"] = ["s3", "s5"]  # two fakes of known originals
    crops.loc[10, "person"] = "p1"  # one whose original is missing, of a known person
    table, _ = add_made_fakes(crops, points, 0.5, seed=3)
    reals, fakes = (table[table["label"] == label].set_index("pair") for label in (0, 1))
    assert reals.index.is_unique
    assert sorted(reals.index) == sorted(fakes.index)
    both = fakes.join(reals, lsuffix="_fake", rsuffix="_real")
    made = both["made_fake"] != ""
    assert (both["path_fake"] == both["path_real"])[made].all()
    by_fake = both[~made].set_index("path_fake")
    assert by_fake.loc[crops["path"][[8, 9]], "source_real"].tolist() == ["s3", "s5"]
    assert by_fake.loc[crops["path"][10], "person_real"] == "p1"


def test_partners_come_together_and_are_treated_alike(crops, tmp_path):
    points = find_landmarks(list(crops["path"]), tmp_path / "l.csv", n_jobs=1, progress=False)
    table, landmarks = add_made_fakes(crops, points, 0.5, seed=3)
    data = FaceSequence(table, (64, 64), "robust", landmarks, batch_size=4, shuffle=True, seed=1)
    served = []
    for epoch in range(3):
        data.set_epoch(epoch)
        pairs = table["pair"].to_numpy()[data._order].reshape(-1, 2)
        assert (pairs[:, 0] == pairs[:, 1]).all()
        assert sorted(data._order) == list(range(len(table)))
        served.append(pairs[:, 0].tolist())
    assert served[0] != served[1]
    # without a manipulation, partners of the same picture are the same picture
    plain = table.assign(made="")
    data = FaceSequence(plain, (64, 64), "robust", landmarks, batch_size=len(table), seed=1)
    images, _ = data[0]
    alike = [rows.index for _, rows in plain.groupby("pair") if rows["path"].iloc[0] == rows["path"].iloc[1]]
    assert len(alike) >= 4
    for first, second in alike:
        np.testing.assert_array_equal(images[first], images[second])
    assert len({image.tobytes() for image in images}) >= len(table) // 2


def test_loader_makes_other_fakes_every_epoch(crops, tmp_path):
    points = find_landmarks(list(crops["path"]), tmp_path / "l.csv", n_jobs=1, progress=False)
    table, landmarks = add_made_fakes(crops, points, 0.5, seed=3)
    data = FaceSequence(table, (64, 64), landmarks=landmarks, batch_size=len(table))
    first, labels = data[0]
    data.set_epoch(1)
    second, _ = data[0]
    changed = np.abs(first - second).reshape(len(table), -1).max(axis=1) > 0
    np.testing.assert_array_equal(changed, (table["made"] != "").to_numpy())
    np.testing.assert_array_equal(labels, table["label"])
    with pytest.raises(InputError, match="needs five points for every row"):
        FaceSequence(table, (64, 64))


def test_samples_per_epoch_serves_other_rows_every_time(crops):
    data = FaceSequence(crops, (32, 32), batch_size=2, shuffle=True, samples_per_epoch=6)
    assert len(data) == 3
    served = []
    for epoch in range(8):
        data.set_epoch(epoch)
        served.append([int(row) for row in data._order])
    for first, second in zip(served[::2], served[1::2]):
        assert sorted(first + second) == list(range(12))
    assert served[0] != served[2]
