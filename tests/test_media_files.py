"""Folders, patterns and links; names that no terminal, page or spreadsheet falls for."""

import csv
import doctest
import io
import os
import struct
import zlib

import media
import numpy as np
import pytest

import dfutils.names
from dfutils.audio import load_audio
from dfutils.csv_report import COLUMNS, render_csv
from dfutils.detector import DeepfakeDetector
from dfutils.errors import InputError
from dfutils.images import read_image, write_image
from dfutils.media_files import MediaInfo, find_media, probe_media
from dfutils.names import defuse_cell, spell_out
from dfutils.playback import probe_timing
from dfutils.report import describe_findings
from dfutils.video import read_frames


@pytest.fixture
def folder(tmp_path):
    """A folder with media, other things, a hidden folder, and links inside and out of it."""
    root, outside = tmp_path / "clips", tmp_path / "outside"
    for name in (
        "b.mp4",
        "a.MOV",
        "notes.txt",
        ".hidden.mp4",
        "deep/er/c.wav",
        "deep/d.webp",
        ".cache/e.mp4",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    outside.mkdir()
    (outside / "secret.mp4").write_bytes(b"x")
    (root / "to folder").symlink_to(outside)
    (root / "to secret.mp4").symlink_to(outside / "secret.mp4")
    (root / "round").symlink_to(root)
    (root / "nowhere.mp4").symlink_to(root / "missing.mp4")
    (root / "deep" / "twin.mp4").symlink_to(root / "b.mp4")
    (root / "blob").write_bytes(b"x")
    (root / "named.mp4").symlink_to(root / "blob")
    (root / "empty.mp4").mkdir()
    return root


def names(found, root):
    return [os.path.relpath(path, root) for path in found]


def test_a_folder_is_searched_for_media_and_not_left(folder):
    found = names(find_media([folder]), folder)
    assert found == ["a.MOV", "b.mp4", "named.mp4", "deep/d.webp", "deep/er/c.wav"]


def test_files_stand_for_themselves_and_patterns_for_what_they_match(folder):
    given = [folder / "notes.txt", folder / "b.mp4", folder / "b.mp4", folder / "nothing.mp4"]
    assert find_media(given) == [str(path) for path in given]
    matched = names(find_media([f"{folder}/?.*"]), folder)
    assert matched == ["a.MOV", "b.mp4"]
    assert find_media([f"{folder}/*.xyz"]) == [f"{folder}/*.xyz"]  # is then reported as missing
    assert names(find_media([f"{folder}/de*"]), folder) == ["deep/d.webp", "deep/er/c.wav"]
    (folder / "[1].mp4").write_bytes(b"x")
    (folder / "1.mp4").write_bytes(b"x")
    assert names(find_media([folder / "[1].mp4"]), folder) == ["[1].mp4"]  # a name before a pattern


def test_an_empty_folder_and_nothing_media(tmp_path):
    assert find_media([tmp_path]) == [str(tmp_path)]
    (tmp_path / "notes.txt").write_text("x")
    assert find_media([tmp_path, tmp_path / "n*"]) == [str(tmp_path), str(tmp_path / "notes.txt")]
    assert find_media([]) == []


def test_length_and_rate(tmp_path):
    clip = media.write_video(tmp_path / "a.mp4", media.scenery(20), fps=10, audio=media.tone(300, 2.0))
    assert probe_media(clip) == MediaInfo(pytest.approx(2, abs=0.1), 10.0)
    sound = media.write_sound(tmp_path / "a.wav", media.tone(300, 1.5))
    assert probe_media(sound) == MediaInfo(pytest.approx(1.5, abs=0.01), None)
    for suffix in ("png", "jpg", "webp"):
        image = write_image(tmp_path / f"a.{suffix}", np.zeros((40, 50, 3), np.uint8))
        assert probe_media(image) == MediaInfo()
    (tmp_path / "text.mp4").write_text("nothing\n" * 100)
    assert probe_media(tmp_path / "text.mp4") == probe_media(tmp_path / "missing.mp4") == MediaInfo()


# ------------------------------------------------------------------ names


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize(
    "name", ["pipe:{}", "http:nowhere{}", "concat:a|b{}", "subfile,,start,0,end,0,,:x{}"]
)
def test_ffmpeg_takes_no_name_for_a_protocol(tmp_path, monkeypatch, name):
    """It would wait for input, or ask a host of that name."""
    monkeypatch.chdir(tmp_path)
    clip = media.write_video(tmp_path / "a.mp4", media.scenery(3), audio=media.tone(300, 0.8))
    there = name.format(".mp4")
    clip.rename(tmp_path / there)
    assert names(find_media(["."]), ".") == [there]
    assert probe_media(there).fps == 25
    assert len(list(read_frames(there, 2))) == 2
    assert load_audio(there).size > 8000
    assert probe_timing(there).has_sound


@pytest.mark.parametrize("suffix", ["gif", "png", "mp4"])
def test_ffmpeg_takes_no_name_for_a_pattern(tmp_path, suffix):
    """``shot%03d.png`` is to it all of shot000.png, shot001.png, ..."""
    frames = [np.full((48, 64, 3), value, np.uint8) for value in (250, 5)]
    for number, frame in enumerate(frames):
        path = tmp_path / ("shot%03d" if number else "shot001")
        path = path.with_name(f"{path.name}.{suffix}")
        if suffix == "png":
            write_image(path, frame)
        else:
            media.write_video(tmp_path / "made.mp4", [frame] * 4)
            media.ffmpeg(
                "-i", tmp_path / "made.mp4", tmp_path / f"made.{suffix}"
            ) if suffix == "gif" else None
            (tmp_path / f"made.{suffix}").rename(path)
    path = tmp_path / f"shot%03d.{suffix}"
    assert [frame.mean() < 40 for _, frame in read_frames(path, 1)] == [True]
    path.write_text("no media\n" * 20)
    with pytest.raises(InputError, match="holds no picture"):
        next(read_frames(path, 1))
    assert probe_media(path) == MediaInfo()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_picture_that_is_cut_off_is_refused(tmp_path, suffix):
    """FFmpeg would show it with the rest made up."""
    path = write_image(tmp_path / f"a.{suffix}", media.portrait())
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(InputError, match=r"is not an image that can be decoded|holds no picture"):
        next(read_frames(path, 1))


def test_a_picture_that_claims_an_absurd_size_is_refused(tmp_path):
    path = write_image(tmp_path / "a.png", np.zeros((40, 50, 3), np.uint8))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    for read in (read_image, lambda path: next(read_frames(path, 1))):
        with pytest.raises(InputError, match=r"is not an image that can be decoded|holds no picture"):
            read(path)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile clip.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nclip.mp4\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/clip.ts\n",
        '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>\n',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "ID3\4\0\0\0\0\0\2\0\0ffconcat version 1.0\nfile clip.mp4\n\0\0",
        "#" * 10_000 + "\nc=IN IP4 127.0.0.1\n",
    ],
)
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8"])
def test_a_list_of_other_files_is_not_followed(tmp_path, text, name):
    """Or a clip would be judged under another's name, and a host be asked for what it says."""
    media.write_video(tmp_path / "clip.mp4", media.scenery(3), audio=media.tone(300, 0.8))
    (tmp_path / name).write_text(text)
    for read in (
        load_audio,
        probe_timing,
        lambda path: next(read_frames(path, 1)),
        DeepfakeDetector().analyze,
    ):
        with pytest.raises(InputError, match="is a list of other files or streams"):
            read(tmp_path / name)


