"""Picture manipulations: face swap, resampled face, recoloured face.

They leave the artefacts that real manipulations leave (a blend boundary, a resolution that
differs between face and surroundings, missing camera noise, a colour cast), and touch no pixel
outside their mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dfutils.embedded.people import Person
from dfutils.embedded.scenes import FRAME_HW, Clip, animate, place

SEEN_METHODS = ("swap", "resample")
HELD_OUT_METHODS = ("colour",)


@dataclass(frozen=True)
class Manipulation:
    """A manipulation's settings, constant over a clip.

    Attributes
    ----------
    method : str
        "swap", "resample" or "colour".
    feather : float
        Standard deviation of the mask's edge [frame pixels].
    grow : float
        Size of the mask relative to the face.
    resolution : float
        Pixels of the inserted face per frame pixel, below 1.
    wobble : numpy.ndarray [shape=(n_frames, 4), float32]
        Residual misalignment per frame: rotation [rad], log scale, x and y [pixels].
    cast : numpy.ndarray [shape=(n_frames, 3), float32]
        Shift in Lab [levels of OpenCV's 8-bit Lab], for the brightness at level 150.
    """

    method: str
    feather: float
    grow: float
    resolution: float
    wobble: np.ndarray
    cast: np.ndarray


def draw_manipulation(method: str, rng: np.random.Generator, n_frames: int) -> Manipulation:
    """Draw a manipulation's settings."""
    steady = rng.normal(0, 1, 4) * (0.015, 0.012, 1.0, 1.0)
    jitter = rng.normal(0, 1, (n_frames, 4)) * (0.004, 0.003, 0.25, 0.25)
    if method == "colour":
        angle = rng.uniform(0, 2 * np.pi)
        strength = rng.uniform(8, 11)
        cast = np.array(
            [rng.choice([-1, 1]) * rng.uniform(10, 17), strength * np.cos(angle), strength * np.sin(angle)]
        )
        feather = rng.uniform(1.2, 2.5)
        resolution = (0.84, 0.96)  # the colours changed on a copy of somewhat lower resolution
    else:
        cast = rng.normal(0, 1, 3) * (6, 2.5, 2.5)
        feather = rng.uniform(1.8, 3.2)
        resolution = (0.30, 0.46)
    flicker = rng.normal(0, 0.8, (n_frames, 3))
    return Manipulation(
        method=method,
        feather=float(feather),
        grow=float(rng.uniform(0.94, 1.06)),
        resolution=float(rng.uniform(*resolution)),
        wobble=(steady + jitter).astype(np.float32),
        cast=(cast + flicker).astype(np.float32),
    )


def manipulate(
    frame: np.ndarray,
    settings: Manipulation,
    target: Person,
    clip: Clip,
    index: int,
    donor: Person | None = None,
) -> np.ndarray:
    """Manipulate one frame.

    Parameters
    ----------
    frame : numpy.ndarray [shape=(240, 320, 3), uint8, RGB]
        The real frame, camera noise included.
    settings : Manipulation
    target : Person
    clip : Clip
    index : int
        Frame number in the clip.
    donor : Person, optional
        Whose face a "swap" inserts.

    Returns
    -------
    numpy.ndarray [shape=(240, 320, 3), uint8, RGB]
    """
    matrix = clip.matrices[index]
    mask = face_mask(target, matrix, settings)
    if settings.method == "swap":
        if donor is None:
            raise ValueError("a swap needs a donor")
        face, mask = _donor_face(frame, settings, target, donor, clip, index, mask)
    elif settings.method == "resample":
        face = _resampled_face(frame, settings, matrix, target, index)
    else:
        low = _lower_resolution(frame, settings.resolution)
        face = cv2.addWeighted(frame, 0.6, low, 0.4, 0)
    if settings.method != "resample":
        face = _shift_colour(face, settings.cast[index])
    mixed = frame + mask[..., None] * (face.astype(np.float32) - frame)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def face_mask(target: Person, matrix: np.ndarray, settings: Manipulation) -> np.ndarray:
    """Where the manipulation shows [shape=(240, 320), float32 in 0..1], exactly 0 elsewhere."""
    grown = _about(target.landmarks[2], settings.grow)
    mask = place(target.inner, _compose(matrix, grown))
    mask = cv2.GaussianBlur(mask, (0, 0), settings.feather)
    return np.where(mask < 0.01, 0, mask)


def _donor_face(
    frame: np.ndarray,
    settings: Manipulation,
    target: Person,
    donor: Person,
    clip: Clip,
    index: int,
    mask: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Render the donor in the target's pose at low resolution, in colours near the target's."""
    ones = np.ones((len(donor.landmarks), 1), np.float32)
    fit = np.linalg.lstsq(np.hstack([donor.landmarks, ones]), target.landmarks, rcond=None)[0].T
    placed = _compose(
        _compose(_wobble(settings, target, clip.matrices[index], index), clip.matrices[index]), fit
    )
    face = place(animate(donor, clip.mouth[index], clip.blink[index])[..., :3], placed)
    face = _lower_resolution(face, settings.resolution) * clip.gain[index]
    own = cv2.GaussianBlur(place(donor.inner, placed), (0, 0), settings.feather)
    mask = np.where(own < 0.01, 0, np.minimum(mask, own))  # neither the donor's hair nor the background
    inside = mask > 0.9
    if inside.sum() < 50:
        return frame, mask
    wanted, found = frame[inside].astype(np.float32), face[inside]
    ratio = np.clip(wanted.std(axis=0) / found.std(axis=0), 0.8, 1.25)
    face = (face - found.mean(axis=0)) * ratio + wanted.mean(axis=0)
    return np.clip(face, 0, 255).astype(np.uint8), mask


def _resampled_face(
    frame: np.ndarray, settings: Manipulation, matrix: np.ndarray, target: Person, index: int
) -> np.ndarray:
    """Shrink and enlarge the face and put it back slightly misaligned."""
    wobble = _wobble(settings, target, matrix, index)
    low = _lower_resolution(frame, settings.resolution)
    return cv2.warpAffine(low, wobble, FRAME_HW[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _lower_resolution(image: np.ndarray, resolution: float) -> np.ndarray:
    small_wh = tuple(max(8, round(side * resolution)) for side in FRAME_HW[::-1])
    small = cv2.resize(image, small_wh, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, FRAME_HW[::-1], interpolation=cv2.INTER_LINEAR)


def _shift_colour(face: np.ndarray, cast: np.ndarray) -> np.ndarray:
    """Shift the two chroma channels, and the brightness in proportion to what it is."""
    lab = cv2.cvtColor(face, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab += cast * np.stack([lab[..., 0] / 150, *[np.ones_like(lab[..., 0])] * 2], axis=-1)
    return cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)


def _wobble(settings: Manipulation, target: Person, matrix: np.ndarray, index: int) -> np.ndarray:
    """Small similarity about the nose, in frame coordinates."""
    rotation, log_scale, x, y = settings.wobble[index]
    nose = matrix @ np.append(target.landmarks[2], 1)
    about = _about(nose, float(np.exp(log_scale)), float(rotation))
    return about + np.float32([[0, 0, x], [0, 0, y]])


def _about(center: np.ndarray, scale: float, angle: float = 0.0) -> np.ndarray:
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.float32([[cos, -sin], [sin, cos]])
    return np.c_[linear, np.float32(center) - linear @ np.float32(center)].astype(np.float32)


def _compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Matrix [shape=(2, 3)] of "first inner, then outer"."""
    square = [np.vstack([matrix, (0, 0, 1)]) for matrix in (outer, inner)]
    return (square[0] @ square[1])[:2].astype(np.float32)
