"""One score per person: the single face as ever, two side by side, passers-by, crowds, bounds."""

import doctest

import media
import numpy as np
import pytest
from stand_ins import INPUTS, SIZE_HW, RedIsFake, red_is_fake

import dfutils.judge_picture
import dfutils.names
import dfutils.report
from dfutils.aggregation import aggregate
from dfutils.crops import CropGeometry, crop_face, resize_image
from dfutils.detector import DeepfakeDetector
from dfutils.errors import AbstainError
from dfutils.faces import Face, make_detector
from dfutils.images import write_image
from dfutils.judge_picture import judge_picture, least_frames, pick_highest, pick_portraits
from dfutils.margins import predict_margins
from dfutils.report import MANIPULATED, PRISTINE, Judgement, Report
from dfutils.video import read_frames

RED, BLUE, GREY = (200, 120, 90), (110, 130, 190), (150, 150, 150)


@pytest.fixture
def bundle():
    return red_is_fake()


class Listed:
    """A detector that gives, frame by frame, the faces it was told."""

    def __init__(self, faces_per_frame):
        self._faces = iter(faces_per_frame)

    def detect(self, image):
        return sorted(next(self._faces), key=lambda face: -face.area)


def drawn(people, size_hw=(240, 420)):
    """Frames and faces: ``people`` maps the colour of a face to x [px] and the frames in which it is seen."""
    import cv2

    n = 1 + max(max(where) for _, where in people.values())
    frames, faces = [], []
    for k in range(n):
        frame = np.full((*size_hw, 3), (90, 120, 90), np.uint8)
        frame[size_hw[0] // 2 :] //= 2
        found = []
        for colour, (x, where) in people.items():
            if k in where:
                cv2.ellipse(frame, (x, 110), (35, 45), 0, 0, 360, colour, -1)
                cv2.ellipse(frame, (x, 135), (14, 5), 0, 0, 360, (90, 20, 20), -1)
                found.append(Face((x - 35.0, 65.0, 70.0, 90.0), 0.9))
        noise = np.random.default_rng(k).normal(0, 3, frame.shape)
        frames.append((5 * k, np.clip(frame + noise, 0, 255).astype(np.uint8)))
        faces.append(found)
    return frames, Listed(faces)


def judge(people, bundle, n_frames=20, **options):
    frames, detector = drawn(people)
    return judge_picture(frames, bundle, detector, n_frames, **options)


# ------------------------------------------------------------------ one face: as ever


def largest_face_of_each_frame(path, bundle, n_frames):
    """The rule before there were persons, written out again."""
    detector = make_detector("yunet", min_confidence=INPUTS["min_confidence"])
    images, indices = [], []
    for index, frame in read_frames(path, n_frames):
        faces = detector.detect(frame)
        if faces and faces[0].box[2] >= INPUTS["min_face_px"]:
            crop = crop_face(frame, faces[0].box, CropGeometry(**INPUTS["geometry"]))
            images.append(resize_image(crop, SIZE_HW).astype(np.float32))
            indices.append(index)
    logits = bundle.model.predict(np.stack(images))
    margins = np.asarray(logits[:, 1], np.float64) - logits[:, 0]
    if bundle.inputs.get("flip"):
        logits = bundle.model.predict(np.stack([image[:, ::-1] for image in images]))
        margins = (margins + (np.asarray(logits[:, 1], np.float64) - logits[:, 0])) / 2
    p_fake = bundle.calibration.p_fake(margins)
    return indices, p_fake.tolist(), aggregate(p_fake, bundle.inputs["aggregation"])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("n_frames", [20, 3, 1])
def test_one_face_gets_the_very_score_of_the_rule_before_persons(bundle, tmp_path, n_frames, flip):
    frames = [*media.moving_face(9), *media.scenery(4, (240, 240)), *media.moving_face(40)]
    path = media.write_video(tmp_path / "clip.mp4", frames)
    bundle.inputs["flip"] = flip
    indices, p_fake, expected = largest_face_of_each_frame(path, bundle, n_frames)
    bundle.model.n_images = 0
    detector = DeepfakeDetector()
    detector._bundles["picture"] = bundle
    picture = detector.analyze(path, n_frames).picture
    assert [score["frame_index"] for score in picture.scores] == indices
    assert [score["p_fake"] for score in picture.scores] == p_fake
    assert picture.p_fake == expected
    assert picture.used == len(indices) >= max(1, n_frames - 3)
    assert bundle.model.n_images == len(indices) * (2 if flip else 1)  # and it costs no more
    assert len(set(p_fake)) == len(p_fake)
    (person,) = picture.persons
    assert (picture.person, person["person"]) == (1, 1)
    assert person["p_fake"] == expected


def test_times_come_from_frames_and_the_rate(bundle, tmp_path):
    path = media.write_video(tmp_path / "clip.mp4", media.moving_face(30), fps=10)
    detector = DeepfakeDetector()
    detector._bundles["picture"] = bundle
    report = detector.analyze(path, 5)
    assert report.media == {"duration_s": pytest.approx(3, abs=0.1), "fps": pytest.approx(10)}
    assert [score["time_s"] for score in report.picture.scores] == [
        score["frame_index"] / 10 for score in report.picture.scores
    ]
    (person,) = report.picture.persons
    assert (person["from_s"], person["to_s"]) == (0.3, 2.7)
    image = detector.analyze(write_image(tmp_path / "one.png", media.portrait()), 5)
    assert image.media == {}
    assert "time_s" not in image.picture.scores[0]
    assert "from_s" not in image.picture.persons[0]


def test_faces_that_are_seen_seldom(bundle):
    found = judge({RED: (100, [0]), BLUE: (300, [9])}, bundle)
    assert found.person is None  # neither is seen often enough: all faces together
    twice = judge({RED: (100, [3, 19])}, bundle)
    assert (twice.person, twice.used, twice.verdict) == (1, 2, MANIPULATED)  # the only one there is
    with pytest.raises(AbstainError, match="a face is found in 1 of 10 frames only"):
        judge({RED: (100, [9])}, bundle)
    both_at_once = {RED: (100, [9]), BLUE: (300, [9])}
    with pytest.raises(AbstainError, match="a face is found in 1 of 10 frames only"):
        judge(both_at_once, bundle)
    assert judge({RED: (100, [0])}, bundle).used == 1  # a picture has no more


# ------------------------------------------------------------------ several persons


@pytest.mark.parametrize("manipulated", ["left", "right"])
def test_two_persons_side_by_side_and_the_highest_decides(bundle, tmp_path, manipulated):
    portrait = media.portrait()[:256, 90:346]
    other = np.ascontiguousarray(portrait[:, ::-1])
    reddened, blued = (np.clip(image * [[tint]], 0, 255) for image, tint in pairs(portrait, other))
    images = [reddened, blued] if manipulated == "left" else [blued, reddened]
    frame = np.concatenate(images, axis=1).astype(np.uint8)
    path = media.write_video(tmp_path / "two.mp4", [np.roll(frame, k % 3, axis=0) for k in range(40)])
    detector = DeepfakeDetector()
    detector._bundles["picture"] = bundle
    report = detector.analyze(path)
    picture = report.picture
    assert [person["frames_used"] for person in picture.persons] == [10, 10]
    assert [person["frames_seen"] for person in picture.persons] == [20, 20]
    scores = {person["person"]: person["p_fake"] for person in picture.persons}
    assert {person["verdict"] for person in picture.persons} == {MANIPULATED, PRISTINE}
    assert picture.p_fake == max(scores.values()) == scores[picture.person] > min(scores.values())
    assert picture.verdict == MANIPULATED
    own = [score for score in picture.scores if score["person"] == picture.person]
    assert picture.p_fake == aggregate([score["p_fake"] for score in own], "trimmed")
    assert all((score["box"][0] < 200) == (manipulated == "left") for score in own)
    assert picture.used == len(picture.scores) == 20
    assert f"(person {picture.person}, the highest of 2)" in str(report)


def pairs(one, other):
    return (one, (1.3, 0.8, 0.4)), (other, (0.4, 0.8, 1.3))


def test_a_passer_by_does_not_decide_however_high_the_score(bundle):
    found = judge({BLUE: (100, range(20)), RED: (300, [7, 8])}, bundle, fps=25.0)
    assert (found.person, found.verdict) == (1, PRISTINE)
    assert found.used == 20
    first, second = found.persons
    assert (first["frames_used"], first["from_s"], first["to_s"]) == (20, 0.0, 3.8)
    assert second["abstained"] == "seen in 2 of 20 frames only"
    assert (second["frames_used"], second["frames_seen"]) == (0, 2)
    assert judge({BLUE: (100, range(20)), RED: (300, [7, 8, 9])}, bundle).verdict == MANIPULATED


def test_crops_are_shared_by_presence_and_nobody_is_judged_by_one(bundle):
    found = judge({GREY: (60, range(20)), BLUE: (200, range(10)), RED: (340, range(3))}, bundle)
    assert [person["frames_used"] for person in found.persons] == [11, 6, 3]
    assert found.person == 3


def test_nobody_often_enough_all_together(bundle):
    colours = [RED, BLUE, (120, 170, 90), (190, 110, 180)]
    people = {colour: (60 + 90 * k, [5 * k]) for k, colour in enumerate(colours)}
    found = judge(people, bundle)
    assert found.person is None
    assert found.used == 4
    assert found.p_fake == aggregate([score["p_fake"] for score in found.scores], "trimmed")
    assert [person["abstained"] for person in found.persons] == ["seen in 1 of 16 frames only"] * 4
    report = Report("clip.mp4", found, Judgement(abstained="has no sound"))
    assert "(all faces together: no one person is seen often enough)" in str(report)


def crowd(n_faces, n_frames):
    """Many faces, each of its own colour, at its own place."""
    rng = np.random.default_rng(0)
    frames, faces = [], []
    colours = rng.integers(0, 256, (n_faces, 3))
    for k in range(n_frames):
        frame = np.zeros((60, 50 * n_faces, 3), np.uint8)
        for number, colour in enumerate(colours):
            frame[:, 50 * number : 50 * number + 48] = colour
        noise = rng.normal(0, 3, frame.shape)
        frames.append((k, np.clip(frame + noise, 0, 255).astype(np.uint8)))
        faces.append([Face((50.0 * number, 5.0, 46 - 0.1 * number, 48.0), 0.9) for number in range(n_faces)])
    return frames, Listed(faces)


def test_a_crowd_costs_no_more_and_the_most_prominent_are_judged(bundle):
    frames, detector = crowd(30, 20)
    found = judge_picture(frames, bundle, detector, 20)
    assert bundle.model.n_images == found.used <= 21
    judged = [person for person in found.persons if "p_fake" in person]
    assert [person["person"] for person in judged] == [1, 2, 3, 4, 5, 6]
    assert {person["frames_used"] for person in judged} <= {3, 4}
    assert found.persons[6]["abstained"] == "not judged: 6 other persons are more prominent"
    assert len(found.persons) == 20
    assert len(found.crops) <= 12 + 6


def test_crops_in_memory_are_bounded(bundle, monkeypatch):
    monkeypatch.setattr(dfutils.judge_picture, "MAX_CROPS", 40)
    frames, detector = crowd(30, 20)
    found = judge_picture(frames, bundle, detector, 20)
    assert len(found.persons) == 2  # the two largest faces of each frame


def test_a_group_picture_judges_every_face(bundle):
    frames, detector = crowd(4, 1)
    found = judge_picture(frames, bundle, detector, 20)
    assert [person["frames_used"] for person in found.persons] == [1] * 4
    assert found.p_fake == pytest.approx(max(score["p_fake"] for score in found.scores))


# ------------------------------------------------------------------ what cannot be judged, what is kept


def test_no_face_and_small_faces_abstain(bundle):
    frames = [(k, np.zeros((90, 90, 3), np.uint8)) for k in range(3)]
    with pytest.raises(AbstainError, match="no face found in 3 frames"):
        judge_picture(frames, bundle, Listed([[]] * 3))
    small = [[Face((1.0, 1.0, 39.0, 60.0), 0.9)]] * 3
    with pytest.raises(AbstainError, match="the largest face is under 40 px wide in 3 frames"):
        judge_picture(frames, bundle, Listed(small))
    outside = [[Face((500.0, 500.0, 60.0, 60.0), 0.9)]] * 3
    with pytest.raises(AbstainError, match="no face found"):
        judge_picture(frames, bundle, Listed(outside))


def test_faces_worth_showing_are_kept_and_no_others(bundle):
    found = judge({GREY: (60, range(20)), RED: (200, range(20))}, bundle)
    largest = {(index, person) for person, index in pick_portraits(found.scores).items()}
    assert set(found.crops) == {*pick_highest(found.scores), *largest}
    assert 12 <= len(found.crops) <= 14
    for (index, person), crop in found.crops.items():
        assert (crop.shape, crop.dtype) == ((*SIZE_HW, 3), np.uint8)
        assert any((s["frame_index"], s["person"]) == (index, person) for s in found.scores)
    highest = max(found.scores, key=lambda score: score["p_fake"])
    assert (highest["frame_index"], highest["person"]) in found.crops
    assert "crops" not in Report("x", found, Judgement(abstained="y")).to_dict()["picture"]


def test_how_often_somebody_must_be_seen():
    assert [least_frames(n) for n in (1, 2, 3, 13, 14, 20, 1000)] == [1, 2, 2, 2, 3, 3, 150]


def test_margins_in_parts_are_those_of_all_at_once(monkeypatch):
    images = list(np.random.default_rng(1).integers(0, 256, (11, *SIZE_HW, 3)).astype(np.uint8))
    whole = predict_margins(RedIsFake(), images)
    monkeypatch.setattr("dfutils.margins.AT_A_TIME", 4)
    np.testing.assert_array_equal(predict_margins(RedIsFake(), images), whole)

    class LikeKeras:
        def predict(self, images, batch_size, verbose):
            assert len(images) % batch_size == 0
            return RedIsFake().predict(images)

    np.testing.assert_array_equal(predict_margins(LikeKeras(), images, 3), whole)


@pytest.mark.parametrize("module", [dfutils.judge_picture, dfutils.names, dfutils.report])
def test_examples(module):
    failed, attempted = doctest.testmod(module)
    assert (failed, attempted > 0) == (0, True)
