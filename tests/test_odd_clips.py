"""Clips as they come: turned, uneven, in any container, with several persons; one answer by any way in."""

import json

import jsonschema
import media
import numpy as np
import pytest
from stand_ins import stand_in_detector

from dfutils import __main__
from dfutils.detector import DeepfakeDetector
from dfutils.images import write_image
from dfutils.judge_files import FileJudge
from dfutils.paths import ASSETS
from dfutils.report import MANIPULATED, PRISTINE
from dfutils.video import read_frames


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A face that drifts, and a voice."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return media.write_video(path, media.moving_face(24, (240, 256)), audio=media.voice(2.5))


@pytest.fixture(scope="module")
def expected(clip):
    return stand_in_detector().analyze(clip, 8)


# ------------------------------------------------------------------ turned, uneven, any container


@pytest.mark.parametrize("degrees", [90, 270])
def test_a_telephone_held_upright_is_judged_the_right_way_up(clip, expected, tmp_path, degrees):
    turned = media.turn_phone(clip, tmp_path / "turned.mp4", degrees)
    _, frame = next(read_frames(turned, 1))
    assert frame.shape == (240, 256, 3)
    found = stand_in_detector().analyze(turned, 8).picture
    assert found.used == expected.picture.used == 8
    boxes = [np.array([score["box"] for score in one.scores]) for one in (found, expected.picture)]
    np.testing.assert_allclose(boxes[0], boxes[1], atol=4)
    assert found.p_fake == pytest.approx(expected.picture.p_fake, abs=0.05)


