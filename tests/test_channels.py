"""Channels: seeded, in step with the voice, safe between threads; codecs against independent references."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from media import tone, voice

from dfutils import InputError
from dfutils.audio import rms_dbfs, write_flac
from dfutils.channel_signals import resample, synthetic_noise, synthetic_response
from dfutils.channels import LEVEL_DB_RANGE, SNR_DB_RANGE, STEPS, ChannelAugmentation
from dfutils.codecs_voice import CODECS, available_codecs, transcode
from dfutils.embedded.voices import draw_speaker, synthesise

SR = 16_000
ALWAYS = 200  # seeds tried until a step has happened


@pytest.fixture(scope="module")
def speech():
    """The embedded corpus' babble: unlike `voice` it has one best lag."""
    audio = synthesise(draw_speaker(2, 42), 1.0, np.random.default_rng(7))
    return (0.5 * audio).astype(np.float32)


@pytest.fixture(scope="module")
def channel():
    return ChannelAugmentation()


def first_change(step, audio, sr=SR, **options):
    """What one step makes of a voice, by the first seed for which it happens."""
    channel = ChannelAugmentation(steps=(step,), **options)
    for seed in range(ALWAYS):
        changed = channel(audio, sr, seed)
        if not np.array_equal(changed, audio):
            return changed
    raise AssertionError(f"{step} never happens")


def lag_samples(audio, reference):
    size = 2 * reference.size
    match = np.fft.irfft(np.fft.rfft(audio, size) * np.conj(np.fft.rfft(reference, size)))
    best = int(np.argmax(match))
    return best if best < reference.size else best - size


# ------------------------------------------------------------------ the whole


def test_length_type_and_range(channel):
    audio = voice(1.0)
    for seed in range(60):
        changed = channel(audio, SR, seed)
        assert changed.dtype == np.float32
        assert changed.shape == audio.shape
        assert np.isfinite(changed).all()
        assert np.abs(changed).max() <= 1
        assert rms_dbfs(changed) > -60


def test_a_seed_gives_one_channel_and_another_seed_another(channel):
    audio = voice(0.6)
    found = [channel(audio, SR, seed) for seed in range(12)]
    for seed, changed in enumerate(found):
        np.testing.assert_array_equal(channel(audio, SR, seed), changed)
    distinct = {changed.tobytes() for changed in found}
    assert len(distinct) >= 10


def test_threads_and_processes_hear_the_same(channel):
    audio = voice(0.6)
    expected = [channel(audio, SR, seed) for seed in range(40)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda seed: channel(audio, SR, seed), range(40)))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(channel))(audio, SR, 7), expected[7])  # noqa: S301


def test_nothing_global_is_touched(channel):
    audio = voice(0.5)
    kept, state = audio.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    for seed in range(10):
        channel(audio, SR, seed)
    np.testing.assert_array_equal(audio, kept)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_strength(channel):
    audio = voice(0.5)
    none = ChannelAugmentation(strength=0)
    half = ChannelAugmentation(strength=0.3)
    for seed in range(10):
        np.testing.assert_array_equal(none(audio, SR, seed), audio)
    changed = [
        sum(not np.array_equal(one(audio, SR, seed), audio) for seed in range(40)) for one in (half, channel)
    ]
    assert changed[0] < changed[1]


@pytest.mark.parametrize("step", STEPS)
def test_every_step_happens_and_stays_in_step(step, speech):
    changed = first_change(step, speech)
    assert changed.shape == speech.shape
    assert abs(lag_samples(changed, speech)) <= 5


@pytest.mark.parametrize("sr", [8000, 24_000, 44_100])
def test_other_sampling_rates(channel, sr):
    audio = voice(0.4, sr=sr)
    for seed in range(15):
        assert channel(audio, sr, seed).shape == audio.shape


