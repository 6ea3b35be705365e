"""H.264 in memory: what a video codec does to a face crop."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np

from dfutils.errors import InputError


def compress_h264(
    image: np.ndarray, rate_factor: int, motion_px: tuple[float, float] | None = None
) -> np.ndarray:
    """Encode and decode one picture with H.264.

    JPEG blocks and rings; H.264 also predicts and deblocks, and so leaves another kind of softness.
    The frames of a real clip are mostly predicted ones.

    Parameters
    ----------
    image : numpy.ndarray, shape=(height, width, 3), uint8, RGB
        At least 16 px a side.
    rate_factor : int
        x264's CRF, 0 (lossless) to 51; 18 to 28 are usual.
    motion_px : tuple of float, optional
        If given, the picture is coded as a frame predicted from a copy of it that is shifted by
        so much; None codes it on its own.

    Returns
    -------
    numpy.ndarray, shape=(height, width, 3), uint8, RGB
    """
    height, width = image.shape[:2]
    if min(height, width) < 16:
        raise InputError("image", f"of {width} x {height} px is too small for H.264: 16 px a side are needed")
    if not 0 <= rate_factor <= 51:
        raise InputError("rate_factor", f"must lie in 0..51, got {rate_factor}")
    # colour is coded at half the resolution: both sides must be even
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    pictures = [even]
    if motion_px is not None:
        matrix = np.array([[1, 0, motion_px[0]], [0, 1, motion_px[1]]], np.float32)
        size = even.shape[1::-1]
        pictures.insert(0, cv2.warpAffine(even, matrix, size, borderMode=cv2.BORDER_REPLICATE))
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = even.shape[1::-1]
    encoder.pix_fmt, encoder.time_base, encoder.thread_count = "yuv420p", Fraction(1, 25), 1
    # mbtree looks ahead in a way that is not reproducible
    encoder.options = {
        "crf": str(rate_factor),
        "preset": "ultrafast",
        "tune": "zerolatency",
        "x264-params": "mbtree=0",
    }
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    return np.ascontiguousarray(frames[-1].to_ndarray(format="rgb24")[:height, :width])
