"""Perturbed voices: as long as before, repeatable, worse with every level, as strong as they say."""

import numpy as np
import pytest
from media import tone, voice

from dfutils import InputError
from dfutils.audio import rms_dbfs
from dfutils.codecs_voice import available_codecs, transcode
from dfutils.perturb_voice import PERTURBATIONS
from dfutils.perturbation import LEVELS

SR = 16_000
IN_STEP = [name for name, one in PERTURBATIONS.items() if one.keeps_length]


def perturb(name, audio, level, seed=5):
    if name in ("mp3", "opus") and name not in available_codecs():
        pytest.skip("not in this build of FFmpeg")
    return PERTURBATIONS[name](audio, level, np.random.default_rng(seed))


def sdr_db(audio, reference):
    """Ratio of what is left of the reference to all else, whatever the level (SI-SDR)."""
    audio, reference = audio.astype(float), reference.astype(float)
    kept = reference * (audio @ reference) / (reference @ reference)
    return 10 * np.log10(np.sum(kept**2) / max(np.sum((audio - kept) ** 2), 1e-12))


def power_db(audio, low_hz, high_hz):
    power = np.abs(np.fft.rfft(audio)) ** 2
    hz = np.fft.rfftfreq(audio.size, 1 / SR)
    return 10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].mean())


@pytest.fixture(scope="module")
def speech():
    """Voice-like, with two pauses that hold a little noise."""
    audio = voice(1.5, seed=1)
    audio[4000:7000] *= 0.002
    audio[15_000:17_000] *= 0.01
    return audio


@pytest.fixture(scope="module")
def white():
    return (0.1 * np.random.default_rng(0).standard_normal(2 * SR)).astype(np.float32)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_kind_of_sound_stays(name, speech):
    kept = speech.copy()
    for audio in (speech, speech[:4001], np.zeros(3999, np.float32)):
        for level in (1, 5):
            changed = perturb(name, audio, level)
            assert changed.dtype == np.float32
            assert changed.ndim == 1
            assert np.isfinite(changed).all()
            assert np.abs(changed).max() <= 1
            if name in IN_STEP:
                assert changed.shape == audio.shape
            np.testing.assert_array_equal(perturb(name, audio, level), changed)
    np.testing.assert_array_equal(speech, kept)


@pytest.mark.parametrize("name", IN_STEP)
def test_every_level_does_more_damage(name, speech):
    values = [sdr_db(perturb(name, speech, level), speech) for level in LEVELS]
    slack = 1.0 if name in ("mp3", "opus") else 0.2
    assert all(values[k] > values[k + 1] - slack for k in range(4)), values
    assert values[0] > values[4] + 2
    assert values[0] > (0 if name == "opus" else 6)


@pytest.mark.parametrize("name", ["white-noise", "coloured-noise"])
@pytest.mark.parametrize(("level", "snr_db"), list(zip(LEVELS, (30, 20, 10, 5, 0))))
def test_noise_stands_at_its_ratio(name, level, snr_db, speech):
    noise = perturb(name, speech, level) - speech
    assert rms_dbfs(speech) - rms_dbfs(noise) == pytest.approx(snr_db, abs=0.1)


def test_seeds_differ(speech):
    for name in ("white-noise", "coloured-noise", "room"):
        assert not np.array_equal(perturb(name, speech, 1, 1), perturb(name, speech, 1, 2))


def test_rooms_keep_the_level_and_ring_longer():
    click = np.zeros(2 * SR, np.float32)
    click[100] = 0.5
    lengths = []
    for level in LEVELS:
        wet = perturb("room", click, level)
        assert rms_dbfs(wet) == pytest.approx(rms_dbfs(click), abs=0.1)
        assert np.argmax(np.abs(wet)) == 100
        decay = np.cumsum(np.square(wet[::-1], dtype=float))[::-1]
        lengths.append(int(np.argmin(decay > 1e-4 * decay[150])))
    assert all(lengths[k] < lengths[k + 1] for k in range(4))


def test_eight_bits_of_mulaw_are_the_telephone(speech):
    reference = transcode(speech, SR, "mulaw")
    assert sdr_db(perturb("mulaw", speech, 1), reference) > 25
    assert sdr_db(perturb("mulaw", speech, 3), reference) < 30


@pytest.mark.parametrize(
    ("name", "level", "gone_hz", "left_hz"),
    [
        ("low-pass", 3, (5000, 8000), (200, 3200)),
        ("high-pass", 3, (20, 200), (400, 7900)),
        ("resampling", 3, (4400, 8000), (200, 3500)),
        ("mulaw", 1, (4800, 8000), (200, 3300)),
    ],
)
def test_bands_go_and_stay(name, level, gone_hz, left_hz, white):
    changed = perturb(name, white, level)
    scale = power_db(white, *left_hz) - power_db(changed, *left_hz)
    assert abs(scale) < 1
    assert power_db(changed, *gone_hz) < power_db(white, *gone_hz) - 17


def test_pauses_are_cut_and_added(speech):
    cut = [perturb("pauses-cut", speech, level).size for level in LEVELS]
    assert all(cut[k] >= cut[k + 1] for k in range(4))
    assert cut[0] <= speech.size - 2800  # the quieter pause
    assert cut[4] > speech.size / 4
    for level, seconds in zip(LEVELS, (0.25, 0.5, 1.0, 2.0, 4.0)):
        longer = perturb("silence-added", speech, level)
        quarter = round(seconds * SR / 4)
        assert longer.size == speech.size + 4 * quarter
        assert not longer[:quarter].any()
        assert not longer[-quarter:].any()
        np.testing.assert_array_equal(longer[longer != 0], speech[speech != 0])


def test_levels():
    audio = tone(440, 0.5, amplitude=0.2)
    for level, level_dbfs in zip(LEVELS, (-40, -50, -60, -70, -80)):
        quiet = perturb("quiet", audio, level)
        assert rms_dbfs(quiet) == pytest.approx(level_dbfs, abs=0.6)
        np.testing.assert_allclose(quiet * 32767, np.round(quiet * 32767), atol=1e-2)
    clipped = [np.mean(np.abs(perturb("overdriven", audio, level)) >= 1) for level in LEVELS]
    assert clipped[0] == pytest.approx(1 - 2 / np.pi * np.arcsin(10 ** (-3 / 20)), abs=0.01)
    assert all(clipped[k] < clipped[k + 1] for k in range(4))


@pytest.mark.parametrize("audio", [np.zeros(0, np.float32), np.zeros((2, 9), np.float32), np.zeros(99)])
def test_other_sounds_are_refused(audio):
    with pytest.raises(InputError, match="must be mono float32"):
        perturb("white-noise", audio, 1)
