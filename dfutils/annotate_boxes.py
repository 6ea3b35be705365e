"""Where a person's box is in any frame: between the sampled ones along their way, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dfutils.tracking import place_cost

GAP = 2.5  # steps of sampling: one missed face is bridged, two are not
LONG_S = 3.0  # nobody can say where a face was between two looks further apart
JUMP = 0.8  # of `place_cost`: two face sizes away is a cut, or somebody else, rather than a way
HOLD_S = 0.2  # a box that cannot be followed stands for so long, so that it can be seen


@dataclass(frozen=True)
class Way:
    """One judged person's way through the frames.

    Attributes
    ----------
    person : int
    p_fake : float or None
        0..1; None for somebody who was judged together with others only.
    verdict : str or None
    frames : numpy.ndarray, shape=(n,), int
        In which the face was found, ascending.
    boxes : numpy.ndarray, shape=(n, 4)
        ``x``, ``y``, ``width``, ``height`` [px] there.
    longest : float
        Frames between two looks that are still bridged.
    hold : float
        Frames for which a box stands beside a gap.
    """

    person: int
    p_fake: float | None
    verdict: str | None
    frames: np.ndarray
    boxes: np.ndarray
    longest: float = np.inf
    hold: float = 0.0

    def box_at(self, index: int) -> np.ndarray | None:
        """Return the box, shape=(4,) [px], in frame ``index``; None where it is not known.

        Examples
        --------
        >>> frames, boxes = np.array([0, 10, 90]), np.array([[0, 0, 9, 9], [5, 0, 9, 9], [5, 0, 9, 9]])
        >>> way = Way(1, 0.9, "manipulated", frames, boxes, longest=25, hold=2)
        >>> way.box_at(4).tolist(), way.box_at(12).tolist()
        ([2.0, 0.0, 9.0, 9.0], [5.0, 0.0, 9.0, 9.0])
        >>> way.box_at(50), way.box_at(91)
        (None, None)
        """
        if not self.frames[0] <= index <= self.frames[-1]:
            return None
        right = int(np.searchsorted(self.frames, index))
        if self.frames[right] == index:
            return self.boxes[right].astype(float)
        left = right - 1
        if self.is_bridged(left):
            share = (index - self.frames[left]) / (self.frames[right] - self.frames[left])
            return (1 - share) * self.boxes[left] + share * self.boxes[right]
        nearest = left if index - self.frames[left] <= self.frames[right] - index else right
        return self.boxes[nearest].astype(float) if abs(self.frames[nearest] - index) <= self.hold else None

    def is_bridged(self, number: int) -> bool:
        """Whether the way from sighting ``number`` to the next is known."""
        near = self.frames[number + 1] - self.frames[number] <= self.longest
        return bool(near and place_cost(self.boxes[number], self.boxes[number + 1 :][:1])[0] < JUMP)


def find_ways(picture: Mapping, fps: float) -> list[Way]:
    """Find the way of every person who was judged.

    Parameters
    ----------
    picture : Mapping
        As in `dfutils.report.Report.to_dict`. Persons without ``track`` have the boxes of their scores.
    fps : float
        Mean rate of the clip [Hz].

    Returns
    -------
    list of Way
        By person.
    """
    known = {person["person"]: person for person in picture.get("persons", [])}
    scores_of: dict[int, list] = {}
    for score in picture.get("scores", []):
        scores_of.setdefault(score["person"], []).append([score["frame_index"], *score["box"]])
    tracks = {number: known.get(number, {}).get("track") or own for number, own in scores_of.items()}
    looked_at = np.unique([row[0] for track in tracks.values() for row in track])
    step = float(np.diff(looked_at).min()) + 1 if len(looked_at) > 1 else np.inf  # n or n + 1 frames apart
    ways = []
    for number, track in sorted(tracks.items()):
        person, own = known.get(number, {}), scores_of[number]
        # without a track: the more of the faces were left out, the further apart are the others
        stride = 1.0 if person.get("track") else max(1.0, person.get("frames_seen", 0) / len(own))
        table = np.array(sorted(track), float)
        ways.append(
            Way(
                number,
                person.get("p_fake"),
                person.get("verdict"),
                table[:, 0].astype(int),
                table[:, 1:],
                min(GAP * stride * step, LONG_S * fps),
                HOLD_S * fps,
            )
        )
    return ways
