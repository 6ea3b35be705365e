"""Play a clip from its first frame to its last: every frame with its number and its time.

Frames are read by OpenCV as `dfutils.video` reads them, so that their numbers, and the way up, are those
of the findings; times come from the file, so that a rate that varies does no harm.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from dfutils.errors import InputError
from dfutils.images import check_file
from dfutils.media_files import name_for_ffmpeg
from dfutils.video import open_capture

RATES_HZ = (5.0, 60.0)  # of what is written
OUTLASTS_S = 0.5  # sound that goes on for longer than the picture keeps the last frame standing


@dataclass(frozen=True)
class Timing:
    """When the frames of a clip are shown.

    Attributes
    ----------
    times_s : numpy.ndarray, shape=(n_frames,)
        When each begins, ascending [s]; 0 is where picture or sound begins.
    end_s : float
        Where the picture ends, and the sound where that goes on for longer [s].
    offset_s : float
        When the first frame begins [s].
    has_sound : bool
        Its first sound can be decoded.
    pixel_aspect : fractions.Fraction
        Width to height of a pixel, as it is stored; not all cameras have square ones.
    """

    times_s: np.ndarray
    end_s: float
    offset_s: float = 0.0
    has_sound: bool = False
    pixel_aspect: Fraction = Fraction(1)

    @property
    def step_s(self) -> float:
        """For how long a frame stands [s]: the mean, or the median where the rate varies much."""
        steps = np.diff(self.times_s)
        if not len(steps):
            return 0.04
        middle, mean = float(np.median(steps)), float(steps.mean())
        # some containers count in milliseconds: 33, 33, 34 are 30 Hz, not 30.3
        return mean if abs(mean / middle - 1) < 0.05 else middle

    @property
    def fps(self) -> float:
        """Rate at which the clip is written [Hz], two decimals: FFmpeg is told no more by MoviePy."""
        return round(min(max(1 / self.step_s, RATES_HZ[0]), RATES_HZ[1]), 2)


def probe_timing(path: str | os.PathLike) -> Timing:
    """Find out when the frames of a clip are shown, without decoding them.

    Raises
    ------
    InputError
        The file is missing, cannot be opened, or holds no moving picture.
    """
    import av
    from av.error import FFmpegError

    path = check_file(path)
    try:
        with name_for_ffmpeg(path) as name, av.open(name, metadata_errors="ignore") as container:
            covers = av.stream.Disposition.attached_pic
            pictures = [stream for stream in container.streams.video if not stream.disposition & covers]
            if not pictures:
                sound = "holds sound only: there is no picture to draw on"
                raise InputError(path, sound if container.streams.audio else "holds no picture")
            picture, sounds = pictures[0], container.streams.audio[:1]
            begin_s = (container.start_time or 0) / 1e6
            times, sound_end_s = [], 0.0
            packets = container.demux(picture, *sounds)
            while (packet := _next_packet(packets)) is not None:
                if packet.pts is None or packet.is_discard:
                    continue
                time_s = float(packet.pts * packet.time_base) - begin_s
                if packet.stream_index == picture.index:
                    times.append(time_s)
                else:
                    sound_end_s = max(sound_end_s, time_s + float((packet.duration or 0) * packet.time_base))
            pixel_aspect = Fraction(picture.sample_aspect_ratio or 1)
    except FFmpegError as error:
        raise InputError(path, f"cannot be opened ({error.strerror})") from error
    if not times:
        raise InputError(path, "holds no frame with a time")
    times_s = np.unique(np.array(times))
    timing = Timing(times_s, 0.0)
    picture_end_s = float(times_s[-1]) + timing.step_s
    has_sound = bool(sounds) and _can_be_heard(path)
    end_s = sound_end_s if has_sound and sound_end_s > picture_end_s + OUTLASTS_S else picture_end_s
    if not Fraction(1, 4) <= pixel_aspect <= 4:
        pixel_aspect = Fraction(1)  # nonsense
    return Timing(times_s, end_s, max(0.0, float(times_s[0])), has_sound, pixel_aspect)


def _next_packet(packets: Iterator):
    from av.error import FFmpegError

    try:
        return next(packets, None)
    except FFmpegError:  # a damaged end: what came before it can be shown
        return None


def _can_be_heard(path: Path) -> bool:
    import av
    from av.error import FFmpegError

    try:
        with name_for_ffmpeg(path) as name, av.open(name, metadata_errors="ignore") as container:
            return next(container.decode(audio=0), None) is not None
    except FFmpegError:
        return False


def play_frames(path: str | os.PathLike, timing: Timing) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield every frame that can be decoded, one at a time in memory.

    Yields
    ------
    index : int
        Number of the frame, as in `dfutils.video.read_frames`.
    time_s : float
        When it is shown, as in ``timing`` [s]; always later than the one before.
    frame : numpy.ndarray, shape=(height, width, 3), uint8, RGB
        All of the size of the first.
    """
    capture = open_capture(path)
    try:
        index, before_s, size_wh = 0, -1.0, None
        while capture.grab():
            time_s = timing.offset_s + capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if not time_s > before_s:  # this container has no times
                time_s = before_s + timing.step_s if index else timing.offset_s
            decoded, frame = capture.retrieve()
            if decoded:
                size_wh = size_wh or frame.shape[1::-1]
                frame = frame if frame.shape[1::-1] == size_wh else cv2.resize(frame, size_wh)
                yield index, time_s, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            index, before_s = index + 1, time_s
    finally:
        capture.release()
