"""Sound: decoding of every container, normalisation of voices, fragments, and the table of clips."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import manifest_row
from media import numbered_frame, tone, voice, write_sound, write_video

from dfutils import InputError
from dfutils.audio import (
    SAMPLE_RATE_HZ,
    find_voice,
    fragments,
    load_audio,
    normalise_voice,
    rms_dbfs,
    trim_silence,
    write_flac,
)
from dfutils.manifest import COLUMNS, make_manifest, read_manifest
from dfutils.preprocess_audio import extract_clips, soundtracks

CODECS = {
    ".wav": ("pcm_s16le", None),
    ".flac": ("flac", None),
    ".mp3": ("libmp3lame", 128_000),
    ".m4a": ("aac", 128_000),
    ".ogg": ("libopus", 96_000),
}


def spectrum_peak(audio, sr):
    """Frequency [Hz] of the strongest component and amplitude of a pure tone, away from the edges."""
    middle = audio[len(audio) // 4 : 3 * len(audio) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return np.argmax(spectrum) * sr / len(middle), middle.std() * np.sqrt(2)


# ------------------------------------------------------------------ load


@pytest.mark.parametrize("suffix", CODECS)
@pytest.mark.parametrize("sr", [16_000, 44_100, 48_000])
def test_a_tone_keeps_its_frequency_amplitude_and_length(tmp_path, suffix, sr):
    codec, bit_rate = CODECS[suffix]
    if codec == "libopus" and sr == 44_100:
        sr = 24_000  # Opus has no 44.1 kHz
    path = write_sound(tmp_path / f"ton é{suffix}", tone(440, 1.0, sr), sr, codec, bit_rate)
    audio = load_audio(path)
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    assert audio.size == pytest.approx(SAMPLE_RATE_HZ, abs=0.08 * SAMPLE_RATE_HZ)  # codecs pad
    frequency, amplitude = spectrum_peak(audio, SAMPLE_RATE_HZ)
    assert frequency == pytest.approx(440, abs=2.5)
    assert amplitude == pytest.approx(0.3, rel=0.05)


def test_lossless_sound_at_the_wanted_rate_comes_back_exactly(tmp_path):
    audio = voice(0.7)
    path = write_sound(tmp_path / "a.wav", audio)
    np.testing.assert_allclose(load_audio(path), audio, atol=1.01 / 2**15)
    assert load_audio(path).size == audio.size


def test_other_target_rates(tmp_path):
    path = write_sound(tmp_path / "a.wav", tone(440, 1.0))
    audio = load_audio(path, sr=8000)
    assert audio.size == pytest.approx(8000, abs=40)
    assert spectrum_peak(audio, 8000)[0] == pytest.approx(440, abs=2.5)


def test_resampling_lets_nothing_alias(tmp_path):
    """12 kHz lies above the new Nyquist frequency and would fold to 4 kHz."""
    path = write_sound(tmp_path / "a.wav", tone(12_000, 1.0, 48_000), 48_000)
    assert rms_dbfs(load_audio(path)[800:-800]) < rms_dbfs(tone(1, 1)) - 40


def test_channels_are_averaged(tmp_path):
    left, right = tone(440, 0.8), 0.5 * tone(1000, 0.8)
    audio = load_audio(write_sound(tmp_path / "stereo.wav", np.stack([left, right])))
    np.testing.assert_allclose(audio, (left + right) / 2, atol=2 / 2**15)
    opposite = load_audio(write_sound(tmp_path / "opposite.wav", np.stack([left, -left])))
    assert np.abs(opposite).max() < 1e-3


def test_soundtrack_of_a_video(tmp_path):
    frames = [numbered_frame(k) for k in range(25)]
    path = write_video(tmp_path / "talk.mp4", frames, audio=tone(300, 1.0))
    audio = load_audio(path)
    frequency, amplitude = spectrum_peak(audio, SAMPLE_RATE_HZ)
    assert frequency == pytest.approx(300, abs=2.5)
    assert amplitude == pytest.approx(0.3, rel=0.05)


def test_reading_stops_in_time(tmp_path):
    path = write_sound(tmp_path / "long.wav", tone(440, 3.0))
    short = load_audio(path, max_seconds=0.5)
    assert short.size == 8000
    np.testing.assert_array_equal(short, load_audio(path)[:8000])
    assert load_audio(path, max_seconds=99).size == 48_000


def test_damaged_tail_keeps_what_came_before(tmp_path):
    path = write_sound(tmp_path / "a.mp3", tone(440, 2.0), codec="libmp3lame", bit_rate=64_000)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    audio = load_audio(path)
    assert 0.7 * SAMPLE_RATE_HZ < audio.size < 1.3 * SAMPLE_RATE_HZ
    assert spectrum_peak(audio, SAMPLE_RATE_HZ)[0] == pytest.approx(440, abs=3)


def test_values_are_clipped_to_full_scale(tmp_path):
    path = write_sound(tmp_path / "loud.wav", tone(440, 0.6, amplitude=4.0), codec="pcm_f32le")
    audio = load_audio(path)
    assert np.abs(audio).max() == 1


def test_values_that_are_not_numbers_are_refused(tmp_path):
    audio = tone(440, 0.6)
    audio[100] = np.nan
    with pytest.raises(InputError, match=r"nan.wav.*not numbers"):
        load_audio(write_sound(tmp_path / "nan.wav", audio, codec="pcm_f32le"))


def test_files_without_sound(tmp_path):
    silent_film = write_video(tmp_path / "silent film.mp4", [numbered_frame(k) for k in range(3)])
    with pytest.raises(InputError, match=r"silent film\.mp4.*has no sound"):
        load_audio(silent_film)
    text = tmp_path / "text.wav"
    text.write_text("no sound at all\n" * 50)
    with pytest.raises(InputError, match=r"text\.wav.*cannot be decoded"):
        load_audio(text)
    empty = tmp_path / "empty.flac"
    empty.touch()
    with pytest.raises(InputError, match=r"empty\.flac.*is empty"):
        load_audio(empty)
    with pytest.raises(InputError, match=r"gone\.wav.*does not exist"):
        load_audio(tmp_path / "gone.wav")
    with pytest.raises(InputError, match="is a folder"):
        load_audio(tmp_path)


def test_header_without_samples(tmp_path):
    path = write_sound(tmp_path / "a.wav", tone(440, 0.5))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"data") + 8])
    with pytest.raises(InputError, match=r"a\.wav"):
        load_audio(path)


def test_flac_round_trip(tmp_path):
    audio = np.concatenate([voice(0.5), [1.5, -1.5]]).astype(np.float32)
    path = write_flac(tmp_path / "new folder" / "a.flac", audio)
    back = load_audio(path)
    np.testing.assert_allclose(back, np.clip(audio, -1, 1), atol=1.01 / 2**15)
    assert [item.name for item in path.parent.iterdir()] == ["a.flac"]


# ------------------------------------------------------------------ normalise


def test_level_in_decibels():
    assert rms_dbfs(tone(440, 1, amplitude=1.0)) == pytest.approx(-3.01, abs=0.01)
    assert rms_dbfs(tone(440, 1, amplitude=0.1)) == pytest.approx(-23.01, abs=0.01)
    assert rms_dbfs(np.zeros(100, np.float32)) == -100


@pytest.mark.parametrize("gain_db", [-30, 0, 10])
def test_normalised_level_is_that_wanted(gain_db):
    audio = voice(2.0) * 10 ** (gain_db / 20)
    assert rms_dbfs(normalise_voice(audio)) == pytest.approx(-26, abs=0.3)
    assert rms_dbfs(normalise_voice(audio, level_dbfs=-20)) == pytest.approx(-20, abs=0.3)


def test_gain_leaves_no_trace():
    audio = voice(2.0)
    np.testing.assert_allclose(normalise_voice(audio), normalise_voice(0.1 * audio), atol=1e-5)


def band_level(audio, low_hz, high_hz):
    power = np.abs(np.fft.rfft(audio * np.hanning(audio.size))) ** 2
    bins_hz = np.fft.rfftfreq(audio.size, 1 / SAMPLE_RATE_HZ)
    return 10 * np.log10(power[(bins_hz >= low_hz) & (bins_hz < high_hz)].mean())


def test_what_lies_outside_the_band_is_gone():
    noise = (0.1 * np.random.default_rng(1).standard_normal(48_000)).astype(np.float32)
    audio = normalise_voice(noise)
    inside = band_level(audio, 200, 6000)
    assert abs(band_level(audio, 200, 1000) - band_level(audio, 3000, 5000)) < 1  # flat within
    assert band_level(audio, 1, 25) < inside - 25
    assert band_level(audio, 7800, 8000) < inside - 25


def test_digital_silence_is_covered_by_the_floor():
    audio = np.concatenate([voice(0.6), np.zeros(8000, np.float32), voice(0.6)])
    found = normalise_voice(audio)
    pause = found[int(0.75 * 16_000) : int(0.95 * 16_000)]
    assert rms_dbfs(pause) == pytest.approx(-66, abs=1)
    assert (np.diff(pause) != 0).mean() > 0.99


def test_silence_around_is_trimmed_and_the_length_uniform():
    audio = np.concatenate([np.zeros(16_000), voice(1.0), np.zeros(16_000)]).astype(np.float32)
    assert normalise_voice(audio).size == pytest.approx(16_000, abs=600)
    assert trim_silence(audio).size == pytest.approx(16_000, abs=600)
    assert normalise_voice(voice(5.0)).size == int(3.2 * 16_000)
    assert normalise_voice(voice(5.0), seconds=None).size == pytest.approx(80_000, abs=600)


def test_normalising_is_deterministic():
    audio = voice(1.0)
    np.testing.assert_array_equal(normalise_voice(audio, seed=4), normalise_voice(audio, seed=4))
    difference = normalise_voice(audio, seed=4) - normalise_voice(audio, seed=5)
    assert rms_dbfs(difference) == pytest.approx(-66 + 3.01, abs=0.3)  # two independent floors


def test_normalised_sound_is_float32_within_full_scale():
    clicks = np.zeros(16_000, np.float32)
    clicks[::4000] = 1
    clicks += 1e-3 * voice(1.0)
    audio = normalise_voice(clicks)
    assert audio.dtype == np.float32
    assert np.abs(audio).max() <= 1


def test_normalising_refuses_silence_and_shreds():
    with pytest.raises(InputError, match="is silent"):
        normalise_voice(np.zeros(32_000, np.float32))
    with pytest.raises(InputError, match=r"0\.20 s of sound, less than 0\.5 s"):
        normalise_voice(voice(0.2))
    short_word = np.concatenate([np.zeros(32_000), voice(0.3), np.zeros(32_000)])
    with pytest.raises(InputError, match=r"0\.3\d s of sound"):
        normalise_voice(short_word)


# ------------------------------------------------------------------ fragments


def test_fragments_are_equal_long_even_and_at_both_ends():
    parts = fragments(np.arange(50_000, dtype=np.float32), 5, 1.0)
    assert [part.size for _, part in parts] == [16_000] * 5
    assert all(part[0] == start for start, part in parts)
    starts = [start for start, _ in parts]
    assert starts[0] == 0
    assert starts[-1] == 34_000
    assert np.ptp(np.diff(starts)) <= 1


def test_one_fragment_is_the_middle():
    ((start, part),) = fragments(np.arange(48_000, dtype=np.float32), 1, 1.0)
    assert start == part[0] == 16_000


def test_short_sound_comes_back_whole():
    audio = np.arange(17_000, dtype=np.float32)
    ((start, whole),) = fragments(audio, 5, 2.0)
    assert start == 0
    np.testing.assert_array_equal(whole, audio)
    ((start, whole),) = fragments(audio, 5, 17_000 / 16_000)
    assert whole.size == 17_000


def test_fragments_never_overlap_by_more_than_half():
    for n_samples in range(16_100, 90_000, 3_700):
        parts = fragments(np.arange(n_samples, dtype=np.float32), 9, 1.0)
        assert 1 <= len(parts) <= 9
        assert len(parts) == 1 or np.diff([start for start, _ in parts]).min() >= 8_000
        assert all(part.size == 16_000 for _, part in parts)
    assert len(fragments(np.zeros(90_000, np.float32), 9, 1.0)) == 9  # there is room for all


# ------------------------------------------------------------------ clips


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Two usable sounds, one video with sound, one without, one silence, one too short."""
    folder = tmp_path_factory.mktemp("raw voices")
    frames = [numbered_frame(k) for k in range(30)]
    text = folder / "text.wav"
    text.write_text("nothing")
    return make_manifest(
        [
            manifest_row(write_sound(folder / "real.wav", voice(1.5, 1)), 0, 1),
            manifest_row(write_sound(folder / "spoof.mp3", voice(1.2, 2), codec="libmp3lame"), 1, 1),
            manifest_row(write_video(folder / "film.mp4", frames, audio=voice(1.2, 3)), 0, 2),
            manifest_row(write_video(folder / "silent film.mp4", frames), 0, 3),
            manifest_row(write_sound(folder / "silence.wav", np.zeros(20_000)), 1, 4),
            manifest_row(write_sound(folder / "short.wav", voice(0.2)), 1, 5),
            manifest_row(text, 1, 6),
        ]
    )


