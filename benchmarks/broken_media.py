"""Broken media for `make fuzz`: a few valid files, and what a hostile sender can make of them."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from broken_bytes import CONTENT

CODECS = {  # kind: picture, sound
    "mp4": ("libx264", "aac"),
    "mkv": ("libx264", "aac"),
    "webm": ("libvpx", "libopus"),
    "avi": ("mjpeg", "libmp3lame"),
    "gif": ("gif", None),
    "png": ("png", None),
    "jpg": ("mjpeg", None),
    "wav": (None, "pcm_s16le"),
    "flac": (None, "flac"),
    "mp3": (None, "libmp3lame"),
    "ogg": (None, "libopus"),
    "m4a": (None, "aac"),
}
KINDS = tuple(CODECS)
STILLS = ("png", "jpg")


@dataclass(frozen=True)
class Broken:
    """One file: where it is, what was done, to which kind; a ``hopeless`` one must get no verdict."""

    path: str
    mutation: str
    kind: str
    hopeless: bool = False


def draw_valid(folder: Path, seed: int = 0) -> dict[str, bytes]:
    """Draw a valid file of each kind: a face for ten frames, something voice-like for 1.2 s.

    Returns
    -------
    dict of str to bytes
        Content by kind.
    """
    from skimage.data import astronaut

    rng = np.random.default_rng(seed)
    frames = [np.ascontiguousarray(astronaut()[:240, 90 + 2 * k : 330 + 2 * k]) for k in range(10)]
    times = np.arange(round(1.2 * 48_000)) / 48_000
    phase = 2 * np.pi * np.cumsum(130 + 15 * np.sin(2 * np.pi * 0.9 * times)) / 48_000
    syllables = 0.08 * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * times))
    sound = syllables * sum(np.sin(k * phase) / k for k in range(1, 20))
    sound += 0.02 * rng.standard_normal(times.size)
    found = {}
    for kind, (picture, voice) in CODECS.items():
        path = folder / f"valid.{kind}"
        _encode(path, frames[:1] if kind in STILLS else frames, sound.astype(np.float32), picture, voice)
        found[kind] = path.read_bytes()
    return found


def _encode(path: Path, frames: list, sound: np.ndarray, picture: str | None, voice: str | None) -> None:
    still = path.suffix[1:] in STILLS
    options = {"fflags": "+bitexact"} | ({"update": "1"} if still else {})
    with av.open(str(path), "w", format="image2" if still else None, options=options) as container:
        video = audio = None
        if picture:
            video = container.add_stream(picture, rate=25)
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8", "png": "rgb24"}.get(picture, "yuv420p")
        if voice:
            audio = container.add_stream(voice, rate=48_000, layout="mono")
        for number, image in enumerate(frames if video else []):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        if video:
            container.mux(video.encode())
        if audio:
            block = av.AudioFrame.from_ndarray(sound[None], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = 48_000, 0, Fraction(1, 48_000)
            container.mux(audio.encode(block))
            container.mux(audio.encode())


# ------------------------------------------------------------------ whole files


def _zip(inside: str, content: bytes, level: int = 9) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr(inside, content)
    return buffer.getvalue()


def _png(width: int, height: int) -> bytes:
    """One grey, valid picture: a few kilobytes that unpack to ``width * height`` [px]."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", rows),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def _laughs() -> bytes:
    entities = "".join(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 12))
    return f'<!DOCTYPE s [<!ENTITY a0 "ha">{entities}]><svg>&a11;</svg>'.encode()


_HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n"
BOMBS: dict[str, Callable[[], bytes]] = {
    "zip of zeros": lambda: _zip("clip.mp4", bytes(30_000_000)),
    "zip in a zip": lambda: _zip("clip.mp4", _zip("clip.mp4", bytes(30_000_000))),
    "gzip of zeros": lambda: gzip.compress(bytes(30_000_000), 9),
    "animation of 4 gigapixels": lambda: (
        b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"
    ),
    "entities that grow": _laughs,
    "playlist of a clip elsewhere": lambda: _HLS + b"#EXTINF:2,\n../outside/clip.mp4\n#EXT-X-ENDLIST\n",
    "playlist without end": lambda: _HLS + b"#EXTINF:2,\nmissing.mp4\n" * 500,
    "list of a neighbour": lambda: b"ffconcat version 1.0\nfile neighbour.mp4\n",
    "list of a clip elsewhere": lambda: b"ffconcat version 1.0\nfile ../outside/clip.mp4\n",
    "list of a secret": lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "session description": lambda: (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
    ),
    "text": lambda: b"no video\n" * 1000,
    "zeros": lambda: bytes(100_000),
    "noise": lambda: np.random.default_rng(0).bytes(100_000),
    "picture of 144 megapixels": lambda: _png(12_000, 12_000),
    "picture of 900 megapixels": lambda: _png(30_000, 30_000),
}
BOMB_SUFFIXES = ("mp4", "mkv", "m3u8", "png", "wav", "gif", "jpg", "mp3")

