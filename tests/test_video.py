"""Frames: which are planned, whether the right ones come, what is said about unreadable files."""

import os

import cv2
import numpy as np
import pytest
from media import frame_number, numbered_frame, numbered_video, tone, truncate, write_sound, write_video

from dfutils import InputError
from dfutils.images import read_image, write_image
from dfutils.video import plan_frames, probe_video, read_frames, read_frames_at


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return numbered_video(tmp_path_factory.mktemp("video") / "thirty.mp4", 30)


def read_numbers(path, *args, **options):
    """What `read_frames` says, as (index, number read from the picture)."""
    return [(index, frame_number(frame)) for index, frame in read_frames(path, *args, **options)]


@pytest.mark.parametrize("sampling", ["even", "random"])
@pytest.mark.parametrize(("n_frames", "n"), [(1, 1), (10, 1), (10, 3), (10, 9), (1000, 37)])
def test_plan_is_ascending_distinct_and_inside(sampling, n_frames, n):
    plan = plan_frames(n_frames, n, sampling, seed=3)
    assert len(plan) == n
    assert (np.diff(plan) > 0).all()
    assert plan[0] >= 0
    assert plan[-1] < n_frames


@pytest.mark.parametrize("sampling", ["even", "random"])
def test_plan_takes_all_frames_when_there_are_no_more(sampling):
    assert plan_frames(4, 4, sampling).tolist() == [0, 1, 2, 3]
    assert plan_frames(4, 9, sampling).tolist() == [0, 1, 2, 3]


def test_even_plan_takes_the_middles_of_equal_parts():
    assert plan_frames(100, 4).tolist() == [12, 37, 62, 87]
    assert plan_frames(9, 1).tolist() == [4]


def test_random_plan_depends_on_its_seed_and_reaches_every_frame():
    assert plan_frames(100, 10, "random", 1).tolist() == plan_frames(100, 10, "random", 1).tolist()
    assert plan_frames(100, 10, "random", 1).tolist() != plan_frames(100, 10, "random", 2).tolist()
    assert {int(i) for seed in range(60) for i in plan_frames(10, 2, "random", seed)} == set(range(10))


def test_plan_refuses_nonsense():
    with pytest.raises(InputError, match="at least one frame"):
        plan_frames(10, 0)
    with pytest.raises(InputError, match=r"sampling.*'middle'"):
        plan_frames(10, 3, "middle")


@pytest.mark.parametrize("sampling", ["even", "random"])
def test_the_planned_frames_come_in_order(video, sampling):
    found = read_numbers(video, 7, sampling, seed=5)
    expected = plan_frames(30, 7, sampling, 5).tolist()
    assert found == [(index, index) for index in expected]


def test_random_sampling_is_deterministic(video):
    first = read_numbers(video, 5, "random", seed=9)
    assert first == read_numbers(video, 5, "random", seed=9)
    assert first != read_numbers(video, 5, "random", seed=10)


def test_frames_are_rgb(tmp_path):
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 220
    path = write_video(tmp_path / "red.mp4", [red] * 3)
    ((_, frame),) = read_frames(path, 1)
    assert frame.dtype == np.uint8
    assert frame.shape == (48, 64, 3)
    np.testing.assert_allclose(frame.mean(axis=(0, 1)), [220, 0, 0], atol=12)


def test_all_frames_of_a_short_video(video, tmp_path):
    assert len(read_numbers(video, 100)) == 30
    one = numbered_video(tmp_path / "one.mp4", 1)
    assert probe_video(one).n_frames == 1
    assert read_numbers(one, 10) == [(0, 0)]


def test_given_frames(video):
    found = [(i, frame_number(frame)) for i, frame in read_frames_at(video, [28, 3, 3, 11, 99])]
    assert found == [(3, 3), (11, 11), (28, 28)]