@pytest.fixture(scope="module")
def clipped(voices, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return folder, *extract_clips(voices, folder, n_jobs=1, progress=False)


def test_table_of_clips(clipped):
    folder, clips, rejects = clipped
    assert set(clips.columns) == {*COLUMNS, "original", "seconds", "level_dbfs"}
    assert {Path(path).name for path in clips["original"]} == {"real.wav", "spoof.mp3", "film.mp4"}
    for row in clips.to_dict("records"):
        audio = load_audio(row["path"])
        assert audio.size / SAMPLE_RATE_HZ == pytest.approx(row["seconds"], abs=0.001)
        assert rms_dbfs(audio) == pytest.approx(-26, abs=0.3)
        original = load_audio(row["original"])
        assert rms_dbfs(original) == pytest.approx(row["level_dbfs"], abs=0.1)
    stored = read_manifest(folder / "clips.csv")
    assert stored["path"].tolist() == clips["path"].tolist()
    assert len(pd.read_csv(folder / "clip-rejects.csv")) == len(rejects)


def test_rejected_clips_tell_the_reason(clipped):
    _, _, rejects = clipped
    reasons = {Path(row["path"]).name: row["reason"] for row in rejects.to_dict("records")}
    expected = {
        "silent film.mp4": "has no sound",
        "silence.wav": "is silent",
        "short.wav": "0.20 s of sound",
        "text.wav": "cannot be decoded",
    }
    assert set(reasons) == set(expected)
    for name, reason in expected.items():
        assert reason in reasons[name]


def test_second_run_writes_no_clip_again(clipped, voices):
    folder, clips, _ = clipped
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "clips").iterdir()}
    again, _ = extract_clips(voices, folder, n_jobs=2, progress=False)
    assert {path: path.stat().st_mtime_ns for path in (folder / "clips").iterdir()} == stamps
    pd.testing.assert_frame_equal(again, clips)
    lost = Path(clips["path"].iloc[0])
    lost.unlink()
    extract_clips(voices, folder, n_jobs=1, progress=False)
    after = {path: path.stat().st_mtime_ns for path in (folder / "clips").iterdir()}
    assert {path for path in after if after[path] != stamps[path]} == {lost, lost.with_suffix(".json")}


