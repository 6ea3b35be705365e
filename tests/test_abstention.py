"""Every reason not to judge, with whole files: missing, too small, too seldom, too short, no speech."""

import re

import media
import numpy as np
import pytest
from stand_ins import high_is_fake, stand_in_detector

from dfutils.appearance import noise_level
from dfutils.audio import SAMPLE_RATE_HZ
from dfutils.errors import AbstainError
from dfutils.images import write_image
from dfutils.judge_voice import MIN_SPREAD_DB, judge_voice, level_spread_db


def small_face(n_frames):
    """The portrait at a quarter of its size: a face of 22 px."""
    frame = np.ascontiguousarray(media.portrait()[::4, ::4])
    return [np.pad(frame, ((40, 40), (60, 60), (0, 0))) for _ in range(n_frames)]


def seldom(n_frames, where):
    """A face in the frames ``where`` only."""
    empty, faces = media.scenery(1, (240, 240))[0], media.moving_face(1)
    return [faces[0] if k in where else empty for k in range(n_frames)]


PICTURES = {
    "no face": (media.scenery(20, (240, 240)), "no face found in 20 frames"),
    "too small": (small_face(20), "the largest face is under 40 px wide in 20 frames"),
    "too few frames": (seldom(20, [10]), "a face is found in 1 of 20 frames only"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_pictures_that_cannot_be_judged(case, tmp_path):
    frames, reason = PICTURES[case]
    path = media.write_video(tmp_path / "clip.mp4", frames, audio=media.voice(1.0))
    report = stand_in_detector().analyze(path)
    assert report.picture.abstained == reason
    assert (report.picture.p_fake, report.picture.verdict, report.picture.scores) == (None, None, [])
    assert report.voice.verdict  # the other part is judged all the same
    assert f"picture  cannot tell: {reason}" in str(report)


@pytest.mark.parametrize(("deviation", "is_judged"), [(0, True), (4, True), (16, False)])
def test_noise_in_which_fakes_hide_is_not_judged(tmp_path, deviation, is_judged):
    clean = media.portrait().astype(float)
    noisy = clean + np.random.default_rng(0).normal(0, deviation, clean.shape)
    path = write_image(tmp_path / "noisy.png", noisy.round().clip(0, 255).astype(np.uint8))
    picture = stand_in_detector().analyze(path).picture
    if is_judged:
        assert picture.verdict
    else:
        assert re.fullmatch(r"the faces are too noisy \(deviation \d+ of 255\)", picture.abstained)


def test_the_level_of_noise_is_what_was_added():
    flat = np.full((200, 200, 3), 120.0)
    for deviation in (2.0, 8.0):
        grey = np.random.default_rng(1).normal(0, deviation, (200, 200, 1))
        image = (flat + grey).round().clip(0, 255).astype(np.uint8)
        assert 0.8 * deviation < noise_level(image) < deviation  # a fifth of the blocks has less
        image[:100] = np.random.default_rng(2).integers(0, 256, (100, 200, 3))  # texture, in half of it
        assert noise_level(image) < 1.2 * deviation


def test_a_face_that_is_seen_twice_is_judged(tmp_path):
    path = media.write_video(tmp_path / "clip.mp4", seldom(20, [4, 15]))
    report = stand_in_detector().analyze(path)
    assert (report.picture.used, report.picture.person) == (2, 1)
    portrait = stand_in_detector().analyze(write_image(tmp_path / "one.png", media.portrait()))
    assert portrait.picture.used == 1  # a picture has one frame


def hum(seconds):
    return sum(media.tone(50 * k, seconds, amplitude=0.1 / k) for k in (1, 2, 3, 5))


def beeps(seconds):
    """A tenth of a second of sound in every two."""
    sound = media.tone(600, seconds)
    sound[np.arange(sound.size) % (2 * SAMPLE_RATE_HZ) > SAMPLE_RATE_HZ // 10] = 0
    return sound


SOUNDS = {
    "none": (None, "has no sound"),
    "silence": (np.zeros(3 * SAMPLE_RATE_HZ, np.float32), "it is silent (below -90 dBFS)"),
    "too short": (media.voice(0.3), "too little sound to judge: it holds 0.3"),
    "short between silences": (np.pad(media.voice(0.3), 16_000), "s of sound, less than 0.5 s"),
    "hum": (hum(3.0), "nothing in it is like speech: its level stays the same"),
    "noise": (np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32), "its level stays the same"),
    "beeps": (beeps(9.0), "too little sound to judge: nothing in it is like speech"),
}


@pytest.mark.parametrize("case", SOUNDS)
def test_sounds_that_cannot_be_judged(case, tmp_path):
    audio, reason = SOUNDS[case]
    path = media.write_video(tmp_path / "clip.mkv", media.moving_face(4), audio=audio)
    report = stand_in_detector().analyze(path)
    assert reason in report.voice.abstained
    assert (report.voice.p_fake, report.voice.verdict, report.voice.scores) == (None, None, [])
    assert report.picture.verdict
    assert "voice    cannot tell: " in str(report)


def test_speech_is_judged_in_silence_and_in_noise():
    speech, noise = media.voice(6.0), np.random.default_rng(0).normal(0, 0.01, 6 * SAMPLE_RATE_HZ)
    long_silence = np.zeros(60 * SAMPLE_RATE_HZ, np.float32)
    for audio in (
        speech,
        (speech + noise).astype(np.float32),
        np.concatenate([speech, long_silence, speech]),
    ):
        assert judge_voice(audio, high_is_fake()).used >= 2
    with pytest.raises(AbstainError, match="level stays the same"):
        judge_voice((0.001 * speech + noise).astype(np.float32), high_is_fake())


def test_the_spread_of_levels_by_hand():
    loud, soft = np.full(3200, 0.1), np.full(3200, 0.01)
    assert level_spread_db(np.concatenate([loud, soft])) == pytest.approx(20, abs=0.1)
    assert level_spread_db(3 * np.concatenate([loud, soft])) == pytest.approx(20, abs=0.1)
    assert level_spread_db(media.tone(400, 1.0)) < 0.1
    assert level_spread_db(media.voice(3.0)) > 2 * MIN_SPREAD_DB
