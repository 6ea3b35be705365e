"""What the embedded corpus holds: the rows of its two tables, before any file is made."""

from __future__ import annotations

import numpy as np

from dfutils.embedded.manipulations import HELD_OUT_METHODS, SEEN_METHODS
from dfutils.embedded.scenes import FPS
from dfutils.embedded.vocoders import HELD_OUT_ATTACKS, SEEN_ATTACKS
from dfutils.embedded.voices import SR
from dfutils.errors import InputError
from dfutils.manifest import REAL_METHOD, SPLITS

PEOPLE_PER_SPLIT = {"train": 10, "val": 5, "test": 5, "unseen": 5}
DATASET = "embedded"


def list_people(people_per_split: dict[str, int]) -> dict[int, str]:
    """Give every person's split: no person stands in two.

    Raises
    ------
    InputError
        A split is unknown, or holds too few people for a swap between two of them.
    """
    unknown = set(people_per_split) - set(SPLITS)
    if unknown:
        raise InputError("people_per_split", f"unknown splits {sorted(unknown)}; known are {SPLITS}")
    split_of: dict[int, str] = {}
    for split in SPLITS:
        count = people_per_split.get(split, 0)
        least = 1 if split == "unseen" else 2
        if count < 0 or 0 < count < least:
            raise InputError("people_per_split", f"{split} needs 0 or at least {least} people, got {count}")
        split_of.update({len(split_of) + offset: split for offset in range(count)})
    if not split_of:
        raise InputError("people_per_split", "holds nobody")
    return split_of


def plan_voices(split_of: dict[int, str], n_utterances: int) -> list[dict]:
    """List the voice clips: per utterance the bona fide one and one vocoded copy.

    Parameters
    ----------
    split_of : dict
        Split of every person.
    n_utterances : int
        Per person.

    Returns
    -------
    list of dict
        Rows of the voices manifest plus ``index`` (the person's) and ``take`` (the utterance's).
    """
    rows = []
    for index, split in split_of.items():
        attacks = HELD_OUT_ATTACKS if split == "unseen" else SEEN_ATTACKS
        for take in range(n_utterances):
            # Offset by half the person's number: attack and picture manipulation vary independently.
            attack = attacks[(take + index // 2) % len(attacks)]
            for method in (REAL_METHOD, attack):
                source = f"person{index:02d}_u{take}"
                name = "bonafide" if method == REAL_METHOD else method
                rows.append({
                    "path": f"voices/{source}_{name}.flac", "label": int(method != REAL_METHOD),
                    "split": split, "person": f"person{index:02d}", "source": source, "method": method,
                    "dataset": DATASET,
                    "sr": SR, "index": index, "take": take,
                })  # fmt: skip
    return rows


def plan_videos(split_of: dict[int, str], n_reals: int, seconds: float, seed: int) -> list[dict]:
    """List the clips: per real clip the real one and one fake made from it.

    The first fake of every two keeps its real's voice, the second carries a vocoded copy.

    Parameters
    ----------
    split_of : dict
    n_reals : int
        Real clips per person.
    seconds : float
    seed : int

    Returns
    -------
    list of dict
        Rows of the videos manifest plus ``index`` and ``take``.
    """
    attack_of = {
        (row["index"], row["take"]): row["method"] for row in plan_voices(split_of, n_reals) if row["label"]
    }
    rows = []
    for index, split in split_of.items():
        methods = HELD_OUT_METHODS if split == "unseen" else SEEN_METHODS
        others = [other for other, where in split_of.items() if where == split and other != index]
        for take in range(n_reals):
            fake = methods[(take + index) % len(methods)]
            donor = "none"
            if fake == "swap":
                rng = np.random.default_rng([seed, 31, index, take])
                donor = f"person{others[rng.integers(len(others))]:02d}"
            for method in (REAL_METHOD, fake):
                is_fake = method != REAL_METHOD
                voice = attack_of[index, take] if is_fake and take % 2 else REAL_METHOD
                source = f"person{index:02d}_r{take}"
                rows.append({
                    "path": f"videos/{source}_{method if is_fake else 'real'}.mp4", "label": int(is_fake),
                    "split": split, "person": f"person{index:02d}", "source": source, "method": method,
                    "dataset": DATASET, "voice_label": int(voice != REAL_METHOD), "voice_method": voice,
                    "donor": donor if is_fake else "none", "n_frames": round(seconds * FPS), "fps": FPS,
                    "index": index, "take": take,
                })  # fmt: skip
    return rows
