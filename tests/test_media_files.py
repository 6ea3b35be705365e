"""Folders, patterns and links; names that no terminal, page or spreadsheet falls for."""

import csv
import doctest
import io
import os

import media
import numpy as np
import pytest

import dfutils.names
from dfutils.csv_report import COLUMNS, render_csv
from dfutils.images import write_image
from dfutils.media_files import MediaInfo, find_media, probe_media
from dfutils.names import defuse_cell, spell_out
from dfutils.report import describe_findings


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
