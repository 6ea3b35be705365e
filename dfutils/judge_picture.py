"""Judge the picture of a file: every person in it, by some of the frames in which they are seen."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from dfutils.appearance import noise_level
from dfutils.crops import CropGeometry, crop_face, resize_image
from dfutils.descriptions import Bundle
from dfutils.errors import AbstainError, InputError
from dfutils.faces import Face, FaceDetector
from dfutils.margins import predict_margins
from dfutils.report import Judgement
from dfutils.tracking import FaceTracker, Track, share_frames

MIN_SHARE, MIN_FRAMES = 0.15, 2  # of the frames looked at, in which somebody must be seen to decide
MIN_PERSONS = 6  # may decide, however few frames are looked at
MAX_LISTED = 20
# of 255, as `noise_level` has it of a crop at the model's size: in run 08-5e358da06f the AUC on validation
# faces was .91 as they are (level .2, at most .5), .84 with noise that gives 2.9, .65 with 5.7
MAX_NOISE = 4.5
MAX_CROPS = 2000  # kept at a time: 300 MB of 224 x 224 px
N_NOTABLE = 12


def judge_picture(
    frames: Iterable[tuple[int, np.ndarray]],
    bundle: Bundle,
    detector: FaceDetector,
    n_frames: int = 20,
    fps: float | None = None,
) -> Judgement:
    """Judge the persons in sampled frames.

    Faces are followed over the frames (`dfutils.tracking`), and about ``n_frames`` crops are shared out
    among the persons, so that more persons take no longer. Each person's scores are summarised as the
    model's description says, and **the highest person decides**: one manipulated face makes a clip
    manipulated, and a mean over all persons would let the genuine ones hide it. The price: threshold
    and probability were fitted on clips of one person, and with every further one the chance of a
    false alarm grows; the report says of how many the highest was taken.

    Only who is seen in 15 % of the frames (and in two) decides, so that neither a false detection nor
    a passer-by with one odd score does; of those, the most prominent ``n_frames`` / 15 %, but six at
    least. Where nobody is seen so often, the one person there is decides, or else all crops
    together, as one. A clip in which one face at a time is found, and is one person's, gets the very
    score that judging the largest face of each frame gives.

    Parameters
    ----------
    frames : iterable of (int, numpy.ndarray)
        Index and frame, shape=(height, width, 3), uint8, RGB; one at a time in memory.
    bundle : dfutils.descriptions.Bundle
        Of a picture model.
    detector : dfutils.faces.FaceDetector
    n_frames : int
        How many frames were asked for.
    fps : float or None
        Of the video [Hz].

    Raises
    ------
    AbstainError
        There is no face, none that is large enough, or one in a single frame of several only; or the
        faces are noisier than `MAX_NOISE`, where the model tells fakes from reals no longer.
    """
    inputs = bundle.inputs
    geometry, size_hw = CropGeometry(**inputs["geometry"]), bundle.config.size_hw
    most = max(1, MAX_CROPS // n_frames)  # faces of a frame, the largest ones
    tracker, crops = FaceTracker(fps or 0.0), {}
    n_seen = n_small = 0
    for index, frame in frames:
        n_seen += 1
        found = detector.detect(frame)
        large = [face for face in found if face.box[2] >= inputs["min_face_px"]]
        n_small += bool(found) and not large
        cut = _cut(frame, large[:most], geometry, size_hw)
        tracker.update(index, frame, [face for face, _ in cut])
        crops |= {(index, number): crop for number, (_, crop) in enumerate(cut)}
    tracks = tracker.tracks()
    if not tracks:
        reason = f"the largest face is under {inputs['min_face_px']} px wide" if n_small else "no face found"
        raise AbstainError("picture", f"{reason} in {n_seen} frames")
    n_with_face = len({index for track in tracks for index in track.frame_indices})
    if n_with_face < min(MIN_FRAMES, n_seen):  # as likely as not, that is no face
        raise AbstainError("picture", f"a face is found in {n_with_face} of {n_seen} frames only")

    deciding, chosen = choose_crops(tracks, n_frames, n_seen)
    images = [crops[sighting.frame_index, sighting.face_index] for _, sighting in chosen]
    noise = float(np.median([noise_level(image) for image in images]))
    if noise > MAX_NOISE:
        raise AbstainError("picture", f"the faces are too noisy (deviation {noise:.0f} of 255)")
    margins = predict_margins(bundle.model, images, min(n_frames, 32))
    if inputs.get("flip", False):
        mirrored = [image[:, ::-1] for image in images]
        margins = (margins + predict_margins(bundle.model, mirrored, min(n_frames, 32))) / 2
    scores = []
    for (person, sighting), p_fake in zip(chosen, bundle.calibration.p_fake(margins)):
        when = {"time_s": _time_s(sighting.frame_index, fps)} if fps else {}
        box = _round_box(sighting.face.box)
        scores.append({"frame_index": int(sighting.frame_index), **when, "person": person, "box": box})
        scores[-1]["p_fake"] = float(p_fake)

    threshold, aggregation = bundle.calibration.threshold, inputs.get("aggregation", "mean")
    judgement = Judgement.from_scores(scores, threshold, aggregation)  # of all crops together
    judged = {}
    for track in deciding:
        own = [score for score in scores if score["person"] == track.person]
        judged[track.person] = Judgement.from_scores(own, threshold, aggregation)
    if judged:
        judgement.person = max(judged, key=lambda person: judged[person].p_fake)
        decisive = judged[judgement.person]
        judgement.p_fake, judgement.verdict = decisive.p_fake, decisive.verdict
    judgement.persons = _list_persons(tracks, judged, scores, n_seen, fps)
    judgement.evaluation = bundle.evaluation
    notable = {*pick_highest(scores), *((index, who) for who, index in pick_portraits(scores).items())}
    keys = [(score["frame_index"], score["person"]) for score in scores]
    judgement.crops = {key: image for key, image in zip(keys, images) if key in notable}
    return judgement


def choose_crops(tracks: list[Track], n_frames: int, n_seen: int) -> tuple[list[Track], list[tuple]]:
    """Choose who decides, and which faces are judged.

    Parameters
    ----------
    tracks : list of dfutils.tracking.Track
        The most prominent first.
    n_frames, n_seen : int
        Frames asked for, and frames that were there.

    Returns
    -------
    deciding : list of dfutils.tracking.Track
    chosen : list of (int, dfutils.tracking.Sighting)
        Persons with faces, by frame and person.
    """
    least = least_frames(n_seen)
    deciding = [track for track in tracks if len(track) >= least][: max(MIN_PERSONS, n_frames // least)]
    if len(tracks) == 1:
        deciding = tracks
    judged = deciding or tracks[:n_frames]
    shares = share_frames(judged, n_frames, min_frames=1, at_least=least if deciding else 1)
    chosen = [(track.person, face) for track, share in zip(judged, shares) for face in track.choose(share)]
    return deciding, sorted(chosen, key=lambda pair: (pair[1].frame_index, pair[0]))


def least_frames(n_seen: int) -> int:
    """In how many of the frames looked at a person must be seen to decide.

    Examples
    --------
    >>> [least_frames(n) for n in (1, 2, 10, 20, 100)]
    [1, 2, 2, 3, 15]
    """
    return min(n_seen, max(MIN_FRAMES, math.ceil(MIN_SHARE * n_seen)))


def pick_highest(scores: list[dict], n: int = N_NOTABLE) -> list[tuple[int, int]]:
    """Name the faces with the highest scores by ``(frame_index, person)``, the highest first."""
    highest = sorted(scores, key=lambda score: -score["p_fake"])[:n]
    return [(score["frame_index"], score["person"]) for score in highest]


def pick_portraits(scores: list[dict]) -> dict[int, int]:
    """Name for each person the frame in which their face is largest."""
    largest: dict[int, dict] = {}
    for score in scores:
        other = largest.get(score["person"])
        if other is None or score["box"][2] * score["box"][3] > other["box"][2] * other["box"][3]:
            largest[score["person"]] = score
    return {person: score["frame_index"] for person, score in largest.items()}


def _cut(frame, faces, geometry, size_hw) -> list[tuple[Face, np.ndarray]]:
    cut = []
    for face in faces:
        try:
            cut.append((face, resize_image(crop_face(frame, face.box, geometry), size_hw)))
        except InputError:  # its box lies outside the frame
            continue
    return cut


def _list_persons(tracks, judged: dict[int, Judgement], scores, n_seen: int, fps) -> list[dict]:
    others = [track for track in tracks if track.person not in judged][: max(0, MAX_LISTED - len(judged))]
    listed = [track for track in tracks if track.person in judged or track in others]
    persons = []
    for track in listed:
        entry: dict = {"person": track.person}
        if track.person in judged:
            entry |= {"p_fake": judged[track.person].p_fake, "verdict": judged[track.person].verdict}
        elif len(track) < least_frames(n_seen):
            entry["abstained"] = f"seen in {len(track)} of {n_seen} frames only"
        else:
            entry["abstained"] = f"not judged: {len(judged)} other persons are more prominent"
        used = sum(score["person"] == track.person for score in scores)
        entry |= {"frames_used": used, "frames_seen": len(track)}
        if fps:
            first, last = track.frame_indices[0], track.frame_indices[-1]
            entry |= {"from_s": _time_s(first, fps), "to_s": _time_s(last, fps)}
        if used:
            entry["track"] = [[int(s.frame_index), *_round_box(s.face.box)] for s in track.sightings]
        persons.append(entry)
    return persons


def _round_box(box: tuple[float, ...]) -> list[float]:
    return [round(float(value), 1) for value in box]


def _time_s(frame_index: int, fps: float) -> float:
    return round(float(frame_index / fps), 2)
