"""Publishing: what was recorded, without restricted faces and without this machine's folders."""

import json

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from dfutils import InputError, publishing, results


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A recorded run on real data: one notebook, two figures."""
    import matplotlib.pyplot as plt

    monkeypatch.setenv("DFUTILS_REPORTS", str(tmp_path / "run"))
    monkeypatch.setenv("DFUTILS_WORK", str(tmp_path / "work"))
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("DFUTILS_DATA", str(tmp_path / "data"))
    cells = [
        new_code_cell("print(1)", outputs=[new_output("stream", text="AUC .9")], metadata={"papermill": {}}),
        new_code_cell("show()", outputs=[new_output("stream", text="a face")], metadata={"tags": ["faces"]}),
    ]
    notebook = new_notebook(cells=cells, metadata={"papermill": {"input_path": str(tmp_path)}})
    (tmp_path / "run" / "notebooks").mkdir(parents=True)
    nbformat.write(notebook, tmp_path / "run" / "notebooks" / "05-fine-tuning.ipynb")
    for name in ("05-history", "01-contact-sheet"):
        results.save_figure(plt.figure(figsize=(1, 1)), name)
    return tmp_path, results.record("05-fine-tuning", {"validation": {"auc": 0.9}}, {"epochs": 3}, 42, "abc")


def test_results_figures_and_notebooks_arrive(run):
    folder, run_id = run
    target = folder / "published"
    written = publishing.publish([run_id], ["05"], ["05-history"], target)
    assert all(path.is_file() for path in written)
    assert (target / "figures" / "real-05-history.png").is_file()
    table = results.read_results(target)
    assert table["run_id"].tolist() == [run_id]
    assert table["metrics.validation.auc"].tolist() == [0.9]
    assert results.read_run(run_id, target) == results.read_run(run_id)
    original = pd.read_csv(folder / "run" / "results.csv")
    pd.testing.assert_frame_equal(pd.read_csv(target / "results.csv"), original)
    publishing.publish([run_id], target=target)
    assert len(results.read_results(target)) == 1  # not twice


def test_cards_arrive_without_folders_of_this_machine(run):
    folder, run_id = run
    (folder / "run" / "robustness-voice.md").write_text(f"# Card of {folder / 'work'}\n")
    publishing.publish([run_id], target=folder / "published", cards=["robustness-voice"])
    assert (folder / "published" / "real-robustness-voice.md").read_text() == "# Card of <work>\n"
    with pytest.raises(InputError, match="robustness-picture"):
        publishing.publish([run_id], target=folder / "published", cards=["robustness-picture"])


def test_restricted_faces_stay_here(run):
    folder, run_id = run
    publishing.publish([run_id], ["05"], [], folder / "published")
    text = (folder / "published" / "notebooks" / "real" / "05-fine-tuning.ipynb").read_text()
    notebook = nbformat.reads(text, 4)
    nbformat.validate(notebook)
    assert notebook.cells[0].outputs[0].text == "AUC .9"
    assert "a face" not in text
    assert "restricted" in notebook.cells[1].outputs[0].text
    assert "papermill" not in text
    with pytest.raises(InputError, match="shows faces"):
        publishing.publish([run_id], [], ["01-contact-sheet"], folder / "published")


def test_faces_of_the_embedded_corpus_may_be_shown(run):
    folder, _ = run
    path = folder / "run" / "notebooks" / "05-fine-tuning.ipynb"
    assert "a face" in publishing.clean_notebook(path, "embedded")


def test_folders_of_this_machine_are_not_named(run):
    folder, run_id = run
    path = folder / "run" / "notebooks" / "05-fine-tuning.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["outputs"][0]["text"] = [f"read {folder / 'data' / 'a.csv'} and {folder / 'work'}"]
    path.write_text(json.dumps(notebook))
    publishing.publish([run_id], ["05"], [], folder / "published")
    text = (folder / "published" / "notebooks" / "real" / "05-fine-tuning.ipynb").read_text()
    assert "read <data>/a.csv and <work>" in text
    assert str(folder) not in text


def test_missing_things_are_named(run):
    folder, run_id = run
    with pytest.raises(InputError, match="no run recorded"):
        publishing.publish(["05-none"], target=folder / "published")
    with pytest.raises(InputError, match="matches 0 files"):
        publishing.publish([run_id], ["09"], target=folder / "published")
    with pytest.raises(InputError, match="matches 0 files"):
        publishing.publish([run_id], [], ["05-nothing"], folder / "published")
