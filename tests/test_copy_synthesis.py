"""Vocoded copies: of the clip's length and level, seeded, different where they should be; the batch run."""

import inspect
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import manifest_row
from media import tone, voice, write_sound

from dfutils import InputError
from dfutils.audio import SAMPLE_RATE_HZ, load_audio, rms_dbfs, write_flac
from dfutils.copy_synthesis import make_copies
from dfutils.embedded.voices import draw_speaker, synthesise
from dfutils.leaks import check_leaks
from dfutils.manifest import COLUMNS, make_manifest, read_manifest
from dfutils.psola import psola
from dfutils.vocoders import METHODS, copy_synthesize
from dfutils.vocoders_source import excitation

WANDERING = ("psola-tempo", "joins")
SEEDLESS = ("world",)  # draws nothing


@pytest.fixture(scope="module")
def speech():
    """A second of the embedded corpus' babble at -25 dBFS, over a faint floor."""
    generator = np.random.default_rng(7)
    audio = synthesise(draw_speaker(0, 42), 1.0, generator)
    audio = audio + 1e-4 * generator.standard_normal(audio.size)
    return (audio * 10 ** ((-25 - rms_dbfs(audio)) / 20)).astype(np.float32)


@pytest.fixture(scope="module")
def copies(speech):
    return {method: copy_synthesize(speech, method, 1) for method in METHODS}


def envelope(audio):
    """Loudness every 5 ms, without its mean."""
    power = np.convolve(np.square(audio, dtype=np.float64), np.hanning(800), "same")[::80]
    return np.sqrt(power) - np.sqrt(power).mean()


