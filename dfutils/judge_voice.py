"""Judge the voice of a file: fragments of its sound, evenly spread over what is speech."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dfutils.audio import SAMPLE_RATE_HZ, find_voice
from dfutils.descriptions import Bundle
from dfutils.errors import AbstainError, InputError
from dfutils.margins import predict_margins
from dfutils.report import Judgement
from dfutils.voice_input import VoiceInput


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
    return Judgement.from_scores(scores, bundle.calibration.threshold, inputs.get("aggregation", "mean"))