HOSTILE = [
    "=1+1.mp4",
    "+1.mp4",
    "-1.mp4",
    "@x.mp4",
    "＝1.mp4",
    " =1.mp4",
    "two\nlines.mp4",
    'a,"b".mp4',
    "é東.mp4",
]


@pytest.mark.parametrize("name", [*HOSTILE, "\x1b[31mred.mp4", "\u202egpm.mp4", "\udcff.mp4"])
def test_names_do_no_harm(name):
    unread = {"abstained": "is empty (0 bytes)"}
    finding = {"path": name, "error": "is empty (0 bytes)", "picture": unread, "voice": unread}
    text = render_csv([finding])
    text.encode("utf-8")
    assert len(text.splitlines()) == 2
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["path"][0] not in "=+-@＝\t\r"
    assert not row["path"].lstrip().startswith("=")
    assert row["error"] == "is empty (0 bytes)"
    assert tuple(row) == COLUMNS
    described = describe_findings(finding)
    described.encode("utf-8")
    assert described.splitlines() == [spell_out(name), "  is empty (0 bytes)"]
    assert not set(described) & {"\x1b", "\u202e"}


def test_plain_names_stay_as_they_are():
    for name in ("clip.mp4", "é東 (1).mp4", "C:\\a\\b.mp4", "/a/=b.mp4"):
        assert spell_out(name) == defuse_cell(name) == name


def test_examples():
    failed, attempted = doctest.testmod(dfutils.names)
    assert (failed, attempted > 0) == (0, True)
