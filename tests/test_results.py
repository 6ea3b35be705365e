"""The record of runs, and figures."""

import csv
import json
import math
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from dfutils import InputError
from dfutils.results import COLUMNS, read_results, record, save_figure


def strict(path):
    """Parse JSON as the standard has it: without NaN and Infinity."""

    def refuse(name):
        raise ValueError(f"{name} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def rows(folder):
    with open(folder / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_every_record_appends_a_row(tmp_path):
    first = record("05-fine-tuning", {"auc": 0.9}, {"epochs": 3}, seed=1, folder=tmp_path)
    second = record("06-other", {"auc": 0.8}, {"epochs": 4}, seed=2, manifest_sha256="abc", folder=tmp_path)
    found = rows(tmp_path)
    assert [row["run_id"] for row in found] == [first, second]
    assert list(found[0]) == list(COLUMNS)
    assert re.fullmatch(r"05-[0-9a-f]{10}", first)
    assert found[1]["manifest_sha256"] == "abc"
    assert found[1]["seed"] == "2"
    assert json.loads(found[0]["parameters"]) == {"epochs": 3}


def test_json_tells_the_same_with_provenance(tmp_path):
    parameters = {"size_hw": (275, 225), "folder": tmp_path, "rate": np.float32(0.5), "text": 'a, "b"\nc'}
    run_id = record(
        "01-x",
        {"auc": np.float64(0.75), "n": np.int64(3), "by": {"method": 1}},
        parameters,
        7,
        folder=tmp_path,
    )
    whole = strict(tmp_path / "results" / f"{run_id}.json")
    assert whole["run_id"] == run_id
    assert whole["metrics"] == {"auc": 0.75, "n": 3, "by": {"method": 1}}
    assert whole["parameters"] == {
        "size_hw": [275, 225],
        "folder": str(tmp_path),
        "rate": 0.5,
        "text": 'a, "b"\nc',
    }
    assert whole["seed"] == 7
    assert {"python", "numpy", "keras", "tensorflow"} <= set(whole["versions"])
    assert whole["host"]["cores"] >= 1
    assert whole["seconds"] >= 0
    assert isinstance(whole["dirty"], bool)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", whole["time_utc"])
    assert rows(tmp_path)[0]["parameters"].count("\n") == 0


def test_values_that_json_lacks_become_null(tmp_path):
    metrics = {"eer_low": float("nan"), "loss": np.float32("nan"), "worst": math.inf, "n": 1}
    run_id = record("01-x", metrics, {"limit": -math.inf}, 1, folder=tmp_path)
    whole = strict(tmp_path / "results" / f"{run_id}.json")
    assert whole["metrics"] == {"eer_low": None, "loss": None, "worst": None, "n": 1}
    assert whole["parameters"] == {"limit": None}
    table = read_results(tmp_path)
    assert table["metrics.n"].tolist() == [1]
    assert pd.isna(table["metrics.eer_low"].iloc[0])


def test_the_word_nan_in_a_text_stays(tmp_path):
    run_id = record("01-x", {"note": "NaN scores"}, {"path": "NaNcy.csv"}, 1, folder=tmp_path)
    whole = strict(tmp_path / "results" / f"{run_id}.json")
    assert whole["metrics"] == {"note": "NaN scores"}
    assert whole["parameters"] == {"path": "NaNcy.csv"}


def test_reading_spreads_the_metrics(tmp_path):
    record("01-a", {"auc": 0.9, "test": {"auc": 0.7}}, {}, 1, folder=tmp_path)
    record("02-b", {"loss": 0.3}, {}, 1, folder=tmp_path)
    table = read_results(tmp_path)
    assert table["notebook"].tolist() == ["01-a", "02-b"]
    assert table["metrics.auc"].iloc[0] == 0.9
    assert table["metrics.test.auc"].iloc[0] == 0.7
    assert pd.isna(table["metrics.auc"].iloc[1])
    assert "metrics" not in table


def test_nothing_recorded_yet(tmp_path):
    with pytest.raises(InputError, match=r"results\.csv.*nothing was recorded"):
        read_results(tmp_path)


def test_default_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("DFUTILS_REPORTS", str(tmp_path / "new" / "reports"))
    record("01-a", {"auc": 0.9}, {}, 1)
    assert len(read_results()) == 1
    assert (tmp_path / "new" / "reports" / "results.csv").exists()


def test_a_failed_record_leaves_the_table_alone(tmp_path, monkeypatch):
    record("01-a", {"auc": 0.9}, {}, 1, folder=tmp_path)
    before = (tmp_path / "results.csv").read_bytes()
    monkeypatch.setattr(csv.DictWriter, "writerow", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        record("01-b", {"auc": 0.9}, {}, 1, folder=tmp_path)
    assert (tmp_path / "results.csv").read_bytes() == before
    assert not list(tmp_path.rglob(".partial-*"))


def test_figures(tmp_path):
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1])
    path = save_figure(figure, "07-roc_all", tmp_path)
    assert path == tmp_path / "figures" / "07-roc_all.png"
    image = plt.imread(path)
    assert image.ndim == 3
    assert np.ptp(image[..., 0]) > 0.5
    first = path.read_bytes()
    assert save_figure(figure, "07-roc_all", tmp_path).read_bytes() == first  # no time stamp inside
    plt.close(figure)


@pytest.mark.parametrize("name", ["../escape", "a b", "07-roc.png", "", "a/b"])
def test_names_of_figures(tmp_path, name):
    figure = plt.figure()
    with pytest.raises(InputError, match="letters, digits"):
        save_figure(figure, name, tmp_path)
    plt.close(figure)
    assert not list(tmp_path.iterdir())
