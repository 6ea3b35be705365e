"""Annotated copies: boxes where they belong, a cursor that moves, the sound kept, nothing overwritten."""

import io
import json
import os
import shutil
import tracemalloc

import av
import cv2
import media
import numpy as np
import pytest
from stand_ins import red_is_fake

from dfutils import annotate
from dfutils.__main__ import main
from dfutils.annotate import write_annotated
from dfutils.annotate_drawing import FAKE, GROUND, INK, REAL, draw_text, letter_px, make_label, wrap_text
from dfutils.annotate_many import name_copy, plan_copies
from dfutils.annotate_strip import Strip
from dfutils.audio import load_audio
from dfutils.clip_writer import write_clip
from dfutils.detector import DeepfakeDetector
from dfutils.errors import InputError, NoModelError
from dfutils.images import read_image, write_image
from dfutils.media_files import find_media
from dfutils.playback import probe_timing
from dfutils.video import read_frames_at

SIZE_HW = (240, 320)
VOICE = {"p_fake": 0.2, "verdict": "pristine", "threshold": 0.5, "fragments_used": 1,
         "scores": [{"time_s": 0.2, "end_s": 1.2, "p_fake": 0.2}]}  # fmt: skip


def findings_of(track, verdict="manipulated", voice=None, **changes):
    """One person whose box is known in some frames."""
    p_fake = 0.93 if verdict == "manipulated" else 0.12
    person = {"person": 1, "p_fake": p_fake, "verdict": verdict, "frames_used": len(track), "track": track}
    scores = [
        {"frame_index": row[0], "time_s": row[0] / 25, "person": 1, "box": row[1:], "p_fake": p_fake}
        for row in track
    ]
    picture = {"p_fake": p_fake, "verdict": verdict, "threshold": 0.45, "scores": scores, "person": 1}
    return {"path": "clip.mp4", "picture": picture | {"persons": [person]}, "voice": voice or VOICE} | changes


