"""Many files by the command line: JSON, CSV and HTML, bad files, interruption, going on, what is refused."""

import csv
import hashlib
import json
import os
import re
import shutil

import media
import pytest
from stand_ins import use_red_is_fake

from dfutils import judge_files
from dfutils.__main__ import main
from dfutils.detector import DeepfakeDetector
from dfutils.evidence import collect_faces
from dfutils.html_pieces import show_name
from dfutils.images import write_image

GOOD = ("=SUM(1).mp4", "a.mp4", "deep/portrait.png", "two\nlines.mp4")


@pytest.fixture(autouse=True)
def picture_model(monkeypatch):
    """A picture model, no voice model; `fingerprints` may be changed."""
    use_red_is_fake(monkeypatch)
    fingerprints = {"picture": "p1", "voice": None}
    monkeypatch.setattr(DeepfakeDetector, "fingerprint", lambda self, kind: fingerprints[kind])
    return fingerprints


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return media.write_video(path, media.moving_face(12), audio=media.voice(1.0))


@pytest.fixture
def folder(tmp_path, clip):
    """Four good files and two broken ones."""
    root = tmp_path / "clips"
    (root / "deep").mkdir(parents=True)
    for name in GOOD:
        if name.endswith(".mp4"):
            shutil.copy(clip, root / name)
    write_image(root / "deep/portrait.png", media.portrait())
    (root / "broken.mp4").write_text("no video\n" * 20)
    (root / "empty.mov").write_bytes(b"")
    (root / "notes.txt").write_text("not to be judged")
    return root


@pytest.fixture
def analyzed(monkeypatch):
    """Paths that were really judged; `stop_at` raises on that call."""

    class Calls(list):
        stop_at = None
        error = KeyboardInterrupt

    calls, analyze = Calls(), DeepfakeDetector.analyze

    def watched(self, path, *arguments):
        calls.append(os.path.basename(path))
        if len(calls) == calls.stop_at:
            raise calls.error
        return analyze(self, path, *arguments)

    monkeypatch.setattr(DeepfakeDetector, "analyze", watched)
    return calls


def detect(*arguments):
    return main(["detect", "--frames", "4", *map(str, arguments)])


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def steady(findings):
    return [{key: value for key, value in one.items() if key != "judged_at"} for one in findings]


# ------------------------------------------------------------------ outputs


