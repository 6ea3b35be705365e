"""Who is who in a clip: tracks of persons over sampled frames, and how many frames each of them gets."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from dfutils.appearance import describe_face, describe_scene, difference
from dfutils.errors import InputError
from dfutils.faces import Face
from dfutils.video import plan_frames

FAR_LOOKS = 0.33  # difference in appearance that costs as much as a box in quite another place
NEW_LOOK = 0.08  # a look that differs by more from those known is worth keeping
FAR_SCENE = 0.2  # frames that differ by more share no shot: places say nothing
GATE = 0.6  # cost at which a face starts a track of its own
HALF_LIFE_S = 2.0


@dataclass(frozen=True)
class Sighting:
    """One face in one frame: ``face_index`` is its place in the list that the detector gave."""

    frame_index: int
    face_index: int
    face: Face


@dataclass(frozen=True)
class Track:
    """One person's way through a clip.

    Attributes
    ----------
    person : int
        From 1; the most prominent person first.
    sightings : tuple of Sighting
        At most one per frame, ascending.
    """

    person: int
    sightings: tuple[Sighting, ...]

    def __len__(self) -> int:
        return len(self.sightings)

    @property
    def prominence(self) -> float:
        """Presence times size: sum of the box areas [px²]."""
        return sum(sighting.face.area for sighting in self.sightings)

    @property
    def frame_indices(self) -> list[int]:
        """Frames in which the person is seen."""
        return [sighting.frame_index for sighting in self.sightings]

    def choose(self, n: int) -> list[Sighting]:
        """Pick ``n`` sightings, evenly over the track; all where there are no more, none for 0."""
        return [self.sightings[i] for i in plan_frames(len(self), n)] if n else []


@dataclass
class _Open:
    """A track while it grows."""

    number: int
    sightings: list[Sighting] = field(default_factory=list)
    looks: deque = field(default_factory=lambda: deque(maxlen=8))
    scene: np.ndarray | None = None

    def add(self, sighting: Sighting, look: np.ndarray, scene: np.ndarray) -> None:
        self.sightings.append(sighting)
        self.scene = scene
        if not self.looks or difference(np.stack(self.looks), look).min() > NEW_LOOK:
            self.looks.append(look)


class FaceTracker:
    """Follow persons over sampled frames, which may lie seconds apart.

    In every frame, faces are assigned to tracks at least cost (Hungarian method [1]_), and a face
    whose best cost is too high starts a new track. The cost mixes place (overlap of the boxes,
    distance of the centres relative to the face, ratio of sizes) and appearance
    (`dfutils.appearance`). The longer a person was not seen, and the more the scene has changed
    since, the less the place counts: after a cut only the appearance does. A track never ends, so a
    person who leaves and returns stays the same person.

    Frames need not be kept: a track remembers boxes and at most eight looks.

    Parameters
    ----------
    fps : float
        Of the video [Hz], to tell seconds from frame numbers; what is not positive counts as 25.
    max_open : int
        Tracks that a face may join; when there are more, the shortest that was not seen for longest
        is closed. Bounds time and memory in a crowd.

    References
    ----------
    .. [1] After Bewley et al.: Simple online and realtime tracking, ICIP 2016, with appearance as in
       Wojke et al.: ... with a deep association metric, ICIP 2017; without their motion model, which
       frames far apart would mislead.
    """

    def __init__(self, fps: float = 25.0, max_open: int = 100):
        if max_open < 1:
            raise InputError("max_open", f"must be at least 1, got {max_open}")
        self._fps = fps if np.isfinite(fps) and fps > 0 else 25.0
        self._max_open = max_open
        self._open: list[_Open] = []
        self._closed: list[_Open] = []
        self._seen: set[int] = set()

    def update(self, frame_index: int, frame: np.ndarray, faces: list[Face]) -> None:
        """Take in one frame.

        Parameters
        ----------
        frame_index : int
            Each at most once; best ascending.
        frame : numpy.ndarray, shape=(height, width, 3), uint8, RGB
        faces : list of dfutils.faces.Face
            May be empty; boxes that lie outside the frame are passed over.

        Raises
        ------
        InputError
            The frame has been taken in before.
        """
        if frame_index in self._seen:
            raise InputError("frame_index", f"frame {frame_index} has been taken in before")
        self._seen.add(frame_index)
        sightings, looks = [], []
        for number, face in enumerate(faces):
            try:
                looks.append(describe_face(frame, face))
            except InputError:  # outside the frame
                continue
            sightings.append(Sighting(frame_index, number, face))
        if not sightings:
            return
        scene, looks = describe_scene(frame), np.stack(looks)
        for sighting, look, track in zip(sightings, looks, self._assign(sightings, looks, scene)):
            if track is None:
                track = _Open(len(self._open) + len(self._closed))
                self._open.append(track)
            track.add(sighting, look, scene)
        while len(self._open) > self._max_open:
            least = min(self._open, key=lambda item: (len(item.sightings), item.sightings[-1].frame_index))
            self._open.remove(least)
            self._closed.append(least)

    def tracks(self) -> list[Track]:
        """Return the persons found so far, the most prominent first."""
        found = sorted([*self._open, *self._closed], key=lambda item: item.number)
        tracks = [Track(0, tuple(sorted(item.sightings, key=lambda s: s.frame_index))) for item in found]
        tracks.sort(key=lambda track: -track.prominence)
        return [replace(track, person=person) for person, track in enumerate(tracks, start=1)]

    def _assign(self, sightings: list[Sighting], looks: np.ndarray, scene: np.ndarray) -> list[_Open | None]:
        # one more column per face: the cost of being somebody new
        costs = np.full((len(sightings), len(self._open) + len(sightings)), GATE)
        boxes = np.array([sighting.face.box for sighting in sightings])
        for column, track in enumerate(self._open):
            last = track.sightings[-1]
            gap_s = abs(sightings[0].frame_index - last.frame_index) / self._fps
            same_scene = max(0.0, 1 - float(difference(track.scene, scene)) / FAR_SCENE)
            trust = 0.5 * same_scene * (0.4 + 0.6 * 0.5 ** (gap_s / HALF_LIFE_S))
            unlike = difference(np.stack(track.looks)[:, None], looks[None]).min(axis=0) / FAR_LOOKS
            costs[:, column] = trust * place_cost(np.array(last.face.box), boxes) + (1 - trust) * unlike
        if len(sightings) == 1:  # and scipy, which takes long to import, is not needed
            columns = [int(costs.argmin())]
        else:
            from scipy.optimize import linear_sum_assignment

            _, columns = linear_sum_assignment(costs)
        return [self._open[column] if column < len(self._open) else None for column in columns]


def place_cost(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Say how ill boxes ``(x, y, width, height)`` fit one seen before.

    Parameters
    ----------
    box : numpy.ndarray, shape=(4,)
    boxes : numpy.ndarray, shape=(n, 4)

    Returns
    -------
    numpy.ndarray, shape=(n,), 0..1
        0 for the same box; 1 for one without overlap, two face sizes away, of four times the area.
    """
    corner = np.minimum(box[:2] + box[2:], boxes[:, :2] + boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.prod(np.maximum(corner, 0), axis=1)
    area, areas = box[2] * box[3], boxes[:, 2] * boxes[:, 3]
    overlap = common / (area + areas - common)
    steps = (boxes[:, :2] + boxes[:, 2:] / 2) - (box[:2] + box[2:] / 2)
    distance = np.hypot(*steps.T) / ((np.sqrt(area) + np.sqrt(areas)) / 2)
    growth = np.abs(np.log(areas / area)) / np.log(4)
    return 0.4 * (1 - overlap) + 0.4 * np.minimum(distance / 2, 1) + 0.2 * np.minimum(growth, 1)


def share_frames(tracks: Iterable[Track], n_crops: int, min_frames: int = 2, at_least: int = 1) -> list[int]:
    """Share out how many crops of each person are judged, in proportion to the length of the tracks.

    Parameters
    ----------
    tracks : iterable of Track
    n_crops : int
        In all; more where ``at_least`` makes it so.
    min_frames : int
        A person counts who is seen in so many frames, so that a single false detection does not;
        where nobody is, everybody counts.
    at_least : int
        Crops of every person who counts, where there are so many.

    Returns
    -------
    list of int
        One per track, in its order; 0 = not judged; never more than the track is long.

    Examples
    --------
    >>> face = Face((0, 0, 10, 10), 0.9)
    >>> lengths = (12, 6, 1)
    >>> tracks = [Track(p, tuple(Sighting(k, 0, face) for k in range(n))) for p, n in enumerate(lengths, 1)]
    >>> share_frames(tracks, 9)
    [6, 3, 0]
    """
    for name, value in (("n_crops", n_crops), ("min_frames", min_frames), ("at_least", at_least)):
        if value < 1:
            raise InputError(name, f"must be at least 1, got {value}")
    lengths = np.array([len(track) for track in tracks], int)
    if (lengths >= min_frames).any():
        lengths = np.where(lengths >= min_frames, lengths, 0)
    shares = np.minimum(lengths, at_least)
    for _ in range(min(n_crops, int(lengths.sum())) - int(shares.sum())):
        shares[np.argmax(lengths / (shares + 0.5) * (shares < lengths))] += 1  # Sainte-Laguë
    return shares.tolist()