@pytest.mark.parametrize("suffix", ["mkv", "webm", "mov", "avi", "gif"])
def test_any_container_gives_about_the_same(clip, expected, tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    colours = ["-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse"] if suffix == "gif" else []
    media.ffmpeg("-i", clip, *colours, path)
    report = stand_in_detector().analyze(path, 8)
    assert report.media["fps"] == pytest.approx(25, rel=0.01)
    assert report.picture.used == 8
    assert report.picture.p_fake == pytest.approx(expected.picture.p_fake, abs=0.1)
    if suffix == "gif":
        assert report.voice.abstained == "has no sound"
    else:
        assert report.voice.p_fake == pytest.approx(expected.voice.p_fake, abs=0.15)


def test_pictures_of_any_kind(tmp_path):
    reports = [
        stand_in_detector().analyze(write_image(tmp_path / f"one.{suffix}", media.portrait()))
        for suffix in ("png", "webp", "jpg")
    ]
    scores = [report.picture.p_fake for report in reports]
    np.testing.assert_allclose(scores, scores[0], atol=0.05)
    assert {report.picture.used for report in reports} == {1}
    assert {report.voice.abstained for report in reports} == {"has no sound"}


def test_a_rate_that_varies(tmp_path):
    """Frames are chosen by number: none is missed, however long it stands."""
    times_ms = [0, 33, 66, 100, 400, 900, 933, 966, 1000, 1033, 1066, 1500]
    path = media.uneven_video(tmp_path / "uneven.mp4", times_ms)
    assert [media.frame_number(frame) for _, frame in read_frames(path, 6)] == [1, 3, 5, 7, 9, 11]
    faces = media.uneven_video(tmp_path / "faces.mp4", times_ms, media.moving_face(12))
    report = stand_in_detector().analyze(faces, 6)
    assert [score["frame_index"] for score in report.picture.scores] == [1, 3, 5, 7, 9, 11]


# ------------------------------------------------------------------ several persons


def test_three_persons_of_whom_one_comes_late(tmp_path):
    """The portrait thrice: reddened, mirrored and in blue, mirrored and grey; the last comes late."""
    image = media.portrait()[:240, 90:330]
    mirrored = np.ascontiguousarray(image[:, ::-1])
    red = np.clip(image * [1.3, 0.8, 0.4], 0, 255)
    blue = np.clip(mirrored * [0.4, 0.8, 1.3], 0, 255)
    grey = np.repeat(mirrored.mean(axis=2, keepdims=True), 3, axis=2) * 0.6 + 90
    empty = np.full_like(image, 80)
    frames = [
        np.concatenate([red, blue, grey if k >= 15 else empty], axis=1).astype(np.uint8) for k in range(30)
    ]
    path = media.write_video(
        tmp_path / "three.mp4", [np.roll(f, k % 3, axis=0) for k, f in enumerate(frames)]
    )
    picture = stand_in_detector().analyze(path).picture
    assert len(picture.persons) == 3
    where = {}
    for person in picture.persons:
        (column,) = {int(row[1] // 240) for row in person["track"]}
        where[column] = person
    assert [where[k]["verdict"] for k in (0, 1)] == [MANIPULATED, PRISTINE]
    assert picture.person == where[0]["person"]
    assert [where[k]["frames_seen"] for k in range(3)] == [20, 20, 10]
    assert (where[0]["from_s"], where[2]["from_s"]) == (
        pytest.approx(0, abs=0.05),
        pytest.approx(0.6, abs=0.05),
    )
    for person in picture.persons:
        assert len(person["track"]) == person["frames_seen"]
        judged = {
            score["frame_index"]: score["box"]
            for score in picture.scores
            if score["person"] == person["person"]
        }
        tracked = {row[0]: row[1:] for row in person["track"]}
        assert judged.items() <= tracked.items()


def test_a_passer_by_has_no_track(tmp_path):
    image = media.portrait()[:240, 90:330]
    other = np.clip(image[:, ::-1] * [0.4, 0.8, 1.3], 0, 255).astype(np.uint8)
    empty = np.full_like(image, 80)
    frames = [np.concatenate([image, other if k in (9, 10) else empty], axis=1) for k in range(20)]
    picture = stand_in_detector().analyze(media.write_video(tmp_path / "by.mp4", frames)).picture
    first, second = picture.persons
    assert second["abstained"] == "seen in 2 of 20 frames only"
    assert "track" in first
    assert "track" not in second


# ------------------------------------------------------------------ one answer


@pytest.fixture
def stand_in(monkeypatch):
    """The same stand-ins by every way in."""

    def give(self, kind):
        return self._bundles.setdefault(kind, stand_in_detector()._bundles[kind])

    monkeypatch.setattr(__main__, "GUARDED", False)  # a child process would not see them
    monkeypatch.setattr(DeepfakeDetector, "bundle", give)
    monkeypatch.setattr(DeepfakeDetector, "fingerprint", lambda self, kind: kind)


@pytest.mark.usefixtures("stand_in")
def test_the_same_by_command_line_class_and_file_judge(clip, tmp_path, capsys):
    still = str(write_image(tmp_path / "one.png", media.portrait()))
    files = [str(clip), still]
    assert __main__.main(["detect", *files, "--frames", "8", "--json", str(tmp_path / "f.json")]) == 0
    by_command = json.loads((tmp_path / "f.json").read_text())
    with FileJudge(DeepfakeDetector(), files, 8) as judge:
        by_judge = [judge.judge(path) for path in files]
    printed = capsys.readouterr().out
    for path, one, other in zip(files, by_command, by_judge):
        report = DeepfakeDetector().analyze(path, 8)
        expected = json.loads(json.dumps(report.to_dict()))
        assert {key: one[key] for key in expected} == expected
        assert {key: other[key] for key in expected} == json.loads(json.dumps(expected))
        assert str(report) in printed


# ------------------------------------------------------------------ the schema of the JSON


def strict(schema):
    """The schema, with every key that is not written down refused."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    return closed | ({"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {})


@pytest.fixture(scope="module")
def validator():
    schema = json.loads((ASSETS / "findings.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(strict(schema))


@pytest.mark.usefixtures("stand_in")
def test_the_json_is_what_the_schema_says(clip, tmp_path, validator, monkeypatch):
    (tmp_path / "empty.mov").write_bytes(b"")
    write_image(tmp_path / "one.png", media.portrait())
    media.write_video(tmp_path / "nobody.mp4", media.scenery(6))
    media.write_video(tmp_path / "seldom.mp4", [*media.scenery(9, (240, 240)), *media.moving_face(2)])
    media.write_sound(tmp_path / "hum.wav", media.tone(100, 2.0))
    out = tmp_path / "f.json"
    assert __main__.main(["detect", str(clip), str(tmp_path), "--frames", "8", "--json", str(out)]) == 1
    findings = json.loads(out.read_text())
    assert len(findings) == 6
    validator.validate(findings)
    assert not [
        one for one in findings if "abstained" not in one["picture"] and "persons" not in one["picture"]
    ]
    report = DeepfakeDetector().analyze(clip, 4)
    report.picture.evaluation = [
        {"name": "a", "unit": "faces", "false_alarm_rate": 0.1, "miss_rate": 0.2, "miss_rate_low": 0.1,
         "miss_rate_high": 0.3, "run_id": "07-1"}
    ]  # fmt: skip
    validator.validate(report.to_dict())


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one.pop("picture"),
        lambda one: one["picture"].update(p_fake=1.2),
        lambda one: one["picture"].update(verdict="fake"),
        lambda one: one["picture"].update(abstained="x"),
        lambda one: one["picture"]["scores"][0].update(box=[1, 2, 3]),
        lambda one: one["picture"]["persons"][0].pop("p_fake"),
        lambda one: one["picture"]["persons"][0]["track"][0].append(1),
        lambda one: one["voice"].pop("evaluation"),
        lambda one: one.update(schema=2),
        lambda one: one.update(new_key=1),
    ],
)
def test_the_schema_refuses_what_is_spoilt(clip, validator, spoil):
    finding = json.loads(json.dumps(DeepfakeDetector().analyze(clip, 2).to_dict()))
    validator.validate(finding)
    spoil(finding)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(finding)
