"""Media files: find them in folders, and read how long they are."""

from __future__ import annotations

import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_VIDEO = "mp4 m4v mov mkv webm avi mpg mpeg mts m2ts wmv flv 3gp ogv gif"
_PICTURE = "jpg jpeg png webp bmp tif tiff"
_SOUND = "wav flac mp3 m4a aac ogg oga opus wma aif aiff"
ANNOTATED = "-annotated-"  # in the names of what `dfutils.annotate` writes, before eight digits
_IS_ANNOTATED = re.compile(rf"{ANNOTATED}[0-9a-f]{{8}}\.(mp4|png)$")
_NUMBERS = re.compile(r"%\d*d")
SUFFIXES = frozenset(f".{name}" for name in f"{_VIDEO} {_PICTURE} {_SOUND}".split())


@dataclass(frozen=True)
class MediaInfo:
    """What a container says: length [s] and frame rate [Hz]; None where it does not, or for a picture."""

    duration_s: float | None = None
    fps: float | None = None


def probe_media(path: str | os.PathLike) -> MediaInfo:
    """Read length and mean frame rate; of a file that cannot be opened, nothing."""
    import av
    from av.error import FFmpegError

    try:
        with name_for_ffmpeg(path) as name, av.open(name, metadata_errors="ignore") as container:
            if container.format.name.endswith("_pipe") or container.format.name == "image2":
                return MediaInfo()  # a picture, for which FFmpeg makes up 25 Hz
            duration_s = (container.duration or 0) / 1e6
            fps = 0.0
            if container.streams.video:
                stream = container.streams.video[0]
                fps = float(stream.average_rate or stream.guessed_rate or 0)
    except (FFmpegError, OSError, ValueError):
        return MediaInfo()
    return MediaInfo(
        round(duration_s, 3) if duration_s > 0 else None, round(fps, 4) if 0.1 <= fps <= 1000 else None
    )


@contextmanager
def name_for_ffmpeg(path: str | os.PathLike) -> Iterator[str]:
    """Give a name by which FFmpeg opens this file, and nothing else; good for opening it.

    What stands before a ":" is a protocol to it (``http:clip.mp4`` would be fetched), and ``%03d`` is any
    number: a file of that name would stand for all its neighbours.
    """
    name = os.path.abspath(path)
    if not _NUMBERS.search(name):
        yield name
        return
    suffix = Path(name).suffix
    with tempfile.TemporaryDirectory(prefix="dfutils-") as folder:
        link = os.path.join(folder, "file" + (suffix if suffix[1:].isalnum() else ""))
        try:
            os.symlink(name, link)
        except OSError:  # Windows lets few people do that
            shutil.copyfile(name, link)
        yield link


def is_still(path: str | os.PathLike) -> bool:
    """Whether a file's name says that it is a picture."""
    return Path(path).suffix.lower()[1:] in _PICTURE.split()


def find_media(paths: Iterable[str | os.PathLike]) -> list[str]:
    """Find the files that are meant by files, folders and patterns.

    Parameters
    ----------
    paths : iterable of str or os.PathLike
        A file stands for itself, whatever it is. A folder is searched with all folders in it for
        media, known by the ends of their names; what is hidden is passed over, and so are annotated
        copies (`dfutils.annotate`) and a link that leads out of the folder. A pattern
        (``clips/*.mp4``, ``**`` for any depth) that is no file's name stands for what it matches.

    Returns
    -------
    list of str
        In the order given, folders and patterns by name. Those that folders and patterns yield, once
        each. A folder without media, and a pattern that matches nothing, stand for themselves.
    """
    found: list[str] = []
    seen: set[str] = set()
    for path in map(os.fspath, paths):
        matches, given = [path], True
        if not os.path.lexists(path) and glob.has_magic(path):
            matches = sorted(glob.glob(path, recursive=True)) or [path]
            given = matches == [path]
        some: list[str] = []
        for match in matches:
            if os.path.isdir(match):
                some += search_folder(match) or ([match] if given else [])
            elif given:
                found.append(str(Path(match)))
            else:
                some.append(str(Path(match)))
        for name in some:
            real = os.path.realpath(name)
            if real not in seen:
                seen.add(real)
                found.append(name)
    return found


def search_folder(folder: str | os.PathLike) -> list[str]:
    """Find the media in a folder and in those in it; a folder that cannot be read stands for itself."""
    root = Path(os.path.realpath(folder))
    found: list[str] = []
    # links to folders are not followed: inside they would double files, or go round in circles
    for parent, folders, names in os.walk(folder, onerror=lambda error: found.append(error.filename)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES or _IS_ANNOTATED.search(name):
                continue
            real = Path(os.path.realpath(path))
            if real.is_relative_to(root) and os.path.isfile(real):
                found.append(str(path))
    return found