def test_clips_without_normalisation(voices, tmp_path):
    clips, rejects = extract_clips(voices, tmp_path, normalise=False, n_jobs=1, progress=False)
    row = clips[clips["original"].str.endswith("real.wav")].iloc[0]
    np.testing.assert_allclose(load_audio(row["path"]), load_audio(row["original"]), atol=1.01 / 2**15)
    assert any("short.wav" in path for path in rejects["path"])


def test_not_one_usable_voice(voices, tmp_path):
    with pytest.raises(InputError, match=r"not one of 1 voices.*cannot be decoded"):
        extract_clips(voices[voices["path"].str.endswith("text.wav")], tmp_path, n_jobs=1, progress=False)


def test_no_voices_at_all(voices, tmp_path):
    with pytest.raises(InputError):
        extract_clips(voices.iloc[:0], tmp_path, n_jobs=1, progress=False)


def test_soundtracks():
    rows = [
        manifest_row("/v/a.mp4", 0, 1, voice_label=0, voice_method="none"),
        manifest_row("/v/b.mp4", 1, 1, voice_label=0, voice_method=""),
        manifest_row("/v/c.mp4", 0, 2, voice_label=1, voice_method="vocoder"),
        manifest_row("/v/d.mp4", 1, 2, voice_label=1, voice_method=""),
        manifest_row("/v/e.mp4", 1, 3, voice_label="", voice_method=""),
    ]
    table = soundtracks(make_manifest(rows))
    assert list(table.columns) == list(COLUMNS)
    assert table["path"].tolist() == ["/v/a.mp4", "/v/b.mp4", "/v/c.mp4", "/v/d.mp4"]
    assert table["label"].tolist() == [0, 0, 1, 1]  # of the voice, not of the picture
    assert table["method"].tolist() == ["none", "none", "vocoder", "unknown"]
    make_manifest(table)  # valid


