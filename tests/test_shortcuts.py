"""The shortcut audit: features of known sounds, and an audit that finds what is there and nothing else."""

import numpy as np
import pandas as pd
import pytest
from conftest import manifest_row
from media import tone, voice, write_sound

from dfutils import InputError
from dfutils.audio import write_flac
from dfutils.manifest import make_manifest
from dfutils.shortcut_features import FEATURES, clip_features, feature_table, file_sample_rate
from dfutils.shortcuts import audit


def table(n=160, seed=0, **columns):
    """Features of noise for ``n`` clips, alternately bona fide and spoofed."""
    values = np.random.default_rng(seed).standard_normal((n, len(FEATURES)))
    return pd.DataFrame(values, columns=list(FEATURES)).assign(label=np.arange(n) % 2, **columns)


# ------------------------------------------------------------------ features


def test_features_of_a_known_sound():
    sr = 16_000
    noise = 1e-3 * np.random.default_rng(0).standard_normal(int(0.3 * sr))
    audio = np.concatenate([noise, tone(1000, 1.0, sr, 0.5), np.zeros(int(0.2 * sr))]).astype(np.float32)
    found = clip_features(audio, sr)
    assert tuple(found) == FEATURES
    assert found["sample_rate_hz"] == sr
    assert found["duration_s"] == pytest.approx(1.5)
    assert found["level_dbfs"] == pytest.approx(10 * np.log10(0.125 / 1.5), abs=0.01)
    assert found["peak"] == pytest.approx(0.5, abs=1e-3)
    assert found["lead_silence_s"] == pytest.approx(0.3, abs=0.011)
    assert found["trail_silence_s"] == pytest.approx(0.2, abs=0.011)
    assert found["zeros"] == pytest.approx(0.2 / 1.5, abs=0.08)  # a sine has zeros of its own
    assert found["floor_dbfs"] == -100


def test_noise_floor_bandwidth_and_high_band():
    sr = 16_000
    white = 1e-3 * np.random.default_rng(0).standard_normal(2 * sr)
    speech = np.r_[tone(500, 1.0), np.zeros(sr)] + white
    assert clip_features(speech, sr)["floor_dbfs"] == pytest.approx(-60, abs=1)
    assert clip_features(white, sr)["high_band_db"] == pytest.approx(-3.01, abs=0.2)
    assert clip_features(white, sr)["bandwidth_hz"] == 8000
    spectrum = np.fft.rfft(white)
    spectrum[2 * 3000 :] = 0  # bins of half a hertz
    narrow = clip_features(np.fft.irfft(spectrum), sr)
    assert narrow["bandwidth_hz"] == pytest.approx(3000, abs=200)  # a window's slope
    assert narrow["high_band_db"] < -50


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (np.zeros(0), "got shape"),
        (np.zeros(700), "hold 0.05 s"),
        (np.zeros((2, 16_000)), "mono"),
        (np.full(16_000, np.nan), "not numbers"),
    ],
)
def test_bad_sound_is_refused(audio, reason):
    with pytest.raises(InputError, match=reason):
        clip_features(audio, 16_000)


def test_silence_can_be_measured():
    assert np.isfinite(list(clip_features(np.zeros(16_000), 16_000).values())).all()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    text = folder / "text.wav"
    text.write_text("nothing")
    rows = [
        manifest_row(write_sound(folder / "a.wav", voice(1.0, 1, 44_100), 44_100), 0, 1),
        manifest_row(write_flac(folder / "b.flac", 0.1 * voice(0.8, 2)), 1, 2),
        manifest_row(write_flac(folder / "short.flac", voice(0.3, 3)), 1, 3),
        manifest_row(text, 0, 4),
    ]
    return make_manifest(rows)


def test_table_of_features_as_the_files_are(clips):
    features, rejects = feature_table(clips, workers=1)
    assert len(features) == 3
    assert features["sample_rate_hz"].tolist() == [44_100, 16_000, 16_000]
    assert features["duration_s"].tolist() == pytest.approx([1.0, 0.8, 0.3], abs=0.01)
    assert features["level_dbfs"].iloc[1] < features["level_dbfs"].iloc[0] - 15
    assert rejects["reason"].str.contains("cannot be decoded").tolist() == [True]
    assert {"person", "split"} <= set(features.columns)
    assert file_sample_rate(clips["path"].iloc[0]) == 44_100


