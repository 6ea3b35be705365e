"""Tiny media made on the spot: numbered frames, a moving face, tones and voices, in any container."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

N_BITS = 8


def numbered_frame(number: int, size_hw: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A frame that tells its number in eight broad black and white stripes, which survive compression."""
    height, width = size_hw
    bits = np.array([number >> bit & 1 for bit in range(N_BITS)], np.uint8) * 190 + 32
    row = np.repeat(bits, width // N_BITS)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def frame_number(frame: np.ndarray) -> int:
    """Read what `numbered_frame` wrote."""
    stripes = frame.mean(axis=(0, 2)).reshape(N_BITS, -1).mean(axis=1)
    assert ((stripes < 90) | (stripes > 160)).all(), f"not a numbered frame: {stripes}"
    return int(sum(1 << bit for bit in range(N_BITS) if stripes[bit] > 128))


def write_video(
    path: Path,
    frames: Iterable[np.ndarray] = (),
    codec: str = "libx264",
    fps: int = 25,
    faststart: bool = False,
    audio: np.ndarray | None = None,
    sr: int = 16_000,
) -> Path:
    """Encode RGB frames, and a mono sound as AAC where given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"movflags": "faststart"} if faststart else {}
    frames = list(frames)
    with av.open(str(path), "w", options=options) as container:
        video = sound = None
        if frames:
            video = container.add_stream(codec, rate=fps)
            video.height, video.width = frames[0].shape[:2]
            video.pix_fmt = "yuv420p"
            if codec == "libx264":
                video.options = {"preset": "ultrafast", "crf": "16", "threads": "1"}
        if audio is not None:
            sound = container.add_stream("aac", rate=sr, layout="mono")
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(video.encode(frame))
        if video is not None:
            container.mux(video.encode())
        if sound is not None:
            _encode_audio(container, sound, audio[None], sr)
    return path


def numbered_video(path: Path, n_frames: int = 30, **options) -> Path:
    return write_video(path, map(numbered_frame, range(n_frames)), **options)


def uneven_video(path: Path, times_ms: list[int], frames: list[np.ndarray] | None = None) -> Path:
    """Frames (numbered ones) shown at given times [ms], as telephones write them: the rate varies."""
    frames = frames or [*map(numbered_frame, range(len(times_ms)))]
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt, video.time_base = "yuv420p", Fraction(1, 1000)
        video.codec_context.time_base = Fraction(1, 1000)
        for image, time_ms in zip(frames, times_ms):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def ffmpeg(*arguments: object) -> None:
    """Run the FFmpeg that comes with MoviePy."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-y", "-loglevel", "error", *map(str, arguments)], check=True, timeout=60)


def turn_phone(path: Path, out: Path, degrees: int = 90) -> Path:
    """What a telephone held upright writes: lying frames, and a note (display matrix) how to turn them.

    The picture of ``path`` is laid down, so that ``out``, shown as noted, looks like ``path``.
    """
    lying = out.with_name(f"lying-{out.name}")
    ffmpeg("-i", path, "-vf", {90: "transpose=clock", 270: "transpose=cclock"}[degrees], "-crf", 12, lying)
    ffmpeg("-display_rotation", degrees, "-i", lying, "-c", "copy", out)
    lying.unlink()
    return out


def write_sound(
    path: Path, audio: np.ndarray, sr: int = 16_000, codec: str = "pcm_s16le", bit_rate: int | None = None
) -> Path:
    """Encode a sound, shape=(n_samples,) or (n_channels, n_samples); the suffix chooses the container."""
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = np.atleast_2d(audio)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=sr, layout="stereo" if len(audio) == 2 else "mono")
        if bit_rate:
            stream.bit_rate = bit_rate
        _encode_audio(container, stream, audio, sr)
    return path


def _encode_audio(container, stream, audio: np.ndarray, sr: int) -> None:
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(audio, np.float32), "fltp", "stereo" if len(audio) == 2 else "mono"
    )
    frame.sample_rate, frame.pts, frame.time_base = sr, 0, Fraction(1, sr)
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def tone(hz: float, seconds: float, sr: int = 16_000, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * sr)) / sr)).astype(np.float32)


def voice(seconds: float, seed: int = 0, sr: int = 16_000) -> np.ndarray:
    """Something voice-like: harmonics of a wavering pitch in syllables, plus breath."""
    generator = np.random.default_rng(seed)
    t = np.arange(round(seconds * sr)) / sr
    phase = 2 * np.pi * np.cumsum(120 + 20 * seed % 60 + 15 * np.sin(2 * np.pi * 0.9 * t)) / sr
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t + seed)
    breath = 0.02 * generator.standard_normal(t.size)
    return (0.08 * harmonics * syllables + breath).astype(np.float32)


@functools.cache
def portrait() -> np.ndarray:
    """A public-domain portrait (NASA), shape=(512, 512, 3), uint8, RGB; one face of about 90 x 113 px."""
    from skimage.data import astronaut

    return astronaut()


def moving_face(n_frames: int, size_hw: tuple[int, int] = (240, 240), step_px: int = 2) -> list[np.ndarray]:
    """Frames in which the portrait's face drifts to the left."""
    height, width = size_hw
    image = portrait()
    return [image[:height, 90 + step_px * k : 90 + step_px * k + width].copy() for k in range(n_frames)]


def manipulate(frames: list[np.ndarray]) -> list[np.ndarray]:
    """A stand-in for a face swap: the lower half of the face in strange colours."""
    changed = [frame.copy() for frame in frames]
    for frame in changed:
        frame[130:170, 60:150] = frame[130:170, 60:150, ::-1] // 2 + 60
    return changed


def scenery(n_frames: int, size_hw: tuple[int, int] = (120, 160)) -> list[np.ndarray]:
    """Frames without any face: a moving gradient."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    return [
        np.stack([(x + 3 * k) % 256, (y * 2) % 256, (x + y) // 2], axis=-1).astype(np.uint8)
        for k in range(n_frames)
    ]


def truncate(path: Path, share: float) -> Path:
    """Keep only the first ``share`` of the pictures' bytes of an MP4 with its index in front."""
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    assert data.index(b"moov") < start, "the index would be lost; write the file with faststart"
    path.write_bytes(data[: start + int((len(data) - start) * share)])
    return path


def tiny_backbone(name, size_hw, weights):
    """Two convolutions, which see a green nose within seconds."""
    import keras

    inputs = keras.Input((*size_hw, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for n_filters in (8, 16):
        x = keras.layers.Conv2D(n_filters, 3, 2, activation="relu")(x)
    return keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(x))
