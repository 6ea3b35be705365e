"""Swaps between persons, and the comparison of ways to train."""

import cv2
import numpy as np
import pandas as pd
import pytest
from media import tiny_backbone
from skimage.data import astronaut

from dfutils import InputError, ablation
from dfutils.faces import YuNetDetector
from dfutils.images import read_image, write_image
from dfutils.landmarks import COLUMNS
from dfutils.manifest import make_manifest
from dfutils.models import ModelConfig
from dfutils.swaps import make_swaps, swap_face


@pytest.fixture(scope="module")
def face():
    crop = cv2.resize(astronaut()[52:188, 156:292], (160, 160), interpolation=cv2.INTER_CUBIC)
    padded = cv2.copyMakeBorder(crop, 40, 40, 40, 40, cv2.BORDER_REPLICATE)
    return crop, YuNetDetector().detect(padded)[0].landmarks - 40


@pytest.fixture(scope="module")
def corpus(face, tmp_path_factory):
    """The astronaut in 24 pictures of 12 "persons", told apart by their tint; fakes wear a green nose."""
    folder, (image, points) = tmp_path_factory.mktemp("faces"), face
    rows = []
    for number in range(48):
        label, split = number % 2, ("train", "train", "val", "unseen")[number // 2 % 4]
        picture = np.clip(image * (0.6 + 0.03 * (number % 12)), 0, 255).astype(np.uint8)
        if label:
            cv2.circle(picture, tuple(int(value) for value in points[2]), 25, (0, 200, 0), -1)
        rows.append(
            {
                "path": str(write_image(folder / f"{number:02d}.png", picture)),
                "label": label, "split": split, "person": f"{split}{number % 12 // 2}",
                "source": f"s{number}", "dataset": "d", "method": "nose" if label else "none",
            }
        )  # fmt: skip
    manifest = make_manifest(rows)
    landmarks = pd.DataFrame([points.ravel()] * len(manifest), index=manifest["path"], columns=list(COLUMNS))
    return manifest, landmarks


def test_swap_changes_the_inside_only(face):
    image, points = face
    donor = np.ascontiguousarray(image[:, ::-1])
    mirrored = points[[1, 0, 2, 4, 3]] * [-1, 1] + [image.shape[1] - 1, 0]
    for seed in range(6):
        swapped = swap_face(image, points, donor, mirrored, seed)
        change = np.abs(swapped.astype(int) - image).max(axis=2)
        assert change[:8, :8].max() <= 3
        assert (change > 8).mean() > 0.02
        np.testing.assert_array_equal(swapped, swap_face(image, points, donor, mirrored, seed))


def test_swapping_a_face_with_itself_changes_little(face):
    image, points = face
    for seed in range(4):
        change = np.abs(swap_face(image, points, image, points, seed).astype(int) - image)
        assert change.mean() < 3


def test_a_face_far_outside_cannot_be_swapped(face):
    image, points = face
    with pytest.raises(InputError, match="outside the picture"):
        swap_face(image, points + 4000, image, points, 0)


def test_swaps_are_between_persons_and_made_once(corpus, tmp_path):
    manifest, landmarks = corpus
    validation = manifest[manifest["split"] == "val"]
    swaps = make_swaps(validation, landmarks, tmp_path, 1, progress=False)
    reals = validation[validation["label"] == 0]
    assert len(swaps) == len(reals)
    assert (swaps["label"] == 1).all()
    assert (swaps["donor"] != swaps["person"]).all()
    assert sorted(swaps["person"]) == sorted(reals["person"])
    assert read_image(swaps["path"][0]).shape == (160, 160, 3)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    pd.testing.assert_frame_equal(make_swaps(validation, landmarks, tmp_path, 1, progress=False), swaps)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="two persons"):
        make_swaps(reals.iloc[:1], landmarks, tmp_path, 1, progress=False)


def test_comparison_learns_ranks_and_resumes(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("dfutils.models.build_backbone", tiny_backbone)
    manifest, landmarks = corpus
    splits = {
        name: manifest[manifest["split"] == name].reset_index(drop=True)
        for name in ("train", "val", "unseen")
    }
    splits["swaps"] = make_swaps(splits["val"], landmarks, tmp_path / "swaps", 1, progress=False)
    config = ModelConfig("video", "EfficientNetV2B0", (48, 48), hidden_units=0, dropout=0.0)
    variants = (ablation.Variant("mixed", "none", 0.3, {"self-blend": 1.0}, paired=False, head="lmcl"),)
    budget = {"epochs": 25, "samples_per_epoch": 24, "learning_rate": 5e-3}
    budget |= {"batch_size": 8, "weights": "random"}
    table = ablation.compare(splits, landmarks, config, tmp_path, variants, (1,), **budget)
    assert table["mean_auc"][0] == pytest.approx((table["auc"][0] + table["swap_auc"][0]) / 2)
    assert table["auc"][0] > 0.8  # the nose is easily seen
    assert table["unseen_auc"][0] > 0.8
    monkeypatch.setattr(ablation, "train_variant", lambda *_, **__: pytest.fail("trained again"))
    again = ablation.compare(splits, landmarks, config, tmp_path, variants, (1,), **budget)
    pd.testing.assert_frame_equal(again, table)
    monkeypatch.undo()
    with pytest.raises(InputError, match="swaps"):
        ablation.train_variant(variants[0], {"train": splits["train"]}, landmarks, config, 1, **budget)


def test_the_rule_averages_seeds_and_ignores_the_unseen():
    table = pd.DataFrame(
        {
            "variant": ["a", "b", "a", "b"], "seed": [1, 1, 2, 2], "auc": [0.9, 0.7, 0.7, 0.8],
            "swap_auc": [0.7, 0.9, 0.6, 0.9], "mean_auc": [0.8, 0.8, 0.65, 0.85], "log_loss": 0.5,
            "unseen_auc": [0.9, 0.1, 0.9, 0.1],
        }
    )  # fmt: skip
    ranking = ablation.rank(table)
    assert ranking.index.tolist() == ["b", "a"]
    assert ranking["mean_auc"].tolist() == pytest.approx([0.825, 0.725])
