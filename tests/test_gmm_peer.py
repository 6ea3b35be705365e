"""LFCC-GMM: likelihoods against scipy and scikit-learn, the direction of the score, save and load."""

import numpy as np
import pandas as pd
import pytest
from media import tone, write_sound
from scipy.stats import multivariate_normal

from dfutils import InputError
from dfutils.audio import load_audio
from dfutils.gmm_peer import DiagonalGmm, LfccGmm, fit_gmm
from dfutils.lfcc import voice_features
from dfutils.metrics import auc

QUICK = {"n_components": 4, "max_frames": 1500, "progress": False}


def noise(label, number, seconds=0.8):
    """White noise; spoofs lack most of what lies above 5 kHz, as a poor vocoder's output does."""
    audio = np.random.default_rng([label, number]).standard_normal(round(16_000 * seconds))
    if label:
        spectrum = np.fft.rfft(audio)
        spectrum[np.fft.rfftfreq(audio.size, 1 / 16_000) > 5000] *= 0.2
        audio = np.fft.irfft(spectrum, audio.size)
    return (0.1 * audio).astype(np.float32)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Twelve clips to fit on, twelve to score; both classes at the same levels."""
    folder = tmp_path_factory.mktemp("clips")
    rows = []
    for number in range(12):
        for label in (0, 1):
            gain = 0.5 + number % 3
            path = write_sound(folder / f"{number}-{label}.wav", gain * noise(label, number))
            split = "train" if number < 6 else "val"
            rows.append({"path": str(path), "label": label, "person": f"p{number}", "split": split})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def train(clips):
    return clips[clips["split"] == "train"]


@pytest.fixture(scope="module")
def val(clips):
    return clips[clips["split"] == "val"]


@pytest.fixture(scope="module")
def model(train):
    return fit_gmm(train, **QUICK)


# ------------------------------------------------------------------ likelihoods


def test_log_likelihood_against_scipy():
    rng = np.random.default_rng(3)
    gmm = DiagonalGmm(np.array([0.2, 0.5, 0.3]), 5 * rng.normal(size=(3, 7)), rng.uniform(0.01, 4, (3, 7)))
    frames = 5 * rng.normal(size=(50, 7))
    expected = [
        np.logaddexp.reduce(
            [
                np.log(weight) + multivariate_normal(mean, np.diag(variance)).logpdf(frame)
                for weight, mean, variance in zip(gmm.weights, gmm.means, gmm.variances)
            ]
        )
        for frame in frames
    ]
    np.testing.assert_allclose(gmm.log_likelihood(frames), expected, rtol=1e-9)


def test_the_fit_against_scikit_learn(train):
    """With every frame taken, each mixture is what scikit-learn fits to that class."""
    from sklearn.mixture import GaussianMixture

    pair = train.iloc[:2]
    frames = {
        row.label: voice_features(load_audio(row.path), kind="all").T.astype(np.float64)
        for row in pair.itertuples()
    }
    model = fit_gmm(pair, n_components=1, max_frames=10_000, progress=False)
    for label, gmm in ((0, model.bona_fide), (1, model.spoof)):
        reference = GaussianMixture(1, covariance_type="diag", reg_covar=0).fit(frames[label])
        for part in frames.values():
            np.testing.assert_allclose(
                gmm.log_likelihood(part), reference.score_samples(part), rtol=1e-4, atol=1e-3
            )


def test_the_score_is_the_mean_log_likelihood_ratio(model, val):
    audio = load_audio(val["path"].iloc[0])
    frames = voice_features(audio, kind="all").T.astype(np.float64)
    expected = np.mean(model.spoof.log_likelihood(frames)) - np.mean(model.bona_fide.log_likelihood(frames))
    assert model.score(val.iloc[:1], progress=False)[0] == pytest.approx(expected)


def test_length_does_not_scale_the_score(model):
    short, long = model.score_audio(noise(1, 50, 1.0)), model.score_audio(noise(1, 50, 6.0))
    assert short > 0
    assert long == pytest.approx(short, rel=0.25)


# ------------------------------------------------------------------ what it is for


def test_spoofs_score_higher_than_bona_fide(model, val):
    scores = model.score(val, progress=False)
    assert scores.shape == (len(val),)
    assert scores.dtype == np.float64
    assert auc(val["label"], scores) > 0.9
    assert np.sign(np.median(scores[val["label"] == 0])) == -1
    assert np.sign(np.median(scores[val["label"] == 1])) == 1


def test_classes_that_do_not_differ_are_not_told_apart(tmp_path):
    rows = [
        {
            "path": str(write_sound(tmp_path / f"{label}-{k}.wav", noise(0, 20 + 2 * k + label))),
            "label": label,
        }
        for k in range(12)
        for label in (0, 1)
    ]
    table = pd.DataFrame(rows)
    model = fit_gmm(table[:12], **QUICK)
    assert 0.1 < auc(table["label"][12:], model.score(table[12:], progress=False)) < 0.9


def test_the_same_seed_gives_the_same_model(train, val, model):
    again = fit_gmm(train, **QUICK, n_jobs=2)
    np.testing.assert_array_equal(
        again.score(val, progress=False, n_jobs=2), model.score(val, progress=False)
    )
    other = fit_gmm(train, **QUICK, seed=7)
    assert not np.array_equal(other.spoof.means, model.spoof.means)


def test_classes_give_the_same_number_of_frames(tmp_path, train):
    long = write_sound(tmp_path / "long.wav", noise(0, 99, 6.0))
    few = pd.concat([train[train["label"] == 1].iloc[:1], pd.DataFrame([{"path": str(long), "label": 0}])])
    model = fit_gmm(few, n_components=2, max_frames=500, progress=False)
    assert model.about["frames_per_class"] == 81  # 0.8 s at 10 ms, the shorter class
    assert fit_gmm(train, n_components=2, max_frames=60, progress=False).about["frames_per_class"] == 60


def test_long_clips_do_not_stand_for_their_class(tmp_path):
    """20 s of a tone beside five short noises: a sixth of the frames, not nine tenths."""
    paths = [write_sound(tmp_path / "tone.wav", tone(440, 20.0))]
    paths += [write_sound(tmp_path / f"{k}.wav", noise(0, k)) for k in range(5)]
    spoofs = [write_sound(tmp_path / f"s{k}.wav", noise(1, k)) for k in range(6)]
    table = pd.DataFrame({"path": [str(p) for p in paths + spoofs], "label": [0] * 6 + [1] * 6})
    model = fit_gmm(table, n_components=2, max_frames=480, progress=False)
    loud = voice_features(tone(440, 2.0), kind="all").T.astype(np.float64)
    near = np.argmin(np.abs(model.bona_fide.means - loud.mean(axis=0)).sum(axis=1))
    assert model.bona_fide.weights[near] == pytest.approx(1 / 6, abs=0.03)


# ------------------------------------------------------------------ files


def test_save_and_load(tmp_path, model, val):
    path = model.save(tmp_path / "new" / "peer.npz")
    loaded = LfccGmm.load(path)
    np.testing.assert_array_equal(loaded.score(val, progress=False), model.score(val, progress=False))
    assert loaded.about == model.about
    assert [item.name for item in path.parent.iterdir()] == ["peer.npz"]


def test_the_front_end_is_kept(tmp_path, train, val):
    model = fit_gmm(train, **QUICK, n_coefficients=12, fmax_hz=7000.0)
    loaded = LfccGmm.load(model.save(tmp_path / "peer.npz"))
    assert loaded.spoof.means.shape == (4, 36)
    np.testing.assert_array_equal(loaded.score(val, progress=False), model.score(val, progress=False))


def test_what_is_no_model(tmp_path, model):
    with pytest.raises(InputError, match=r"gone\.npz.*does not exist"):
        LfccGmm.load(tmp_path / "gone.npz")
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    np.savez(tmp_path / "objects.npz", bona_fide_weights=np.array([{}], object), allow_pickle=True)
    whole = model.save(tmp_path / "peer.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    for name in ("text", "other", "objects", "half"):
        with pytest.raises(InputError, match=rf"{name}\.npz.*not a saved LFCC-GMM"):
            LfccGmm.load(tmp_path / f"{name}.npz")


def test_impossible_mixtures():
    for weights, variances in ((np.ones(1), np.zeros((1, 2))), (np.ones(2), np.ones((1, 2)))):
        with pytest.raises(InputError, match="mixture"):
            DiagonalGmm(weights, np.zeros((1, 2)), variances)
    with pytest.raises(InputError, match="mixture"):
        DiagonalGmm(np.ones(1), np.full((1, 2), np.nan), np.ones((1, 2)))


# ------------------------------------------------------------------ errors


def test_one_class(train):
    with pytest.raises(InputError, match=r"labels 0 and 1"):
        fit_gmm(train[train["label"] == 1], **QUICK)
    with pytest.raises(InputError, match=r"labels 0 and 1"):
        fit_gmm(train.assign(label="spoof"), **QUICK)


def test_tables_that_cannot_be_used(train, model):
    with pytest.raises(InputError, match=r"columns.*label"):
        fit_gmm(train[["path"]], **QUICK)
    with pytest.raises(InputError, match=r"columns.*path"):
        model.score(train[["label"]])
    with pytest.raises(InputError, match="at least one row"):
        model.score(train[:0])


def test_missing_files_are_told_before_any_work(train, model):
    table = train.assign(path=[*train["path"][:-1], "/nowhere/x.wav"])
    for call in (lambda: fit_gmm(table, **QUICK), lambda: model.score(table)):
        with pytest.raises(InputError, match=r"1 of 12 files are missing.*/nowhere/x\.wav"):
            call()


def test_a_file_that_cannot_be_used_is_named(tmp_path, train, model):
    short = write_sound(tmp_path / "short.wav", noise(0, 1, 0.01))
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    for path in (short, broken):
        table = pd.concat([train, pd.DataFrame([{"path": str(path), "label": 0}])])
        with pytest.raises(InputError, match=path.name):
            fit_gmm(table, **QUICK)
        with pytest.raises(InputError, match=path.name):
            model.score(table, progress=False)


def test_too_few_frames(train):
    with pytest.raises(InputError, match=r"81 frames per class for 300"):
        fit_gmm(train.iloc[:2], n_components=300, progress=False)
    for n_components in (0, 11):
        with pytest.raises(InputError, match=r"n_components.*1\.\.10"):
            fit_gmm(train, n_components=n_components, max_frames=10, progress=False)
