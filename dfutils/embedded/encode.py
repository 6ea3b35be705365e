"""Write clips: H.264 picture and AAC sound in MP4, the same bytes for the same input and libraries."""

from __future__ import annotations

import os
from collections.abc import Iterable

import av
import cv2
import numpy as np
from scipy import signal

from dfutils.embedded.voices import SR
from dfutils.paths import atomic_path

SOUNDTRACK_SR = 48000  # [Hz]


def write_clip(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    fps: int,
    crf: int,
    voice: np.ndarray,
    seconds: float,
) -> None:
    """Encode one clip, atomically.

    Parameters
    ----------
    path : str or os.PathLike
        Ends in ``.mp4``.
    frames : iterable of numpy.ndarray [shape=(height, width, 3), uint8, RGB, even sides]
    fps : int
    crf : int
        x264's quality; lower is better.
    voice : numpy.ndarray [shape=(n_samples,), float in -1..1, 16 kHz]
        Padded with silence, or cut, to the clip's length.
    seconds : float
        The clip's length [s].
    """
    # Measured: with mbtree x264 gives other bytes in one of five runs of the same input.
    exact = "threads=1:mbtree=0:cpu-independent=1"
    options = {"crf": str(crf), "preset": "veryfast", "x264-params": exact}
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary), "w", options={"fflags": "+bitexact"}) as container,
    ):
        picture = container.add_stream("libx264", rate=fps, options=options)
        sound = container.add_stream("aac", rate=SOUNDTRACK_SR, layout="mono")
        sound.bit_rate = 64_000
        picture.pix_fmt = "yuv420p"
        picture.codec_context.gop_size = fps
        for number, frame in enumerate(frames):
            if number == 0:
                picture.height, picture.width = frame.shape[:2]
            planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
            image = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            image.pts = number
            container.mux(picture.encode(image))
        container.mux(picture.encode())
        samples = signal.resample_poly(voice, SOUNDTRACK_SR // SR, 1).astype(np.float32)
        length = round(seconds * SOUNDTRACK_SR)
        samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
        block = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        block.sample_rate, block.pts = SOUNDTRACK_SR, 0
        container.mux(sound.encode(block))
        container.mux(sound.encode())
