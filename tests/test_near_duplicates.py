"""Near-duplicates: the same recording is found however it was coded; other persons are not accused."""

import cv2
import numpy as np
import pandas as pd
import pytest
import soundfile
from skimage.data import astronaut

from dfutils import InputError
from dfutils.embedded.voices import draw_speaker, synthesise
from dfutils.errors import LeakError
from dfutils.images import write_image
from dfutils.leaks import check_leaks
from dfutils.near_duplicates import (
    LIMITS,
    check_near_duplicates,
    face_fingerprint,
    find_near_duplicates,
    voice_fingerprint,
)

FACE = astronaut()[0:220, 130:320]
PLACES = ((0, 0), (120, 60), (260, 300), (250, 20), (20, 300), (130, 320))  # other parts of the picture


def jpeg(image, quality=40):
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def half(image):
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def brighter(image):
    return np.clip(image * 1.2 + 15, 0, 255).astype(np.uint8)


def mirrored(image):
    return np.ascontiguousarray(image[:, ::-1])


def table_of(paths, splits):
    rows = [
        {"path": str(path), "label": 0, "split": split, "person": f"p{n}", "source": f"s{n}", "dataset": "x"}
        for n, (path, split) in enumerate(zip(paths, splits))
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def faces(tmp_path):
    """Six pictures of other things, in three splits."""
    picture, paths = astronaut(), []
    for number, (top, left) in enumerate(PLACES):
        paths.append(write_image(tmp_path / f"{number}.png", picture[top : top + 220, left : left + 190]))
        paths[-1] = tmp_path / f"{number}.png"
    return table_of(paths, ["train", "train", "val", "val", "test", "test"])


@pytest.mark.parametrize("change", [jpeg, half, brighter, mirrored])
def test_a_planted_face_stops_the_run(faces, tmp_path, change):
    check_near_duplicates(faces, "picture", progress=False)
    write_image(tmp_path / "twin.png", change(np.ascontiguousarray(astronaut()[120:340, 60:250])))
    planted = pd.concat([faces, table_of([tmp_path / "twin.png"], ["test"]).assign(person="q", source="q")])
    check_leaks(planted)  # by names and contents alone nothing is seen
    found = find_near_duplicates(planted, "picture", progress=False)
    assert len(found) == 1
    assert "1.png" in found["value"][0]
    assert "twin.png" in found["value"][0]
    assert set(found["splits"][0].split("+")) == {"train", "test"}
    with pytest.raises(LeakError, match="1 files have a near-duplicate"):
        check_near_duplicates(planted, "picture", progress=False)
    check_near_duplicates(planted.assign(split="test"), "picture", progress=False)  # within a split: no leak


def voice(speaker, take):
    return synthesise(draw_speaker(speaker, 1), 2.0, np.random.default_rng(take)).astype(np.float32)


@pytest.mark.parametrize("change", ["container", "level", "silence"])
def test_a_planted_sound_stops_the_run(tmp_path, change):
    paths, splits = [], []
    for number in range(6):
        paths.append(tmp_path / f"{number}.flac")
        soundfile.write(paths[-1], voice(number, number), 16_000)
        splits.append(("train", "val", "unseen")[number % 3])
    table = table_of(paths, splits)
    check_near_duplicates(table, "voice", progress=False)
    audio = voice(0, 0)
    audio = {"container": audio, "level": audio * 0.3, "silence": np.pad(audio, (3000, 500))}[change]
    soundfile.write(tmp_path / "twin.wav", audio, 16_000, subtype="FLOAT")
    twin = table_of([tmp_path / "twin.wav"], ["unseen"]).assign(person="q", source="q")
    planted = pd.concat([table, twin])
    check_leaks(planted)
    with pytest.raises(LeakError, match=r"0\.flac|twin\.wav"):
        check_near_duplicates(planted, "voice", progress=False)


def test_fingerprints_are_far_apart_for_other_things():
    pieces = [astronaut()[top : top + 220, left : left + 190] for top, left in PLACES]
    bits = np.array([face_fingerprint(piece) for piece in pieces])
    apart = (bits[:, None] != bits[None]).sum(axis=2)[~np.eye(len(bits), dtype=bool)]
    assert apart.min() > 2 * LIMITS["picture"]
    assert (face_fingerprint(FACE) != face_fingerprint(jpeg(FACE))).sum() < LIMITS["picture"] / 2
    sounds = np.array([voice_fingerprint(voice(number, number)) for number in range(5)])
    apart = (sounds[:, None] != sounds[None]).sum(axis=2)[~np.eye(5, dtype=bool)]
    assert apart.min() > LIMITS["voice"] * 1.1


def test_short_sounds_are_passed_over_and_kinds_checked(tmp_path):
    assert voice_fingerprint(np.zeros(16_000, np.float32)) is None
    paths = [tmp_path / name for name in ("a.wav", "b.wav")]
    for path in paths:
        soundfile.write(path, voice(0, 0)[:8000], 16_000)
    table = table_of(paths, ["train", "val"])
    assert not len(find_near_duplicates(table, "voice", progress=False))
    with pytest.raises(InputError, match="kind"):
        find_near_duplicates(table, "sound")
    with pytest.raises(InputError, match=r"nothing\.png"):
        find_near_duplicates(table_of([tmp_path / "nothing.png"], ["val"]), "picture", progress=False)