@pytest.mark.parametrize("n_samples", [1, 7, 160, 1000])
def test_shreds_of_sound(channel, n_samples):
    audio = voice(0.1)[:n_samples] + np.float32(0.01)
    for seed in range(25):
        changed = channel(audio, SR, seed)
        assert changed.shape == (n_samples,)
        assert np.isfinite(changed).all()


def test_silence_comes_back(channel):
    for seed in range(10):
        np.testing.assert_array_equal(channel(np.zeros(800, np.float32), SR, seed), np.zeros(800))


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.zeros(0, np.float32), r"not empty.*\(0,\)"),
        (np.zeros((2, 800), np.float32), r"mono.*\(2, 800\)"),
        (np.full(800, np.nan, np.float32), "not numbers"),
        (np.full(800, np.inf, np.float32), "not numbers"),
    ],
)
def test_bad_sound_is_refused(channel, audio, reason):
    with pytest.raises(InputError, match=reason):
        channel(audio, SR, 0)


def test_bad_settings_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"strength.*0\.\.1, got 2"):
        ChannelAugmentation(strength=2)
    with pytest.raises(InputError, match=r"steps.*got \('telephone',\)"):
        ChannelAugmentation(steps=("telephone",))
    for kind in ("impulse_responses", "noises"):
        with pytest.raises(InputError, match="holds no sounds"):
            ChannelAugmentation(**{kind: tmp_path})


# ------------------------------------------------------------------ single steps


def test_a_late_impulse_changes_nothing(tmp_path):
    """The direct sound is moved to the start, and the level kept."""
    response = np.zeros(4000, np.float32)
    response[700] = 0.9
    write_flac(tmp_path / "late.flac", response)
    audio = voice(0.7)
    channel = ChannelAugmentation(impulse_responses=tmp_path, steps=("room",))
    for seed in range(10):
        np.testing.assert_allclose(channel(audio, SR, seed), audio, atol=1e-5)


def test_a_room_is_a_convolution(tmp_path):
    response = np.zeros(2000, np.float32)
    response[[100, 900]] = 0.8, 0.4
    write_flac(tmp_path / "echo.flac", response)
    audio = voice(0.7)
    expected = audio + 0.5 * np.r_[np.zeros(800), audio[:-800]]
    expected *= np.sqrt(np.mean(audio**2) / np.mean(expected**2))
    found = first_change("room", audio, impulse_responses=tmp_path)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_synthetic_rooms_decay():
    for seed in range(20):
        response = synthetic_response(SR, np.random.default_rng(seed))
        assert np.sum(response**2) == pytest.approx(1, abs=1e-4)
        assert np.argmax(np.abs(response)) == 0
        fifth = response.size // 5
        early, late = (np.mean(np.square(part)) for part in (response[fifth : 2 * fifth], response[-fifth:]))
        assert 25 < 10 * np.log10(early / late) < 47  # 60 dB over all of it: 36 from 30 to 90 %


@pytest.mark.parametrize("from_folder", [False, True])
def test_noise_stands_at_the_ratio_wanted(tmp_path, from_folder):
    if from_folder:
        write_flac(tmp_path / "hum.flac", tone(100, 0.3))
    options = {"noises": tmp_path} if from_folder else {}
    channel = ChannelAugmentation(steps=("noise",), **options)
    audio = voice(0.8)
    ratios = []
    for seed in range(120):
        changed = channel(audio, SR, seed)
        if not np.array_equal(changed, audio):
            ratios.append(rms_dbfs(audio) - rms_dbfs(changed - audio))
    assert len(ratios) > 25
    assert min(ratios) > SNR_DB_RANGE[0] - 0.1
    assert max(ratios) < SNR_DB_RANGE[1] + 0.1
    assert max(ratios) - min(ratios) > 15


def test_synthetic_noise_falls_towards_high_frequencies():
    slopes = []
    for seed in range(20):
        noise = synthetic_noise(SR, np.random.default_rng(seed))
        assert noise.std() == pytest.approx(1, abs=1e-3)
        power = np.abs(np.fft.rfft(noise)) ** 2
        slopes.append(10 * np.log10(power[200:400].mean() / power[3200:6400].mean()) / 4)  # dB an octave
    assert min(slopes) > -0.5
    assert max(slopes) < 6.6
    assert max(slopes) - min(slopes) > 3