NAMES = (
    "two\nlines{}", "tab\tand bell\a{}", "\x1b[31mred{}", "\u202egpm{}", "-rf{}", "'; rm -rf ${{HOME}}{}",
    "pipe:0{}", "pipe:{}", "concat:a|b{}", "http:nowhere{}", "file:x{}", "subfile,,start,0,end,0,,:x{}",
    "data:image,{}", "shot%03d{}", "%s%n%x{}", "100%{}", "é東 {}", " {}", "a" * 240 + "{}", "=1+1{}", "..x{}",
    "x.mp4.exe{}", "a*b?[c]{}", 'quo"te{}',
)  # fmt: skip
PATTERN = "shot%03d"  # FFmpeg reads it as: all files named shot001, shot002, ...
MUTATIONS = (*CONTENT, "wrong extension", "bomb", "hostile name", "link")
LINKS = ("out", "out by a folder", "nowhere", "round", "to a device", "pipe", "folder")


def make_corpus(folder: Path, number: int, seed: int = 0) -> list[Broken]:
    """Write broken media, as many of each mutation, the same for the same seed.

    Parameters
    ----------
    folder : pathlib.Path
        Gets ``clips/``; ``outside/``, where links and lists lead that must not be followed, beside it.
    number, seed : int

    Returns
    -------
    list of Broken
        Their paths count from ``clips/``.
    """
    clips, outside = folder / "clips", folder / "outside"
    clips.mkdir(parents=True)
    outside.mkdir()
    valid = draw_valid(outside, seed)
    for neighbour in (outside / "clip.mp4", clips / "neighbour.mp4"):
        neighbour.write_bytes(valid["mp4"])
    bombs: dict[str, bytes] = {}
    corpus = []
    for index in range(number):
        mutation, turn = MUTATIONS[index % len(MUTATIONS)], index // len(MUTATIONS)
        kind, rng = KINDS[turn % len(KINDS)], np.random.default_rng([seed, index])
        name, hopeless = f"{index:05d}.{kind}", False
        if mutation == "bomb":
            kind = list(BOMBS)[turn % len(BOMBS)]
            bombs[kind] = bombs.get(kind) or BOMBS[kind]()
            picture, suffix = kind.startswith("picture"), BOMB_SUFFIXES[turn // 3 % len(BOMB_SUFFIXES)]
            name = f"{index:05d}.{'png' if picture else suffix}"
            content, hopeless = bombs[kind], not picture
        elif mutation == "link":
            kind = LINKS[turn % len(LINKS)]
            name = f"{index:05d}.mp4"
            _link(kind, clips / name, outside)
            corpus.append(Broken(name, mutation, kind, True))
            continue
        elif mutation == "wrong extension":
            other = str(rng.choice([one for one in KINDS if one != kind]))
            content, name = valid[kind], f"{index:05d}.{other}"
        elif mutation == "hostile name":
            pattern, kind = NAMES[turn % len(NAMES)], KINDS[(turn + turn // len(NAMES)) % len(KINDS)]
            name = f"{turn:03d}/" + pattern.format(f".{kind}")
            content = valid[kind]
            if pattern.startswith(PATTERN):  # what is named so is no media, its neighbour is
                kind = ("gif", "png", "jpg", "mp4")[turn // len(NAMES) % 4]
                name = f"{turn:03d}/{pattern.format(f'.{kind}')}"
                (clips / f"{turn:03d}").mkdir()
                (clips / f"{turn:03d}" / f"shot001.{kind}").write_bytes(valid[kind])
                content, hopeless = b"no media\n" * 100, True
            elif turn % 2 and len(NAMES) > turn:
                name = Path(name).name  # without a folder: FFmpeg takes what is before ":" for a protocol
        else:
            others = (valid,) if mutation == "swapped header" else ()
            content = CONTENT[mutation](valid[kind], kind, rng, *others)
        path = clips / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        corpus.append(Broken(name, mutation, kind, hopeless))
    return corpus


def _link(kind: str, path: Path, outside: Path) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "out by a folder":
        if not (path.parent / "elsewhere").is_symlink():
            (path.parent / "elsewhere").symlink_to(outside)
        path.symlink_to(path.parent / "elsewhere" / "clip.mp4")
    else:
        goal = {"out": outside / "clip.mp4", "nowhere": "missing", "round": path, "to a device": "/dev/zero"}[
            kind
        ]
        path.symlink_to(goal)
