"""Write a clip frame by frame with MoviePy, for browsers: MP4, H.264, AAC, the index in front."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from dfutils.errors import InputError
from dfutils.paths import atomic_path


def write_clip(
    path: str | os.PathLike,
    frame_at: Callable[[float], np.ndarray],
    n_frames: int,
    fps: float,
    sound_from: str | os.PathLike | None = None,
    pixel_aspect: Fraction = Fraction(1),
    comment: str = "",
) -> Path:
    """Write a clip, atomically; one frame at a time in memory.

    Parameters
    ----------
    path : str or os.PathLike
        ``.mp4``
    frame_at : callable
        Gives the frame, shape=(height, width, 3), uint8, RGB, both sides even, at a time [s]; is asked
        for 0 twice, and then for later times only.
    n_frames : int
    fps : float
        [Hz]
    sound_from : str or os.PathLike, optional
        The first sound of this file is taken over whole, at its own time.
    pixel_aspect : fractions.Fraction
        Width to height of a pixel.
    comment : str
        Kept in the file.

    Raises
    ------
    InputError
        It cannot be written whole: no space, or FFmpeg cannot encode it.
    """
    from moviepy import VideoClip  # takes two seconds

    numerator, denominator = pixel_aspect.as_integer_ratio()
    # MoviePy reads no messages, and many of them would block FFmpeg; and bad sound is no reason to stop
    options = ["-loglevel", "fatal", "-max_error_rate", "1"]
    options += ["-map", "0:v:0", *(["-map", "1:a:0", "-b:a", "192k"] if sound_from else [])]
    options += ["-vf", f"setsar={numerator}/{denominator}", "-pix_fmt", "yuv420p", "-crf", "20"]
    options += ["-movflags", "+faststart", "-map_metadata", "-1", "-metadata", f"comment={comment}"]
    with atomic_path(path) as temporary:
        clip = VideoClip(frame_at, duration=(n_frames + 0.5) / fps)  # it rounds down
        sound = os.path.abspath(sound_from) if sound_from else False
        try:
            clip.write_videofile(
                os.path.abspath(temporary), fps, "libx264", audio=sound, audio_codec="aac", preset="veryfast",
                ffmpeg_params=options, logger=None,
            )  # fmt: skip
        except OSError as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
            raise InputError(path, f"could not be written as a clip ({reason})") from error
        found = _count_frames(temporary)
        if found != n_frames:  # FFmpeg's end goes unnoticed by MoviePy
            raise InputError(path, f"could not be written whole ({found} of {n_frames} frames): disk full?")
    return Path(path)


def _count_frames(path: Path) -> int:
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            return container.streams.video[0].frames
    except (FFmpegError, IndexError):
        return 0
