"""Stored views of voices: what training reads is what the detector computes."""

import numpy as np
import pandas as pd
import pytest

from dfutils import InputError, voice_views
from dfutils.audio import load_audio, normalise_voice, write_flac
from dfutils.voice_input import VoiceInput
from dfutils.voice_views import ViewSequence, make_views, warp_bands

INPUT = VoiceInput("bands", 0.5, (24, 51), 24, (60.0, 7000.0))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("clips")
    generator, rows = np.random.default_rng(0), []
    for k in range(6):
        t = np.arange(16_000 + 1600 * k) / 16_000
        sound = sum(np.sin(2 * np.pi * 120 * (1 + k / 9) * h * t) / h for h in range(1, 12))
        sound = sound * (1 + np.sin(7 * t)) + 0.05 * generator.standard_normal(t.size)
        for label in (0, 1):
            path = folder / f"{k}-{label}.flac"
            write_flac(
                path, normalise_voice((0.1 * np.sign(sound) if label else 0.1 * sound).astype("float32"))
            )
            rows.append((str(path), label, f"s{k}", k))
    return pd.DataFrame(rows, columns=["path", "label", "source", "pair"])


@pytest.fixture(scope="module")
def views(clips, tmp_path_factory):
    return make_views(clips, tmp_path_factory.mktemp("views"), INPUT, n_channels=2, progress=False, workers=1)


def test_a_clean_uncut_view_is_the_picture_of_the_clip(clips, views, monkeypatch):
    monkeypatch.setattr(voice_views, "cut_window", lambda rows, n, generator: rows[:, :n])
    monkeypatch.setattr(voice_views, "mask_features", lambda maps, seed: maps)
    data = ViewSequence(clips, views, INPUT, clean_share=1.0, batch_size=4, workers=1)
    pictures, labels = data[0]
    assert labels.tolist() == [0, 1, 0, 1]
    for picture, path in zip(pictures, clips["path"]):
        # the detector cuts the sound, training its frames: they differ in the last frames' padding
        expected = INPUT.picture(load_audio(path))
        assert np.abs(picture - expected)[:, :45].max() < 0.06
        inner = picture[:, :45, 0].ravel(), expected[:, :45, 0].ravel()
        assert np.corrcoef(*inner)[0, 1] > 0.99


def test_warping_moves_a_band_and_a_moment_where_they_belong():
    rows = np.zeros((80, 300), np.float32)
    rows[40, 150] = 1
    moved = [warp_bands(rows, 0.2, np.random.default_rng(k)) for k in range(40)]
    assert 10 < sum(one is rows for one in moved) < 30
    places = {one.shape[1]: np.unravel_index(one.argmax(), one.shape) for one in moved if one is not rows}
    for n_frames, (band, moment) in places.items():
        assert 240 <= n_frames <= 360
        assert abs(moment - 150 * n_frames / 300) <= 1
        assert 32 <= band <= 48
    assert len({band for band, _ in places.values()}) > 5


@pytest.mark.parametrize("warp", [0.0, 0.15])
def test_partners_get_the_same_channel_crop_and_masks(clips, views, warp):
    same = clips.assign(path=clips["path"].str.replace("-1.flac", "-0.flac"))
    pictures, labels = ViewSequence(same, views, INPUT, warp=warp, batch_size=12, shuffle=True, workers=1)[0]
    assert sorted(labels[:2]) == [0, 1]
    for first, second in zip(pictures[::2], pictures[1::2]):
        np.testing.assert_array_equal(first, second)


def test_channels_differ_between_versions_and_agree_within_a_source(clips, views):
    maps = np.load(views / "00000.npz")["maps"].astype(np.float32)
    assert maps.shape == (12, 3, 24, 321)
    assert np.abs(maps[:, 1] - maps[:, 2]).max(axis=(1, 2)).min() > 0.1
    colour = maps[:, 1, :, :90].mean(axis=2) - maps[:, 0, :, :90].mean(axis=2)
    own = np.abs(colour[::2] - colour[1::2]).mean()
    other = np.abs(colour[::2] - np.roll(colour[1::2], 2, axis=0)).mean()
    assert own < other


def test_epochs_serve_each_row_once_and_differ(clips, views):
    data = ViewSequence(clips, views, INPUT, batch_size=5, shuffle=True, workers=2)
    epochs = []
    for epoch in range(2):
        data.set_epoch(epoch)
        batches = [data[k] for k in range(len(data))]
        assert sum(len(labels) for _, labels in batches) == 12
        assert sum(labels.sum() for _, labels in batches) == 6
        epochs.append(batches[0][0])
    assert not np.array_equal(*epochs)


def test_interrupted_views_go_on(clips, views, tmp_path, monkeypatch):
    monkeypatch.setattr(voice_views, "CLIPS_PER_FILE", 5)
    settings = {"n_channels": 1, "progress": False, "workers": 1}
    folder = make_views(clips, tmp_path, INPUT, **settings)
    files = sorted(folder.glob("*.npz"))
    assert len(files) == 3
    before = [path.read_bytes() for path in files]
    files[1].unlink()
    (folder / "paths.csv").unlink()
    with pytest.raises(InputError, match="no finished views"):
        ViewSequence(clips, folder, INPUT)
    kept = files[0].stat().st_mtime_ns
    assert make_views(clips, tmp_path, INPUT, **settings) == folder
    assert files[0].stat().st_mtime_ns == kept
    for path, content in zip(files, before):
        with np.load(path) as again:
            assert again["maps"].shape[1:] == (2, 24, 321)
        assert path.stat().st_size == len(content)
    (folder / ".partial-killed.npz").write_bytes(b"half")
    assert len(ViewSequence(clips, folder, INPUT)._lengths) == len(clips)
    assert make_views(clips, tmp_path, INPUT, **settings, strength=0.2) != folder


def test_wrong_uses_are_refused(clips, views, tmp_path):
    with pytest.raises(InputError, match="views are made of 'bands'"):
        make_views(clips, tmp_path, VoiceInput("static"), progress=False)
    with pytest.raises(InputError, match="is not among the views"):
        ViewSequence(clips.assign(path="elsewhere.flac"), views, INPUT)
    with pytest.raises(InputError, match="warp"):
        ViewSequence(clips, views, INPUT, warp=0.7)
