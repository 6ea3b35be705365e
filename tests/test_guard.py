"""Crashes, endless waits and greed in child processes cost one piece of work; nothing else is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import hostile_work as work
import media
import pytest
from conftest import manifest_row

from dfutils import InputError, copy_synthesis, judge_files, preprocess_audio, preprocess_video
from dfutils.__main__ import main
from dfutils.copy_synthesis import METHODS, make_copies
from dfutils.detector import DeepfakeDetector
from dfutils.errors import StorageError
from dfutils.guard import Guard, GuardError, Limits
from dfutils.jobs import run_jobs
from dfutils.manifest import make_manifest
from dfutils.preprocess_audio import extract_clips
from dfutils.preprocess_video import CropSettings, extract_crops

LIMITS = Limits(seconds=60, memory_mb=1500)
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory, and has /proc")


@pytest.fixture
def guard():
    with Guard(LIMITS) as guard:
        yield guard


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


# ------------------------------------------------------------------ one piece of work


@pytest.mark.parametrize(
    ("bad", "kind", "reason"),
    [
        (work.segfault, "crash", "the decoder crashed (signal 11)"),
        (work.leave, "crash", "the decoder crashed (exit status 3)"),
        (work.kill_itself, "killed", "its process was killed (signal 9)"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_crash_costs_one_piece_of_work(guard, bad, kind, reason):
    with pytest.raises(GuardError) as caught:
        guard.run(bad, ("clip.mp4",))
    assert (caught.value.subject, caught.value.kind) == ("clip.mp4", kind)
    assert caught.value.reason.startswith(reason)
    assert isinstance(caught.value, InputError)
    assert guard.run(work.echo, ({"a": [1]},)) == {"a": [1]}


def test_an_endless_wait_ends(tmp_path):
    with Guard(Limits(seconds=3)) as guard:
        start = time.monotonic()
        with pytest.raises(GuardError, match="took longer than 3 s") as caught:
            guard.run(work.hang, ("clip.mp4",))
        assert caught.value.kind == "time"
        assert time.monotonic() - start > 2.9
        assert guard.pids() == []


@linux
def test_what_it_had_started_ends_with_it(tmp_path):
    note = tmp_path / "pid"
    with Guard(Limits(seconds=10)) as guard, pytest.raises(GuardError, match="took longer"):
        guard.run(work.start_and_hang, (str(note),))
    assert wait_until(lambda: not is_alive(int(note.read_text())))


@linux
def test_greed_ends():
    with Guard(Limits(seconds=120, memory_mb=400)) as guard:
        with pytest.raises(GuardError, match="needed more than 400 MB of memory") as caught:
            guard.run(work.grow, ("clip.mp4",))
        assert caught.value.kind == "memory"
        assert guard.run(work.echo, (1,)) == 1


@linux
def test_no_work_is_blamed_for_what_another_one_has_left():
    with Guard(Limits(seconds=120, memory_mb=400)) as guard:
        assert guard.run(work.keep, (250_000_000,)) == 250_000_000
        assert guard.run(work.keep, (250_000_000,)) == 250_000_000  # in a fresh child


def test_faults_of_ours_come_through_with_their_traceback(guard):
    with pytest.raises(KeyError, match="a fault of ours") as caught:
        guard.run(work.fail, ("clip.mp4",))
    assert "hostile_work.py" in caught.value.__notes__[0]
    with pytest.raises(StorageError) as caught:
        guard.run(work.raise_storage_error, ("clip.mp4",))
    assert (caught.value.subject, caught.value.reason) == ("out", "no space left on device")
    assert len(guard.pids()) == 1  # a child that only raised is kept


def test_what_is_printed_does_no_harm(guard):
    assert guard.run(work.write_to_stdout, ("clip.mp4",)) == b""
    assert guard.run(work.echo, (5,)) == 5


def test_a_child_is_kept_and_works_where_its_parent_is(guard, tmp_path, monkeypatch):
    first = guard.run(work.where_it_runs, ("x",))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DFUTILS_TEST", "1")
    pid, folder, variable, _ = guard.run(work.where_it_runs, ("x",))
    assert (pid, os.path.realpath(folder), variable) == (first[0], os.path.realpath(tmp_path), "1")
    assert pid != os.getpid()
    with Guard(Limits(n_threads=1)) as other:
        assert other.run(work.where_it_runs, ("x",))[3] == "1"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_working_folder_may_be_deleted(guard, tmp_path, monkeypatch):
    """That of the work before, or that of now."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert guard.run(work.where_it_runs, (name,))[1] == str(tmp_path / name)
        (tmp_path / name).rmdir()
    assert guard.run(work.echo, (1,)) == 1
    monkeypatch.chdir(tmp_path)
    assert guard.run(work.where_it_runs, ("now",))[1] == str(tmp_path)