def pitch_hz(audio):
    """Pitch by WORLD's other estimator, voiced frames only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld
    found, _ = pyworld.harvest(audio.astype(np.float64), SAMPLE_RATE_HZ)
    return found[found > 0]


def log_spectrum(audio):
    import librosa

    return 10 * np.log10(np.abs(librosa.stft(audio, n_fft=512, hop_length=160)) ** 2 + 1e-8)


# ------------------------------------------------------------------ one copy


@pytest.mark.parametrize("method", METHODS)
def test_length_level_type_and_range(copies, speech, method):
    copy = copies[method]
    assert copy.dtype == np.float32
    assert copy.shape == speech.shape
    assert np.isfinite(copy).all()
    assert np.abs(copy).max() <= 1
    assert rms_dbfs(copy) == pytest.approx(rms_dbfs(speech), abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_gives_one_copy_and_another_seed_another(copies, speech, method):
    np.testing.assert_array_equal(copy_synthesize(speech, method, 1), copies[method])
    if method not in SEEDLESS:
        others = [copy_synthesize(speech, method, seed) for seed in (2, 3)]  # two: a draw may fall alike
        assert any(not np.array_equal(other, copies[method]) for other in others)


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_says_the_same_but_is_not_the_same(copies, speech, method):
    copy = copies[method]
    lags = range(-40, 41) if method in WANDERING else range(-3, 4)  # 5 ms each
    ours, theirs = envelope(copy), envelope(speech)
    match = max(np.corrcoef(np.roll(ours, lag), theirs)[0, 1] for lag in lags)
    assert match > (0.6 if method in WANDERING else 0.8)
    assert rms_dbfs(copy - speech) > rms_dbfs(speech) - 30
    distance = np.sqrt(np.square(log_spectrum(copy) - log_spectrum(speech)).mean())
    assert 0.5 < distance < 30  # dB


def test_methods_differ_from_each_other(copies):
    names = list(copies)
    assert len(names) >= 20
    for k, name in enumerate(names):
        for other in names[k + 1 :]:
            assert not np.allclose(copies[name], copies[other], atol=1e-3), (name, other)


def test_world_is_that_of_pyworld(copies, speech):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld
    reference = pyworld.synthesize(
        *pyworld.wav2world(speech.astype(np.float64), SAMPLE_RATE_HZ), SAMPLE_RATE_HZ
    )
    reference = reference[: speech.size]
    reference *= np.sqrt(np.mean(speech**2) / np.mean(reference**2))
    np.testing.assert_allclose(copies["world"], reference, atol=1e-3)


def test_melody(copies, speech):
    def spread(audio):
        return np.quantile(pitch_hz(audio), 0.9) / np.quantile(pitch_hz(audio), 0.1)

    middle = np.median(pitch_hz(speech))
    assert spread(copies["world-flat"]) < 0.7 * spread(speech) + 0.3
    for method in ("world-shifted", "psola-pitch"):
        assert abs(12 * np.log2(np.median(pitch_hz(copies[method])) / middle)) > 0.8, method
    for method in ("world", "mel-pulse", "lpc-pulse", "harmonic", "phase-noise"):
        assert abs(12 * np.log2(np.median(pitch_hz(copies[method])) / middle)) < 0.5, method


def test_overlap_add_without_a_change_gives_the_voice_back(speech):
    same = psola(speech.astype(np.float64), np.random.default_rng(0))
    assert np.corrcoef(same, speech)[0, 1] > 0.999


def test_magnitudes_survive_where_only_phase_is_touched(copies, speech):
    loud = log_spectrum(speech) > log_spectrum(speech).max() - 40
    for method, most_db in (("phase-noise", 5), ("spectrum-griffinlim", 5), ("mel-noise", 12)):
        difference = np.abs(log_spectrum(copies[method]) - log_spectrum(speech))[loud]
        assert np.median(difference) < most_db, method


def test_upsampling_leaves_images():
    """A 700 Hz tone kept at every second to fourth sample appears again about a multiple of that rate."""
    audio = tone(700, 1.0).astype(np.float64)
    found = set()
    for seed in range(6):
        images = excitation(audio, np.random.default_rng(seed), "images")
        power = np.abs(np.fft.rfft(images * np.hanning(images.size))) ** 2  # 1 Hz bins
        strong = np.flatnonzero(power > 1e-4 * power.max())
        strong = strong[strong > 1000]
        assert strong.size
        expected = {
            step: np.abs(np.array([1, 1, 2, 2]) * 16_000 / step + [-700, 700, -700, 700])
            for step in (2, 3, 4)
        }
        steps = [step for step, hz in expected.items() if all(np.abs(hz - k).min() < 5 for k in strong)]
        assert steps
        found.add(steps[0])  # the images of 2 are among those of 4
    assert len(found) >= 2


@pytest.mark.parametrize("method", METHODS)
def test_noise_and_a_loud_tone_can_be_copied(method):
    """Nothing voiced; everything voiced and at full scale; the shortest length."""
    noise = (0.1 * np.random.default_rng(0).standard_normal(1600)).astype(np.float32)
    square = np.sign(tone(150, 0.3)).astype(np.float32)
    for audio in (noise, square):
        copy = copy_synthesize(audio, method, 5)
        assert copy.shape == audio.shape
        assert np.isfinite(copy).all()
        assert np.abs(copy).max() <= 1
        assert rms_dbfs(copy) < rms_dbfs(audio) + 0.01  # quieter where peaks would not fit


def test_threads_do_not_disturb_each_other(copies, speech):
    names = ["world-smooth", "harmonic", "lpc-pulse", "mel-pulse", "world-shifted", "joins"] * 3
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: copy_synthesize(speech, name, 1), names))
    for name, copy in zip(names, found):
        np.testing.assert_array_equal(copy, copies[name])


@pytest.mark.parametrize(
    ("audio", "method", "reason"),
    [
        (voice(0.5), "straight", r"must be one of .*'world'.*got 'straight'"),
        (voice(0.05), "world", r"0\.05 s of sound, less than 0\.1 s"),
        (np.zeros(0, np.float32), "world", r"0\.00 s of sound"),
        (np.zeros(8000, np.float32), "lpc-pulse", "is silent"),
        (np.full(8000, np.nan, np.float32), "world", "not numbers"),
        (np.zeros((2, 8000), np.float32), "world", r"mono.*\(2, 8000\)"),
    ],
)
def test_what_cannot_be_copied_is_refused(audio, method, reason):
    with pytest.raises(InputError, match=reason):
        copy_synthesize(audio, method, 0)


# ------------------------------------------------------------------ many copies

FAST = ("phase-noise", "psola-tempo", "lpc-noise")


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """Two usable bona fide clips (one at 44.1 kHz), a spoof, a silence, a text."""
    folder = tmp_path_factory.mktemp("originals")
    text = folder / "text.wav"
    text.write_text("nothing")
    rows = [
        manifest_row(write_flac(folder / "one é.flac", voice(0.8, 1)), 0, 1, licence="CC0"),
        manifest_row(write_sound(folder / "two.wav", voice(0.7, 2, 44_100), 44_100), 0, 2, split="val"),
        manifest_row(write_flac(folder / "spoof.flac", voice(0.6, 3)), 1, 1),
        manifest_row(write_flac(folder / "silence.flac", np.zeros(9000)), 0, 4),
        manifest_row(text, 0, 5),
    ]
    return make_manifest(rows)


@pytest.fixture(scope="module")
def made(originals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    return folder, *make_copies(originals, folder, FAST, seed=3, workers=1, progress=False)


def test_table_of_copies(made, originals):
    folder, copies, rejects = made
    assert set(copies.columns) == {*COLUMNS, "copy_of", "licence"}
    assert len(copies) == 2 * len(FAST)
    by_path = originals.set_index("path")
    for row in copies.to_dict("records"):
        original = by_path.loc[row["copy_of"]]
        assert row["label"] == 1
        assert row["method"].removeprefix("copy-") in FAST
        for column in ("split", "person", "source", "dataset"):
            assert row[column] == original[column]
        info = soundfile.info(row["path"])
        assert (info.format, info.samplerate, info.channels) == ("FLAC", SAMPLE_RATE_HZ, 1)
        source, copy = load_audio(row["copy_of"]), load_audio(row["path"])
        assert copy.size == source.size
        assert rms_dbfs(copy) == pytest.approx(rms_dbfs(source), abs=0.05)
    check_leaks(make_manifest(pd.concat([originals[originals["label"] == 0].iloc[:2], copies])))
    assert read_manifest(folder / "copies.csv")["path"].tolist() == copies["path"].tolist()
    assert len(pd.read_csv(folder / "copy-rejects.csv")) == len(rejects)
    assert not list(folder.rglob(".partial-*"))


def test_rejected_clips_tell_the_reason(made):
    _, _, rejects = made
    reasons = rejects.groupby(rejects["path"].map(lambda path: Path(path).name))["reason"].agg(set)
    assert set(reasons.index) == {"silence.flac", "text.wav"}
    assert "is silent" in reasons["silence.flac"].pop()
    assert "cannot be decoded" in reasons["text.wav"].pop()


def test_second_run_makes_only_what_is_missing_or_damaged(made, originals):
    folder, copies, _ = made
    lost, damaged = (Path(path) for path in copies["path"].iloc[:2])
    before = {Path(path): Path(path).read_bytes() for path in copies["path"]}
    stamps = {path: path.stat().st_mtime_ns for path in before}
    lost.unlink()
    damaged.write_bytes(before[damaged][: len(before[damaged]) // 2])
    again, _ = make_copies(originals, folder, FAST, seed=3, workers=2, progress=False)
    pd.testing.assert_frame_equal(again, copies)
    assert {path: path.read_bytes() for path in before} == before
    assert {path for path in before if path.stat().st_mtime_ns != stamps[path]} == {lost, damaged}


def test_another_seed_makes_other_copies(made, originals, tmp_path):
    _, copies, _ = made
    other, _ = make_copies(originals, tmp_path, FAST[:1], seed=4, workers=1, progress=False)
    old = copies[copies["method"] == f"copy-{FAST[0]}"]
    for first, second in zip(old["path"], other["path"]):
        assert not np.array_equal(load_audio(first), load_audio(second))


def test_a_share_of_the_methods_for_each_clip(originals, tmp_path):
    copies, _ = make_copies(originals, tmp_path, FAST, workers=1, per_clip=2, progress=False)
    assert copies.groupby("copy_of")["method"].nunique().tolist() == [2, 2]
    with pytest.raises(InputError, match=r"per_clip.*1\.\.3, got 4"):
        make_copies(originals, tmp_path, FAST, per_clip=4)


def test_evaluation_splits_are_refused(originals, tmp_path):
    for split in ("test", "unseen", ""):
        with pytest.raises(InputError, match=rf"'train', 'val'.*only.*{split!r}"):
            make_copies(originals.assign(split=["train"] * 4 + [split]), tmp_path, FAST)
    assert not list(tmp_path.iterdir())


def test_nothing_to_copy(originals, tmp_path):
    with pytest.raises(InputError, match="no bona fide rows"):
        make_copies(originals[originals["label"] == 1], tmp_path, FAST)
    with pytest.raises(InputError, match=r"methods.*got 'straight'"):
        make_copies(originals, tmp_path, ("straight",))
    bad = originals[originals["path"].str.endswith("text.wav")]
    with pytest.raises(InputError, match=r"not one of 1 clips was copied.*cannot be decoded"):
        make_copies(bad, tmp_path, FAST, workers=1, progress=False)


def test_all_methods_are_the_default():
    assert inspect.signature(make_copies).parameters["methods"].default is None
