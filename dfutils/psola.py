"""Pitch-synchronous overlap-add: pitch periods moved, repeated, dropped or joined."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dfutils.vocoder_analysis import SR, draw_ratio, pitch_per_sample


def _pitch_marks(audio: np.ndarray) -> np.ndarray:
    """Places of pitch periods, in samples; every 8 ms where unvoiced; the last is the end."""
    pitch, places, at = pitch_per_sample(audio), [0], 0
    upright = audio * np.sign(np.mean(audio**3) or 1)
    while True:
        period = int(SR / pitch[at]) if pitch[at] > 0 else round(0.008 * SR)
        low, high = at + round(0.8 * period), at + round(1.2 * period) + 1
        if high >= audio.size:
            return np.array([*places, audio.size])
        at = low + int(np.argmax(upright[low:high])) if pitch[at] > 0 else at + period
        places.append(at)


def psola(audio: np.ndarray, rng: np.random.Generator, pitch=None, tempo=0.0, joins=False) -> np.ndarray:
    """Overlap-add pitch periods at other distances, or repeat and drop some (Moulines and Charpentier 1990).

    With ``joins``, pitch, speed, level and spectral tilt jump every 60 to 250 ms, as between diphones.
    """
    from scipy.signal import lfilter

    places = _pitch_marks(audio)
    knots = np.cumsum(rng.uniform(0.06, 0.25, 2 + int(audio.size / SR / 0.06)) * (1 if joins else 3))
    knots = np.r_[0, knots[knots < audio.size / SR - 0.03], audio.size / SR] * SR
    lengths = np.diff(knots) * np.exp(rng.uniform(-tempo, tempo, knots.size - 1))
    warped = np.r_[0, np.cumsum(lengths)] * audio.size / lengths.sum()
    ratios = np.full(knots.size, draw_ratio(pitch, rng) if pitch else 1.0)
    if joins:
        ratios = np.exp(rng.uniform(-0.1, 0.1, knots.size))
    out, at = np.zeros(audio.size + 2 * SR), 0.0
    while at < audio.size:
        mark = int(np.abs(places[:-1] - np.interp(at, knots, warped)).argmin())
        before, place, after = places[max(mark - 1, 0)], places[mark], places[mark + 1]
        rise, fall = (
            np.arange(place - before) / max(place - before, 1),
            np.arange(after - place) / (after - place),
        )
        weight = np.r_[np.sin(np.pi / 2 * rise) ** 2, np.cos(np.pi / 2 * fall) ** 2]
        begin = SR + round(at) + before - place
        out[begin : begin + weight.size] += weight * audio[before:after]
        at += (after - place) / ratios[np.searchsorted(knots, at, "right") - 1]
    out = out[SR : SR + audio.size]
    if joins:
        fade = 0.004 * SR
        index, pieces = np.arange(out.size), np.zeros(out.size)
        for start, stop in pairwise(knots):
            part = slice(max(0, int(start - fade)), int(stop + fade) + 1)
            rise, fall = (index[part] - start) / fade + 0.5, (stop - index[part]) / fade + 0.5
            weight = np.clip(rise, 0, 1) * np.clip(fall, 0, 1)
            tilted = lfilter([1, rng.uniform(-0.35, 0.35)], [1], out[part]) * 10 ** (rng.uniform(-2, 2) / 20)
            pieces[part] += weight * tilted
        out = pieces
    return out
