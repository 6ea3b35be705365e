"""A source-filter voice synthesiser: the bona fide speech of the embedded corpus.

It babbles: random syllables of vowels, fricatives and stops by one speaker. It stands in for
speech where none is at hand and proves nothing about detectors of real voices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

SR = 16000  # [Hz]
# Formants 1-4 [Hz] of a vocal tract of 17 cm.
VOWELS = {
    "i": (290, 2250, 2950, 3550), "e": (430, 2050, 2650, 3500), "a": (740, 1250, 2550, 3450),
    "o": (480, 860, 2500, 3350), "u": (320, 800, 2300, 3300), "y": (300, 1750, 2200, 3400),
    "ae": (670, 1700, 2450, 3500), "er": (500, 1400, 1750, 3300),
}  # fmt: skip
FRICATIVES = {"s": (5200, 7600), "sh": (2600, 5200), "f": (1500, 7500), "h": (600, 3000)}  # pass bands [Hz]
BANDWIDTHS = np.array([70.0, 95.0, 140.0, 210.0, 300.0, 420.0])  # [Hz]
_HOP = 80  # samples between control points: 5 ms


@dataclass(frozen=True)
class Speaker:
    """What makes a voice one speaker's.

    Attributes
    ----------
    pitch_hz : float
    tract : float
        Formant scale; above 1 is a shorter vocal tract.
    breath, jitter, shimmer : float
        Aspiration relative to the voice; cycle-to-cycle change of period and amplitude.
    open_quotient : float
        Share of a period in which the glottis is open.
    rate : float
        Syllables per second.
    room_s : float
        Reverberation time [s].
    """

    pitch_hz: float
    tract: float
    breath: float
    jitter: float
    shimmer: float
    open_quotient: float
    rate: float
    room_s: float


def draw_speaker(index: int, seed: int) -> Speaker:
    """Draw speaker ``index``: the same for the same seed."""
    rng = np.random.default_rng([seed, 21, index])
    high = rng.random() < 0.5
    return Speaker(
        pitch_hz=float(rng.uniform(170, 240) if high else rng.uniform(90, 140)),
        tract=float(rng.uniform(1.08, 1.22) if high else rng.uniform(0.94, 1.06)),
        breath=float(rng.uniform(0.02, 0.08)),
        jitter=float(rng.uniform(0.006, 0.018)),
        shimmer=float(rng.uniform(0.03, 0.10)),
        open_quotient=float(rng.uniform(0.5, 0.7)),
        rate=float(rng.uniform(3.4, 5.2)),
        room_s=float(rng.uniform(0.12, 0.30)),
    )


def synthesise(speaker: Speaker, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Synthesise one utterance in a small room, without background noise.

    Parameters
    ----------
    speaker : Speaker
    seconds : float
        Length [s].
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray [shape=(n_samples,), float64, peak .5, 16 kHz]
        Exactly zero until the first sound.
    """
    n_samples = round(seconds * SR)
    n_points = n_samples // _HOP + 2
    score = _write_score(speaker, n_points, rng)
    samples = np.arange(n_samples)
    points = np.arange(n_points) * _HOP

    def dense(track: np.ndarray) -> np.ndarray:
        return np.interp(samples, points, track)

    pulses = _glottal_flow(dense(score["pitch"]), speaker, rng)
    breath = rng.standard_normal(n_samples) * (0.25 + np.abs(pulses)) * speaker.breath
    voiced = (pulses + breath) * dense(score["voice"])
    out = _filter_formants(voiced, score["formants"])
    for name, band in FRICATIVES.items():
        envelope = dense(score[name])
        if envelope.any():
            sections = signal.butter(
                2, np.clip(np.array(band) * speaker.tract, 200, 7800), "bandpass", fs=SR, output="sos"
            )
            out += signal.sosfilt(sections, rng.standard_normal(n_samples)) * envelope
    out = _add_room(out, speaker.room_s, rng)
    out[: _first_sound(score)] = 0
    return 0.5 * out / np.abs(out).max()


def loudness_envelope(voice: np.ndarray, fps: float, n_frames: int) -> np.ndarray:
    """Loudness per video frame, for the mouth.

    Parameters
    ----------
    voice : numpy.ndarray [shape=(n_samples,), 16 kHz]
    fps : float
    n_frames : int

    Returns
    -------
    numpy.ndarray [shape=(n_frames,), float32 in 0..1]
    """
    hop = SR / fps
    edges = (np.arange(n_frames + 1) * hop).astype(int)
    padded = np.pad(voice.astype(np.float64), (0, max(0, edges[-1] - len(voice))))
    power = np.add.reduceat(padded[: edges[-1]] ** 2, edges[:-1]) / hop
    level = np.sqrt(power)
    level = np.convolve(level, [0.2, 0.6, 0.2], mode="same")
    return np.clip(level / max(np.quantile(level, 0.95), 1e-6), 0, 1).astype(np.float32)


