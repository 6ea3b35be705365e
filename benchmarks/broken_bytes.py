"""What a hostile sender can do to the bytes of a valid file; see `broken_media`."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def flip_bits(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """1 to 400 bits, anywhere or only among the first 600 bytes."""
    changed = np.frombuffer(data, np.uint8).copy()
    reach = min(changed.size, 600 if rng.random() < 0.5 else changed.size)
    n = int(2 ** rng.uniform(0, 8.6))
    np.bitwise_xor.at(changed, rng.integers(0, reach, n), (1 << rng.integers(0, 8, n)).astype(np.uint8))
    return changed.tobytes()


def cut_off(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """The first part only; sometimes only the last, or with a hole, or nothing."""
    at, end = sorted(rng.integers(0, len(data), 2).tolist())
    return (data[:at], data[:end], data[at:], data[:at] + data[end:], b"")[
        rng.choice(5, p=[0.4, 0.3, 0.1, 0.15, 0.05])
    ]


def swap_header(data: bytes, kind: str, rng: np.random.Generator, others: dict[str, bytes]) -> bytes:
    """Begin like another kind of file."""
    other = others[str(rng.choice([name for name in others if name != kind]))]
    n = int(rng.choice([4, 12, 32, 64, 512]))
    return other[:n] + data[n if rng.random() < 0.5 else 0 :]


_FIELDS = {  # of lengths and rates: what to look for, bytes from there to the field, how it is packed
    "mp4": [(b"mvhd", 20, ">I"), (b"mdhd", 20, ">I"), (b"tkhd", 24, ">I"), (b"stts", 12, ">I"),
            (b"stts", 16, ">I"), (b"stsz", 12, ">I"), (b"mvhd", 16, ">I"), (b"mdhd", 16, ">I")],
    "mkv": [(b"\x44\x89\x88", 3, ">d"), (b"\x2a\xd7\xb1\x83", 4, ">I"), (b"\x23\xe3\x83\x84", 4, ">I")],
    "avi": [(b"avih", 24, "<I"), (b"strh", 40, "<I"), (b"strh", 28, "<I"), (b"strh", 32, "<I"),
            (b"avih", 8, "<I")],
    "wav": [(b"data", 4, "<I"), (b"fmt ", 12, "<I"), (b"RIFF", 4, "<I")],
    "flac": [(b"fLaC", 22, ">I"), (b"fLaC", 18, ">I")],
    "mp3": [(b"Xing", 8, ">I"), (b"Info", 8, ">I"), (b"Xing", 12, ">I"), (b"Info", 12, ">I")],
    "ogg": [(b"OggS", 6, "<Q"), (b"OpusHead", 12, "<I")],
    "gif": [(b"\x21\xf9\x04", 4, "<H")],
    "png": [(b"pHYs", 4, ">I"), (b"IDAT", -4, ">I")],
    "jpg": [(b"JFIF", 7, ">H"), (b"\xff\xda", 2, ">H")],
}  # fmt: skip
_SIZES = {
    "mp4": [(b"avc1", 28, ">H"), (b"avc1", 30, ">H"), (b"mp4a", 20, ">H"), (b"mp4a", 28, ">I"),
            (b"tkhd", 80, ">I"), (b"avcC", -4, ">I"), (b"mdat", -4, ">I"), (b"moov", -4, ">I")],
    "mkv": [(b"\xb0\x81", 2, "B"), (b"\xb0\x82", 2, ">H"), (b"\xba\x82", 2, ">H"), (b"\xba\x81", 2, "B"),
            (b"\x9f\x81", 2, "B"), (b"\x1f\x43\xb6\x75", 4, ">Q")],
    "avi": [(b"strf", 12, "<I"), (b"strf", 16, "<I"), (b"avih", 40, "<I"), (b"movi", -4, "<I"),
            (b"00dc", 4, "<I")],
    "wav": [(b"fmt ", 10, "<H"), (b"fmt ", 22, "<H"), (b"fmt ", 20, "<H"), (b"fmt ", 4, "<I")],
    "flac": [(b"fLaC", 8, ">I"), (b"fLaC", 20, ">H"), (b"fLaC", 4, ">I")],
    "mp3": [(b"ID3", 6, ">I"), (b"\xff\xfb", 2, ">H")],
    "ogg": [(b"OpusHead", 9, "B"), (b"OggS", 26, "B")],
    "gif": [(b"GIF8", 6, "<I"), (b"\x2c", 5, "<I")],
    "png": [(b"IHDR", 4, ">I"), (b"IHDR", 8, ">I"), (b"IHDR", 12, "B"), (b"IDAT", -4, ">I")],
    "jpg": [(b"\xff\xc0", 5, ">H"), (b"\xff\xc0", 7, ">H"), (b"\xff\xc0", 9, "B"), (b"\xff\xc4", 2, ">H")],
}  # fmt: skip
_TWINS = {"m4a": "mp4", "webm": "mkv"}


def lie(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Claim another length or rate than there is."""
    return _overwrite(data, _FIELDS[_TWINS.get(kind, kind)], rng)


def blow_up(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Claim sizes that nothing has: pixels, channels, blocks."""
    return _overwrite(data, _SIZES[_TWINS.get(kind, kind)], rng)


def _overwrite(data: bytes, fields: list[tuple[bytes, int, str]], rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    there = [field for field in fields if field[0] in data] or [(data[:1], 4, ">I")]
    for mark, offset, form in [there[int(k)] for k in rng.permutation(len(there))[: rng.integers(1, 3)]]:
        at = data.index(mark) + offset
        if form == ">d":
            packed = struct.pack(form, rng.choice([1e12, -1.0, float("nan"), float("inf"), 0.0]))
        else:
            highest = 256 ** struct.calcsize(form) - 1
            values = (0, 1, highest, highest // 2, highest // 2 + 1, 60_000 & highest)
            packed = struct.pack(form, values[rng.integers(len(values))])
        changed[at : at + len(packed)] = packed
        if mark in (b"IHDR", b"pHYs"):  # with the right checksum, or nobody would look at it
            start = data.index(mark)
            end = start + 4 + (13 if mark == b"IHDR" else 9)
            changed[end : end + 4] = struct.pack(">I", zlib.crc32(changed[start:end]))
    return bytes(changed)


_STREAMS = {
    "mp4": (b"trak", b"free"),
    "mkv": (b"\x16\x54\xae\x6b", b"\x16\x54\xae\x6c"),
    "avi": (b"strl", b"JUNK"),
}


def drop_streams(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """A good beginning, and nothing in it."""
    mark, instead = _STREAMS.get(_TWINS.get(kind, kind), (None, None))
    if mark and rng.random() < 0.7:
        return data.replace(mark, instead, -1 if rng.random() < 0.7 else 1)
    ends = {"png": data[:33] + data[-12:], "jpg": b"\xff\xd8\xff\xd9", "gif": data[:13] + b";",
            "flac": data[:42], "wav": data[:44], "ogg": data[:47], "mp3": b"ID3\x04\0\0\0\0\0\0"}  # fmt: skip
    return ends.get(kind, data[: 40 + int(rng.integers(0, 60))])


CONTENT = {
    "bit flips": flip_bits,
    "truncation": cut_off,
    "swapped header": swap_header,
    "lying duration": lie,
    "no streams": drop_streams,
    "absurd size": blow_up,
}