def test_soundtracks_of_videos_with_unknown_voices():
    assert soundtracks(make_manifest([manifest_row("/v/a.mp4", 0)])).empty
    only_methods = make_manifest([manifest_row("/v/a.mp4", 0, voice_label=1)])
    assert soundtracks(only_methods)["method"].tolist() == ["unknown"]


@pytest.mark.parametrize("below_peak_db", [20.0, 35.0])
@pytest.mark.parametrize("n_samples", [100, 511, 9000, 48_000])
def test_the_voice_is_found_where_librosa_finds_it(n_samples, below_peak_db):
    import librosa

    generator = np.random.default_rng(n_samples)
    for _ in range(20):
        envelope = 10 ** (
            -generator.uniform(0, 5) * np.abs(np.linspace(-1, 1, n_samples) - generator.uniform(-1, 1))
        )
        sound = (envelope * generator.standard_normal(n_samples)).astype(np.float32) * 0.1
        _, span = librosa.effects.trim(
            sound, top_db=below_peak_db, frame_length=min(512, n_samples), hop_length=160
        )
        assert find_voice(sound, below_peak_db) == tuple(span)
    assert find_voice(np.zeros(n_samples, np.float32)) == tuple(
        librosa.effects.trim(
            np.zeros(n_samples, np.float32), top_db=35, frame_length=min(512, n_samples), hop_length=160
        )[1]
    )


def test_judging_a_voice_needs_no_scikit_learn():
    code = (
        "import sys, numpy as np; from dfutils.audio import normalise_voice; "
        "normalise_voice(np.random.default_rng(0).standard_normal(32000).astype('float32') * .1); "
        "print('sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
