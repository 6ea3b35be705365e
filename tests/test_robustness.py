"""Robustness: known numbers from models so simple that they can be had by hand; resumable; the card."""

import json
from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import manifest_row

from dfutils import InputError
from dfutils.bundles import Bundle
from dfutils.calibration import Calibration
from dfutils.datasets import FaceSequence
from dfutils.evaluation import predict_voices
from dfutils.images import write_image
from dfutils.landmarks import COLUMNS
from dfutils.manifest import make_manifest
from dfutils.model_config import ModelConfig
from dfutils.perturb_picture import PERTURBATIONS as PICTURES
from dfutils.perturb_voice import PERTURBATIONS as VOICES
from dfutils.perturbation import Perturbation
from dfutils.perturbed_inputs import load_face
from dfutils.plots_robustness import curves, heat, shifts
from dfutils.robustness import measure, summarise_level
from dfutils.robustness_card import card, judge
from dfutils.voice_input import VoiceInput

REAL, FAKE, BORDER = 120, 140, 130
SPREADS = (5, 10, 14, 20, 28)
N = 300  # of each class
INPUT = VoiceInput("bands", 0.5, (24, 51), 24, (60.0, 7000.0), normalise=False)


class Brightness:
    """A model whose margin is the mean brightness above `BORDER`; it counts how often it is asked."""

    def __init__(self):
        self.n_asked = 0

    def predict(self, images, batch_size=32, verbose=0):
        """Two logits per picture."""
        self.n_asked += 1
        margins = np.asarray(images, np.float64).mean(axis=(1, 2, 3)) - BORDER
        return np.stack([np.zeros(len(images)), margins], axis=1)


class Loudness:
    """A model whose margin is the spread of the second map."""

    def predict(self, images, batch_size=32, verbose=0):
        """Two logits per picture."""
        return np.stack([np.zeros(len(images)), images[..., 1].std(axis=(1, 2))], axis=1)


def picture_bundle(size_hw=(8, 8), flip=True):
    config = ModelConfig("video", "EfficientNetV2B0", size_hw)
    return Bundle(Brightness(), config, {"flip": flip}, Calibration(), {}, "0123")


def toy(change, values=SPREADS, kind="picture"):
    return Perturbation(kind, "test", "", "", values, change)


def lighten(image, spread, rng):
    """Make a whole face lighter or darker, by a normal draw."""
    return np.clip(np.round(image + rng.normal(0, spread)), 0, 255).astype(np.uint8)


def add(image, by, rng):
    return np.clip(image.astype(int) + by, 0, 255).astype(np.uint8)


def only_white(image, value, rng):
    return np.full_like(image, 255)


@pytest.fixture(scope="module")
def flat_faces(tmp_path_factory):
    folder, rows = tmp_path_factory.mktemp("flat"), []
    for label, brightness in ((0, REAL), (1, FAKE)):
        image = np.full((8, 8, 3), brightness, np.uint8)
        for k in range(N):
            rows.append(manifest_row(write_image(folder / f"{label}-{k}.png", image), label, k % 25))
    return make_manifest(rows)


@pytest.fixture(scope="module")
def measured(flat_faces):
    perturbations = {"lighten": toy(lighten), "add": toy(add, (3, 6, 9, 12, 15)), "white": toy(only_white)}
    return measure(picture_bundle(), flat_faces, perturbations, (2, 4, 5), progress=False, n_resamples=200)


# ------------------------------------------------------------------ numbers


def test_the_numbers_of_a_known_model(measured):
    table = measured.set_index(["perturbation", "level"])
    assert list(table.index)[:3] == [("none", 0), ("lighten", 2), ("lighten", 4)]
    clean = table.loc["none", 0]
    assert (clean["auc"], clean["sensitivity"], clean["specificity"]) == (1, 1, 1)
    assert (clean["auc_change"], clean["shift_fake"], clean["n"], clean["n_fake"]) == (0, 0, 2 * N, N)
    normal = NormalDist()
    for level in (2, 4, 5):
        row, spread = table.loc["lighten", level], SPREADS[level - 1]
        assert row["value"] == str(spread)
        assert row["auc"] == pytest.approx(normal.cdf((FAKE - REAL) / spread / 2**0.5), abs=0.06)  # 3 SE
        assert row["auc_low"] < row["auc"] < row["auc_high"]
        assert row["auc_high"] - row["auc_low"] < 0.15
        assert row["auc_change"] == pytest.approx(row["auc"] - 1)
        assert row["auc_change_high"] <= 0
        for rate in ("sensitivity", "specificity"):
            assert row[rate] == pytest.approx(normal.cdf((FAKE - BORDER) / spread), abs=0.08)
            assert row[f"{rate}_low"] <= row[rate] <= row[f"{rate}_high"]
        assert abs(row["shift_fake"]) < 4 * spread / N**0.5
        assert abs(row["shift_real"]) < 4 * spread / N**0.5


