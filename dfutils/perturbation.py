"""A named perturbation at five levels; `dfutils.perturb_picture` and `dfutils.perturb_voice` have tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dfutils.errors import InputError

LEVELS = (1, 2, 3, 4, 5)
VERSION = 1  # raise it when a perturbation changes: what was measured with another version is measured anew
MIN_SIDE_PX = 8


@dataclass(frozen=True)
class Perturbation:
    """What may happen to a face crop or to a voice on its way to the detector.

    Called as ``perturbation(signal, level, rng)``: the same generator state gives the same result, and
    where something is drawn, a stronger level draws the same and more of it, so that levels compare.

    Attributes
    ----------
    kind : {"picture", "voice"}
        Of its signal: uint8 RGB, shape=(height, width, 3); or 16 kHz float32 in -1..1,
        shape=(n_samples,).
    family : str
        Where it comes from, or what it is akin to.
    about : str
        In a few plain words.
    unit : str
        Of the values.
    values : tuple
        Five, the mildest first.
    change : callable
        ``change(signal, value, rng)`` gives a new signal, and leaves the given one as it is.
    uses_points : bool
        ``change`` also takes ``points``, shape=(5, 2): the places of `dfutils.landmarks.POINTS` [px],
        or None.
    keeps_length : bool
        Of a voice; a picture always keeps its size.
    """

    kind: str
    family: str
    about: str
    unit: str
    values: tuple
    change: Callable
    uses_points: bool = False
    keeps_length: bool = True

    def __post_init__(self):
        if len(self.values) != len(LEVELS):
            raise InputError("values", f"must be {len(LEVELS)}, one per level, got {self.values}")

    def __call__(
        self, signal: np.ndarray, level: int, rng: np.random.Generator, points: np.ndarray | None = None
    ) -> np.ndarray:
        """Perturb one signal.

        Parameters
        ----------
        signal : numpy.ndarray
            See `kind`.
        level : int
            1 (mild) to 5 (strong).
        rng : numpy.random.Generator
        points : numpy.ndarray, shape=(5, 2), optional
            Of a face [px]; without, overlays take the places that a tight crop usually has.

        Returns
        -------
        numpy.ndarray
            Of the same kind, size and type; a voice without ``keeps_length`` may have another length.

        Raises
        ------
        InputError
            The level does not exist, or the signal is of another kind.
        """
        if level not in LEVELS:
            raise InputError("level", f"must be one of {LEVELS}, got {level!r}")
        _check_signal(signal, self.kind)
        options = {"points": points} if self.uses_points else {}
        return np.ascontiguousarray(self.change(signal, self.values[level - 1], rng, **options))


def _check_signal(signal: np.ndarray, kind: str) -> None:
    if kind == "picture":
        is_rgb = signal.dtype == np.uint8 and signal.ndim == 3 and signal.shape[2] == 3
        if not is_rgb or min(signal.shape[:2]) < MIN_SIDE_PX:
            found = f"{signal.dtype} of shape {signal.shape}"
            raise InputError("image", f"must be uint8 RGB, {MIN_SIDE_PX} px a side at least, got {found}")
    elif signal.dtype != np.float32 or signal.ndim != 1 or not signal.size:
        raise InputError("audio", f"must be mono float32, got {signal.dtype} of shape {signal.shape}")


def describe_perturbations(table: Mapping[str, Perturbation]) -> pd.DataFrame:
    """Say what each perturbation does, and its levels; index ``perturbation``."""
    rows = {name: [one.family, one.about, one.unit, *map(str, one.values)] for name, one in table.items()}
    columns = ["family", "about", "unit", *map(str, LEVELS)]
    return pd.DataFrame.from_dict(rows, "index", columns=columns).rename_axis("perturbation")


def select(table: Mapping[str, Perturbation], names: str = "") -> dict[str, Perturbation]:
    """Pick perturbations by their names, separated by spaces; an empty string takes all.

    Raises
    ------
    InputError
        A name is unknown.
    """
    wanted = names.split() or list(table)
    unknown = sorted(set(wanted) - set(table))
    if unknown:
        raise InputError("perturbations", f"{unknown} are unknown; there are {sorted(table)}")
    return {name: table[name] for name in wanted}
