"""Make the corpus' files: one task renders a real file and the fake made from it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from dfutils.embedded import manipulations, scenes, vocoders, voices
from dfutils.embedded.encode import write_clip
from dfutils.embedded.people import Person, draw_person
from dfutils.paths import atomic_path

LEVEL = 0.06  # root mean square of every voice clip; full scale is 1


def render_voices(folder: Path, rows: list[dict], seed: int, seconds: float) -> list[str]:
    """Write the wanted ones among an utterance and its vocoded copy.

    Parameters
    ----------
    folder : pathlib.Path
    rows : list of dict
        Rows of one ``source``.
    seed : int
    seconds : float
        Longest utterance [s].

    Returns
    -------
    list of str
        The rows' paths.
    """
    import soundfile

    index, take = rows[0]["index"], rows[0]["take"]
    rng = np.random.default_rng([seed, 22, index, take])
    length = seconds * rng.uniform(0.86, 1.0)
    voice = vocoders.fade_end(voices.synthesise(voices.draw_speaker(index, seed), length, rng))
    floor = 10 ** (rng.uniform(-56, -44) / 20) * np.sqrt((voice**2).mean())
    for row in rows:
        noise = np.random.default_rng([seed, 23, index, take, row["label"]])
        spoken = vocoders.vocode(voice, row["method"], noise) if row["label"] else voice
        # The microphone's noise comes after vocoding: pauses do not tell the copy from the original.
        spoken = spoken + floor * noise.standard_normal(len(spoken))
        spoken = spoken * (LEVEL / np.sqrt((spoken**2).mean()))
        with atomic_path(folder / row["path"]) as temporary:
            soundfile.write(temporary, spoken, voices.SR, format="FLAC", subtype="PCM_16")
    return [row["path"] for row in rows]


def render_videos(
    folder: Path, rows: list[dict], voice_of: dict[str, str], seed: int, seconds: float
) -> list[str]:
    """Write the wanted ones among a real clip and its fake.

    Parameters
    ----------
    folder : pathlib.Path
    rows : list of dict
        Rows of one ``source``.
    voice_of : dict
        Path of the voice clip per ``voice_method``.
    seed, seconds
        As `render_voices`.

    Returns
    -------
    list of str
        The rows' paths.
    """
    import soundfile

    index, take, n_frames = rows[0]["index"], rows[0]["take"], rows[0]["n_frames"]
    sound = {method: soundfile.read(folder / path)[0] for method, path in voice_of.items()}
    envelope = voices.loudness_envelope(
        sound["none"], scenes.FPS, n_frames
    )  # of the real: same motion in the fake
    target = cached_person(index, seed)
    clip = scenes.draw_clip(np.random.default_rng([seed, 32, index, take]), envelope)
    reals = [scenes.render_frame(target, clip, number) for number in range(n_frames)]
    for row in rows:
        frames = reals
        if row["label"]:
            settings = manipulations.draw_manipulation(
                row["method"], np.random.default_rng([seed, 33, index, take]), n_frames
            )
            donor = None
            if row["method"] == "swap":
                donor = cached_person(int(row["donor"].removeprefix("person")), seed, glasses=False)
            frames = (
                manipulations.manipulate(real, settings, target, clip, number, donor)
                for number, real in enumerate(reals)
            )
        write_clip(folder / row["path"], frames, scenes.FPS, clip.crf, sound[row["voice_method"]], seconds)
    return [row["path"] for row in rows]


@lru_cache(maxsize=48)
def cached_person(index: int, seed: int, glasses: bool = True) -> Person:
    """As `draw_person`, remembered: a person stands in several clips."""
    return draw_person(index, seed, glasses)
