"""Plain face swaps between validation persons: a made method that no training ever sees.

To choose between ways of training by how well they carry over, one needs fakes of a method that none
of them was trained on. These are made for nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.errors import InputError
from dfutils.images import read_image
from dfutils.made_fakes import OUTLINES, draw_mask, fit_template
from dfutils.manifest import make_manifest
from dfutils.paths import atomic_path

METHOD = "made-swap"
N_DONORS_TRIED = 20  # the one whose head is turned most alike is taken


def swap_face(
    image: np.ndarray, landmarks: np.ndarray, donor: np.ndarray, donor_landmarks: np.ndarray, seed: int
) -> np.ndarray:
    """Put the donor's face into a picture.

    The donor's face is warped by an affine map that brings its five points onto the picture's, its
    colours are matched in mean and spread, and it is blended through the outline of the face:
    softly, or by Poisson blending.

    Parameters
    ----------
    image, donor : numpy.ndarray, shape=(height, width, 3), uint8, RGB
    landmarks, donor_landmarks : numpy.ndarray, shape=(5, 2), float
        ``(x, y)`` [px], see `dfutils.made_fakes.make_fake`.
    seed : int

    Returns
    -------
    numpy.ndarray, shape=(height, width, 3), uint8, RGB

    References
    ----------
    .. [1] Reinhard et al.: Color transfer between images, IEEE CG&A 2001.
    .. [2] Perez, Gangnet, Blake: Poisson image editing, SIGGRAPH 2003.
    """
    generator = np.random.default_rng(seed)
    height, width = image.shape[:2]
    to_image = fit_template(np.asarray(landmarks, np.float32))
    to_donor = fit_template(np.asarray(donor_landmarks, np.float32))
    square = [np.vstack([matrix, (0, 0, 1)]) for matrix in (to_image, to_donor)]
    move = (square[0] @ np.linalg.inv(square[1]))[:2]
    warped = cv2.warpAffine(
        donor, move, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    outline = np.array(OUTLINES[generator.choice(["face", "inner"])], np.float32)
    eye_px = float(np.hypot(*to_image[:, 0]))
    mask = draw_mask(outline @ to_image[:, :2].T + to_image[:, 2], (height, width), eye_px, generator)
    inside = mask > 0.5
    if not inside.any():
        raise InputError("landmarks", "lie so far outside the picture that no face could be put in")
    source, target = (cv2.cvtColor(part, cv2.COLOR_RGB2LAB).astype(np.float32) for part in (warped, image))
    spread = target[inside].std(axis=0) / np.maximum(source[inside].std(axis=0), 1)
    source = (source - source[inside].mean(axis=0)) * np.clip(spread, 0.5, 2) + target[inside].mean(axis=0)
    source = cv2.cvtColor(np.clip(np.round(source), 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
    if generator.random() < 0.5:
        return _clone(source, image, inside)
    blended = mask[..., None] * source + (1 - mask[..., None]) * image
    return np.clip(np.round(blended), 0, 255).astype(np.uint8)


def _clone(source: np.ndarray, target: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Poisson blending; OpenCV moves the part by its bounding box, and wants a free border."""
    mask = np.zeros(inside.shape, np.uint8)
    mask[2:-2, 2:-2] = inside[2:-2, 2:-2] * 255
    x, y, width, height = cv2.boundingRect(mask)
    if width < 3 or height < 3:
        return target.copy()
    return cv2.seamlessClone(source, target, mask, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)


def _misfit(donor_points: np.ndarray, points: np.ndarray) -> float:
    """How far apart two faces' points lie after shift and scaling [share of the face's extent]."""
    centred = [part - part.mean(axis=0) for part in (donor_points, points)]
    scaled = [part / np.sqrt((part**2).sum()) for part in centred]
    return float(np.abs(scaled[0] - scaled[1]).max())


def make_swaps(
    manifest: pd.DataFrame,
    landmarks: pd.DataFrame,
    folder: str | os.PathLike,
    seed: int,
    progress: bool = True,
) -> pd.DataFrame:
    """Give each real face of a manifest the face of another person of it.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Face crops; the reals of at least two persons are needed.
    landmarks : pandas.DataFrame
        See `dfutils.landmarks.find_landmarks`; faces without points are left out.
    folder : str or os.PathLike
        Gets one PNG picture per swap; existing ones are kept.
    seed : int
    progress : bool

    Returns
    -------
    pandas.DataFrame
        Manifest of the swaps only: label 1, method "made-swap", person of the face that was replaced,
        and the column ``donor``.
    """
    reals = manifest[manifest["label"] == 0]
    reals = reals[landmarks.loc[reals["path"]].notna().all(axis=1).to_numpy()].reset_index(drop=True)
    if reals["person"].nunique() < 2:
        raise InputError("manifest", "needs real faces of two persons to swap")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    points = landmarks.loc[reals["path"]].to_numpy(np.float32).reshape(-1, 5, 2)
    generator = np.random.default_rng(seed)
    persons, rows = reals["person"].to_numpy(), []
    for number, row in enumerate(tqdm(reals.itertuples(), "swaps", len(reals), disable=not progress)):
        others = np.flatnonzero(persons != row.person)
        tried = generator.choice(others, min(N_DONORS_TRIED, len(others)), replace=False)
        donor = int(min(tried, key=lambda other: _misfit(points[other], points[number])))
        path = folder / f"{number:05d}-{Path(row.path).stem}-{Path(reals['path'][donor]).stem}.png"
        if not path.exists():
            image = swap_face(
                read_image(row.path),
                points[number],
                read_image(reals["path"][donor]),
                points[donor],
                seed + number,
            )
            with atomic_path(path) as temporary:
                cv2.imwrite(str(temporary), image[..., ::-1])
        rows.append(
            {**row._asdict(), "path": str(path), "label": 1, "method": METHOD, "donor": persons[donor]}
        )
    return make_manifest(pd.DataFrame(rows).drop(columns="Index"), "swaps")