def test_a_shift_breaks_the_threshold_alone(measured):
    table = measured.set_index(["perturbation", "level"])
    for level, by in ((2, 6), (4, 12), (5, 15)):
        row = table.loc["add", level]
        assert (row["auc"], row["sensitivity"]) == (1, 1)
        assert row["specificity"] == float(REAL + by < BORDER)
        assert row["shift_fake"] == row["shift_real"] == by


def test_equal_scores_are_no_number(measured):
    row = measured.set_index(["perturbation", "level"]).loc["white", 5]
    assert np.isnan([row["auc"], row["auc_change"], row["sensitivity_low"]]).all()
    assert (row["sensitivity"], row["specificity"]) == (1, 0)


def test_lost_samples_are_counted_and_left_out():
    rows = [manifest_row(f"{k}.png", k % 2, k // 2) for k in range(12)]
    clean = np.where(np.arange(12) % 2, 1.0, -1.0)
    logits = clean + np.where(np.arange(12) % 2, 0.5, 0.25)
    logits[:2] = np.nan
    found = summarise_level(pd.DataFrame(rows), logits, clean, Calibration(), 50)
    assert (found["n"], found["n_fake"], found["n_lost"]) == (10, 5, 2)
    assert (found["auc"], found["shift_fake"], found["shift_real"]) == (1, 0.5, 0.25)
    nothing = summarise_level(pd.DataFrame(rows), np.full(12, np.nan), clean, Calibration(), 50)
    assert (nothing["n"], nothing["n_lost"]) == (0, 12)
    assert np.isnan([nothing["auc"], nothing["sensitivity"], nothing["shift_real"]]).all()


# ------------------------------------------------------------------ inputs


@pytest.mark.parametrize("size_hw", [(64, 48), (120, 110), (64, 110)])
def test_unperturbed_faces_are_those_of_the_loader(textured_manifest, size_hw):
    bundle = picture_bundle(size_hw)
    found = [load_face(bundle, path) for path in textured_manifest["path"]]
    for way, views in zip(("none", "mirror"), zip(*found)):
        expected, _ = FaceSequence(textured_manifest, size_hw, way, batch_size=5)[0]
        np.testing.assert_allclose(np.stack(views), expected, atol=0 if way == "none" else 1)


def test_points_are_scaled_with_the_face(textured_manifest):
    seen = []

    def note(image, value, rng, points):
        seen.append((image.shape, points))
        return image

    path = textured_manifest["path"].iloc[0]
    perturbation = Perturbation("picture", "", "", "", SPREADS, note, uses_points=True)
    change = lambda image, points: perturbation(image, 1, np.random.default_rng(0), points)  # noqa: E731
    load_face(picture_bundle((50, 200)), path, change, np.full((5, 2), 40.0))
    ((height, width, _), points) = seen[0]
    assert (height, width) == (50, 90)  # of 100 x 90: only reduced before
    np.testing.assert_allclose(points, np.tile([40.0, 20.0], (5, 1)))


def test_real_perturbations_of_faces(textured_manifest):
    some = {name: PICTURES[name] for name in ("noise", "dog", "deeper-video")}
    table = measure(picture_bundle((48, 40)), textured_manifest, some, (1, 5), progress=False, n_resamples=20)
    assert len(table) == 7
    assert table["auc"].notna().all()
    assert table["value"].tolist() == ["", "5", "50", "0.5", "1.5", "30", "40"]


def test_only_overlays_on_the_face_depend_on_points(textured_manifest, tmp_path):
    some = {name: PICTURES[name] for name in ("noise", "dog")}
    options = {"levels": (3,), "progress": False, "folder": tmp_path, "n_resamples": 20}
    bundle, points = picture_bundle((48, 40)), pd.DataFrame(index=textured_manifest["path"])
    for k, column in enumerate(COLUMNS):
        points[column] = (20 + 6 * k) if column.endswith("_x") else 30 + 5 * k
    first = measure(bundle, textured_manifest, some, **options)
    asked = bundle.model.n_asked
    placed = measure(bundle, textured_manifest, some, landmarks=points, **options)
    assert bundle.model.n_asked == asked + 1
    same = (placed["shift_real"] == first["shift_real"]).tolist()
    assert same == [True, True, False]


def voice_bundle(**changes):
    config = ModelConfig("audio", "MobileNetV2", (24, 51))
    inputs = {"voice": {**INPUT.to_dict(), **changes}, "n_windows": 3}
    return Bundle(Loudness(), config, inputs, Calibration(), {}, "4567")


def test_voices(voice_manifest):
    some = {name: VOICES[name] for name in ("white-noise", "silence-added")}
    some["cut-off"] = toy(lambda audio, n, rng: audio[: n * 1600], (16, 12, 9, 4, 1), "voice")
    table = measure(voice_bundle(), voice_manifest, some, (3, 4), progress=False, n_resamples=20)
    by_name = table.set_index(["perturbation", "level"])
    assert by_name.loc["cut-off", 3]["n_lost"] == 0
    assert by_name.loc["cut-off", 4]["n_lost"] == 5
    assert np.isnan(by_name.loc["cut-off", 4]["auc"])
    noisy = by_name.loc["white-noise"]["shift_fake"].abs()
    assert (noisy > 0.001).all()
    # a sound that is not normalised again is judged as in evaluation
    expected = predict_voices(Loudness(), voice_manifest, INPUT, 3, progress=False)
    same = toy(lambda audio, value, rng: audio.copy(), kind="voice")
    again = measure(voice_bundle(), voice_manifest, {"same": same}, (1,), progress=False, n_resamples=20)
    assert again["shift_fake"].tolist() == [0, 0]
    labels = voice_manifest["label"].to_numpy()
    pairs = expected[labels == 1][:, None] > expected[labels == 0]
    assert again["auc"].iloc[0] == pytest.approx(pairs.mean())
    renewed = measure(
        voice_bundle(normalise=True), voice_manifest, {"same": same}, (1,), progress=False, n_resamples=20
    )
    assert renewed["shift_real"].tolist() == [0, 0]  # level 0 is normalised too


# ------------------------------------------------------------------ kept results


def test_what_is_measured_is_kept(flat_faces, tmp_path):
    options = {"max_samples": 60, "progress": False, "folder": tmp_path, "n_resamples": 20}
    bundle, perturbations = picture_bundle(), {"lighten": toy(lighten)}
    first = measure(bundle, flat_faces, perturbations, (1, 5), **options)
    assert first["n"].tolist() == [60] * 3
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "lighten-1.json",
        "lighten-5.json",
        "none-0.json",
    ]
    asked = bundle.model.n_asked
    pd.testing.assert_frame_equal(measure(bundle, flat_faces, perturbations, (1, 5), **options), first)
    assert bundle.model.n_asked == asked
    assert len(json.loads((folder / "none-0.json").read_text())["logits"]) == 60

    (folder / "lighten-5.json").unlink()  # as after an interruption
    pd.testing.assert_frame_equal(measure(bundle, flat_faces, perturbations, (1, 5), **options), first)
    assert bundle.model.n_asked == asked + 1

    stronger = {"lighten": toy(lighten, (5, 10, 14, 20, 80))}
    changed = measure(bundle, flat_faces, stronger, (1, 5), **options)
    assert changed["auc"].iloc[2] < first["auc"].iloc[2]
    assert changed["auc"].iloc[1] == first["auc"].iloc[1]
    measure(bundle, flat_faces, stronger, (1,), seed=7, **options)
    bundle.sha256 = "another"
    measure(bundle, flat_faces, stronger, (1,), **options)
    assert len(list(tmp_path.iterdir())) == 3


def test_what_cannot_be_measured_is_refused(flat_faces):
    with pytest.raises(InputError, match=r"\['mp3'\] are not for a picture model"):
        measure(picture_bundle(), flat_faces, {"mp3": VOICES["mp3"]}, progress=False)
    nameless = picture_bundle()
    nameless.sha256 = ""
    with pytest.raises(InputError, match="no sha256"):
        measure(nameless, flat_faces, {}, progress=False)


# ------------------------------------------------------------------ card and figures


def test_the_card_tells_ranking_from_threshold(measured):
    judged = judge(measured)
    assert judged["verdict"].to_dict() == {"white": "ranking", "lighten": "ranking", "add": "threshold"}
    assert judged["ranking_from"].tolist()[:2] == [2, 2]
    assert judged.loc["add", "threshold_from"] == 4
    assert np.isnan(judged.loc["add", "ranking_from"])
    text = card(measured, "toy", "Flat faces.")
    assert text.startswith("# Robustness card: toy\n\n600 samples, 300 of them fake. Flat faces.\n")
    assert "**Worst**: white, AUC not to be had (scores are all equal" in text
    assert f"| lighten | {measured['auc'].min():.3f} (" in text
    assert "**Breaks only the threshold**" in text
    assert "add (reals accused)" in text
    assert len(text.splitlines()) < 40
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| perturbation", "| white", "| lighten", "| add"]
    assert len({row.count("|") for row in rows}) == 1


def test_figures(measured):
    figure = curves(measured, 2)
    assert [axis.get_title() for axis in figure.axes] == ["lighten", "add", "white", ""]
    line = figure.axes[1].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [0, 2, 4, 5])
    np.testing.assert_array_equal(line.get_ydata(), [1, 1, 1, 1])
    figure, (left, right) = plt.subplots(1, 2)
    heat(left, measured)
    assert [label.get_text() for label in left.get_yticklabels()] == ["lighten", "add", "white"]
    assert [label.get_text() for label in left.get_xticklabels()] == ["0", "2", "4", "5"]
    assert "–" in {text.get_text() for text in left.texts}
    shifts(right, measured)
    assert len(right.get_yticklabels()) == 3
    figure.savefig("/dev/null", format="png")
    plt.close("all")
