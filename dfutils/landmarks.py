"""Five points per face crop, found once and kept in a table beside the manifest."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.errors import InputError
from dfutils.faces import YuNetDetector
from dfutils.images import read_image
from dfutils.jobs import run_jobs
from dfutils.paths import atomic_path

POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
COLUMNS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")


def find_landmarks(
    paths: list[str], table: str | os.PathLike, n_jobs: int = 2, progress: bool = True
) -> pd.DataFrame:
    """Find the five YuNet points of face crops, or take them from the table.

    Five points suffice here, because they only place an outline that is drawn after the
    proportions of a face and then deformed at random; 68 points would need weights whose training
    data forbids commercial use.

    Parameters
    ----------
    paths : list of str
        Face crops.
    table : str or os.PathLike
        CSV file that keeps the points; rows of other crops in it stay.
    n_jobs : int
        Parallel processes.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        Index ``path``; columns `COLUMNS` [px of the crop], NaN where no face is found.
    """
    table = Path(table)
    known = pd.DataFrame(columns=["path", *COLUMNS]).set_index("path")
    if table.exists():
        known = pd.read_csv(table, index_col="path", dtype={"path": str})
        if list(known.columns) != list(COLUMNS):
            raise InputError(table, f"is no table of landmarks: it has the columns {list(known.columns)}")
    missing = sorted(set(paths) - set(known.index))
    if missing:
        blocks = [missing[start : start + 200] for start in range(0, len(missing), 200)]
        jobs = run_jobs(_find_block, ((block,) for block in blocks), n_jobs)
        found = [row for rows in tqdm(jobs, "landmarks", len(blocks), disable=not progress) for row in rows]
        new = pd.DataFrame(found, columns=["path", *COLUMNS]).set_index("path")
        known = pd.concat([known, new]) if len(known) else new
        with atomic_path(table) as temporary:
            known.to_csv(temporary)
    return known.loc[list(paths)].astype(np.float32)


@functools.lru_cache(maxsize=1)
def _detector() -> YuNetDetector:
    cv2.setNumThreads(1)
    return YuNetDetector(min_confidence=0.5)


def _find_block(paths: list[str]) -> list[tuple]:
    rows = []
    for path in paths:
        image = read_image(path)
        border = max(image.shape[:2]) // 4  # tight crops cut the chin and the forehead off
        padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE)
        faces = _detector().detect(padded)
        points = faces[0].landmarks - border if faces else np.full((5, 2), np.nan)
        rows.append((path, *np.round(points.ravel().astype(float), 2)))
    return rows
