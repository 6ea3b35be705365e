"""A copy of a clip with boxes on the judged persons, and the scores over time under it."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dfutils import __version__
from dfutils.annotate_boxes import Way, find_ways
from dfutils.annotate_drawing import draw_box, letter_px, make_label
from dfutils.annotate_strip import Strip
from dfutils.clip_writer import write_clip
from dfutils.descriptions import sha256_of
from dfutils.errors import InputError, StorageError
from dfutils.images import check_file, read_image, write_image
from dfutils.media_files import is_still, name_for_ffmpeg
from dfutils.playback import Timing, play_frames, probe_timing


def write_annotated(
    path: str | os.PathLike, findings: Mapping, out_path: str | os.PathLike, progress: bool = False
) -> Path:
    """Write a copy of a clip, or of a picture, that shows what was found.

    Boxes carry the person's number, score and verdict; between two looks they go along the person's way
    (`dfutils.annotate_boxes`). Under the picture stands a strip with the verdicts and the scores over
    time. The sound stays, unless it is so damaged
    that FFmpeg gives up: then a warning says so. What cannot be judged is said in the strip.

    Parameters
    ----------
    path : str or os.PathLike
        The file that was judged.
    findings : Mapping
        What `dfutils.report.Report.to_dict` gave for it.
    out_path : str or os.PathLike
        ``.mp4`` for a clip (H.264 and AAC, which browsers play; 5 to 60 frames per second), ``.png`` for
        a picture. Written whole or not at all. A clip that was made of the same findings before stays.
    progress : bool
        Show a bar where it takes more than two seconds.

    Returns
    -------
    pathlib.Path
        ``out_path``.

    Raises
    ------
    InputError
        The file holds no picture or was not judged, or the copy cannot be written or would replace it.
    """
    path, out_path = check_file(path), Path(out_path)
    if os.path.realpath(path) == os.path.realpath(out_path):
        raise InputError(out_path, "is the file itself, which is never overwritten")
    if findings.get("error"):
        raise InputError(path, f"was not judged: {findings['error']}")
    still = is_still(path)
    if out_path.suffix.lower() != (".png" if still else ".mp4"):
        raise InputError(out_path, f"must end in {'.png' if still else '.mp4'}")
    if still:
        image = read_image(path)
        ways = find_ways(findings["picture"], 1.0)
        strip = Strip(findings, ways, image.shape[:2], np.zeros(1), 0.0)
        return write_image(out_path, _Painter(ways, strip, image.shape[:2]).paint(0, image, 0.0))
    timing = probe_timing(path)
    made_of = _fingerprint(path, findings)
    if _comment_of(out_path) == made_of:
        return out_path
    try:
        return _write_clip(path, findings, out_path, timing, made_of, timing.has_sound, progress)
    except StorageError:
        raise
    except InputError:
        if not timing.has_sound:
            raise
    copy = _write_clip(path, findings, out_path, timing, made_of, False, progress)
    warnings.warn(f"{path}: its sound is damaged, and was left out of the copy", stacklevel=2)
    return copy


def _write_clip(
    path: Path, findings: Mapping, out_path: Path, timing: Timing, made_of: str, sound: bool, progress: bool
) -> Path:
    from tqdm import tqdm

    ways = find_ways(findings["picture"], 1 / timing.step_s)
    frames = play_frames(path, timing)
    first = next(frames, None)
    if first is None:
        raise InputError(path, "not one frame of this video can be decoded (truncated or damaged)")
    size_hw = first[2].shape[:2]
    strip = Strip(findings, ways, size_hw, timing.times_s, timing.end_s)
    painter, fps = _Painter(ways, strip, size_hw), timing.fps
    n_frames = max(1, round(timing.end_s * fps))
    with tqdm(total=n_frames, unit="frame", desc="annotating", leave=False, delay=2,
              disable=not progress or None) as bar:  # fmt: skip
        shown, following = first, next(frames, None)

        def frame_at(time_s: float) -> np.ndarray:
            nonlocal shown, following
            while following is not None and following[1] <= time_s + 0.5 / fps:
                shown, following = following, next(frames, None)
            bar.update(round(time_s * fps) + 1 - bar.n)
            return painter.paint(shown[0], shown[2], time_s)

        sound_from = path if sound else None
        return write_clip(out_path, frame_at, n_frames, fps, sound_from, timing.pixel_aspect, made_of)


class _Painter:
    """Paints frames onto one canvas, which is used again and again."""

    def __init__(self, ways: Sequence[Way], strip: Strip, size_hw: tuple[int, int]):
        self._ways, self._strip, self._size_hw = ways, strip, size_hw
        self._px = letter_px(size_hw)
        height, width = size_hw
        self._canvas = np.zeros((height + strip.height, width + width % 2, 3), np.uint8)

    def paint(self, index: int, frame: np.ndarray, time_s: float) -> np.ndarray:
        """Return the canvas, with one frame and its boxes, and the cursor at ``time_s``."""
        height, width = self._size_hw
        picture, strip = self._canvas[:height, :width], self._canvas[height:, :width]
        picture[:] = frame
        for way in self._ways:
            box = way.box_at(index)
            if box is not None:
                label = make_label(way.person, way.p_fake, way.verdict, self._px, width)
                draw_box(picture, box, label, way.verdict, self._px)
        self._strip.draw_on(strip, time_s)
        return self._canvas


def _fingerprint(path: Path, findings: Mapping) -> str:
    """Tell copies apart by what they show."""
    shown = json.dumps([findings["picture"], findings["voice"]], sort_keys=True, default=str)
    digest = hashlib.sha256(f"{sha256_of(path)} {shown}".encode("utf-8", "backslashreplace")).hexdigest()
    return f"annotated by dfutils {__version__}, {digest[:32]}"


def _comment_of(path: Path) -> str | None:
    import av
    from av.error import FFmpegError

    try:
        with name_for_ffmpeg(path) as name, av.open(name, metadata_errors="ignore") as container:
            return container.metadata.get("comment")
    except (FFmpegError, OSError, ValueError):
        return None