def test_probe(video):
    info = probe_video(video)
    assert info.n_frames == 30
    assert info.size_hw == (48, 64)
    assert info.fps == pytest.approx(25)


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov", ".webm"])
def test_other_containers(tmp_path, suffix):
    codec = {".webm": "libvpx", ".avi": "mpeg4"}.get(suffix, "libx264")
    path = numbered_video(tmp_path / f"clip{suffix}", 12, codec=codec)
    assert read_numbers(path, 3) == [(2, 2), (6, 6), (10, 10)]


@pytest.mark.parametrize(
    "name", ["with space.mp4", "Gesichtsprüfung élève ß.mp4", "видео 1.mp4", "no-suffix"]
)
def test_unusual_names(tmp_path, video, name):
    path = tmp_path / "a folder ä" / name
    path.parent.mkdir()
    path.write_bytes(video.read_bytes())
    assert read_numbers(path, 2) == [(7, 7), (22, 22)]


def test_container_that_promises_more_than_it_holds(tmp_path):
    """The index lies in front, so the truncated file opens and claims all of its frames."""
    path = truncate(numbered_video(tmp_path / "cut.mp4", 60, faststart=True), 0.6)
    assert probe_video(path).n_frames == 60  # the lie
    found = read_numbers(path, 8)
    assert len(found) == 8
    indices = [index for index, _ in found]
    assert len(set(indices)) == 8
    assert max(indices) < 59
    assert all(index == number for index, number in found)
    assert found == read_numbers(path, 8)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".webm", ".ts", ".h264"])
def test_what_is_sought_is_what_decoding_on_would_have_given(tmp_path, monkeypatch, suffix):
    codec = {".webm": "libvpx", ".avi": "mpeg4"}.get(suffix, "libx264")
    path = numbered_video(tmp_path / f"long{suffix}", 250, codec=codec)
    seeks, capture_class = [], cv2.VideoCapture

    class Capture:
        def __init__(self, *arguments):
            self._capture = capture_class(*arguments)

        def set(self, which, value):
            seeks.append(value)
            return self._capture.set(which, value)

        def __getattr__(self, name):
            return getattr(self._capture, name)

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    decoded = read_numbers(path, 5)
    assert not seeks
    monkeypatch.setattr("dfutils.video.SEEK_FROM", 20)
    assert read_numbers(path, 5) == decoded == [(n, n) for n in (25, 75, 125, 175, 225)]
    assert seeks  # a raw stream refuses, and is decoded on


def test_seeking_in_a_truncated_container(tmp_path, monkeypatch):
    path = truncate(numbered_video(tmp_path / "cut.mp4", 250, faststart=True), 0.6)
    monkeypatch.setattr("dfutils.video.SEEK_FROM", 10)
    found = read_numbers(path, 8)
    assert len(found) == 8
    assert all(index == number for index, number in found)


def test_container_with_fewer_frames_than_wanted_gives_them_all(tmp_path):
    path = truncate(numbered_video(tmp_path / "cut.mp4", 60, faststart=True), 0.5)
    found = read_numbers(path, 60)
    assert 5 < len(found) < 60
    assert [index for index, _ in found] == list(range(len(found)))


def test_stream_without_an_index(tmp_path):
    """A raw MPEG-4 or H.264 stream tells no number of frames."""
    path = numbered_video(tmp_path / "raw.h264", 20)
    assert probe_video(path).n_frames <= 0
    assert read_numbers(path, 4) == [(2, 2), (7, 7), (12, 12), (17, 17)]


def broken_files(folder, video):
    text = folder / "text.mp4"
    text.write_text("this is no video\n" * 200)
    empty = folder / "empty.mp4"
    empty.touch()
    without_index = folder / "no-moov.mp4"
    without_index.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    no_pictures = truncate(numbered_video(folder / "header-only.mp4", 60, faststart=True), 0.01)
    barren = folder / "barren"
    barren.mkdir()
    texts = folder / "texts"
    texts.mkdir()
    (texts / "0001").write_text("no image")
    return {
        "missing": (folder / "missing.mp4", "does not exist"),
        "empty": (empty, "is empty"),
        "text": (text, "holds no picture"),
        "no moov": (without_index, "holds no picture"),
        "sound only": (write_sound(folder / "sound.m4a", tone(440, 1), codec="aac"), "holds no picture"),
        "header only": (no_pictures, "not one frame|holds no picture"),
        "no images": (barren, "holds no frame images"),
        "no image file": (texts, "0001.*is not an image"),
    }


