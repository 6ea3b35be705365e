"""The detector's page without a browser: what is sent is looked at, held for a moment, judged, removed."""

import doctest
import json
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import media
import pytest
from stand_ins import use_red_is_fake
from tornado.web import HTTPError
from traitlets.config import Config

from dfutils import app, app_panel, app_server, uploads
from dfutils.app import judge_file, judge_upload
from dfutils.app_panel import Panel
from dfutils.detector import DeepfakeDetector
from dfutils.errors import InputError
from dfutils.html_report import render_report
from dfutils.images import write_image
from dfutils.paths import PROJECT_ROOT

NASTY = (
    "../../etc/passwd",
    "clip.mp4/../../../root/.bashrc",
    "C:\\Windows\\system32\\evil.exe",
    "/etc/cron.d/job.mp4",
    "two\nlines\0.mp4",
    "a" * 5000 + ".mp4",
    "%d%s.mp4",
    "..",
    ".mp4",
    "",
    "clip.\u202e4pm.sh",
)


@pytest.fixture(autouse=True)
def picture_model(monkeypatch):
    use_red_is_fake(monkeypatch)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return media.write_video(path, media.moving_face(12), audio=media.voice(1.0))


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """An own place for temporary files, to see what is left there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("name", NASTY)
def test_a_name_never_leads_out_of_the_private_folder(name, scratch):
    with uploads.hold_upload(name, b"RIFF and so on") as path:
        assert path.parent.parent == scratch
        assert path.name in ("upload", "upload.mp4")
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.read_bytes() == b"RIFF and so on"
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_shown_on_one_line_without_folders(name, scratch):
    problem = judge_upload(DeepfakeDetector(), name, b"this is a text").problem
    assert "/" not in problem
    assert "\\W" not in problem
    assert problem.isprintable()
    assert len(problem) < 200


def test_doctests():
    results = doctest.testmod(uploads)
    assert results.attempted >= 4
    assert results.failed == 0


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n",
        b"\xef\xbb\xbf#EXTM3U\nfile:///etc/passwd\n",
        b"ID3\x03\0\0\0\0\0\x05-----#EXTM3U\nfile:///etc/passwd\n",  # FFmpeg passes over such a tag
        b"ID3\x03\0\0\0\0\0\0ID3\x03\0\0\0\0\0\0#EXTM3U\n",
        b"ID3\x03\0\0\x7f\x7f\x7f\x7f",  # a tag longer than the file
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\nc=IN IP4 10.0.0.1\n",
        b'<?xml version="1.0"?><MPD profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"/>',
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"#!/bin/sh\n",
        b"G",
        b"\xff",
    ],
)
def test_what_makes_a_decoder_read_other_files_is_refused(content, scratch):
    outcome = judge_upload(DeepfakeDetector(), "holiday.mp4", content)
    expected = "holiday.mp4 cannot be judged: is not a video, picture or sound file of a known kind."
    assert outcome.problem == expected


def test_media_of_every_common_kind_are_let_in(tmp_path):
    frames, tone = media.moving_face(3), media.tone(300, 0.5)
    videos = dict.fromkeys(("a.mp4", "a.mov", "a.mkv", "a.ts", "a.flv", "a.m4v"), "libx264")
    videos |= {"a.avi": "mpeg4", "a.mpg": "mpeg2video", "a.webm": "libvpx", "a.wmv": "wmv2"}
    sounds = {"a.wav": "pcm_s16le", "a.flac": "flac", "a.mp3": "libmp3lame", "a.m4a": "aac"}
    sounds |= {"a.ogg": "libopus", "a.aac": "aac", "a.aiff": "pcm_s16be"}
    paths = [media.write_video(tmp_path / name, frames, codec) for name, codec in videos.items()]
    paths += [media.write_sound(tmp_path / name, tone, codec=codec) for name, codec in sounds.items()]
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tif"):
        paths.append(write_image(tmp_path / name, frames[0]))
    assert len(paths) == 22
    refused = [path.name for path in paths if not uploads.begins_like_media(path.read_bytes())]
    assert refused == []


def test_the_limit_is_named_and_kept(monkeypatch, scratch):
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 1000)
    uploads.check_upload("a.wav", b"RIFF" + bytes(996))
    problem = judge_upload(DeepfakeDetector(), "a.wav", memoryview(b"RIFF" + bytes(997))).problem
    assert problem == "a.wav cannot be judged: is larger than 1 kB, the limit."
    assert (
        judge_upload(DeepfakeDetector(), "a.wav", b"").problem
        == "a.wav cannot be judged: is empty (0 bytes)."
    )


def test_an_upload_gets_the_scores_that_the_detector_gives(clip, scratch):
    expected = DeepfakeDetector().analyze(clip, 6, 2)
    case = judge_upload(DeepfakeDetector(), "C:\\me\\Holiday.MP4", clip.read_bytes(), 6, 2).case
    assert case.findings["picture"] == expected.to_dict()["picture"]
    assert 0 < case.findings["picture"]["p_fake"] < 1
    assert len(case.moments) == 6
    page = render_report([case])
    assert "Findings on Holiday.MP4" in page
    assert str(scratch) not in page
    assert "dfutils-upload" not in page
    assert list(scratch.iterdir()) == []


def test_one_sentence_names_a_broken_file_but_no_place(clip, scratch):
    problem = judge_upload(DeepfakeDetector(), "half.mp4", clip.read_bytes()[:600]).problem
    assert problem.startswith("half.mp4 cannot be judged: neither picture nor sound can be read: ")
    assert problem.count("\n") == 0
    assert "upload" not in problem
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("boom\nat line 2"), MemoryError(), OSError(28, "disk is full")]
)
def test_whatever_else_goes_wrong_is_one_sentence_and_leaves_nothing(clip, scratch, monkeypatch, error):
    def fail(self, path, *arguments, **options):
        assert Path(path).parent.parent == scratch
        raise error

    monkeypatch.setattr(DeepfakeDetector, "analyze", fail)
    problem = judge_upload(DeepfakeDetector(), "a.mp4", clip.read_bytes()).problem
    assert problem.startswith(f"a.mp4 could not be judged ({type(error).__name__}: ")
    assert "Traceback" not in problem
    assert "\n" not in problem
    assert list(scratch.iterdir()) == []


def test_a_full_disk_is_one_sentence(clip, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", fail)
    problem = judge_upload(DeepfakeDetector(), "a.mp4", clip.read_bytes()).problem
    assert problem == "a.mp4 could not be judged (OSError: [Errno 28] No space left on device)."


def test_the_file_goes_when_the_process_ends_in_the_middle(tmp_path):
    code = """
