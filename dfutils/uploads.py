"""Files that strangers send: named, weighed and looked at before use, held in a private folder, removed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from dfutils.errors import InputError
from dfutils.media_files import SUFFIXES

MAX_UPLOAD_BYTES = 100_000_000  # below the 100 MiB that tornado holds of one message
_LONGEST_NAME = 60

# How media files begin. FFmpeg also opens lists of other files (HLS, DASH, concat, SDP), which could make
# it read what lies on this machine; those are text, and nothing but what begins like this is taken.
_STARTS = (
    *(b"\x1aE\xdf\xa3", b"RIFF", b"RF64", b"FORM", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"0&\xb2u", b"FLV\x01"),
    *(b"OggS", b"fLaC", b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*"),
)
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp")  # of MP4 and its kin


@contextmanager
def hold_upload(name: str, content: bytes | memoryview) -> Iterator[Path]:
    """Write a file that was sent into a private folder, and remove both on leaving.

    Both go, too, where the process ends meanwhile in any way but being killed.

    Parameters
    ----------
    name : str
        What the sender called it. Only its suffix is used, and only a known one.
    content : bytes or memoryview

    Yields
    ------
    pathlib.Path
        ``upload`` and the suffix, in a folder of its own that nobody else may enter.

    Raises
    ------
    InputError
        As `check_upload`.
    """
    check_upload(name, content)
    with tempfile.TemporaryDirectory(prefix="dfutils-upload-") as folder:  # mode 0700
        path = Path(folder) / f"upload{known_suffix(name)}"
        path.write_bytes(content)
        yield path


def check_upload(name: str, content: bytes | memoryview) -> None:
    """Refuse what is too large, empty, or does not begin like a video, a picture or a sound.

    Raises
    ------
    InputError
        Its subject is the name as `clean_name` gives it.
    """
    size = memoryview(content).nbytes
    if size > MAX_UPLOAD_BYTES:
        raise InputError(clean_name(name), f"is larger than {show_size(MAX_UPLOAD_BYTES)}, the limit")
    if size == 0:
        raise InputError(clean_name(name), "is empty (0 bytes)")
    if not begins_like_media(content):
        raise InputError(clean_name(name), "is not a video, picture or sound file of a known kind")


def begins_like_media(content: bytes | memoryview) -> bool:
    """Tell by its first bytes whether something can be a video, a picture or a sound.

    Examples
    --------
    >>> begins_like_media(b"RIFF$..."), begins_like_media(b"#EXTM3U file:///etc/passwd")
    (True, False)
    """
    view = memoryview(content)
    head = bytes(view[:256])
    if head.startswith(b"ID3") and len(head) >= 10:  # FFmpeg, too, looks at what comes after this tag
        first, second, third, fourth = head[6:10]
        start = 10 + (first << 21 | second << 14 | third << 7 | fourth)
        head = bytes(view[start : start + 256])
        if head[:1] == b"\0":  # padding
            return True
    return (
        head.startswith(_STARTS)
        or head[4:8] in _BOXES
        or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")  # MPEG audio, AAC
        or (head[:1] == b"G" and head[188:189] == b"G")  # MPEG transport stream, and with time codes:
        or (head[4:5] == b"G" and head[196:197] == b"G")
    )


def known_suffix(name: str) -> str:
    """Return the suffix of a media file's name, in small letters, or "" where it is none that is known.

    Examples
    --------
    >>> known_suffix("../../Clip.MP4"), known_suffix("clip.mp4/../../x"), known_suffix("notes.sh")
    ('.mp4', '', '')
    """
    suffix = PurePosixPath(name.rsplit("/", 1)[-1]).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def clean_name(name: str) -> str:
    r"""Return a name to show, not to use: without folders, and not longer than a line.

    Examples
    --------
    >>> clean_name("C:\\Users\\me\\clip.mp4"), clean_name("../"), len(clean_name("a" * 999 + ".mp4"))
    ('clip.mp4', 'the file', 60)
    """
    name = name.replace("\\", "/").rsplit("/", 1)[-1] or "the file"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 16]}…{name[-15:]}"


def show_size(n_bytes: int) -> str:
    """Write a size with two significant digits.

    Examples
    --------
    >>> show_size(100_000_000), show_size(2_936_012), show_size(12_345)
    ('100 MB', '2.9 MB', '12 kB')
    """
    unit, scale = ("MB", 1e6) if n_bytes >= 1e6 else ("kB", 1e3)
    value = float(f"{n_bytes / scale:.2g}")
    return f"{value:g} {unit}"
