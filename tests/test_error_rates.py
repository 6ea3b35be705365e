"""How often a model errs: taken from recorded runs alone, checked, and said beside every verdict."""

import copy
import csv
import doctest
import io
import json
import shutil

import pytest

import dfutils.error_rates
from dfutils import InputError, results
from dfutils.__main__ import main
from dfutils.csv_report import render_csv
from dfutils.descriptions import Bundle, read_description, write_description
from dfutils.error_rates import NOT_MEASURED, check_evaluation, say_error_rates
from dfutils.html_report import Case, render_report
from dfutils.model_config import ModelConfig
from dfutils.paths import models_dir
from dfutils.rating import HOME, collect_rates, find_run
from dfutils.report import Judgement, Report, describe_findings

HERE = {"name": HOME, "unit": "faces", "false_alarm_rate": 0.155385, "miss_rate": 0.2, "run_id": "07-1"}
THERE = HERE | {"name": "another dataset", "false_alarm_rate": 0.512626, "miss_rate": 0.146465}
VIDEOS = THERE | {"unit": "videos", "false_alarm_rate": 0.522727, "miss_rate": 0.098485}


# ------------------------------------------------------------------ in words


def test_in_words():
    assert say_error_rates([HERE, THERE, VIDEOS]) == (
        "On recordings like those it was checked with, 16 of 100 pristine faces are called manipulated and "
        "20 of 100 manipulated ones are missed; on another dataset 51 and 15 (of 100 videos there 52 and 10)."
        " On clips of another kind expect worse."
    )
    assert "16 of 100 pristine" in say_error_rates(
        [HERE | {"false_alarm_rate_low": 0.121, "false_alarm_rate_high": 0.19}]
    )
    assert say_error_rates([HERE, VIDEOS]).count("on another dataset 52 and 10 of 100 videos") == 1
    assert say_error_rates([]) == NOT_MEASURED


def findings(evaluation):
    judged = Judgement.from_scores([{"p_fake": 0.9}], 0.45)
    judged.evaluation = evaluation
    return Report("clip.mp4", judged, Judgement(abstained="has no sound")).to_dict()


@pytest.mark.parametrize(("evaluation", "words"), [([HERE, THERE], "16 of 100"), ([], NOT_MEASURED)])
def test_beside_every_verdict(evaluation, words):
    finding = findings(evaluation)
    assert finding["picture"]["evaluation"] == evaluation
    text, page = describe_findings(finding), render_report([Case(finding)])
    sentence = say_error_rates(evaluation)
    assert sentence in " ".join(text.split())
    assert words in sentence
    assert page.count(sentence) == 1  # not beside what cannot be told
    (row,) = csv.DictReader(io.StringIO(render_csv([finding])))
    expected = ("0.155385", "0.2", "0.512626", "0.2") if evaluation else ("",) * 4
    names = ("false_alarm_rate", "miss_rate", "worst_false_alarm_rate", "worst_miss_rate")
    assert tuple(row[f"picture_{name}"] for name in names) == expected
    assert row["voice_miss_rate"] == ""


def test_findings_from_before_there_were_rates():
    finding = findings([])
    del finding["picture"]["evaluation"]
    assert NOT_MEASURED in describe_findings(finding)
    assert NOT_MEASURED in render_report([Case(finding)])
    assert render_csv([finding]).count("\n") == 2


# ------------------------------------------------------------------ in model.json


@pytest.mark.parametrize(
    "evaluation",
    [
        {"false_alarm_rate": 0.1},
        ["16 of 100"],
        [{**HERE, "comment": "x"}],
        [{key: value for key, value in HERE.items() if key != "run_id"}],
        [HERE | {"unit": "frames"}],
        [HERE | {"miss_rate": 1.2}],
        [HERE | {"miss_rate": -0.1}],
        [HERE | {"miss_rate": "0.1"}],
        [HERE | {"miss_rate": True}],
        [HERE | {"miss_rate": float("nan")}],
        [HERE | {"miss_rate_low": 0.1}],
        [HERE | {"miss_rate_low": 0.3, "miss_rate_high": 0.4}],
        [HERE | {"name": ""}],
        [HERE | {"run_id": 7}],
    ],
)
def test_what_is_no_evaluation(evaluation, tmp_path):
    with pytest.raises(ValueError, match="evaluation"):
        check_evaluation(evaluation)
    write_description(tmp_path, Bundle(None, ModelConfig("video", "MobileNetV2", (64, 48)), {}), {}, None)
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    assert read_description(tmp_path) == description
    path.write_text(json.dumps(description | {"evaluation": [HERE]}))
    assert Bundle.described(read_description(tmp_path), None, "").evaluation == [HERE]
    path.write_text(json.dumps(description | {"evaluation": evaluation}))
    with pytest.raises(InputError, match=r"model\.json: holds what this version does not know \(evaluation"):
        read_description(tmp_path)