import threading, time
from dfutils.uploads import hold_upload
def judge():
    with hold_upload("a.mp4", b"RIFF") as path:
        print(path, flush=True)
        held.set()
        time.sleep(60)
held = threading.Event()
threading.Thread(target=judge, daemon=True).start()
held.wait(30)
"""
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert Path(done.stdout.strip()).parent.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_progress_rises_frame_by_frame_to_the_end(clip):
    told = []
    DeepfakeDetector().analyze(clip, 6, 2, progress=lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert [what for _, what in told if "frame" in what] == [f"looked at frame {k} of 6" for k in range(1, 7)]

    told.clear()
    judge_file(DeepfakeDetector(), clip, 6, 2, progress=lambda share, what: told.append((share, what)))
    assert told[-1] == (app.ANALYSIS_SHARE, "laying out the report")
    assert len(told) > 8


def test_what_progress_raises_ends_the_judging(clip):
    def stop(share, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        DeepfakeDetector().analyze(clip, 6, 2, progress=stop)


def sent(name, content):
    when = datetime(2026, 11, 20, tzinfo=UTC)
    return [{"name": name, "type": "", "size": 1, "content": memoryview(content), "last_modified": when}]


@pytest.fixture
def panel(monkeypatch):
    monkeypatch.setattr(app_panel, "warm_up", lambda detector: None)
    return Panel(DeepfakeDetector(), 4, 2, served=True)


def test_the_panel_judges_what_was_sent_and_forgets_it(panel, clip, scratch):
    assert panel.button.disabled
    panel.upload.value = sent("<b>clip</b>.mp4", clip.read_bytes())
    assert not panel.button.disabled
    assert "Chosen: b&gt;.mp4" in panel.status.value  # what stands before the slash counts as a folder
    panel.start()
    panel.thread.join(60)
    assert panel.upload.value == ()
    assert panel.button.disabled
    assert panel.bar.value == app.ANALYSIS_SHARE
    assert "looks" in panel.status.value
    assert "srcdoc" in panel.result.value
    assert "dfutils-upload" not in panel.result.value
    assert list(scratch.iterdir()) == []


def test_the_panel_refuses_at_once_what_cannot_be_judged(panel):
    panel.upload.value = sent("<script>.txt", b"a text")
    assert panel.button.disabled
    assert panel.upload.value == ()
    assert "! &lt;script&gt;.txt cannot be judged: is not a video" in panel.status.value
    panel.start()
    assert panel.thread is None


def test_a_second_click_while_one_is_judged_does_nothing(panel, clip, monkeypatch):
    calls, judge = [], app_panel.judge_upload

    def slow(*arguments):
        calls.append(1)
        time.sleep(0.3)
        return judge(*arguments)

    monkeypatch.setattr(app_panel, "judge_upload", slow)
    panel.upload.value = sent("clip.mp4", clip.read_bytes())
    panel.start()
    panel.start()
    panel.thread.join(60)
    assert len(calls) == 1


def test_while_one_is_judged_no_other_is_taken_and_a_fault_of_ours_is_a_sentence(panel, clip, monkeypatch):
    states = []

    def fail(case):
        states.append((panel.upload.disabled, panel.button.disabled))
        raise RuntimeError("no <layout>")

    monkeypatch.setattr(app_panel, "frame_report", fail)
    panel.upload.value = sent("clip.mp4", clip.read_bytes())
    panel.judge()
    assert states == [(True, True)]
    assert (panel.upload.disabled, panel.button.disabled) == (False, True)
    assert "! This did not work (RuntimeError: no &lt;layout&gt;)." in panel.status.value
    assert panel.upload.value == ()


def everything_in(box):
    yield box
    for child in getattr(box, "children", ()):
        yield from everything_in(child)


def test_only_where_no_strangers_are_a_path_may_be_typed(panel, clip, monkeypatch):
    assert panel.path is None
    assert not any("Text" in type(widget).__name__ for widget in everything_in(panel.box))
    monkeypatch.setenv("VOILA_BASE_URL", "/")
    assert Panel(DeepfakeDetector()).path is None
    monkeypatch.delenv("VOILA_BASE_URL")

    local = Panel(DeepfakeDetector(), 4, 2)
    local.path.value = str(clip)
    assert not local.button.disabled
    local.judge()
    assert f"<b>{clip}:</b> picture " in local.status.value
    assert not local.button.disabled
    local.upload.value = sent("other.mp4", clip.read_bytes())
    assert local.path.value == ""
    local.judge()
    assert "<b>other.mp4:</b> picture " in local.status.value
    local.path.value = "/nowhere/clip.mp4"
    local.judge()
    assert "! /nowhere/clip.mp4 cannot be judged: does not exist." in local.status.value
    assert local.result.value == ""


def test_sliders_take_unusual_defaults():
    panel = Panel(DeepfakeDetector(), 300, 50, 2.5, served=True)
    assert (panel.frames.value, panel.fragments.value, panel.seconds.value) == (300, 50, 2.5)
    assert Panel(DeepfakeDetector(), served=True).seconds.value == 0


def test_who_is_there(monkeypatch):
    for name in ("VOILA_BASE_URL", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    assert not app.is_interactive()
    monkeypatch.setenv("JPY_SESSION_NAME", "Deepfake Detector.ipynb")
    assert app.is_interactive()
    assert not app.is_served()
    monkeypatch.setenv("VOILA_BASE_URL", "/")
    assert app.is_served()


def test_the_server_shows_one_notebook_and_no_file():
    config = app_server.make_config(8866)
    assert isinstance(config, Config)
    assert app_server.NOTEBOOK.is_file()
    assert config.VoilaConfiguration.file_allowlist == []
    assert config.VoilaConfiguration.show_tracebacks is False
    assert config.VoilaConfiguration.allow_template_override == "NO"
    assert config.MappingKernelManager.cull_connected
    settings = config.Voila.tornado_settings
    assert uploads.MAX_UPLOAD_BYTES < settings["websocket_max_message_size"] <= 100 * 2**20
    assert settings["allow_remote_access"] is False
    assert app_server.make_config(8866, "0.0.0.0").Voila.tornado_settings["allow_remote_access"] is True
    assert "http" not in settings["headers"]["Content-Security-Policy"]


def test_there_are_not_more_sessions_than_the_machine_bears():
    class Handler:
        xsrf_token = b"token"

        class kernel_manager:
            @staticmethod
            def list_kernel_ids():
                return running

    running = ["id"] * (app_server.MAX_SESSIONS - 1)
    assert app_server.admit(Handler, None, None) is None
    running.append("id")
    with pytest.raises(HTTPError, match="503: Too many people"):
        app_server.admit(Handler, None, None)


def test_nothing_slow_is_imported_before_it_is_needed():
    heavy = ("tensorflow", "keras", "pandas", "sklearn", "librosa", "voila", "onnx")
    modules = "dfutils.app, dfutils.app_panel, dfutils.app_server, dfutils.uploads"
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_errors_name_the_subject_without_repeating_it(clip):
    assert judge_file(DeepfakeDetector(), clip, 0).problem == (
        f"{clip} cannot be judged: n_frames: must be a whole number in 1..1000, got 0."
    )
    with pytest.raises(InputError):
        DeepfakeDetector().analyze(clip, 0)


@pytest.mark.slow
def test_in_a_batch_run_the_notebook_judges_at_once(clip, tmp_path, monkeypatch):
    import papermill

    for name in ("VOILA_BASE_URL", "JPY_SESSION_NAME"):
        monkeypatch.delenv(name, raising=False)
    if not (PROJECT_ROOT / "models" / "picture" / "model.json").is_file():
        pytest.skip("no model ships with this copy")
    copy = shutil.copy(clip, tmp_path / "a clip.mp4")
    page, out = tmp_path / "findings.html", tmp_path / "executed.ipynb"
    parameters = {"FILE": str(copy), "FRAMES": 2, "FRAGMENTS": 1, "SAVE_AS": str(page)}
    papermill.execute_notebook(
        app_server.NOTEBOOK, out, parameters, kernel_name="python3", progress_bar=False, execution_timeout=300
    )
    notebook = json.loads(out.read_text())
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    text = "".join("".join(output.get("text", "")) for output in outputs)
    assert f"{copy}\n  picture  looks " in text
    assert f"kept as {page}" in text
    assert "Findings on a clip.mp4" in page.read_text()
    assert "widgets" not in notebook["metadata"]
    assert any("srcdoc" in "".join(output.get("data", {}).get("text/html", "")) for output in outputs)
