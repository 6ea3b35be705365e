"""Tables of numbers come from recorded runs; those in the README and the cards are up to date."""

import pytest

from dfutils import InputError
from dfutils.number_tables import default_files, fill_tables

RUNS = {
    "07-a": {
        "picture val": {
            "auc": 0.91234,
            "auc_low": 0.9,
            "auc_high": 0.92,
            "eer": 0.1,
            "n": 1300,
            "n_fake": 650,
            "sensitivity": 0.844,
            "specificity": 0.5,
            "log_loss": 0.4,
            "ece": 0.03,
        },
        "audit": {"normalised, 2 s": {"auc_random": 0.55, "low": 0.5, "high": 0.61}},
        "peers": [
            {"split": "val", "peer": "Meso4", "peer_auc": 0.6, "n": 5},
            {"split": "unseen", "peer": "Meso4", "peer_auc": 0.7, "n": 6},
        ],
    }
}
TEXT = """before
<!-- numbers
07-a picture val = other persons
07-a audit/normalised, 2 s = without content
-->
old
<!-- end of numbers -->
between
<!-- numbers
records 07-a peers; split=unseen
peer = peer
peer_auc = AUC
n = n
-->
<!-- end of numbers -->
after
"""


def test_tables_say_what_was_recorded_and_nothing_else_changes():
    filled = fill_tables(TEXT, "README.md", RUNS.__getitem__)
    assert (
        "| other persons | 1,300 (650) | 0.912 (0.900 to 0.920) | 0.100 | 84 % | 50 % | 0.400 | 0.030 |"
        in filled
    )
    assert "| without content |  | 0.550 (0.500 to 0.610) |  |  |  |  |  |" in filled
    assert "| Meso4 | 0.700 | 6 |" in filled
    assert "0.600" not in filled
    assert "old" not in filled
    assert [line for line in filled.splitlines() if line in ("before", "between", "after")] == [
        "before",
        "between",
        "after",
    ]
    assert fill_tables(filled, "README.md", RUNS.__getitem__) == filled


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("picture val =", "picture test =", "holds nothing under 'picture test'"),
        ("picture val = other", "picture val other", "is not 'RUN KEY = label'"),
        ("split=unseen", "split=test", "holds no records"),
        ("peer_auc = AUC", "auc = AUC", r"has no \['auc'\]"),
        ("<!-- end of numbers -->\nafter", "after", "without its end mark"),
        ("07-a audit/normalised, 2 s", "07-a audit", "holds no scores"),
    ],
)
def test_what_cannot_be_told_is_refused(old, new, message):
    assert old in TEXT
    with pytest.raises(InputError, match=message):
        fill_tables(TEXT.replace(old, new), "README.md", RUNS.__getitem__)


@pytest.mark.parametrize("path", default_files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_published_tables_are_up_to_date(path):
    text = path.read_text()
    assert "<!-- numbers" in text, "its numbers would be written by hand"
    assert fill_tables(text, str(path)) == text


def test_tables_of_measurements_are_read_from_reports(tmp_path, monkeypatch):
    from dfutils import number_tables

    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "speed.csv").write_text("what,s,ratio\nall,12345.6,0.012345\nhalf,1.5,\n")
    monkeypatch.setattr(number_tables.paths, "PROJECT_ROOT", tmp_path)
    marks = (
        "<!-- numbers\nrecords {} rows\nwhat = what\ns = seconds\nratio = times\n-->\n<!-- end of numbers -->"
    )
    filled = fill_tables(marks.format("speed.csv"), "README.md")
    assert "| all | 12,346 | 0.0123 |" in filled
    assert "| half | 1.5 |  |" in filled
    with pytest.raises(InputError, match="make bench"):
        fill_tables(marks.format("../speed.csv"), "README.md") and fill_tables(marks.format("no.csv"), "R")