def test_a_folder_becomes_json_csv_and_a_page(folder, tmp_path, capsys):
    out = [tmp_path / "out" / f"f.{kind}" for kind in ("json", "csv", "html")]
    assert detect(folder, "--json", out[0], "--csv", out[1], "--html", out[2]) == 1
    findings = read(out[0])
    names = ["=SUM(1).mp4", "a.mp4", "broken.mp4", "empty.mov", "two\nlines.mp4", "deep/portrait.png"]
    assert [one["path"] for one in findings] == [str(folder / name) for name in names]
    assert [name for name, one in zip(names, findings) if "error" in one] == ["broken.mp4", "empty.mov"]
    for name, one in zip(names, findings):
        assert one["schema"] == 1
        assert one["settings"]["frames"] == 4
        assert one["settings"]["picture_model_json"] == "p1"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", one["judged_at"])
        if name != "empty.mov":
            assert one["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if "error" not in one:
            assert one["picture"]["frames_used"] == (1 if name.endswith("png") else 4)
            assert one["voice"]["abstained"]
    rows = list(csv.DictReader(out[1].read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 6
    assert rows[4]["path"].endswith(r"two\nlines.mp4")
    assert rows[1]["picture_p_fake"] == str(findings[1]["picture"]["p_fake"])
    assert (rows[1]["persons"], rows[1]["picture_person"], rows[1]["voice_verdict"]) == (
        "1",
        "1",
        "cannot tell",
    )
    assert rows[3]["error"] == "is empty (0 bytes)"
    page = out[2].read_text(encoding="utf-8")
    assert page.count('<section class="case"') == 6
    assert page.count("data:image/jpeg") == 3 * (4 + 1) + 2  # four moments and a portrait each; one picture
    for name in names:
        assert show_name(str(folder / name)) in page
    assert findings[1]["sha256"] in page
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.out.count("looks") == 4
    assert "is empty" in printed.err


def test_a_page_alone_shows_one_clip_in_full(clip, tmp_path):
    page = tmp_path / "page.html"
    assert main(["detect", str(clip), "--html", str(page)]) == 0
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 12 + 1


def test_a_cell_that_begins_like_a_formula_is_text(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    assert detect("=SUM(1).mp4", "--csv", tmp_path / "f.csv") == 0
    assert "\n'=SUM(1).mp4," in (tmp_path / "f.csv").read_text()


def test_an_empty_folder_is_said(tmp_path, capsys):
    (tmp_path / "nothing").mkdir()
    assert detect(tmp_path / "nothing", "--json", tmp_path / "f.json") == 1
    assert "holds no video, picture or sound file" in capsys.readouterr().err
    (finding,) = read(tmp_path / "f.json")
    assert "holds no video" in finding["error"]


def test_whatever_a_file_does_the_rest_is_judged(folder, tmp_path, analyzed):
    analyzed.stop_at, analyzed.error = 2, RuntimeError("a decoder fell over")
    out = tmp_path / "f.json"
    assert detect(folder, "--json", out) == 1
    findings = read(out)
    assert len(findings) == 6
    assert findings[1]["error"] == "could not be judged (RuntimeError: a decoder fell over)"
    assert "error" not in findings[4]


@pytest.mark.skipif(os.name == "nt", reason="names are bytes on POSIX only")
def test_a_name_that_is_no_text_stops_nothing(clip, tmp_path, analyzed):
    path = os.fsdecode(os.fsencode(tmp_path / "clip") + b"\xff.mp4")
    try:
        shutil.copy(clip, path)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    outputs = [f"--{kind}={tmp_path}/f.{kind}" for kind in ("json", "csv", "html")]
    assert detect(path, clip, *outputs) == 1
    findings = read(tmp_path / "f.json")
    assert [finding["path"] for finding in findings] == [path, str(clip)]
    assert findings[0]["error"] == "has a name that is not UTF-8; rename it"
    assert analyzed == ["clip.mp4"]
    assert r"clip\udcff.mp4" in (tmp_path / "f.csv").read_text()


# ------------------------------------------------------------------ interruption and going on


def test_everything_is_on_disk_after_each_file(folder, tmp_path, monkeypatch):
    out, seen, analyze = tmp_path / "f.json", [], DeepfakeDetector.analyze

    def watched(self, path, *arguments):
        table = (tmp_path / "f.csv").read_text().splitlines()
        seen.append((len(read(out)), len(table) - 1))
        return analyze(self, path, *arguments)

    monkeypatch.setattr(DeepfakeDetector, "analyze", watched)
    detect(folder, "--json", out, "--csv", tmp_path / "f.csv")
    assert seen == [(0, 0), (1, 1), (2, 2), (4, 4), (5, 5)]  # an empty file is never opened


def test_an_interrupted_run_goes_on(folder, tmp_path, analyzed, capsys):
    whole, out, page = tmp_path / "whole.json", tmp_path / "f.json", tmp_path / "f.html"
    detect(folder, "--json", whole)
    analyzed.clear()
    analyzed.stop_at = 3
    assert detect(folder, "--json", out, "--html", page) == 130
    assert analyzed == ["=SUM(1).mp4", "a.mp4", "broken.mp4"]
    assert steady(read(out)) == steady(read(whole))[:2]
    assert page.read_text().count('<section class="case"') == 2
    analyzed.clear()
    analyzed.stop_at = None
    assert detect(folder, "--json", out, "--html", page) == 1
    assert analyzed == ["broken.mp4", "two\nlines.mp4", "portrait.png"]
    assert steady(read(out)) == steady(read(whole))
    assert "2 of 6 were judged before" in capsys.readouterr().err
    assert page.read_text().count("data:image/jpeg") == 3 * (4 + 1) + 2  # faces of before are there too
    analyzed.clear()
    first = read(out)
    assert detect(folder, "--json", out) == 1
    assert analyzed == []
    assert steady(read(out)) == steady(first)
    kept = [[finding for finding in found if finding["sha256"]] for found in (read(out), first)]
    assert kept[0] == kept[1]  # an empty file has no hash, and is looked at again, at another time
    assert len(kept[0]) == 5
    detect(folder, "--json", out, "--fresh")
    assert len(analyzed) == 5


def test_what_has_changed_is_judged_anew(folder, tmp_path, analyzed, picture_model):
    out = tmp_path / "f.json"
    detect(folder, "--json", out)
    analyzed.clear()
    media.write_video(folder / "a.mp4", media.moving_face(6))
    detect(folder, "--json", out)
    assert analyzed == ["a.mp4"]
    for change in (["--fragments", "3"], ["--fragment-seconds", "2"], ["--frames", "3"]):
        analyzed.clear()
        detect(folder, "--json", out, *change)
        assert len(analyzed) == 5
    detect(folder, "--json", out)
    analyzed.clear()
    picture_model["voice"] = "v1"  # has come meanwhile
    detect(folder, "--json", out)
    assert len(analyzed) == 5


def test_findings_to_come_are_not_lost_by_a_second_interruption(folder, tmp_path, analyzed):
    out = tmp_path / "f.json"
    detect(folder, "--json", out, "--csv", tmp_path / "f.csv")
    before = read(out)
    analyzed.clear()
    analyzed.stop_at = 2
    media.write_video(folder / "=SUM(1).mp4", media.moving_face(6))
    media.write_video(folder / "a.mp4", media.moving_face(6))
    assert detect(folder, "--json", out, "--csv", tmp_path / "f.csv") == 130
    after = read(out)
    assert after[1:] == before[1:]
    assert after[0]["sha256"] != before[0]["sha256"]
    assert len((tmp_path / "f.csv").read_text().splitlines()) == 7


def test_faces_read_again_are_those_that_were_judged(clip):
    detector = DeepfakeDetector()
    report = detector.analyze(clip, 4)
    findings = json.loads(json.dumps(report.to_dict()))
    (kept, portraits), (again, others) = (
        collect_faces(findings, detector.bundle("picture"), crops, 3)
        for crops in (report.picture.crops, None)
    )
    assert [moment.p_fake for moment in kept] == [moment.p_fake for moment in again]
    assert [moment.p_fake for moment in kept] == sorted((moment.p_fake for moment in kept), reverse=True)
    for one, other in [*zip(kept, again)]:
        assert (one.time_s, one.person) == (other.time_s, other.person)
        # boxes have one decimal in the JSON, which can move a crop by a pixel
        assert abs(one.image.astype(int) - other.image).mean() < 6
    assert portraits.keys() == others.keys() == {1}


# ------------------------------------------------------------------ what is refused


def test_other_things_are_not_overwritten(clip, tmp_path, capsys, analyzed):
    letter = tmp_path / "letter.json"
    for content in ("Dear Anna", '{"a": 1}', "[1, 2]", '[{"path": "x"}]', "\udcff"):
        letter.write_bytes(content.encode("utf-8", "surrogateescape"))
        before = letter.read_bytes()
        assert detect(clip, "--json", letter) == 2
        assert "holds no findings to go on from; --fresh overwrites it" in capsys.readouterr().err
        assert letter.read_bytes() == before
    assert analyzed == []
    assert detect(clip, "--json", letter, "--fresh") == 0
    (tmp_path / "none.json").write_text("")
    assert detect(clip, "--json", tmp_path / "none.json") == 0


def test_outputs_that_make_no_sense(clip, tmp_path, capsys, analyzed):
    copy = shutil.copy(clip, tmp_path / "copy.mp4")
    for options, reason in (
        (["--html", copy], "is named twice"),
        (["--csv", tmp_path / "f", "--json", tmp_path / "f"], "is named twice"),
        (["--csv", tmp_path], "is no regular file"),
        (["--html", os.devnull], "is no regular file"),
        (["--html", f"{copy}/page.html"], "cannot be written"),
    ):
        assert detect(copy, *options) == 2
        assert reason in capsys.readouterr().err
    assert analyzed == []
    assert (tmp_path / "copy.mp4").read_bytes() == clip.read_bytes()


def test_a_wrong_argument_stops_at_once_and_blames_no_file(folder, tmp_path, capsys):
    assert main(["detect", str(folder), "--frames", "0", "--json", str(tmp_path / "f.json")]) == 2
    assert "n_frames: must be a whole number in 1..1000, got 0" in capsys.readouterr().err
    assert read(tmp_path / "f.json") == []


def test_the_page_is_not_written_more_often_than_it_pays(clip, tmp_path, monkeypatch):
    written = []
    files = [shutil.copy(clip, tmp_path / f"{k}.mp4") for k in range(4)]
    with judge_files.FileJudge(DeepfakeDetector(), files, 2, html_path=tmp_path / "f.html") as judge:
        write = judge._write_page

        def slowly():
            write()
            written.append(len(judge.findings))
            judge._page_took = 1e6

        monkeypatch.setattr(judge, "_write_page", slowly)
        for path in files:
            judge.judge(path)
        assert written == [1, 4]