TRACK = [[index, 60 + 2 * index, 80, 60, 70] for index in range(10, 41, 10)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds of grey, which drawing stands out from, and a voice."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    frames = [np.full((*SIZE_HW, 3), 90 + k, np.uint8) for k in range(50)]
    return media.write_video(path, frames, audio=media.voice(2.0))


@pytest.fixture(scope="module")
def annotated(clip, tmp_path_factory):
    return write_annotated(clip, findings_of(TRACK), tmp_path_factory.mktemp("out") / "clip.mp4")


def frames_of(path, *indices):
    return [frame.astype(int) for _, frame in read_frames_at(path, indices)]


def near(pixels, colour, reach=45):
    """Which pixels are about of a colour: H.264 keeps half of the colours' detail."""
    return np.abs(pixels - np.array(colour)).max(axis=-1) < reach


# ------------------------------------------------------------------ what is written


def test_length_rate_size_and_codecs_are_those_that_browsers_play(clip, annotated):
    with av.open(str(annotated)) as container:
        video, (sound,) = container.streams.video[0], container.streams.audio
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert sound.codec_context.name == "aac"
        assert (video.average_rate, video.frames, video.width) == (25, 50, 320)
        assert SIZE_HW[0] < video.height < 1.6 * SIZE_HW[0]
        assert video.height % 2 == 0
        assert container.duration / 1e6 == pytest.approx(2.0, abs=0.1)
    content = annotated.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # plays before it is there whole


def test_the_sound_is_kept_at_its_time(clip, annotated):
    before, after = load_audio(clip), load_audio(annotated)
    n = min(len(before), len(after))
    assert n > 1.95 * 16_000
    shift = np.argmax(np.correlate(after[:n], before[400 : n - 400], "valid")) - 400
    assert abs(shift) < 16  # 1 ms
    assert np.corrcoef(before[:n], after[:n])[0, 1] > 0.97


def test_the_picture_stays_as_it_was_but_for_the_box(clip, annotated):
    (before,), (after,) = frames_of(clip, 5), frames_of(annotated, 5)
    assert np.abs(after[: SIZE_HW[0]] - before).max() < 12


@pytest.mark.parametrize(("index", "x"), [(10, 80), (20, 100), (25, 110), (33, 126), (40, 140)])
def test_the_box_is_where_the_person_is_and_nowhere_else(annotated, index, x):
    (frame,) = frames_of(annotated, index)
    red = near(frame[: SIZE_HW[0]], FAKE)
    for place in ((110, x), (130, x + 60), (80, x + 40), (150, x + 30)):  # left, right, top, bottom
        around = red[place[0] - 3 : place[0] + 4, place[1] - 3 : place[1] + 4]
        assert around.any(), place
    assert not red[85:145, x + 6 : x + 54].any()  # the face itself stays free
    assert not red[:, : x - 6].any()
    assert not red[82:, x + 68 :].any()


@pytest.mark.parametrize("index", [0, 8, 42, 49])
def test_there_is_no_box_outside_the_span(annotated, index):
    (frame,) = frames_of(annotated, index)
    assert not near(frame[: SIZE_HW[0]], FAKE).any()


def test_the_verdict_stands_beside_the_box_in_words(annotated):
    label = make_label(1, 0.93, "manipulated", letter_px(SIZE_HW), SIZE_HW[1])
    (frame,) = frames_of(annotated, 20)
    top = 80 - label.shape[0] - 2
    found = frame[top : top + label.shape[0], 100 : 100 + label.shape[1]]
    assert np.corrcoef(found.mean(axis=2).ravel(), label.mean(axis=2).ravel())[0, 1] > 0.9
    other = make_label(1, 0.12, "pristine", letter_px(SIZE_HW), SIZE_HW[1])
    assert other.shape != label.shape or (other != label).mean() > 0.1


def cursor_x(frame):
    """Where the cursor is: its colour from the top of a panel to its bottom."""
    white = near(frame[SIZE_HW[0] :], INK)
    return int(np.argmax(white.sum(axis=0)))


def test_the_cursor_moves_evenly(annotated):
    indices = [2, 12, 22, 32, 42]
    places = [cursor_x(frame) for frame in frames_of(annotated, *indices)]
    np.testing.assert_allclose(np.diff(places), 10 / 50 * (SIZE_HW[1] - 13), atol=2)
    assert places[0] == pytest.approx(6 + 2 / 50 * (SIZE_HW[1] - 13), abs=2)


def test_marks_stand_at_the_height_of_their_scores(annotated):
    (frame,) = frames_of(annotated, 0)
    strip = frame[SIZE_HW[0] :]
    rows = {name: np.flatnonzero(near(strip[:, 20:], colour).any(axis=1)) for name, colour in
            (("high", FAKE), ("low", REAL))}  # fmt: skip
    x = [round(6 + (index / 25) / 2.0 * (SIZE_HW[1] - 13)) for index, *_ in TRACK]
    at_marks = near(strip[:, x], FAKE).any(axis=0)
    assert at_marks.all()
    assert rows["high"].min() < rows["low"].max()


# ------------------------------------------------------------------ odd clips


def test_a_rate_that_varies_keeps_its_times(tmp_path):
    times_ms = [0, 33, 66, 100, 400, 900, 933, 966, 1000, 1033]
    path = media.uneven_video(tmp_path / "uneven.mp4", times_ms)
    nothing = {"abstained": "nothing to draw"}  # a label would cover frames as small as these
    out = write_annotated(path, {"path": "x", "picture": nothing, "voice": nothing}, tmp_path / "out.mp4")
    timing = probe_timing(out)
    assert timing.end_s == pytest.approx(1.066, abs=0.04)
    assert not timing.has_sound
    checked = set()
    with av.open(str(out)) as container:
        for frame in container.decode(video=0):
            time_ms = frame.time * 1000
            if all(abs(time_ms - change) > 20 for change in times_ms[1:]):
                expected = max(k for k, start in enumerate(times_ms) if start <= time_ms)
                assert media.frame_number(frame.to_ndarray(format="rgb24")[:48]) == expected, time_ms
                checked.add(expected)
    assert checked >= {0, 3, 4}  # those that stand for long


def test_a_telephone_held_upright(clip, tmp_path):
    upright = [np.full((320, 240, 3), 120, np.uint8) for _ in range(20)]
    path = media.write_video(tmp_path / "upright.mp4", upright, audio=media.voice(0.8))
    turned = media.turn_phone(path, tmp_path / "turned.mp4")
    with av.open(str(turned)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (320, 240)
    track = [[index, 50, 200, 60, 70] for index in range(0, 20, 5)]
    out = write_annotated(turned, findings_of(track), tmp_path / "out.mp4")
    (frame,) = frames_of(out, 10)
    assert frame.shape[1] == 240
    assert frame.shape[0] > 320
    red = near(frame[:320], FAKE)
    assert red[198:203, 60:100].any(axis=0).mean() > 0.9
    assert red[210:260, 48:53].any(axis=1).mean() > 0.9


@pytest.mark.parametrize("suffix", ["gif", "webm", "mkv", "avi"])
def test_other_containers(tmp_path, suffix):
    path = media.write_video(tmp_path / "a.mp4", media.scenery(12))
    media.ffmpeg("-i", path, tmp_path / f"b.{suffix}")
    out = write_annotated(tmp_path / f"b.{suffix}", findings_of([[3, 50, 40, 30, 40]]), tmp_path / "out.mp4")
    (with_box,), (without,) = frames_of(out, 3), frames_of(out, 9)
    assert near(with_box[38:43, 55:75], FAKE).any()
    assert not near(without[38:43, 55:75], FAKE).any()
    assert probe_timing(out).end_s == pytest.approx(0.48, abs=0.05)


def test_odd_sizes_are_filled_up(tmp_path):
    path = media.write_video(tmp_path / "odd.mkv", media.scenery(4, (121, 161)), codec="ffv1")
    out = write_annotated(path, findings_of([[1, 50, 40, 30, 40]]), tmp_path / "out.mp4")
    (frame,) = frames_of(out, 1)
    assert frame.shape[1] == 162
    assert frame.shape[0] % 2 == 0


def test_sound_that_goes_on_for_longer_is_kept_whole(tmp_path):
    path = media.write_video(tmp_path / "a.mp4", media.scenery(10), audio=media.voice(3.0))
    out = write_annotated(path, findings_of([[1, 50, 40, 30, 40]]), tmp_path / "out.mp4")
    assert len(load_audio(out)) == pytest.approx(3 * 16_000, rel=0.03)
    assert probe_timing(out).times_s[-1] == pytest.approx(3.0, abs=0.1)  # the last frame stands


def test_a_clip_that_breaks_off_is_shown_as_far_as_it_goes(tmp_path):
    whole = media.numbered_video(tmp_path / "cut.mp4", 60, faststart=True, audio=media.voice(2.4))
    path = media.truncate(whole, 0.5)
    nothing = {"abstained": "nothing to draw"}
    out = write_annotated(path, {"path": "x", "picture": nothing, "voice": nothing}, tmp_path / "out.mp4")
    n_frames = len(probe_timing(out).times_s)
    assert 10 < n_frames < 58
    for index, frame in read_frames_at(out, range(0, n_frames - 3, 4)):
        assert media.frame_number(frame[:48]) == index


def test_the_bar_counts_every_frame(clip, tmp_path, monkeypatch):
    import tqdm

    bars = []

    class Bar(tqdm.tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options | {"disable": False, "file": io.StringIO()})
            self.options = options
            bars.append(self)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    write_annotated(clip, findings_of(TRACK), tmp_path / "a.mp4", progress=True)
    write_annotated(clip, findings_of(TRACK), tmp_path / "b.mp4")
    shown, silent = bars
    assert (shown.n, shown.total, shown.options["disable"]) == (50, 50, None)  # None: on a terminal only
    assert silent.options["disable"] is True


def test_damaged_sound_neither_blocks_nor_fails(clip, tmp_path):
    content, noise = bytearray(clip.read_bytes()), np.random.default_rng(0)
    with av.open(str(clip)) as container:
        packets = [packet for packet in container.demux(container.streams.audio[0]) if packet.size]
        for packet in packets[3:]:
            content[packet.pos : packet.pos + packet.size] = noise.bytes(packet.size)
    (tmp_path / "bad.mp4").write_bytes(content)
    out = write_annotated(tmp_path / "bad.mp4", findings_of(TRACK), tmp_path / "out.mp4")
    assert len(probe_timing(out).times_s) == 50


def test_sound_at_which_ffmpeg_gives_up_is_left_out(clip, tmp_path, monkeypatch):
    """One in 150 of the clips of the test above is of that kind."""

    def give_up(path, frame_at, n_frames, fps, sound_from=None, *arguments):
        if sound_from is not None:
            frame_at(0.0)
            raise InputError(path, "could not be written as a clip (Invalid argument)")
        return write_clip(path, frame_at, n_frames, fps, sound_from, *arguments)

    monkeypatch.setattr(annotate, "write_clip", give_up)
    with pytest.warns(UserWarning, match=r"clip\.mp4: its sound is damaged, and was left out"):
        out = write_annotated(clip, findings_of(TRACK), tmp_path / "out.mp4")
    assert len(probe_timing(out).times_s) == 50
    assert not probe_timing(out).has_sound


def test_several_persons_and_one_who_is_judged_with_others_only(clip, tmp_path):
    findings = findings_of([[index, 20, 90, 50, 60] for index in (0, 10, 20)])
    other = findings_of([[index, 200, 90, 50, 60] for index in (0, 10, 20)], "pristine")["picture"]
    for score in other["scores"]:
        findings["picture"]["scores"].append(score | {"person": 2})
    findings["picture"]["persons"].append(other["persons"][0] | {"person": 2})
    out = write_annotated(clip, findings, tmp_path / "out.mp4")
    (frame,) = frames_of(out, 5)
    assert near(frame[100:140, 18:23], FAKE).any(axis=1).mean() > 0.9
    assert near(frame[100:140, 198:203], REAL).any(axis=1).mean() > 0.9


def test_what_cannot_be_judged_is_said_in_the_strip(clip, tmp_path):
    nothing = {"abstained": "no face found in 20 frames"}
    findings = {"path": "x", "picture": nothing, "voice": {"abstained": "has no sound"}}
    out = write_annotated(clip, findings, tmp_path / "out.mp4")
    line = draw_text("Picture: cannot tell: no face found in 20 frames", 12, 308, (236, 213, 122))
    (frame,) = frames_of(out, 20)
    row = SIZE_HW[0] + round(0.3 * 12)
    found = frame[row : row + line.shape[0], 6 : 6 + line.shape[1]]
    assert np.corrcoef(found.mean(axis=2).ravel(), line.mean(axis=2).ravel())[0, 1] > 0.9


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_picture_becomes_a_picture(tmp_path, portrait, suffix):
    path = write_image(tmp_path / f"portrait.{suffix}", portrait)
    findings = findings_of([[0, 170, 60, 90, 110]], voice={"abstained": "has no sound"})
    image = read_image(write_annotated(path, findings, tmp_path / "out.png")).astype(int)
    assert image.shape[1] == 512
    assert 512 < image.shape[0] < 700
    assert near(image[80:150, 168:173], FAKE).any(axis=1).mean() > 0.9
    assert np.abs(image[300:512] - read_image(path)[300:512]).max() == 0


def test_memory_does_not_grow_with_the_clip(tmp_path):
    path = media.write_video(tmp_path / "long.mp4", media.scenery(120, (360, 480)))
    findings = findings_of([[k, 50, 40, 60, 70] for k in range(0, 120, 10)])
    write_annotated(path, findings, tmp_path / "warm.mp4")
    (tmp_path / "warm.mp4").unlink()
    tracemalloc.start()
    write_annotated(path, findings, tmp_path / "out.mp4")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 15 * 360 * 480 * 3  # of 120 frames


# ------------------------------------------------------------------ to be read at any size


def test_letters_follow_the_height():
    sizes = {hw: letter_px(hw) for hw in ((240, 426), (720, 1280), (1080, 1920), (2160, 3840), (1920, 1080))}
    assert sizes[240, 426] == 12
    assert sizes[2160, 3840] == 2 * sizes[1080, 1920] == 3 * sizes[720, 1280] - 1
    assert sizes[1920, 1080] < 1.1 * sizes[1080, 1920]


@pytest.mark.parametrize("size_hw", [(90, 160), (240, 320), (2160, 3840), (1920, 1080)])
def test_the_strip_fits_any_frame(size_hw):
    times_s = np.arange(50) / 25
    strip = Strip(findings_of(TRACK), [], size_hw, times_s, 2.0)
    assert (size_hw[0] + strip.height) % 2 == 0
    if size_hw[0] >= 240:
        assert strip.height < 0.6 * size_hw[0]
    canvas = np.zeros((strip.height, size_hw[1], 3), np.uint8)
    strip.draw_on(canvas, 2.0)
    last = canvas.copy()
    strip.draw_on(canvas, 0.0)
    assert (canvas != last).any()


def test_long_lines_are_broken_and_none_is_lost():
    words = "Voice: cannot tell: too little sound to judge: it holds 0.20 s of sound, less than 0.5 s"
    lines = wrap_text(words, 12, 150)
    assert " ".join(lines) == words
    assert all(draw_text(line, 12, 150).shape[1] <= 150 for line in lines)
    assert draw_text("abcdefghijklmnopqrstuvwxyz", 12, 60).shape[1] <= 60


def test_labels_say_two_digits_at_most():
    shown = []
    for p_fake in (0.93456, 0.12345, 0.999, 0.0001):
        label = make_label(3, p_fake, "manipulated", 20, 500)
        shown.append(label.shape)
        assert (label != GROUND).any()
    assert len(set(shown)) > 1


# ------------------------------------------------------------------ what is refused


def test_what_cannot_be_annotated_says_why(clip, tmp_path, annotated):
    sound = media.write_sound(tmp_path / "a.wav", media.voice(1.0))
    text = tmp_path / "text.mp4"
    text.write_text("no video\n" * 20)
    for path, out, findings, reason in (
        (sound, "o.mp4", findings_of(TRACK), "holds sound only: there is no picture"),
        (text, "o.mp4", findings_of(TRACK), "cannot be opened"),
        (tmp_path / "no.mp4", "o.mp4", findings_of(TRACK), "does not exist"),
        (clip, "o.avi", findings_of(TRACK), "must end in .mp4"),
        (clip, "o.mp4", {"error": "is empty (0 bytes)"}, r"was not judged: is empty \(0 bytes\)"),
        (clip, clip, findings_of(TRACK), "is the file itself"),
        (clip, text / "o.mp4", findings_of(TRACK), "cannot be written"),
    ):
        with pytest.raises(InputError, match=reason):
            write_annotated(path, findings, tmp_path / out)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.wav", "text.mp4"]


def test_a_cover_is_no_picture_of_a_clip(tmp_path):
    cover, sound = write_image(tmp_path / "c.png", media.portrait()), tmp_path / "a.mp3"
    media.ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-i", cover, "-map", 0, "-map", 1, "-c:v", "copy",
                 "-disposition:v", "attached_pic", sound)  # fmt: skip
    with pytest.raises(InputError, match="holds sound only"):
        write_annotated(sound, findings_of(TRACK), tmp_path / "o.mp4")


@pytest.mark.parametrize("how", ["raises", "ends early"])
def test_what_goes_wrong_leaves_what_was_there(clip, tmp_path, monkeypatch, how):
    import moviepy

    def fail(self, filename, *arguments, **options):
        if how == "raises":
            raise OSError("[Errno 28]\n\nMoviePy error: no space left on device")
        shutil.copy(media.numbered_video(tmp_path / "short.mp4", 3), filename)

    monkeypatch.setattr(moviepy.VideoClip, "write_videofile", fail)
    out = tmp_path / "out.mp4"
    out.write_text("what was there")
    with pytest.raises(InputError, match=r"no space left on device|\(3 of 50 frames\): disk full"):
        write_annotated(clip, findings_of(TRACK), out)
    assert out.read_text() == "what was there"
    assert not [item for item in tmp_path.iterdir() if item.name.startswith(".partial")]


# ------------------------------------------------------------------ many files


ODD = ["../../escape.mp4", "..mp4", ".hidden.mp4", "-i.mp4", "a b;c|d.mp4", "two\nlines.mp4", "con.mp4",
       "x" * 250 + ".mp4", "東京" * 40 + ".mp4", "\udcff.mp4", "%s{0}.mp4", "a/clip.mp4", "b/clip.mp4",
       "b/clip.mov", "clip.mp4"]  # fmt: skip


def test_names_stay_in_the_folder_and_differ(tmp_path):
    copies = plan_copies(ODD, tmp_path)
    assert len({copy.name.lower() for copy in copies.values()}) == len(ODD)
    for copy in copies.values():
        assert copy.parent == tmp_path
        assert copy.name.isprintable()
        assert not set(copy.name) & set('/\\:*?"<>|\n ')
        assert copy.name[0] not in ".-"
        assert len(os.fsencode(copy.name)) < 140
        copy.write_bytes(b"")
    assert name_copy("a/clip.mp4") == name_copy("./a/../a/clip.mp4")


def test_copies_are_not_judged_again_and_never_replace_an_input(clip, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    shutil.copy(clip, folder / "clip.mp4")
    (copy,) = plan_copies([str(folder / "clip.mp4")], folder).values()
    shutil.copy(clip, copy)
    assert find_media([folder]) == [str(folder / "clip.mp4")]
    assert find_media([copy]) == [str(copy)]
    with pytest.raises(InputError, match="is one of the files to judge"):
        plan_copies([str(folder / "clip.mp4"), str(copy)], folder)
    with pytest.raises(InputError, match="cannot be written"):
        plan_copies([], folder / "clip.mp4")


@pytest.fixture
def red(monkeypatch):
    """A picture model, no voice model."""
    bundle = red_is_fake()

    def give(self, kind):
        if kind == "voice":
            raise NoModelError(kind, "there is no trained model yet")
        return self._bundles.setdefault(kind, bundle)

    monkeypatch.setattr(DeepfakeDetector, "bundle", give)
    monkeypatch.setattr(DeepfakeDetector, "fingerprint", lambda self, kind: kind)
    monkeypatch.setattr("dfutils.__main__.GUARDED", False)  # a child process would not see them


@pytest.mark.usefixtures("red")
def test_a_bad_file_stops_no_other(tmp_path, capsys):
    for folder in ("a", "b"):
        media.write_video(tmp_path / "in" / folder / "clip.mp4", media.moving_face(12))
    (tmp_path / "in" / "broken.mp4").write_text("no video\n" * 20)
    media.write_sound(tmp_path / "in" / "a" / "speech.wav", media.voice(1.0))
    out = tmp_path / "out"
    arguments = ["detect", str(tmp_path / "in"), "--frames", "3", "--annotate", str(out), "--json",
                 str(tmp_path / "f.json")]  # fmt: skip
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert "no annotated copy: holds sound only: there is no picture to draw on" in printed.err
    first, second = sorted(out.iterdir())
    assert first.name.startswith("clip-annotated-")
    assert second.name.startswith("clip-annotated-")
    (finding,) = [one for one in json.loads((tmp_path / "f.json").read_text()) if "b/clip" in one["path"]]
    score = finding["picture"]["scores"][1]
    x, y, width, _ = (round(value) for value in score["box"])
    copy = plan_copies([finding["path"]], out)[finding["path"]]
    (frame,) = frames_of(copy, score["frame_index"])
    colour = FAKE if finding["picture"]["verdict"] == "manipulated" else REAL
    assert near(frame[y - 2 : y + 3, x : x + width], colour).any(axis=0).mean() > 0.9
    # once more: judged and drawn before, and nothing is done again
    before = {item: item.stat().st_mtime_ns for item in out.iterdir()}
    assert main(arguments) == 1
    assert {item: item.stat().st_mtime_ns for item in out.iterdir()} == before
    assert main([*arguments, "--frames", "5"]) == 1
    assert all(item.stat().st_mtime_ns > when for item, when in before.items())


@pytest.mark.usefixtures("red")
def test_whatever_annotating_does_the_findings_stand(tmp_path, capsys, monkeypatch):
    path = media.write_video(tmp_path / "clip.mp4", media.moving_face(4))

    def fall_over(*arguments, **options):
        raise RuntimeError("a decoder fell over")

    monkeypatch.setattr("dfutils.annotate.play_frames", fall_over)
    code = main(["detect", str(path), "--annotate", str(tmp_path / "o"), "--json", str(tmp_path / "f.json")])
    assert code == 1
    assert "no annotated copy: failed (RuntimeError: a decoder fell over)" in capsys.readouterr().err
    assert json.loads((tmp_path / "f.json").read_text())[0]["picture"]["p_fake"] > 0
    assert list((tmp_path / "o").iterdir()) == []
    assert main(["detect", str(path), "--annotate", str(path)]) == 2


def test_colours_stand_out_from_the_ground():
    def light(colour):
        linear = [c / 12.92 if (c := v / 255) <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for v in colour]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    for colour in (INK, FAKE, REAL):
        assert (light(colour) + 0.05) / (light(GROUND) + 0.05) > 7
    assert cv2.norm(np.array([FAKE], float), np.array([REAL], float)) > 100
