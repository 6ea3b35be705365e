"""Audio codecs in memory, by FFmpeg: what coding does to a voice, at no delay."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from dfutils.channel_signals import fit_length, resample
from dfutils.errors import InputError


@dataclass(frozen=True)
class Codec:
    """How FFmpeg is to code a voice.

    Attributes
    ----------
    encoder, decoder : str
        FFmpeg's names.
    sr : int
        [Hz]
    sample_format : str
    bit_rates : tuple of int
        To choose from [bit/s].
    options : tuple of (str, str)
        For the encoder; chosen for speed.
    """

    encoder: str
    decoder: str
    sr: int
    sample_format: str
    bit_rates: tuple[int, ...]
    options: tuple[tuple[str, str], ...] = ()


CODECS = {
    "mp3": Codec(
        "libmp3lame",
        "mp3float",
        16_000,
        "fltp",
        (24_000, 32_000, 48_000, 64_000),
        (("compression_level", "8"),),
    ),
    "opus": Codec(
        "libopus", "opus", 16_000, "flt", (10_000, 14_000, 20_000, 32_000), (("compression_level", "2"),)
    ),
    "aac": Codec("aac", "aac", 16_000, "fltp", (20_000, 28_000, 40_000, 64_000), (("aac_coder", "fast"),)),
    "g722": Codec("g722", "g722", 16_000, "s16", (64_000,)),
    "amr": Codec("libopencore_amrnb", "amrnb", 8_000, "s16", (5_150, 7_950, 12_200)),
    "mulaw": Codec("pcm_mulaw", "pcm_mulaw", 8_000, "s16", (64_000,)),
    "alaw": Codec("pcm_alaw", "pcm_alaw", 8_000, "s16", (64_000,)),
}


def transcode(audio: np.ndarray, sr: int, name: str, bit_rate: int | None = None) -> np.ndarray:
    """Code and decode a voice in memory, its codec's delay taken back.

    Parameters
    ----------
    audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
    sr : int
        [Hz]
    name : str
        One of `CODECS`.
    bit_rate : int, optional
        [bit/s]; by default the highest listed.

    Returns
    -------
    numpy.ndarray, shape=(n_samples,), float32
        As long as ``audio``; mono, of the band of the codec.

    Raises
    ------
    InputError
        The codec is unknown, or this build of FFmpeg lacks it.
    """
    if name not in CODECS:
        raise InputError("codec", f"must be one of {tuple(CODECS)}, got {name!r}")
    bit_rate = bit_rate or max(CODECS[name].bit_rates)
    delay = _codec_delay(name, bit_rate)
    inner = resample(audio, sr, CODECS[name].sr)
    decoded = _run_codec(inner, name, bit_rate)[delay:]
    return fit_length(resample(fit_length(decoded, inner.size), CODECS[name].sr, sr), audio.size)


def available_codecs() -> tuple[str, ...]:
    """Names of `CODECS` that this build of FFmpeg can write and read."""
    return tuple(name for name in CODECS if _codec_works(name))


@functools.lru_cache(maxsize=32)
def _codec_works(name: str) -> bool:
    try:
        _run_codec(np.zeros(4000, np.float32), name, CODECS[name].bit_rates[0])
    except InputError:
        return False
    return True


def _run_codec(audio: np.ndarray, name: str, bit_rate: int) -> np.ndarray:
    import av
    from av.error import FFmpegError

    codec = CODECS[name]
    samples = np.concatenate([audio, np.zeros(codec.sr // 4, np.float32)])  # to push the delay out
    if codec.sample_format == "s16":
        samples = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)
    try:
        encoder = av.codec.CodecContext.create(codec.encoder, "w")
        encoder.sample_rate, encoder.layout, encoder.format = codec.sr, "mono", codec.sample_format
        encoder.bit_rate, encoder.options = bit_rate, dict(codec.options)
        encoder.open()
        decoder = av.codec.CodecContext.create(codec.decoder, "r")
        decoder.sample_rate, decoder.layout = codec.sr, "mono"
        if encoder.extradata:
            decoder.extradata = encoder.extradata
        size = encoder.frame_size or 1024
        samples = np.pad(samples, (0, -samples.size % size))
        packets = []
        for start in range(0, samples.size, size):
            frame = av.AudioFrame.from_ndarray(
                samples[None, start : start + size], codec.sample_format, "mono"
            )
            frame.sample_rate, frame.pts = codec.sr, start
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        frames = [frame for packet in packets for frame in decoder.decode(packet)] + decoder.decode(None)
    except (FFmpegError, ValueError) as error:  # PyAV's UnknownCodecError is a ValueError
        raise InputError("codec", f"{name} does not work in this build of FFmpeg ({error})") from error
    decoded = np.concatenate([np.atleast_2d(frame.to_ndarray())[0] for frame in frames])
    if decoded.dtype == np.int16:
        decoded = decoded / np.float32(32768)
    return resample(decoded.astype(np.float32), frames[0].sample_rate, codec.sr)


@functools.lru_cache(maxsize=64)
def _codec_delay(name: str, bit_rate: int) -> int:
    """Samples by which a codec is late at its own rate, by correlation of a noise-like probe."""
    sr = CODECS[name].sr
    probe = 0.1 * np.random.default_rng(0).standard_normal(sr // 2)
    probe = np.convolve(probe, np.hanning(9) / 4, mode="same").astype(np.float32)
    decoded = _run_codec(probe, name, bit_rate)
    size = decoded.size + probe.size
    match = np.fft.irfft(np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(probe, size)), size)
    return int(np.argmax(match[: sr // 5]))
