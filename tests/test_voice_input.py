"""Windows of sounds and the pictures made of them."""

import json

import numpy as np
import pytest

from dfutils import InputError
from dfutils.audio import condition_voice, normalise_voice, peak_normalise, rms_dbfs, trim_silence
from dfutils.lfcc import band_maps, delta, lfcc_image, linear_filter_bank, voice_features
from dfutils.voice_input import VoiceInput, fill_window

SR = 16_000


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Harmonics with a melody, between noise."""
    generator = np.random.default_rng(seed)
    t = np.arange(int(seconds * SR)) / SR
    phase = 2 * np.pi * np.cumsum(150 + 30 * np.sin(2 * np.pi * 1.3 * t)) / SR
    sound = sum(np.sin(k * phase) / k for k in range(1, 30)) * (1 + 0.5 * np.sin(2 * np.pi * 4 * t))
    return (0.05 * sound + 0.01 * generator.standard_normal(t.size)).astype(np.float32)


BANDS = VoiceInput("bands", 2.0, (80, 201), 80, (60.0, 7000.0))


def test_bands_are_the_filter_bank_less_its_mean():
    audio = voice(1.0)
    maps = band_maps(audio, SR, n_filters=40, fmin_hz=60.0, fmax_hz=7000.0)
    assert maps.shape == (40, 101, 3)
    assert maps.dtype == np.float32
    padded = np.pad(audio, 256, mode="reflect").astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    frames = np.stack([padded[k * 160 :][:512] * window for k in range(101)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    log_power = np.log(linear_filter_bank(40, 512, SR, 60.0, 7000.0) @ power.T + 1e-6)
    expected = (log_power - log_power.mean(axis=1, keepdims=True)) / 6.0
    np.testing.assert_allclose(maps[..., 0], expected, atol=1e-3)


def test_slopes_of_bands_are_regression_slopes():
    maps = band_maps(voice(1.0), SR, n_filters=20)
    inner = slice(8, -8)
    slope = delta(maps[..., 0] * 6.0, 1, width=5)
    np.testing.assert_allclose(maps[:, inner, 1], slope[:, inner] / 1.5, atol=1e-4)


def test_bands_do_not_tell_gain_nor_a_constant_channel():
    audio = voice(2.0)
    same = BANDS.picture(0.1 * audio)
    np.testing.assert_allclose(same, BANDS.picture(audio), atol=0.02)
    louder_highs = np.fft.irfft(np.fft.rfft(audio) * np.linspace(1, 3, audio.size // 2 + 1), audio.size)
    np.testing.assert_allclose(BANDS.picture(louder_highs.astype(np.float32)), same, atol=0.08)


def test_a_picture_of_speech_lies_about_0_to_1_without_being_stretched():
    picture = BANDS.picture(normalise_voice(voice(2.5)))
    assert picture.shape == (80, 201, 3)
    assert picture.dtype == np.float32
    low, high = np.quantile(picture, [0.02, 0.98])
    assert -0.5 < low < 0.4
    assert 0.6 < high < 1.5


def test_pictures_of_the_thesis_come_from_lfcc():
    audio = voice(1.5)
    picture = VoiceInput("all", size_hw=(60, 100)).picture(audio)
    np.testing.assert_array_equal(
        picture, lfcc_image(voice_features(peak_normalise(audio), SR, "all"), (60, 100))
    )


def test_masks_are_put_on_features():
    picture = BANDS.picture(voice(2.0), masks=np.zeros_like)
    assert np.unique(picture).tolist() == [0.5]


def test_short_sounds_are_repeated():
    np.testing.assert_array_equal(fill_window(np.arange(3), 7), [0, 1, 2, 0, 1, 2, 0])
    np.testing.assert_array_equal(fill_window(np.arange(9), 7), np.arange(7))
    assert BANDS.picture(voice(0.7)).shape == (80, 201, 3)


def test_windows_cover_the_sound_and_skip_silence():
    speech = voice(6.0)
    windows = BANDS.windows(speech, 50)
    starts = [start for start, _ in windows]
    assert starts[0] == 0
    assert starts[-1] == speech.size - 2 * SR
    assert max(np.diff(starts)) <= SR
    for start, part in windows:
        np.testing.assert_array_equal(part, speech[start : start + 2 * SR])
    silence = np.zeros(10 * SR, np.float32)
    found = BANDS.windows(np.concatenate([speech, silence, speech]), 50)
    assert all(start < 5 * SR + 1 or start > 14 * SR for start, _ in found)
    assert {start > 10 * SR for start, _ in found} == {True, False}


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_at_most_n_windows_spread_evenly(n):
    starts = [start for start, _ in BANDS.windows(voice(20.0), n)]
    assert len(starts) == n
    if n > 1:
        assert starts[0] == 0
        assert starts[-1] == 18 * SR
        assert np.ptp(np.diff(starts)) <= SR + 1


def test_a_sound_no_longer_than_a_window_comes_whole():
    audio = voice(1.2)
    assert BANDS.windows(audio, 5)[0][1] is audio
    assert VoiceInput().windows(voice(9.0), 5)[0][1].size == 9 * SR


def test_sound_is_prepared_as_clips_are():
    audio = voice(4.0)
    np.testing.assert_array_equal(BANDS.prepare(audio), normalise_voice(audio, seconds=None))
    raw = VoiceInput(normalise=False)
    assert raw.prepare(audio) is audio
    with pytest.raises(InputError, match=r"0\.25 s"):
        raw.prepare(audio[:4000])
    with pytest.raises(InputError, match="silent"):
        BANDS.prepare(np.zeros(SR, np.float32))


def test_normalisation_is_trimming_and_conditioning():
    audio = voice(2.0)
    expected = condition_voice(trim_silence(audio), seed=3)
    np.testing.assert_array_equal(normalise_voice(audio, seconds=None, seed=3), expected)
    assert abs(rms_dbfs(expected) + 26) < 0.1


def test_peak_normalisation():
    assert np.abs(peak_normalise(voice(1.0))).max() == pytest.approx(1)
    assert not peak_normalise(np.zeros(10, np.float32)).any()


def test_settings_survive_json():
    assert VoiceInput(**json.loads(json.dumps(BANDS.to_dict()))) == BANDS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": "mfcc"}, "features: must be one of"),
        ({"seconds": 0.1}, "seconds: must be 0 or lie in"),
        ({"seconds": -1.0}, "seconds: must be 0 or lie in"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        VoiceInput(**settings)
