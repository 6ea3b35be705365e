"""Judge the voice of a file: fragments of its sound, evenly spread over what is speech."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dfutils.audio import EPSILON, SAMPLE_RATE_HZ, find_voice
from dfutils.descriptions import Bundle
from dfutils.errors import AbstainError, InputError
from dfutils.margins import predict_margins
from dfutils.report import Judgement
from dfutils.voice_input import VoiceInput

FRAME_SAMPLES = 320  # 20 ms
# Between loud and soft frames of 1,253 clips of speech, bona fide and spoofed (training and validation,
# never the test) lie 13.5 dB or more; of 157 with as much household noise as speech one falls below 4 dB.
# Hum, tones and steady machines have 0 to 2.4 dB, and a model trained on speech would judge them too.
MIN_SPREAD_DB = 4.0


def judge_voice(
    audio: np.ndarray, bundle: Bundle, n_fragments: int = 5, seconds: float | None = None
) -> Judgement:
    """Judge a sound.

    Parameters
    ----------
    audio : numpy.ndarray, shape=(n_samples,), float32 in -1..1
        16 kHz.
    bundle : dfutils.descriptions.Bundle
        Of a voice model.
    n_fragments : int
        At most.
    seconds : float or None
        Length of a fragment [s]; None takes the length that the model was trained on.

    Raises
    ------
    AbstainError
        There is too little sound, or nothing in it is like speech.
    """
    inputs = bundle.inputs
    voice_input = VoiceInput(**inputs["voice"])
    windowed = replace(voice_input, seconds=seconds or voice_input.seconds or inputs["window_seconds"])
    try:
        windows = windowed.windows(windowed.prepare(audio), n_fragments)
    except InputError as error:
        raise AbstainError("voice", f"too little sound to judge: it {error.reason}") from error
    if not windows:
        raise AbstainError("voice", "too little sound to judge: nothing in it is like speech")
    if level_spread_db(np.concatenate([part for _, part in windows])) < MIN_SPREAD_DB:
        reason = "nothing in it is like speech: its level stays the same, as that of hum or noise does"
        raise AbstainError("voice", reason)
    images = [windowed.picture(part) for _, part in windows]
    p_fake = bundle.calibration.p_fake(predict_margins(bundle.model, images, min(n_fragments, 32)))
    first = find_voice(audio)[0] if windowed.normalise else 0  # `prepare` cuts the silence before
    scores = [
        {
            "time_s": round((first + start) / SAMPLE_RATE_HZ, 2),
            "end_s": round((first + start + part.size) / SAMPLE_RATE_HZ, 2),
            "p_fake": float(p),
        }
        for (start, part), p in zip(windows, p_fake)
    ]
    threshold, aggregation = bundle.calibration.threshold, inputs.get("aggregation", "mean")
    judgement = Judgement.from_scores(scores, threshold, aggregation)
    judgement.evaluation = bundle.evaluation
    return judgement


def level_spread_db(audio: np.ndarray) -> float:
    """Say how much the level of a sound changes: from its soft frames (10 %) to its loud ones (90 %).

    Parameters
    ----------
    audio : numpy.ndarray, shape=(n_samples,), float
        16 kHz, 20 ms at least.

    Returns
    -------
    float
        [dB]
    """
    frames = audio[: audio.size // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1) + EPSILON
    low, high = np.percentile(10 * np.log10(power), (10, 90))
    return float(high - low)
