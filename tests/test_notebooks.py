"""The whole study at smoke scale on the embedded corpus: it runs, it learns, it reuses what is done."""

import json

import pytest

from dfutils import results, study
from dfutils.__main__ import main
from dfutils.manifest import read_manifest
from dfutils.paths import PROJECT_ROOT

pytestmark = pytest.mark.notebooks


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folders of one run of all notebooks; the environment stays set for this module."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DFUTILS_DATA", raising=False)
        patch.delenv("DFUTILS_WEIGHTS", raising=False)
        patch.setenv("DFUTILS_WORK", str(folder / "work"))
        patch.setenv("DFUTILS_REPORTS", str(folder / "reports"))
        profile = study.read_profile(PROJECT_ROOT / "tests" / "profiles" / "smoke.yaml")
        study.run_study(profile)
        yield folder, profile


@pytest.fixture(scope="module")
def metrics(run):
    table = results.read_results(run[0] / "reports")
    return {row["notebook"]: row for row in table.to_dict("records")}


def test_every_notebook_ran_and_recorded_its_result(run, metrics):
    executed = sorted(path.stem for path in (run[0] / "reports" / "notebooks").glob("*.ipynb"))
    assert executed == sorted(path.stem for path in study.list_notebooks())
    assert sorted(metrics) == sorted(path.stem for path in study.list_notebooks() if path.stem[0].isdigit())
    for row in metrics.values():
        assert len(row["manifest_sha256"]) == 16
        assert json.loads(row["versions"])["keras"]
        assert row["seed"] == 42


def test_faces_were_found(run, metrics):
    assert metrics["01-preprocessing-video"]["metrics.crop_share"] >= 0.95
    faces = read_manifest(run[0] / "work" / "faces.csv")
    assert set(faces["split"]) == {"train", "val", "test", "unseen"}
    assert set(faces.loc[faces["split"] == "unseen", "method"]) == {"none", "colour"}


def test_models_learn_on_seen_methods(metrics):
    found = metrics["07-evaluation"]
    assert found["metrics.picture test.auc"] >= 0.9
    assert found["metrics.voice test.auc"] >= 0.9


def test_shuffled_labels_teach_nothing(metrics):
    found = metrics["03-search"]
    assert abs(found["metrics.shuffled_auc"] - 0.5) <= max(0.05, 3 * found["metrics.shuffled_standard_error"])
    assert found["metrics.shuffled_auc"] < 0.65
    assert metrics["07-evaluation"]["metrics.picture test.auc"] > found["metrics.shuffled_auc"] + 0.2


def test_intervals_contain_their_value(metrics):
    found = metrics["07-evaluation"]
    for part in ("picture test", "picture unseen", "voice test"):
        low, value, high = (found[f"metrics.{part}.{name}"] for name in ("auc_low", "auc", "auc_high"))
        assert 0 <= low <= value <= high <= 1


def test_figures_are_pictures(run):
    figures = list((run[0] / "reports" / "figures").glob("*.png"))
    assert len(figures) >= 15
    assert all(path.stat().st_size > 5_000 for path in figures)


def test_a_second_run_reuses_all(run, capsys):
    study.run_study(run[1])
    assert capsys.readouterr().out.count("done before, unchanged") == len(study.list_notebooks())


def test_the_detector_judges_the_example_clips(run, capsys, tmp_path):
    real, fake = study.example_clips()
    out = tmp_path / "findings.json"
    models = run[0] / "work" / "models"
    options = ["--picture-model", str(models / "picture"), "--voice-model", str(models / "voice")]
    assert main(["detect", str(real), str(fake), "--json", str(out), *options]) == 0
    judged = json.loads(out.read_text())
    assert judged[0]["picture"]["p_fake"] < judged[1]["picture"]["p_fake"]
    assert all(entry["voice"]["fragments_used"] >= 1 for entry in judged)


def test_the_check_of_the_metrics_passes(tmp_path):
    """It holds our metrics against the official values, and raises where they differ."""
    import papermill

    path = PROJECT_ROOT / "notebooks" / "checks" / "metrics.ipynb"
    papermill.execute_notebook(path, tmp_path / "executed.ipynb", kernel_name="python3", progress_bar=False)