@pytest.mark.parametrize(
    "case",
    ["missing", "empty", "text", "no moov", "sound only", "header only", "no images", "no image file"],
)
def test_broken_inputs_name_file_and_reason(tmp_path, video, case):
    path, reason = broken_files(tmp_path, video)[case]
    with pytest.raises(InputError, match=reason) as error:
        list(read_frames(path, 3))
    assert path.name in str(error.value)


def test_probing_a_folder(tmp_path):
    with pytest.raises(InputError, match="is a folder, not a file"):
        probe_video(tmp_path)


@pytest.mark.skipif(
    os.name == "nt" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="root may read all"
)
def test_forbidden_file(tmp_path, video):
    path = tmp_path / "forbidden.mp4"
    path.write_bytes(video.read_bytes())
    path.chmod(0)
    with pytest.raises(InputError, match="permission denied"):
        probe_video(path)


def test_folder_of_images_without_suffix(tmp_path):
    """VidTIMIT's way: JPEG files 001, 002, ... without extension, and a hidden file."""
    folder = tmp_path / "head 1"
    for number in range(12):
        path = write_image(folder / "image.jpg", numbered_frame(number))
        path.rename(folder / f"{number + 1:03d}")
    (folder / ".DS_Store").write_bytes(b"\0\1")
    assert read_numbers(folder, 4) == [(1, 1), (4, 4), (7, 7), (10, 10)]
    assert [i for i, _ in read_frames_at(folder, [2, 50])] == [2]
    assert read_numbers(folder, 3, "random", 1) == read_numbers(folder, 3, "random", 1)


def test_image_round_trip(tmp_path, portrait):
    png = read_image(write_image(tmp_path / "é a.png", portrait))
    np.testing.assert_array_equal(png, portrait)
    jpeg = read_image(write_image(tmp_path / "b.jpg", portrait))
    assert 0 < np.abs(jpeg.astype(int) - portrait).mean() < 4
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_image_of_unknown_suffix_leaves_nothing(tmp_path, portrait):
    with pytest.raises(Exception, match=r"suffix|extension|could not"):
        write_image(tmp_path / "a.nonsense", portrait)
    assert list(tmp_path.iterdir()) == []


def test_frames_that_are_there_but_do_not_decode_are_reported(video, monkeypatch):
    monkeypatch.setattr("dfutils.video._grab", lambda path, wanted: ((index, None) for index in range(5)))
    with pytest.raises(InputError, match=r"thirty\.mp4.*not one frame of this video can be decoded"):
        list(read_frames(video, 3))


def test_photographs_are_turned_as_the_camera_noted(tmp_path):
    from PIL import Image

    upright = np.zeros((60, 40, 3), np.uint8)
    upright[:20, :, 0] = 255  # red above
    path = tmp_path / "phone.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: to be turned by 90 degrees clockwise
    Image.fromarray(np.rot90(upright).copy()).save(path, exif=exif, quality=95)
    ((index, frame),) = read_frames(path, 5)
    assert index == 0
    assert frame.shape == upright.shape
    assert np.abs(frame.astype(int) - upright).mean() < 5
    ((_, again),) = read_frames_at(path, [0])
    np.testing.assert_array_equal(frame, again)


def test_a_video_that_is_called_a_picture_is_still_read(tmp_path):
    frames = [np.full((48, 64, 3), 30 * k, np.uint8) for k in range(6)]
    source = write_video(tmp_path / "clip.mp4", frames)
    path = source.rename(tmp_path / "clip.png")
    assert len(list(read_frames(path, 3))) == 3
