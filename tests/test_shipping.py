"""Shipping: real models only, half precision, listed with hash and commit; numbers kept in cards."""

import csv

import numpy as np
import pytest
from keras import layers

from dfutils import InputError, IntegrityError, results, shipping
from dfutils.bundles import Bundle, load_bundle, save_bundle
from dfutils.calibration import Calibration
from dfutils.descriptions import read_description
from dfutils.models import ModelConfig, build_model
from dfutils.onnx_layers import CONVERTERS

SCORES = {
    "n": 100, "n_fake": 50, "auc": 0.9, "auc_low": 0.85, "auc_high": 0.95, "eer": 0.18, "sensitivity": 0.8,
    "specificity": 0.84, "log_loss": 0.41, "ece": 0.031,
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DFUTILS_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("DFUTILS_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr("dfutils.paths.models_dir", lambda: tmp_path / "models")
    config = ModelConfig("audio", "MobileNetV2", (32, 32), hidden_units=4)

    def train(corpus):
        bundle = Bundle(build_model(config, None), config, {}, Calibration(2.0, 0.1, 0.4, "val"))
        bundle.about = {"corpus": corpus}
        save_bundle(bundle, tmp_path / "work" / "models" / "voice")
        return results.record("06-audio-model", {"validation": SCORES}, {}, 1)

    return tmp_path, train


def test_a_real_model_ships_with_its_hash_and_commit(place):
    folder, train = place
    run_id = train("real")
    (folder / "models").mkdir()
    (folder / "models" / "models.csv").write_text(
        "file,sha256,notebook,commit,metric\n"
        "picture/model.weights.h5,abc,05,def,x\nvoice/model.weights.h5,abc,06,def,x\n"
    )
    old = folder / "models" / "voice" / "model.weights.h5"  # of a version before
    old.parent.mkdir()
    old.write_bytes(b"old")
    shipped = load_bundle(shipping.ship("voice", run_id))
    trained = load_bundle(folder / "work" / "models" / "voice")
    assert shipped.about["run_id"] == run_id
    assert shipped.calibration == trained.calibration
    for one, other in zip(shipped.model.get_weights(), trained.model.get_weights()):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)
    assert {path.name for path in old.parent.iterdir()} == {"model.json", "model.onnx"}
    work = folder / "work" / "models" / "voice"
    assert (old.parent / "model.onnx").stat().st_size < 0.6 * (work / "model.weights.h5").stat().st_size
    with open(folder / "models" / "models.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["picture/model.weights.h5", "voice/model.onnx"]
    assert rows[1]["sha256"] == shipped.sha256
    assert rows[1]["metric"] == "validation AUC 0.900 (0.850 to 0.950)"
    shipping.ship("voice", run_id)
    assert len((folder / "models" / "models.csv").read_text().splitlines()) == 3


def test_a_model_ships_with_its_evaluation(place):
    folder, train = place
    run_id = train("real")
    config = load_bundle(folder / "work" / "models" / "voice").config.to_dict()
    scored = {"voice val": SCORES | {"threshold": 0.4}, "voice unseen": SCORES | {"threshold": 0.4}}
    rated = results.record("07-evaluation", scored, {"voice": {"config": config}}, 1)
    shipped = read_description(shipping.ship("voice", run_id, rated))
    assert [entry["run_id"] for entry in shipped["evaluation"]] == [rated, rated]
    assert shipped["evaluation"][1]["miss_rate"] == 0.2
    assert shipped["about"]["run_id"] == run_id
    before = (folder / "models" / "voice" / "model.json").read_bytes()
    other = results.record(
        "07-evaluation", {"voice val": SCORES | {"threshold": 0.5}}, {"voice": {"config": config}}, 1
    )
    with pytest.raises(InputError, match="is about another model"):
        shipping.ship("voice", run_id, other)
    assert (folder / "models" / "voice" / "model.json").read_bytes() == before
    assert "evaluation" not in read_description(shipping.ship("voice", run_id))  # to be rated anew


def test_a_model_whose_export_deviates_does_not_ship(place, monkeypatch):
    folder, train = place
    run_id = train("real")
    exact = CONVERTERS[layers.Dense]

    def add_bias_twice(graph, layer, x):
        return graph.add("Add", exact(graph, layer, x), graph.constant(layer.bias.numpy()))

    monkeypatch.setitem(CONVERTERS, layers.Dense, add_bias_twice)
    bundle = load_bundle(folder / "work" / "models" / "voice")
    bundle.model.get_layer("logits").bias.assign([0.1, 0.2])
    with pytest.warns(UserWarning, match="saved without model.onnx: .* differ from Keras' by"):
        save_bundle(bundle, folder / "work" / "models" / "voice")
    with pytest.raises(IntegrityError, match=r"differ from Keras' by .* over 0\.001"):
        shipping.ship("voice", run_id)
    assert not list(folder.glob("models/**/model.*"))
    assert not (folder / "models" / "models.csv").exists()


def test_toy_models_and_unrecorded_runs_do_not_ship(place):
    folder, train = place
    run_id = train("embedded")
    with pytest.raises(InputError, match="not for shipping"):
        shipping.ship("voice", run_id)
    with pytest.raises(InputError, match="no run recorded"):
        shipping.ship("voice", "06-0000000000")
    assert not (folder / "models").exists()
