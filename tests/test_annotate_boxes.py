"""Where a box is between two looks: along the way, not beyond its ends, not across gaps and cuts."""

import doctest

import numpy as np
import pytest

import dfutils.annotate_boxes
from dfutils.annotate_boxes import GAP, HOLD_S, LONG_S, find_ways


def person(number, track, **changes):
    return {"person": number, "p_fake": 0.9, "verdict": "manipulated", "frames_seen": len(track),
            "track": track} | changes  # fmt: skip


def scored(*pairs):
    return [{"person": who, "frame_index": index, "box": box, "p_fake": 0.9} for who, index, box in pairs]


BOX = [10, 20, 40, 50]


def moving(*frames):
    return [[index, 10 + index, 20, 40, 50 + index] for index in frames]


def way_of(track, fps=25.0, **changes):
    picture = {"scores": scored((1, track[0][0], BOX)), "persons": [person(1, track, **changes)]}
    (way,) = find_ways(picture, fps)
    return way


def test_between_two_looks_the_box_goes_along():
    way = way_of(moving(5, 15, 25))
    assert way.box_at(5).tolist() == [15, 20, 40, 55]
    assert way.box_at(18).tolist() == pytest.approx([28, 20, 40, 68])
    steps = np.diff([way.box_at(index)[0] for index in range(5, 26)])
    np.testing.assert_allclose(steps, 1)


def test_there_is_none_before_the_first_and_after_the_last():
    way = way_of(moving(5, 15, 25))
    assert [way.box_at(index) for index in (0, 4, 26, 1000)] == [None] * 4
    assert way_of([[7, *BOX]]).box_at(7).tolist() == BOX
    assert way_of([[7, *BOX]]).box_at(8) is None


def test_one_missed_look_is_bridged_and_a_longer_gap_is_not():
    way = way_of(moving(0, 10, 20, 40, 50, 90, 100))
    assert all(way.box_at(index) is not None for index in range(51))
    hold = int(HOLD_S * 25)
    seen = [index for index in range(51, 90) if way.box_at(index) is not None]
    assert seen == [*range(51, 51 + hold), *range(90 - hold, 90)]
    assert way.box_at(52).tolist() == way.box_at(50).tolist()  # it stands, and does not set out


def test_looks_far_apart_in_time_are_not_bridged_however_even():
    far = int(LONG_S * 25) + 1
    even = [[index, *BOX] for index in (0, far, 2 * far)]
    assert way_of(even).box_at(far // 2) is None
    assert way_of(even, fps=50.0).box_at(far // 2).tolist() == BOX


def test_a_jump_is_a_cut_and_no_way():
    near = [0, 10, 20, 40, 50]
    way = way_of([near, [30, 400, 20, 40, 50], [60, 400, 20, 40, 50]])
    assert way.box_at(15) is None
    assert way.box_at(45).tolist() == [400, 20, 40, 50]
    assert way_of([near, [30, 60, 20, 40, 50]]).box_at(15)[0] == 35


def test_several_persons_and_those_who_are_not_judged():
    tracks = {1: moving(0, 10, 20), 2: [[10, 300, 0, 30, 30], [20, 310, 0, 30, 30]]}
    persons = [person(1, tracks[1]), person(2, tracks[2], p_fake=0.1, verdict="pristine")]
    persons.append({"person": 3, "abstained": "seen in 1 of 20 frames only", "frames_seen": 1})
    scores = scored((2, 10, BOX), (1, 0, BOX), (1, 10, BOX))
    first, second = find_ways({"scores": scores, "persons": persons}, 25.0)
    assert (first.person, first.verdict, second.person, second.p_fake) == (1, "manipulated", 2, 0.1)
    assert second.box_at(0) is None
    assert second.box_at(15)[0] == 305
    assert find_ways({"abstained": "no face found in 20 frames"}, 25.0) == []


def test_judged_together_only():
    persons = [{"person": 1, "abstained": "seen in 1 of 16 frames only", "track": [[4, *BOX]]}]
    (way,) = find_ways({"scores": scored((1, 4, BOX)), "persons": persons}, 25.0)
    assert (way.p_fake, way.verdict, way.box_at(4).tolist()) == (None, None, BOX)


def test_findings_without_tracks_have_the_boxes_of_their_scores():
    """Every second face of a person was judged: their boxes lie two looks apart, and are no gap."""
    frames = range(5, 200, 10)
    scores = scored(*((1, index, [index, 0, 40, 40]) for index in [*frames][::2]))
    persons = [{"person": 1, "p_fake": 0.9, "verdict": "manipulated", "frames_seen": 20}]
    (way,) = find_ways({"scores": scores, "persons": persons}, 25.0)
    assert way.box_at(15).tolist() == [15, 0, 40, 40]
    assert way.box_at(190) is None
    (alone,) = find_ways({"scores": scored((1, 0, BOX))}, 25.0)
    assert alone.box_at(0).tolist() == BOX


def test_the_gap_is_more_than_one_missed_look():
    assert 2 < GAP < 3


def test_examples():
    failed, attempted = doctest.testmod(dfutils.annotate_boxes)
    assert (failed, attempted > 0) == (0, True)
