"""What ships in models/: whole, small, described, and able to tell the astronaut's face from nothing."""

import csv

import numpy as np
import pytest
from skimage.data import astronaut

from dfutils.bundles import load_bundle
from dfutils.descriptions import model_file, read_description, sha256_of
from dfutils.detector import DeepfakeDetector
from dfutils.images import write_image
from dfutils.onnx_export import random_pictures
from dfutils.onnx_model import OnnxModel, open_bundle
from dfutils.paths import models_dir

SHIPPED = sorted(path.parent for path in models_dir().glob("*/model.json"))
pytestmark = pytest.mark.skipif(not SHIPPED, reason="no model ships yet")


def test_all_together_are_small():
    size = sum(path.stat().st_size for path in models_dir().rglob("*") if path.is_file())
    assert size < 30e6


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_weights_are_the_listed_ones_and_load(folder):
    description = read_description(folder)
    with open(models_dir() / "models.csv", newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["file"].startswith(f"{folder.name}/")]
    recorded = model_file(description)
    assert row["file"] == f"{folder.name}/{recorded['file']}"
    assert row["sha256"] == recorded["sha256"] == sha256_of(folder / recorded["file"])
    assert {path.name for path in folder.iterdir()} == {"README.md", "model.json", recorded["file"]}
    assert description["about"]["corpus"] == "real"
    assert description["calibration"]["fitted_on"]
    bundle = load_bundle(folder)
    assert all(np.isfinite(weights).all() for weights in bundle.model.get_weights())
    deployed = open_bundle(folder).model
    assert isinstance(deployed, OnnxModel) == ("onnx" in description)
    if "onnx" in description:  # the same probabilities with and without Keras
        images = random_pictures(bundle.config)
        both = (deployed.predict(images), np.asarray(bundle.model(images, training=False)))
        one, other = (bundle.calibration.p_fake(logits @ [-1, 1]) for logits in both)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_each_has_a_card_with_its_hash_and_limits(folder):
    card = (folder / "README.md").read_text()
    assert model_file(read_description(folder))["sha256"] in card
    for heading in ("Intended use", "Training data", "Numbers", "Limits", "Licence"):
        assert f"## {heading}" in card


@pytest.mark.skipif("picture" not in {folder.name for folder in SHIPPED}, reason="no picture model ships")
def test_the_detector_judges_a_picture_with_it(tmp_path):
    path = write_image(tmp_path / "astronaut.png", astronaut())
    report = DeepfakeDetector().analyze(path)
    assert 0 < report.picture.p_fake < 1
    assert report.picture.used == 1
    assert report.warning is None
