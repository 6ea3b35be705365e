"""How often a model errs, as it was measured: checked, and in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

UNITS = ("faces", "videos", "clips")
RATES = ("false_alarm_rate", "miss_rate")
NOT_MEASURED = "How often it errs has not been measured."
CAVEAT = "On clips of another kind expect worse."


def check_evaluation(evaluation: object) -> None:
    """Check what stands under ``evaluation`` in ``model.json``.

    Parameters
    ----------
    evaluation : list of dict
        One entry per set of recordings: ``name`` (of the set, in words), ``unit`` (what was judged:
        "faces", "videos" or "clips"), ``false_alarm_rate`` (share of the pristine called manipulated at
        the frozen threshold), ``miss_rate`` (share of the manipulated not found), each 0..1 and perhaps
        with the ends of its interval, ``…_low`` and ``…_high``; ``run_id`` of the recorded run.

    Raises
    ------
    ValueError
        It is something else.
    """
    if not isinstance(evaluation, list) or not all(isinstance(entry, dict) for entry in evaluation):
        raise ValueError("evaluation is no list of objects")
    bounds = {f"{rate}_{end}" for rate in RATES for end in ("low", "high")}
    for entry in evaluation:
        odd = {"name", "unit", "run_id", *RATES} ^ (entry.keys() - bounds)
        if odd:
            raise ValueError(f"evaluation lacks or does not know: {', '.join(sorted(map(str, odd)))}")
        if not all(isinstance(entry[key], str) and entry[key] for key in ("name", "run_id")):
            raise ValueError("evaluation needs a name and a run_id")
        if entry["unit"] not in UNITS:
            raise ValueError(f"evaluation has the unit {entry['unit']!r}, not one of {UNITS}")
        for rate in RATES:
            row = [entry[key] for key in (f"{rate}_low", rate, f"{rate}_high") if key in entry]
            numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in row)
            if len(row) == 2 or not numbers or not all(a <= b for a, b in zip([0, *row], [*row, 1])):
                raise ValueError(f"evaluation has no {rate} in 0..1 within its interval: {row}")


def say_error_rates(evaluation: Sequence[Mapping]) -> str:
    """Say in one or two sentences how often a model errs.

    Parameters
    ----------
    evaluation : sequence of Mapping
        See `check_evaluation`; the recordings most like the training data first.

    Examples
    --------
    >>> home = {"name": "known recordings", "unit": "faces", "false_alarm_rate": 0.155, "miss_rate": 0.2}
    >>> away = home | {"name": "another dataset", "false_alarm_rate": 0.513}
    >>> say_error_rates([home, away])  # doctest: +NORMALIZE_WHITESPACE
    'On known recordings, 16 of 100 pristine faces are called manipulated and 20 of 100 manipulated ones
    are missed; on another dataset 51 and 20. On clips of another kind expect worse.'
    >>> say_error_rates([])
    'How often it errs has not been measured.'
    """
    if not evaluation:
        return NOT_MEASURED
    first = evaluation[0]
    alarms, misses = (say_of_100(first, rate) for rate in RATES)
    text = f"On {first['name']}, {alarms} of 100 pristine {first['unit']} are called manipulated and "
    text += f"{misses} of 100 manipulated ones are missed"
    for before, entry in pairwise(evaluation):
        alarms, misses = (say_of_100(entry, rate) for rate in RATES)
        if entry["name"] == before["name"]:
            text += f" (of 100 {entry['unit']} there {alarms} and {misses})"
        else:
            unit = f" of 100 {entry['unit']}" if entry["unit"] != first["unit"] else ""
            text += f"; on {entry['name']} {alarms} and {misses}{unit}"
    return f"{text}. {CAVEAT}"


def say_of_100(entry: Mapping, rate: str) -> str:
    """Say how many of 100; nothing is ever quite 0 or 100.

    Intervals stay in the JSON: a sentence that many numbers are in is not read.

    Examples
    --------
    >>> say_of_100({"miss_rate": 0.155, "miss_rate_low": 0.128, "miss_rate_high": 0.187}, "miss_rate")
    '16'
    >>> say_of_100({"miss_rate": 0.0}, "miss_rate")
    'fewer than 1'
    """
    value = entry[rate]
    if value < 0.01:
        return "fewer than 1"
    return "over 99" if value > 0.99 else str(math.floor(100 * value + 0.5))
