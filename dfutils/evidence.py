"""What findings rest on, as pictures: the faces that scored highest, one portrait per person."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dfutils.crops import CropGeometry, crop_face, resize_image
from dfutils.descriptions import Bundle
from dfutils.errors import InputError
from dfutils.heat_map import compute_heat_maps
from dfutils.html_case import Case, Moment
from dfutils.judge_picture import N_NOTABLE, pick_highest, pick_portraits
from dfutils.video import read_frames_at

if TYPE_CHECKING:
    from dfutils.detector import DeepfakeDetector
    from dfutils.guard import Guard

Crops = dict[tuple[int, int], np.ndarray]


def make_case(
    findings: Mapping,
    detector: DeepfakeDetector,
    crops: Crops | None = None,
    n_moments: int = N_NOTABLE,
    guard: Guard | None = None,
) -> Case:
    """Put together what an HTML report shows of one file.

    Parameters
    ----------
    findings : Mapping
        What `dfutils.report.Report.to_dict` gave, perhaps out of a JSON file; ``sha256``, ``settings``
        and ``judged_at`` are shown where they are there.
    detector : dfutils.detector.DeepfakeDetector
        With the models that gave the findings.
    crops : dict, optional
        ``report.picture.crops``; without, the faces are read from the file again.
    n_moments : int
        At most.
    guard : dfutils.guard.Guard, optional
        Read the file and run the model in its child process.

    Returns
    -------
    dfutils.html_case.Case
        Without pictures where they cannot be had any more; its parameter "faces" then says why.
    """
    moments, portraits, missing = [], {}, None
    if not findings.get("error") and findings["picture"].get("scores"):
        try:
            if guard is None:
                moments, portraits = collect_faces(findings, detector.bundle("picture"), crops, n_moments)
            else:
                job = (detector.folders, findings, crops, n_moments)
                moments, portraits = guard.run(_collect_faces, job, findings["path"])
        except InputError as error:  # the file or the model has gone meanwhile: the findings stand
            missing = f"not shown: {error.reason}"
    media = findings.get("media", {})
    facts = {**findings.get("settings", {}), "judged_at": findings.get("judged_at"), "faces": missing}
    return Case(
        findings,
        findings.get("sha256") or "",
        media.get("duration_s"),
        media.get("fps"),
        moments,
        portraits,
        {name: value for name, value in facts.items() if value is not None},
    )


def _collect_faces(folders: tuple, findings: Mapping, *arguments) -> tuple:
    from dfutils.detector import keep_detector

    return collect_faces(findings, keep_detector(*folders).bundle("picture"), *arguments)


def collect_faces(
    findings: Mapping, bundle: Bundle, crops: Crops | None = None, n_moments: int = N_NOTABLE
) -> tuple[list[Moment], dict[int, np.ndarray]]:
    """Collect the highest-scoring faces with their heat maps, and the portraits.

    Parameters
    ----------
    findings, crops, n_moments
        See `make_case`.
    bundle : dfutils.descriptions.Bundle
        Of the picture model.

    Returns
    -------
    moments : list of dfutils.html_case.Moment
        The highest first.
    portraits : dict of int to numpy.ndarray
        By person.

    Raises
    ------
    InputError
        The file can no longer be read.
    """
    scores = findings["picture"]["scores"]
    by_key = {(score["frame_index"], score["person"]): score for score in scores}
    highest = pick_highest(scores, n_moments)
    largest = {person: (index, person) for person, index in pick_portraits(scores).items()}
    wanted = {*highest, *largest.values()}
    crops = crops or {}
    missing = [by_key[key] for key in sorted(wanted - crops.keys())]
    if missing:
        crops = crops | read_crops(findings["path"], missing, bundle)
    highest = [key for key in highest if key in crops]
    maps = compute_heat_maps(bundle, [crops[key] for key in highest]) if highest else None
    moments = [
        Moment(
            crops[key],
            by_key[key]["p_fake"],
            by_key[key].get("time_s"),
            key[1],
            None if maps is None else maps[number],
        )
        for number, key in enumerate(highest)
    ]
    return moments, {person: crops[key] for person, key in largest.items() if key in crops}


def read_crops(path: str | os.PathLike, scores: list[dict], bundle: Bundle) -> Crops:
    """Read judged faces from their file again, by the frames and boxes in the findings.

    Returns
    -------
    dict of (int, int) to numpy.ndarray
        By frame and person, uint8, RGB, in the size that the model takes; those not there any more are
        left out.
    """
    geometry, size_hw = CropGeometry(**bundle.inputs["geometry"]), bundle.config.size_hw
    crops: Crops = {}
    for index, frame in read_frames_at(path, {score["frame_index"] for score in scores}):
        for score in scores:
            if score["frame_index"] == index:
                crop = crop_face(frame, tuple(score["box"]), geometry)
                crops[index, score["person"]] = resize_image(crop, size_hw)
    return crops
