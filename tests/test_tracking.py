"""Persons over sampled frames: crossing, leaving, cuts, false detections; and the share of crops."""

import doctest

import numpy as np
import pytest

import dfutils.tracking
from dfutils import InputError
from dfutils.appearance import describe_face, describe_scene, difference
from dfutils.faces import Face, make_detector
from dfutils.tracking import FaceTracker, Sighting, Track, place_cost, share_frames

# skin, hair [RGB]
ANNA, BERT, CLEO = (
    ((225, 180, 150), (60, 40, 30)),
    ((140, 95, 70), (20, 20, 25)),
    ((235, 200, 185), (200, 80, 40)),
)
DORA = ((225, 180, 155), (85, 50, 30))  # much like Anna
PEOPLE = {"anna": ANNA, "bert": BERT, "cleo": CLEO, "dora": DORA}
STEP = 12  # frames between samples


def scene(people, background=(90, 120, 90), size_hw=(240, 400), seed=0):
    """A noisy frame and its faces: ``people`` maps a name to the centre (x, y) and the face's height [px]."""
    import cv2

    frame = np.full((*size_hw, 3), background, np.uint8)
    frame[size_hw[0] // 2 :] //= 2
    faces = []
    for name, (x, y, height) in people.items():
        skin, hair = PEOPLE[name]
        width = round(0.8 * height)
        cv2.ellipse(frame, (x, y - height // 8), (width * 5 // 8, height * 5 // 8), 0, 0, 360, hair, -1)
        cv2.ellipse(frame, (x, y), (width // 2, height // 2), 0, 0, 360, skin, -1)
        for side in (-1, 1):
            cv2.circle(
                frame, (x + side * width // 5, y - height // 8), max(2, height // 16), (30, 30, 30), -1
            )
        cv2.ellipse(frame, (x, y + height // 4), (width // 5, height // 16), 0, 0, 360, (150, 60, 60), -1)
        faces.append(Face((x - width / 2, y - height / 2, width, height), 0.9))
    noise = np.random.default_rng(seed).normal(0, 4, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8), faces


def track(frames, **options):
    """Feed scenes; return the tracks."""
    tracker = FaceTracker(**options)
    for number, (frame, faces) in enumerate(frames):
        tracker.update(number * STEP, frame, faces)
    return tracker.tracks()


def names_in(frames, people, found):
    """The names of the persons drawn where a track's boxes are."""
    names = set()
    for sighting in found.sightings:
        where = people[sighting.frame_index // STEP]
        x = sighting.face.box[0] + sighting.face.box[2] / 2
        names.add(min(where, key=lambda name: abs(where[name][0] - x)))
    return names


def check(people, expected, backgrounds=None, **options):
    """Track drawn people; compare with the frames in which each is to be seen."""
    backgrounds = backgrounds or [(90, 120, 90)] * len(people)
    frames = [
        scene(where, background, seed=k) for k, (where, background) in enumerate(zip(people, backgrounds))
    ]
    tracks = track(frames, **options)
    found = {}
    for item in tracks:
        (name,) = names_in(frames, people, item)
        assert name not in found, f"{name} stands in two tracks"
        found[name] = [index // STEP for index in item.frame_indices]
    assert found == expected
    return tracks


# ------------------------------------------------------------------ scenes


def test_two_persons_who_stay():
    people = [{"anna": (100 + k % 3, 120, 80), "bert": (300 - k % 2, 120, 90)} for k in range(8)]
    tracks = check(people, {"bert": [*range(8)], "anna": [*range(8)]})
    assert [item.person for item in tracks] == [1, 2]
    assert tracks[0].prominence > tracks[1].prominence == pytest.approx(8 * 64 * 80)


def test_two_persons_crossing():
    people = [{"anna": (60 + 35 * k, 115, 80), "bert": (340 - 35 * k, 125, 80)} for k in range(9) if k != 4]
    check(people, {"anna": [*range(8)], "bert": [*range(8)]})


def test_leaving_and_returning_elsewhere():
    people = [{"anna": (80, 120, 80), "bert": (220, 120, 70)}] * 3
    people += [{"bert": (220, 120, 70)}] * 4
    people += [{"bert": (220, 120, 70), "anna": (330, 100, 60)}] * 2
    check(people, {"anna": [0, 1, 2, 7, 8], "bert": [*range(9)]})


def test_somebody_else_at_the_place_of_one_who_left():
    people = [{"anna": (200, 120, 80)}] * 4 + [{"bert": (200, 120, 80)}] * 4
    check(people, {"anna": [0, 1, 2, 3], "bert": [4, 5, 6, 7]})


def test_a_cut_that_swaps_the_places():
    left, right = (100, 120, 80), (300, 120, 80)
    people = [{"anna": left, "bert": right}] * 3 + [{"bert": left, "anna": right}] * 3
    everywhere = {"anna": [*range(6)], "bert": [*range(6)]}
    check(people, everywhere)
    check(people, everywhere, [(90, 120, 90)] * 3 + [(160, 140, 90)] * 3)


def test_places_count_within_a_shot_and_not_over_a_cut():
    """Where two look much alike, the place decides, unless the scene has changed."""
    left, right = (100, 120, 80), (300, 120, 80)
    before, after = {"anna": left, "dora": right}, {"dora": left, "anna": right}
    for background, stay in (((90, 120, 90), True), ((160, 140, 90), False)):
        frames = [scene(before, seed=k) for k in range(3)]
        frames += [scene(after, background, seed=k) for k in range(3, 6)]
        sides = [[s.face.box[0] < 200 for s in item.sightings] for item in track(frames)]
        assert len(sides) == 2
        assert all((side[:3] == side[3:]) == stay for side in sides), (background, sides)


def test_shot_and_reverse_shot():
    people = [{"anna" if k // 2 % 2 else "bert": (200, 120, 100)} for k in range(8)]
    backgrounds = [(90, 120, 90) if k // 2 % 2 else (120, 90, 140) for k in range(8)]
    check(people, {"bert": [0, 1, 4, 5], "anna": [2, 3, 6, 7]}, backgrounds)


def test_a_close_up_is_the_same_person():
    people = [{"anna": (200, 120, 60)}] * 3 + [{"anna": (200, 130, 150)}] * 3
    check(people, {"anna": [*range(6)]}, [(90, 120, 90)] * 3 + [(100, 110, 100)] * 3)


def test_gaps_where_no_face_is_found():
    people = [{"anna": (100, 120, 80)} if k % 3 else {} for k in range(9)]
    check(people, {"anna": [1, 2, 4, 5, 7, 8]})


def test_faces_that_look_alike_are_told_apart_by_place():
    frame, _ = scene({"anna": (100, 120, 80)})
    frame[:, 200:] = frame[:, :200]
    (left,) = scene({"anna": (100, 120, 80)})[1]
    right = Face((left.box[0] + 200, *left.box[1:]), 0.9)
    tracks = track([(frame, [left, right] if k % 2 else [right, left]) for k in range(6)])
    assert [{s.face.box for s in item.sightings} for item in tracks] in (
        [{left.box}, {right.box}],
        [{right.box}, {left.box}],
    )
    assert [s.face_index for s in tracks[0].sightings] in ([0, 1] * 3, [1, 0] * 3)


def test_a_single_false_detection_gets_no_crop():
    frames = [scene({"anna": (100, 120, 80)}, seed=k) for k in range(6)]
    frames[3][1].append(Face((300, 20, 50, 60), 0.7))  # on the wall
    tracks = track(frames)
    assert [len(item) for item in tracks] == [6, 1]
    assert share_frames(tracks, 10) == [6, 0]


def test_no_face_at_all():
    tracks = track([scene({}, seed=k) for k in range(4)])
    assert tracks == []
    assert share_frames(tracks, 10) == []


def test_the_same_frames_give_the_same_tracks():
    people = [{"anna": (60 + 35 * k, 115, 80), "cleo": (340 - 35 * k, 125, 80)} for k in range(9)]
    frames = [scene(where, seed=k) for k, where in enumerate(people)]
    assert repr(track(frames)) == repr(track(frames))


def test_the_frames_may_come_in_any_order():
    people = [{"anna": (100 + k, 120, 80), "bert": (300, 120, 90)} for k in range(6)]
    tracker = FaceTracker()
    for k in (0, 2, 4, 5, 3, 1):  # as from a container that claims more frames than it holds
        tracker.update(k, *scene(people[k], seed=k))
    assert [item.frame_indices for item in tracker.tracks()] == [[*range(6)], [*range(6)]]


def test_numbers_go_by_presence_times_size():
    people = [{"anna": (60, 120, 50), "bert": (180, 120, 70), "cleo": (320, 120, 100)}] * 2
    people += [{"anna": (60, 120, 50), "bert": (180, 120, 70)}] * 4
    tracks = check(people, {"bert": [*range(6)], "anna": [*range(6)], "cleo": [0, 1]})
    areas = [item.prominence for item in tracks]
    assert areas == sorted(areas, reverse=True)
    assert [len(item) for item in tracks] == [
        6,
        2,
        6,
    ]  # six small faces of Anna weigh less than two large ones of Cleo


def test_real_faces(portrait):
    """Two portraits change sides; one is the other's mirror image in other colours."""
    detector = make_detector()
    other = portrait[:, ::-1, [2, 0, 1]]
    tracker = FaceTracker()
    for k in range(6):
        frame = np.hstack([portrait, other] if k < 3 else [other, portrait])
        tracker.update(k * STEP, frame, detector.detect(frame))
    sides = [[s.face.box[0] > 512 for s in item.sightings] for item in tracker.tracks()]
    assert sorted(sides) == [[False] * 3 + [True] * 3, [True] * 3 + [False] * 3]


# ------------------------------------------------------------------ properties


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("max_open", [3, 100])
def test_each_face_stands_in_one_track_and_no_track_has_two_of_a_frame(seed, max_open):
    rng = np.random.default_rng(seed)
    tracker, given = FaceTracker(fps=float(rng.uniform(1, 60)), max_open=max_open), set()
    for index in rng.permutation(30)[:12]:
        frame = rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)
        frame[:, : rng.integers(1, 160)] //= 3
        corners = rng.uniform([-40, -40], [150, 110], (rng.integers(0, 6), 2))
        faces = [Face((*corner, *rng.uniform(5, 80, 2)), 0.8) for corner in corners]
        tracker.update(int(index), frame, faces)
        given |= {(int(index), number) for number in range(len(faces))}
    tracks = tracker.tracks()
    found = [(s.frame_index, s.face_index) for item in tracks for s in item.sightings]
    assert len(found) == len(set(found))
    assert set(found) <= given
    assert len(found) >= 0.8 * len(given)  # the others lie outside the frame
    assert [item.person for item in tracks] == [*range(1, len(tracks) + 1)]
    for item in tracks:
        assert item.frame_indices == sorted(set(item.frame_indices))


def test_a_box_outside_the_frame_is_passed_over():
    frame, faces = scene({"anna": (100, 120, 80)})
    outside = [Face((900, 20, 50, 60), 0.7), Face((-300, 20, 50, 60), 0.7)]
    (found,) = track([(frame, [outside[0], *faces, outside[1]])] * 3)
    assert [s.face_index for s in found.sightings] == [1, 1, 1]


def test_a_frame_twice():
    tracker = FaceTracker()
    tracker.update(5, *scene({"anna": (100, 120, 80)}))
    with pytest.raises(InputError, match=r"frame 5.*before"):
        tracker.update(5, *scene({}))


def test_a_crowd_is_bounded():
    with pytest.raises(InputError, match="max_open"):
        FaceTracker(max_open=0)
    rng = np.random.default_rng(0)
    tracker = FaceTracker(max_open=5)
    for k in range(10):
        frame = rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)
        tracker.update(k, frame, [Face((20.0 * i, 10.0 * k, 12, 15), 0.9) for i in range(8)])
        assert len(tracker._open) <= 5
    assert sum(len(item) for item in tracker.tracks()) == 80


# ------------------------------------------------------------------ costs


def test_place_cost_by_hand():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 0, 10, 10], [-5, -5, 20, 20], [500, 0, 40, 40]])
    expected = [0, 0.4 * (1 - 1 / 3) + 0.4 * 0.25, 0.8, 0.4 * 0.75 + 0.2, 1]
    np.testing.assert_allclose(place_cost(np.array([0, 0, 10, 10]), boxes), expected, atol=1e-12)


def test_place_cost_has_no_scale():
    rng = np.random.default_rng(1)
    box, boxes = rng.uniform(1, 50, 4), rng.uniform(1, 50, (20, 4))
    np.testing.assert_allclose(place_cost(7 * box, 7 * boxes), place_cost(box, boxes))


def test_appearance_of_the_same_and_of_others():
    def look(name, seed, **options):
        frame, (face,) = scene({name: (150 + 9 * seed, 120, 70 + 8 * seed)}, seed=seed, **options)
        return describe_face(frame, face)

    same = [float(difference(look(name, 0), look(name, 1))) for name in PEOPLE]
    other = [
        float(difference(look(a, 0), look(b, 1)))
        for a, b in (("anna", "bert"), ("cleo", "bert"), ("cleo", "anna"))
    ]
    assert max(same) < 0.15 < 0.25 < min(other)
    assert np.linalg.norm(look("anna", 0)) == pytest.approx(1, abs=1e-5)


def test_a_flat_picture_equals_itself():
    flat = describe_scene(np.full((90, 160, 3), 77, np.uint8))
    assert difference(flat, flat) == pytest.approx(0, abs=1e-6)


def test_a_cut_changes_the_scene(portrait):
    moved = np.roll(portrait, 4, axis=1)
    assert difference(describe_scene(portrait), describe_scene(moved)) < 0.1
    assert difference(describe_scene(portrait), describe_scene(portrait[::-1, :, ::-1])) > 0.3


# ------------------------------------------------------------------ shares


def of_length(*lengths):
    face = Face((0, 0, 10, 10), 0.9)
    return [
        Track(person, tuple(Sighting(k, 0, face) for k in range(length)))
        for person, length in enumerate(lengths, start=1)
    ]


@pytest.mark.parametrize(
    ("lengths", "n_crops", "min_frames", "expected"),
    [
        ((20,), 20, 2, [20]),
        ((20,), 8, 2, [8]),
        ((10, 10), 20, 2, [10, 10]),
        ((20, 10), 15, 2, [10, 5]),
        ((18, 2), 10, 2, [9, 1]),
        ((100, 1, 1), 10, 2, [10, 0, 0]),
        ((100, 2, 2), 4, 2, [2, 1, 1]),  # at least one each
        ((5, 5, 5), 2, 2, [1, 1, 1]),
        ((1, 1), 20, 2, [1, 1]),  # a single picture: nobody is seen twice
        ((9, 3), 6, 4, [6, 0]),
        ((3, 2), 6, 4, [3, 2]),
        ((), 5, 2, []),
    ],
)
def test_shares(lengths, n_crops, min_frames, expected):
    assert share_frames(of_length(*lengths), n_crops, min_frames) == expected


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_proportional_and_within_bounds(seed):
    rng = np.random.default_rng(seed)
    lengths, n_crops = rng.integers(2, 60, rng.integers(1, 6)), int(rng.integers(1, 120))
    shares = np.array(share_frames(of_length(*lengths), n_crops))
    assert (shares >= 1).all()
    assert (shares <= lengths).all()
    assert shares.sum() == max(len(lengths), min(n_crops, lengths.sum()))
    more = np.array(share_frames(of_length(*lengths), n_crops + 1))
    assert (more >= shares).all()  # one crop more takes none from anybody
    if n_crops >= 4 * len(lengths):
        np.testing.assert_allclose(shares, n_crops * lengths / max(lengths.sum(), n_crops), atol=2)


def test_shares_that_make_no_sense():
    for options in ({"n_crops": 0}, {"n_crops": 5, "min_frames": 0}):
        with pytest.raises(InputError, match=next(reversed(options))):
            share_frames(of_length(3), **options)


def test_choose_evenly():
    (item,) = of_length(20)
    assert [s.frame_index for s in item.choose(4)] == [2, 7, 12, 17]
    assert len(item.choose(50)) == 20
    assert item.choose(0) == []


def test_examples():
    assert doctest.testmod(dfutils.tracking).attempted > 0
    assert doctest.testmod(dfutils.tracking).failed == 0
