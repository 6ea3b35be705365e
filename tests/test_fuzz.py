"""A short, fixed run of `make fuzz`: no traceback, no endless wait, no verdict on what cannot be decoded."""

import hashlib
import sys

import media
import pandas as pd
import pytest

from dfutils.paths import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "benchmarks"
N_FILES = 80


@pytest.fixture(scope="module")
def fuzz():
    sys.path.insert(0, str(FOLDER))
    import fuzz

    yield fuzz  # children find its work by the same path
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def table(fuzz, tmp_path_factory):
    out = tmp_path_factory.mktemp("fuzz") / "fuzz.csv"
    arguments = ["--number", str(N_FILES), "--seed", "3", "--memory", "1500", "--out", str(out)]
    status = fuzz.main(arguments)
    return pd.read_csv(out), status


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_goes_unsaid(table, fuzz):
    found, status = table
    totals = found.drop(columns=["mutation", "kind"]).sum()
    assert (totals["tracebacks"], totals["silent_verdicts"], status) == (0, 0, 0)
    assert totals["files"] == N_FILES + 6
    assert totals[list(fuzz.OUTCOMES)].sum() == totals["files"]
    assert (found["files"] == found[list(fuzz.OUTCOMES)].sum(axis=1)).all()


@pytest.mark.slow
def test_the_run_tells_broken_from_whole(table, fuzz):
    """It would also pass if all were refused, or nothing was ever broken."""
    found, _ = table
    by_mutation = found.groupby("mutation").sum(numeric_only=True)
    assert len(by_mutation) == 10 + 1
    whole = by_mutation.loc[["wrong extension", "hostile name"]]
    assert (whole["judged"] >= whole["files"] - 1).all()
    assert (whole["with_crops"] > 0).all()
    assert (whole["with_clips"] > 0).all()
    assert by_mutation.loc["no streams", "refused"] >= by_mutation.loc["no streams", "files"] / 2
    assert by_mutation.loc["link", "judged"] == by_mutation.loc["bomb", "judged"] == 0
    assert by_mutation.loc["link", "passed_over"] > 0
    planted = found[found["mutation"] == "planted"].set_index("kind")
    for kind, caught in (("crash", "crashed"), ("hang", "timed_out"), ("grow", "out_of_memory")):
        if kind != "grow" or sys.platform == "linux":
            assert planted.loc[kind, caught] == planted.loc[kind, "files"] == 2


def test_the_same_seed_makes_the_same_media(fuzz, tmp_path):
    def digests(folder, seed):
        corpus = fuzz.make_corpus(tmp_path / folder, 45, seed)
        return [
            hashlib.sha256((tmp_path / folder / "clips" / one.path).read_bytes()).hexdigest()
            for one in corpus
            if one.mutation not in ("link", "bomb")
        ]

    first = digests("a", 1)
    assert len(set(first)) > 30
    assert digests("b", 1) == first
    assert sum(one != other for one, other in zip(digests("c", 2), first)) > 15


def test_what_can_be_decoded_is_counted(fuzz, tmp_path):
    clip = media.write_video(tmp_path / "a.mp4", media.scenery(5), audio=media.tone(300, 0.5))
    counted = fuzz.count_decodable(str(clip))
    assert counted["picture"] >= 1
    assert counted["voice"] > 1000
    sound = media.write_sound(tmp_path / "a.wav", media.tone(300, 0.5))
    assert fuzz.count_decodable(str(sound))["picture"] == 0
    (tmp_path / "b.mp4").write_bytes(clip.read_bytes()[:400])
    assert fuzz.count_decodable(str(tmp_path / "b.mp4")) == {"picture": 0, "voice": 0}


def test_a_verdict_on_what_cannot_be_decoded_is_found(fuzz, tmp_path, monkeypatch):
    """The run itself fails where the detector makes something up, or raises something else."""
    from dfutils.guard import Limits

    def make_up(self, path):
        verdict = {"verdict": "pristine", "p_fake": 0.1}
        self.findings.append({"path": path, "picture": verdict, "voice": {"abstained": "x"}})
        return self.findings[-1]

    (tmp_path / "text.mp4").write_text("no video\n" * 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fuzz.FileJudge, "judge", make_up)
    (row,) = fuzz.fuzz([fuzz.Broken("text.mp4", "x", "mp4")], tmp_path / "out", Limits(60), 1, None)
    assert (row["judged"], row["silent_verdicts"], row["tracebacks"]) == (1, 1, 0)
    error = {"error": "could not be judged (TypeError: x)", "picture": {}, "voice": {}}
    monkeypatch.setattr(fuzz.FileJudge, "judge", lambda self, path: error)
    (row,) = fuzz.fuzz([fuzz.Broken("text.mp4", "x", "mp4")], tmp_path / "out", Limits(60), 1, None)
    assert (row["refused"], row["tracebacks"]) == (1, 1)