def test_table_of_features_after_normalisation(clips):
    features, rejects = feature_table(clips, normalise=True, seconds=0.6, workers=2)
    assert features["sample_rate_hz"].tolist() == [16_000] * 2
    assert features["duration_s"].tolist() == [0.6] * 2
    assert features["level_dbfs"].tolist() == pytest.approx([-26] * 2, abs=0.3)
    assert rejects["reason"].str.contains(r"0\.\d+ s of sound").sum() == 1
    with pytest.raises(InputError, match="not one of 1 clips"):
        feature_table(clips[clips["path"].str.endswith("text.wav")])


# ------------------------------------------------------------------ audit


def test_nothing_is_found_where_nothing_is():
    found = audit(table(), n_resamples=100)
    assert found["auc_random"] == pytest.approx(0.5, abs=0.13)
    assert found["low"] < found["auc_random"] < found["high"]
    assert found["high"] - found["low"] == pytest.approx(0.18, abs=0.05)  # 4 x .046 of 80 and 80 clips


def test_a_give_away_is_found():
    features = table()
    features["level_dbfs"] += 3 * features["label"]
    assert audit(features)["auc_random"] > 0.95
    folded = table()
    folded["zeros"] = np.abs(folded["zeros"]) * 0.2 + (folded["label"] == 0) * np.sign(folded["zeros"]) * 2
    found = audit(folded)  # both tails: no line tells them apart, trees do
    assert found["auc_random_trees"] > 0.95
    assert found["auc_random"] == found["auc_random_trees"] > found["auc_random_logistic"] + 0.2


def test_a_give_away_of_one_set_does_not_carry_over():
    """Each set has its own level, no rule beyond that: known sets are told apart, new ones are not."""
    sets = np.array(["real-a", "fake-a", "real-b", "fake-b", "real-c", "fake-c"])
    which = np.arange(180) % 6
    features = table(180)
    features["level_dbfs"] = np.array([0.0, 1, 3, 2, 4, 5])[which] * 10 + 0.1 * features["level_dbfs"]
    found = audit(features, groups=sets[which])
    assert found["auc_random"] > 0.95
    assert found["n_left_out"] == 9  # three bona fide sets by three spoofed ones
    assert found["auc_left_out"] < 0.75


def test_a_give_away_of_all_sets_carries_over():
    features = table(200, sets=np.repeat(["a", "b", "c", "d"], 50))  # each with both classes
    features["peak"] += 3 * features["label"]
    found = audit(features, groups=features["sets"])
    assert found["n_left_out"] == 4
    assert found["auc_left_out"] > 0.95


def test_persons_are_drawn_whole():
    features = table()
    features["level_dbfs"] += features["label"]
    persons = np.arange(len(features)) // 20  # eight persons
    by_clip, by_person = (audit(features, n_resamples=200, persons=who) for who in (None, persons))
    assert by_person["auc_random"] == by_clip["auc_random"]
    assert by_person["low"] < by_person["auc_random"] < by_person["high"]
    assert (by_person["low"], by_person["high"]) != (by_clip["low"], by_clip["high"])


def test_the_audit_is_deterministic():
    assert audit(table(), n_resamples=20) == audit(table(), n_resamples=20)


def test_labels_can_be_given_apart():
    features = table()
    labels = features.pop("label")
    assert audit(features, labels.to_numpy()) == audit(features.assign(label=labels))


def test_bad_tables_are_refused():
    with pytest.raises(InputError, match=r"lack the columns.*'peak'"):
        audit(table().drop(columns="peak"))
    with pytest.raises(InputError, match="not numbers"):
        audit(table().assign(peak=np.nan))
    with pytest.raises(InputError, match="5 or more of each"):
        audit(table().assign(label=0))
    with pytest.raises(InputError, match="must be 160"):
        audit(table(), labels=np.arange(10) % 2)
    with pytest.raises(InputError, match="no set can be left out"):
        audit(table(), groups=np.where(np.arange(160) % 2, "fake", "real"))