def _write_score(speaker: Speaker, n_points: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Lay out syllables on control points: pitch, loudness, formants, fricatives."""
    score = {name: np.zeros(n_points) for name in ("voice", *FRICATIVES)}
    names, bands = list(VOWELS), list(FRICATIVES)
    formants = np.full((n_points, 6), np.nan)
    lead = round(rng.uniform(0.06, 0.16) * SR / _HOP)
    end = n_points - round(rng.uniform(0.04, 0.12) * SR / _HOP)
    at = lead
    while at < end - 12:
        length = max(14, round(SR / _HOP / speaker.rate * rng.uniform(0.75, 1.3)))
        onset = 0
        draw = rng.random()
        if draw < 0.5:
            onset = round(length * rng.uniform(0.2, 0.4))
            shape = np.sin(np.linspace(0, np.pi, onset + 2)[1:-1]) ** 0.7 * rng.uniform(0.05, 0.16)
            stop = min(end, at + onset)
            score[bands[rng.integers(len(bands))]][at:stop] = shape[: stop - at]
        elif draw < 0.7:  # a stop: closure, then a short burst
            onset = round(length * 0.25)
            score["sh" if rng.random() < 0.5 else "f"][min(at + onset - 2, end - 1)] = rng.uniform(0.2, 0.4)
        start, stop = at + onset, min(at + length, end)
        rise = np.sin(np.linspace(0, np.pi, max(stop - start, 1) + 2)[1:-1]) ** 0.5
        score["voice"][start:stop] = rise[: stop - start] * rng.uniform(0.6, 1.0)
        targets = np.array(VOWELS[names[rng.integers(len(names))]]) * rng.uniform(0.95, 1.05, 4)
        middle = (start + stop) // 2
        quarter = max(1, (stop - start) // 5)
        formants[max(start, middle - quarter) : min(stop, middle + quarter), :4] = targets
        formants[middle, 4:] = (4400, 5900)
        at += length
        if rng.random() < 0.16:
            at += round(rng.uniform(0.08, 0.25) * SR / _HOP)
    index = np.arange(n_points)
    for column in range(6):
        known = ~np.isnan(formants[:, column])
        formants[:, column] = np.interp(index, index[known], formants[known, column])
    kernel = np.hanning(9) / np.hanning(9).sum()
    formants = np.stack(
        [np.convolve(np.pad(track, 4, mode="edge"), kernel, "valid") for track in formants.T], axis=1
    )
    score["voice"] = np.convolve(score["voice"], np.hanning(7) / np.hanning(7).sum(), mode="same")
    score["formants"] = np.minimum(formants * speaker.tract, 7300)
    drift = np.cumsum(rng.standard_normal(n_points)) * 0.004
    drift -= np.linspace(drift[0], drift[-1], n_points)
    phrase = 0.10 * np.sin(2 * np.pi * (index / n_points * rng.uniform(1, 2.5) + rng.random()))
    score["pitch"] = speaker.pitch_hz * np.exp(phrase + drift - 0.12 * index / n_points)
    return score


def _first_sound(score: dict[str, np.ndarray]) -> int:
    heard = score["voice"] + sum(score[name] for name in FRICATIVES)
    return max(0, int(np.argmax(heard > 0)) - 1) * _HOP


def _glottal_flow(pitch: np.ndarray, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """Differentiated Rosenberg pulses with jitter and shimmer [shape=(n_samples,)]."""
    flow = np.zeros(len(pitch) + 1)
    at = 0.0
    while at < len(pitch) - 1:
        period = SR / pitch[int(at)] * (1 + speaker.jitter * rng.standard_normal())
        amplitude = 1 + speaker.shimmer * rng.standard_normal()
        opening, closing = 0.66 * speaker.open_quotient * period, 0.34 * speaker.open_quotient * period
        index = np.arange(int(np.ceil(at)), min(int(at + opening + closing) + 1, len(flow)))
        phase = index - at
        pulse = np.where(
            phase < opening,
            0.5 * (1 - np.cos(np.pi * phase / opening)),
            np.cos(np.pi / 2 * np.clip((phase - opening) / closing, 0, 1)),
        )
        flow[index] += amplitude * pulse
        at += period
    return np.diff(flow) * 6


def _filter_formants(source: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """Cascade of six resonators whose frequencies change every 5 ms."""
    out = source
    for column in range(formants.shape[1]):
        radius = np.exp(-np.pi * BANDWIDTHS[column] / SR)
        a1 = -2 * radius * np.cos(2 * np.pi * formants[:, column] / SR)
        a2 = radius**2
        state = np.zeros(2)
        filtered = np.empty_like(out)
        for block, coefficient in enumerate(a1):
            piece = slice(block * _HOP, (block + 1) * _HOP)
            if piece.start >= len(out):
                break
            gain = 1 + coefficient + a2
            filtered[piece], state = signal.lfilter([gain], [1, coefficient, a2], out[piece], zi=state)
        out = filtered
    return out


def _add_room(dry: np.ndarray, room_s: float, rng: np.random.Generator) -> np.ndarray:
    """Add a decaying noise tail 12 dB or more below the direct sound."""
    length = round(room_s * SR)
    tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail[: round(0.004 * SR)] = 0
    tail *= 0.22 / np.sqrt((tail**2).sum())
    tail[0] = 1
    return signal.fftconvolve(dry, tail)[: len(dry)]