# ------------------------------------------------------------------ from recorded runs


SCORES = {"n": 100, "sensitivity": 0.8, "specificity": 0.9, "threshold": 0.4}


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The description of a model, and a place for runs."""
    monkeypatch.setenv("DFUTILS_REPORTS", str(tmp_path / "reports"))
    config = ModelConfig("video", "MobileNetV2", (64, 48)).to_dict()
    description = {
        "format": 1, "config": config, "inputs": {}, "about": {"b": [1, 0.1 + 0.2]}, "weights": {},
        "calibration": {"slope": 0.5596620152390704, "threshold": 0.4000002},
    }  # fmt: skip
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text(json.dumps(description))

    def record(notebook, metrics, config=config):
        parameters = {"picture": {"config": config}} if notebook.startswith("07") else {"config": config}
        return results.record(notebook, metrics, parameters, 1)

    return tmp_path / "model", description, record


def test_a_recorded_evaluation_goes_into_the_description(model, capsys):
    folder, before, record = model
    intervals = {
        "sensitivity_low": 0.7,
        "sensitivity_high": 0.85,
        "specificity_low": 0.8,
        "specificity_high": 0.95,
    }
    run_id = record("07-evaluation", {
        "picture val": SCORES | intervals, "picture, per video val": SCORES,
        "picture unseen": SCORES | {"specificity": 0.5}, "picture, per video unseen": SCORES | {"n": 30},
        "voice val": SCORES | {"specificity": 0.0},
    })  # fmt: skip
    assert main(["rate", "picture", run_id, "--model", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder)
    after = read_description(folder)
    evaluation = after.pop("evaluation")
    assert after == before
    assert [(entry["name"], entry["unit"]) for entry in evaluation] == [
        (HOME, "faces"), ("another dataset", "faces"), ("another dataset", "videos")
    ]  # fmt: skip
    assert evaluation[0] == {
        "name": HOME, "unit": "faces", "run_id": run_id,
        "false_alarm_rate": 0.1, "false_alarm_rate_low": 0.05, "false_alarm_rate_high": 0.2,
        "miss_rate": 0.2, "miss_rate_low": 0.15, "miss_rate_high": 0.3,
    }  # fmt: skip
    assert evaluation[1]["false_alarm_rate"] == 0.5
    other = record("05-fine-tuning", {"validation": SCORES})
    assert main(["rate", "picture", other, "--model", str(folder)]) == 0
    (entry,) = read_description(folder)["evaluation"]
    assert (entry["run_id"], entry["name"], entry["miss_rate"]) == (other, HOME, 0.2)


def test_runs_about_another_model_are_refused(model, capsys):
    folder, _, record = model
    text = (folder / "model.json").read_text()
    other = ModelConfig("video", "MobileNetV2", (64, 64)).to_dict()
    for run_id, reason in (
        (record("07-evaluation", {"picture val": SCORES | {"threshold": 0.41}}), "decides at 0.410000, this"),
        (record("07-evaluation", {"picture val": SCORES}, other), "of another configuration"),
        (record("07-evaluation", {"voice val": SCORES}), "says nothing on how often the picture model errs"),
        (record("03-search", {"best": 1}), "says nothing"),
        ("07-0000000000", "is no run recorded"),
    ):
        assert main(["rate", "picture", run_id, "--model", str(folder)]) == 2
        assert reason in capsys.readouterr().err
    assert (folder / "model.json").read_text() == text


SHIPPED = sorted(path.parent for path in models_dir().glob("*/model.json"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_what_ships_says_what_was_recorded_of_it(folder, tmp_path):
    description = read_description(folder)
    evaluation = description["evaluation"]
    (run_id,) = {entry["run_id"] for entry in evaluation}
    assert collect_rates(find_run(run_id), folder.name, description) == evaluation
    copied = tmp_path / folder.name
    copied.mkdir()
    shutil.copy(folder / "model.json", copied)
    changed = copy.deepcopy(description)
    changed["calibration"]["threshold"] += 0.001
    with pytest.raises(InputError, match="is about another model"):
        collect_rates(find_run(run_id), folder.name, changed)
    assert main(["rate", folder.name, run_id, "--model", str(copied)]) == 0
    assert (copied / "model.json").read_bytes() == (folder / "model.json").read_bytes()


def test_examples():
    failed, attempted = doctest.testmod(dfutils.error_rates)
    assert (failed, attempted > 0) == (0, True)