def test_a_child_that_died_between_two_works_is_nobodys_fault(guard):
    guard.run(work.echo, (1,))
    (pid,) = guard.pids()
    os.kill(pid, signal.SIGKILL)
    assert guard.run(work.echo, (2,)) == 2
    assert guard.pids() != [pid]


def test_threads_have_a_child_each(guard):
    together = threading.Barrier(2, timeout=60)
    pids = []

    def one():
        together.wait()
        pids.append(guard.run(work.where_it_runs, ("x",))[0])

    def two():
        child = guard._take()
        together.wait()
        pids.append(child.process.pid)
        guard._end(child)

    threads = [threading.Thread(target=target) for target in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(pids)) == 2


@linux
def test_children_end_with_their_parent(tmp_path):
    code = (
        "import sys, os, signal; sys.path.insert(0, sys.argv[1])\n"
        "import threading, hostile_work as work\n"
        "from dfutils.guard import Guard\n"
        "guard = Guard(); guard.run(work.echo, (1,)); print(*guard.pids(), flush=True)\n"
        "threading.Thread(target=guard.run, args=(work.hang, ('x',)), daemon=True).start()\n"
        "sys.stdin.read(1); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.communicate("x", timeout=60)
    assert wait_until(lambda: not is_alive(pid))


def test_no_child_can_be_started(monkeypatch):
    monkeypatch.setattr("dfutils.guard._START", "raise SystemExit(7)")
    with pytest.raises(RuntimeError, match="no child process can be started"):
        Guard(LIMITS).run(work.echo, (1,))


def test_a_daemon_is_guarded_too():
    assert work.guard_from_a_daemon() == (True, [("x", "None"), (None, "x: the decoder crashed (signal 11)")])


# ------------------------------------------------------------------ many pieces


@pytest.mark.parametrize(("n_jobs", "in_order"), [(1, True), (2, True), (2, False)])
def test_failures_come_as_values(n_jobs, in_order):
    jobs = [(f"{k}", work.segfault if k == 2 else None) for k in range(6)]
    found = run_jobs(
        work.crash_if_told, jobs, n_jobs, in_order, LIMITS, lambda job, failure: (job[0], failure.kind)
    )
    found = list(found)
    expected = [(f"{k}", "crash" if k == 2 else "good") for k in range(6)]
    assert (found if in_order else sorted(found)) == expected


def test_without_a_handler_the_failure_is_raised():
    with pytest.raises(GuardError, match=r"2: the decoder crashed"):
        list(run_jobs(work.crash_if_told, [("1", None), ("2", work.segfault)], 1, limits=LIMITS))


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """Where it is noted how often something crashed."""
    monkeypatch.setenv("DFUTILS_TEST_NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def test_a_video_that_crashes_is_one_reject_and_not_tried_again(tmp_path, monkeypatch, notes):
    good = media.write_video(tmp_path / "good.mp4", media.moving_face(4))
    (tmp_path / "bad.mp4").write_bytes(good.read_bytes())
    rows = [manifest_row(tmp_path / "bad.mp4", 0, 1), manifest_row(good, 0, 2)]
    settings = CropSettings(n_per_real=2)
    plain, _ = extract_crops(make_manifest(rows[1:]), tmp_path / "plain", settings, 1, False)
    original = preprocess_video._process_video
    monkeypatch.setattr(preprocess_video, "_process_video", work.process_video)
    for _ in range(2):
        crops, rejects = extract_crops(make_manifest(rows), tmp_path / "out", settings, 2, False, LIMITS)
        assert set(crops["video"]) == {str(good)}
        assert rejects["reason"].tolist() == ["the decoder crashed (signal 11)"]
        assert (rejects["frame_index"] == -1).all()
        monkeypatch.setattr(preprocess_video, "_process_video", original)  # would cut it
    assert len(list(notes.iterdir())) == 1
    for one, other in zip(sorted(crops["path"]), sorted(plain["path"]), strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()


def test_what_somebody_killed_is_tried_again(tmp_path, monkeypatch):
    good = media.write_video(tmp_path / "good.mp4", media.moving_face(4))
    doomed = media.write_video(tmp_path / "doomed.mp4", media.moving_face(4))
    table = make_manifest([manifest_row(path, 0, number) for number, path in enumerate((good, doomed))])
    original = preprocess_video._process_video
    monkeypatch.setattr(preprocess_video, "_process_video", work.process_or_be_killed)
    settings = CropSettings(n_per_real=2)
    _, rejects = extract_crops(table, tmp_path / "out", settings, 1, False, LIMITS)
    assert rejects["path"].tolist() == [str(doomed)]
    monkeypatch.setattr(preprocess_video, "_process_video", original)
    crops, rejects = extract_crops(table, tmp_path / "out", settings, 1, False, LIMITS)
    assert len(crops) == 4
    assert not len(rejects)


def test_a_voice_that_crashes_is_one_reject_and_not_tried_again(tmp_path, monkeypatch, notes):
    good = media.write_sound(tmp_path / "good.wav", media.voice(1.5))
    (tmp_path / "bad.wav").write_bytes(good.read_bytes())
    voices = make_manifest([manifest_row(tmp_path / "bad.wav", 0, 1), manifest_row(good, 0, 2)])
    original = preprocess_audio._process_voice
    monkeypatch.setattr(preprocess_audio, "_process_voice", work.process_voice)
    for _ in range(2):
        clips, rejects = extract_clips(voices, tmp_path / "out", n_jobs=2, progress=False, limits=LIMITS)
        assert clips["original"].tolist() == [str(good)]
        assert rejects["reason"].tolist() == ["the decoder crashed (signal 11)"]
        monkeypatch.setattr(preprocess_audio, "_process_voice", original)
    assert len(list(notes.iterdir())) == 1


def test_copies_that_crash_are_rejects(tmp_path, monkeypatch, notes):
    paths = [media.write_sound(tmp_path / f"{name}.wav", media.voice(1.0)) for name in ("bad", "good")]
    voices = make_manifest([manifest_row(path, 0, number) for number, path in enumerate(paths)])
    monkeypatch.setattr(copy_synthesis, "_copy_clip", work.copy_clip)
    methods = tuple(METHODS)[:2]
    copies, rejects = make_copies(voices, tmp_path / "out", methods, workers=1, progress=False)
    assert copies["copy_of"].tolist() == [str(paths[1])] * 2
    assert rejects["path"].tolist() == [str(paths[0])] * 2
    assert rejects["method"].tolist() == list(methods)
    assert set(rejects["reason"]) == {"the decoder crashed (signal 11)"}


# ------------------------------------------------------------------ the detector


def test_a_file_that_crashes_has_an_error_and_the_next_is_judged(tmp_path, monkeypatch, capfd, notes):
    clip = media.write_video(tmp_path / "in" / "a.mp4", media.moving_face(6), audio=media.voice(1.5))
    for name in ("bad.mp4", "z.mp4"):
        (tmp_path / "in" / name).write_bytes(clip.read_bytes())
    monkeypatch.setattr(judge_files, "_analyze", work.analyze)
    outputs = [f"--{kind}={tmp_path / f'f.{kind}'}" for kind in ("json", "html")]
    outputs.append(f"--annotate={tmp_path / 'o'}")
    assert main(["detect", str(tmp_path / "in"), "--frames", "3", *outputs]) == 1
    first, crashed, last = json.loads((tmp_path / "f.json").read_text())
    assert crashed["error"] == "the decoder crashed (signal 11)"
    report = json.loads(json.dumps(DeepfakeDetector().analyze(clip, 3).to_dict()))
    for finding in (first, last):
        assert {key: finding[key] for key in ("picture", "voice", "models")} == {
            key: report[key] for key in ("picture", "voice", "models")
        }
    assert (tmp_path / "f.html").read_text().count('<section class="case"') == 3
    assert len(list((tmp_path / "o").glob("*.mp4"))) == 2
    assert "Traceback" not in capfd.readouterr().err


def test_one_file_alone_is_guarded_too_but_may_take_its_time(tmp_path, monkeypatch, capfd, notes):
    path = media.write_sound(tmp_path / "bad.wav", media.voice(1.0))
    monkeypatch.setattr(judge_files, "_analyze", work.analyze)
    seen = []
    run = Guard.run
    monkeypatch.setattr(Guard, "run", lambda self, *rest: seen.append(self.limits) or run(self, *rest))
    assert main(["detect", str(path)]) == 1
    assert "the decoder crashed (signal 11)" in capfd.readouterr().err
    assert seen[0].seconds > 24 * 3600