def test_level_clipping_and_band(channel):
    audio = 0.3 * voice(0.6)
    change = rms_dbfs(first_change("level", audio)) - rms_dbfs(audio)
    assert LEVEL_DB_RANGE[0] <= change <= LEVEL_DB_RANGE[1]
    clipped = first_change("clip", audio)
    limit = np.abs(clipped).max()
    np.testing.assert_allclose(clipped, np.clip(audio, -limit, limit), atol=1e-6)
    assert 0.0004 < np.mean(np.abs(audio) > limit) < 0.0101
    white = (0.05 * np.random.default_rng(0).standard_normal(SR)).astype(np.float32)
    channel = ChannelAugmentation(steps=("tone",))
    shares = []
    for seed in range(60):
        power = np.abs(np.fft.rfft(channel(white, SR, seed))) ** 2
        shares.append(10 * np.log10(power[7000:].mean() / power[500:2500].mean()))
    assert min(shares) < -10  # some cut the top away
    assert sum(abs(share) < 1 for share in shares) > 20  # most leave it


def test_resampling_keeps_a_tone_in_step():
    audio = tone(1000, 0.5)
    for rate in (8000, 11_025, 24_000, 44_100):
        back = resample(resample(audio, SR, rate), rate, SR)[: audio.size]
        np.testing.assert_allclose(back[800:7000], audio[800:7000], atol=2e-3)


# ------------------------------------------------------------------ codecs


def test_the_usual_codecs_are_there():
    assert {"mp3", "opus", "aac", "g722", "mulaw", "alaw"} <= set(available_codecs()) <= set(CODECS)


@pytest.mark.parametrize("name", CODECS)
def test_codecs_keep_length_and_place(name, speech):
    if name not in available_codecs():
        pytest.skip("not in this build of FFmpeg")
    for bit_rate in CODECS[name].bit_rates:
        coded = transcode(speech, SR, name, bit_rate)
        assert coded.dtype == np.float32
        assert coded.shape == speech.shape
        assert abs(lag_samples(coded, speech)) <= (5 if name == "amr" else 1)
        assert np.corrcoef(coded, speech)[0, 1] > (0.6 if name == "amr" else 0.9)
        assert not np.allclose(coded, speech, atol=1e-4)
    np.testing.assert_array_equal(transcode(speech, SR, name, bit_rate), coded)


@pytest.mark.parametrize(("name", "law"), [("mulaw", "ulaw"), ("alaw", "alaw")])
def test_telephone_codecs_agree_with_the_standard_library(name, law):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop
    audio = voice(0.5, sr=8000)
    samples = np.round(audio * 32767).astype(np.int16)
    coded = getattr(audioop, f"lin2{law}")(samples.tobytes(), 2)
    expected = np.frombuffer(getattr(audioop, f"{law}2lin")(coded, 2), np.int16) / 32768
    found = transcode(audio, 8000, name)
    step = np.maximum(np.abs(audio) / 12, 0.001)  # of the law at that loudness
    assert (np.abs(found - expected) <= step).all()
    assert np.mean(np.isclose(found, expected, atol=1e-5)) > 0.9  # FFmpeg rounds otherwise on the borders


def test_a_low_bit_rate_hurts_more():
    audio = voice(1.0, seed=1)
    for name in ("mp3", "opus", "aac"):
        rates = CODECS[name].bit_rates
        errors = [rms_dbfs(transcode(audio, SR, name, rate) - audio) for rate in (min(rates), max(rates))]
        assert errors[0] > errors[1]


def test_unknown_codec():
    with pytest.raises(InputError, match=r"codec.*'mp3'.*got 'vorbis'"):
        transcode(voice(0.2), SR, "vorbis")
