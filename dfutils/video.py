"""Read frames of a video: plan which, skip the others undecoded, and say clearly what cannot be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np

from dfutils.errors import InputError
from dfutils.images import begins_like_picture, check_file, read_image
from dfutils.media_files import is_still, name_for_ffmpeg

SAMPLINGS = ("even", "random")
SEEK_FROM = 600  # frames: further ahead, a seek (which decodes from the last key frame) is the faster way


@dataclass(frozen=True)
class VideoInfo:
    """What a container says about its picture: frames, rate [Hz], size (height, width) [px]."""

    n_frames: int
    fps: float
    size_hw: tuple[int, int]


def plan_frames(n_frames: int, n: int, sampling: str = "even", seed: int = 0) -> np.ndarray:
    """Choose which frames to read.

    Parameters
    ----------
    n_frames : int
        Frames that there are.
    n : int
        Frames wanted; all of them when there are no more.
    sampling : {"even", "random"}
        Middles of ``n`` equal parts, or drawn without replacement.
    seed : int
        For ``"random"``.

    Returns
    -------
    numpy.ndarray, shape=(min(n, n_frames),), int64
        Ascending and distinct.

    Examples
    --------
    >>> plan_frames(100, 4).tolist()
    [12, 37, 62, 87]
    """
    if n < 1:
        raise InputError("n", f"at least one frame must be wanted, got {n}")
    if sampling not in SAMPLINGS:
        raise InputError("sampling", f"must be one of {SAMPLINGS}, got {sampling!r}")
    if n >= n_frames:
        return np.arange(n_frames)
    if sampling == "random":
        return np.sort(np.random.default_rng(seed).choice(n_frames, size=n, replace=False))
    return ((np.arange(n) + 0.5) * n_frames / n).astype(np.int64)


def probe_video(path: str | os.PathLike) -> VideoInfo:
    """Read a video's header.

    The number of frames is what the container claims; `read_frames` finds out the truth.

    Raises
    ------
    InputError
        The file is missing, empty, or holds no picture that can be opened.
    """
    capture = open_capture(path)
    try:
        return VideoInfo(
            n_frames=int(capture.get(cv2.CAP_PROP_FRAME_COUNT)),
            fps=float(capture.get(cv2.CAP_PROP_FPS)),
            size_hw=(
                int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
                int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            ),
        )
    finally:
        capture.release()


def read_frames(
    path: str | os.PathLike, n: int, sampling: str = "even", seed: int = 0
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield ``n`` frames of a video, or of a folder of frame images, one at a time.

    Frames in between are passed over by ``grab()``, which decodes but neither converts nor
    copies; seeking to each wanted frame, the thesis' way, is 2 to 7 times slower, unless they lie
    `SEEK_FROM` frames apart: then it is done, and gives the same frames. A container that claims more
    frames than it holds yields what is there: first those planned, then others from the readable part,
    so that the number comes out right wherever it can.

    Parameters
    ----------
    path : str or os.PathLike
        A video file, or a folder of images in name order (VidTIMIT).
    n, sampling, seed
        See `plan_frames`.

    Yields
    ------
    index : int
        Frame number from 0.
    frame : numpy.ndarray, shape=(height, width, 3), uint8, RGB

    Raises
    ------
    InputError
        As `probe_video`; or not one frame can be decoded.
    """
    if Path(path).is_dir():
        yield from _read_image_folder(Path(path), n, sampling, seed)
        return
    n_frames = probe_video(path).n_frames
    if n_frames <= 0:  # a stream without an index
        n_frames = sum(1 for _ in _grab(path, None))
    wanted = set(plan_frames(n_frames, n, sampling, seed).tolist()) if n_frames else set()
    seen: set[int] = set()
    n_decoded = 0
    for index, frame in _grab(path, wanted):
        n_decoded = index + 1
        if frame is not None:
            seen.add(index)
            yield index, frame
    if wanted - seen:  # the container lied: make up the number from the part that is there
        rest = sorted(set(range(n_decoded)) - seen)
        extra = plan_frames(len(rest), len(wanted - seen), sampling, seed) if rest else []
        for index, frame in read_frames_at(path, (rest[i] for i in extra)):
            seen.add(index)
            yield index, frame
    if not seen:
        raise InputError(path, "not one frame of this video can be decoded (truncated or damaged)")


def read_frames_at(path: str | os.PathLike, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the frames of given numbers, ascending, as `read_frames` does; those not there are left out."""
    if Path(path).is_dir():
        files = _image_files(Path(path))
        yield from ((index, read_image(files[index])) for index in sorted(indices) if index < len(files))
        return
    wanted = {int(index) for index in indices}
    yield from (item for item in _grab(path, wanted) if item[1] is not None)


def open_capture(path: str | os.PathLike) -> cv2.VideoCapture:
    """Open the picture of a video; raises InputError where there is none. To be released by the caller."""
    path = check_file(path)
    with name_for_ffmpeg(path) as name:
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    if not capture.isOpened() or capture.get(cv2.CAP_PROP_FRAME_WIDTH) < 1:
        capture.release()
        raise InputError(
            path, "holds no picture that can be opened (no video, damaged, or another file type)"
        )
    return capture


def _grab(path: str | os.PathLike, wanted: set[int] | None) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yield frames' numbers, with the picture where it is wanted; stop after the last wanted one.

    All of them; but what lies far ahead is sought, and the numbers between are passed over.
    """
    still = _read_still(path)
    if still is not None:
        yield 0, still if wanted is not None and 0 in wanted else None
        return
    to_come = sorted(wanted, reverse=True) if wanted is not None else None
    capture = open_capture(path)
    try:
        index, may_seek = 0, True
        while to_come is None or to_come:
            if may_seek and to_come and to_come[-1] - index >= SEEK_FROM:
                capture.set(cv2.CAP_PROP_POS_FRAMES, to_come[-1])
                may_seek = int(capture.get(cv2.CAP_PROP_POS_FRAMES)) == to_come[-1]
                if may_seek:
                    index = to_come[-1]
                else:  # back to where we were, and on from there
                    capture.release()
                    capture = open_capture(path)
                    index = sum(1 for _ in takewhile(bool, (capture.grab() for _ in range(index))))
            if not capture.grab():
                break
            frame = None
            if to_come and index >= to_come[-1]:
                to_come.pop()
                decoded, frame = capture.retrieve()
                frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if decoded else None
            yield index, frame
            index += 1
    finally:
        capture.release()


def _read_still(path: str | os.PathLike) -> np.ndarray | None:
    """Read a picture as a photograph is to be seen, turned as its camera noted; None if it is none."""
    if not is_still(path):
        return None
    try:
        return read_image(path)
    except InputError:
        if begins_like_picture(path):  # FFmpeg would make up what is missing
            raise
        return None  # perhaps a video with a wrong name


def _read_image_folder(folder: Path, n: int, sampling: str, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    files = _image_files(folder)
    for index in plan_frames(len(files), n, sampling, seed):
        yield int(index), read_image(files[index])


def _image_files(folder: Path) -> list[Path]:
    files = sorted(item for item in folder.iterdir() if item.is_file() and not item.name.startswith("."))
    if not files:
        raise InputError(folder, "holds no frame images")
    return files
