"""What `make fuzz` does in child processes: an independent decoder, and work that ends badly on purpose."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def count_decodable(path: str) -> dict[str, int]:
    """Count whole pictures and sound samples another way than `dfutils` reads them; a few are enough."""
    import av
    from PIL import Image

    found, parts = {"picture": 0, "voice": 0}, (("picture", "video"), ("voice", "audio"))
    if Path(path).read_bytes()[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0"):  # FFmpeg makes up what is missing
        parts = parts[1:]
        broken = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
        with suppress(*broken), Image.open(path) as image:  # behind such a beginning there may be sound, too
            image.load()
            found["picture"] = 1
    for part, kind in parts:
        try:
            with open(path, "rb") as file, av.open(file, metadata_errors="ignore") as container:
                for frame in container.decode(**{kind: 0}):
                    found[part] += frame.samples if kind == "audio" else int(not frame.is_corrupt)
                    if found[part] > 1000 or (kind == "video" and found[part]):
                        break
        except (av.error.FFmpegError, IndexError, ValueError, OSError):
            continue
    return found


def crash(path: str) -> None:
    """Do what a broken decoder does."""
    ctypes.string_at(0)


def hang(path: str) -> None:
    """Take two minutes to do nothing."""
    time.sleep(120)  # for ever, almost: a guard that does not work is to be found out, not waited for


def grow(path: str) -> None:
    """Take 2 GB."""
    blocks = [bytearray(10_000_000) for _ in range(200)]
    blocks.clear()


def call(path: str, work: Callable) -> object:
    """Do a piece of planted work."""
    return work(path)
