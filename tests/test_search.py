"""The search: finds what is there, resumes, prunes, and tells chance from skill."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from dfutils import InputError, plots, search, search_checks
from dfutils.models import ModelConfig

CONFIG = ModelConfig("video", "EfficientNetV2B0", (64, 64))


def make_features(n, seed, shift=1.5):
    """Two Gaussian clouds: fakes lie ``shift`` further along the first axis."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    features = generator.normal(size=(n, 12)).astype(np.float32)
    features[:, 0] += shift * labels
    return features, labels


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    storage = tmp_path_factory.mktemp("search") / "deep" / "trials.journal"
    data = make_features(200, 0), make_features(100, 1)
    trials = search.search_head(*data, CONFIG, n_trials=3, epochs=6, storage=storage, progress=False)
    return trials, data, storage


def test_finds_a_head_that_separates(found):
    trials, _, _ = found
    assert len(trials) == 6
    assert set(trials["head"]) == {"softmax", "lmcl"}
    assert trials["auc"].iloc[0] > 0.75  # a perfect detector of this shift reaches .86
    kept = trials[~trials["pruned"]]["auc"]
    assert kept.is_monotonic_decreasing


def test_goes_on_with_finished_trials(found):
    trials, data, storage = found
    again = search.search_head(*data, CONFIG, n_trials=3, epochs=6, storage=storage, progress=False)
    pd.testing.assert_frame_equal(again, trials)
    more = search.search_head(*data, CONFIG, ("softmax",), 4, 6, storage=storage, progress=False)
    assert len(more) == 4
    old = trials[trials["head"] == "softmax"].set_index("number")["auc"]
    assert more.set_index("number")["auc"].loc[old.index].tolist() == old.tolist()


def test_prunes_hopeless_trials(monkeypatch):
    """Where every later trial is blinded, most of them must be given up before the last epoch."""
    monkeypatch.setattr(search, "_safe_auc", _worse_after(100))
    trials = search.search_head(
        make_features(64, 0), make_features(32, 1), CONFIG, ("softmax",), 12, 12, progress=False
    )
    assert trials["pruned"].any()
    assert not trials["pruned"].iloc[0]


def _worse_after(n):
    calls = []

    def safe_auc(model, validation):
        calls.append(1)
        return 0.9 if len(calls) <= n else 0.1

    return safe_auc


def test_finalists_are_trained_again_with_several_seeds(found):
    trials, data, _ = found
    table = search_checks.try_finalists(*data, CONFIG, trials, n_per_head=1, n_seeds=3, epochs=6)
    assert sorted(table["head"]) == ["lmcl", "softmax"]
    assert table["mean_auc"].between(0.6, 1).all()
    assert (table["deviation"] >= 0).all()
    assert table["mean_auc"].is_monotonic_decreasing


def test_configuration_of_a_row(found):
    trials, _, _ = found
    for row in (trials[trials["head"] == head].iloc[0] for head in ("softmax", "lmcl")):
        config = search.config_of(row, CONFIG)
        assert (config.head, config.hidden_units) == (row["head"], row["hidden_units"])
        assert isinstance(config.hidden_units, int)
        assert config.margin == (row["margin"] if row["head"] == "lmcl" else CONFIG.margin)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"learning_rate": 1.01e-4}, ["learning_rate"]),
        ({"l2": 9.9e-3, "dropout": 0.59}, ["l2", "dropout"]),
        ({"hidden_units": 512}, ["hidden_units"]),
        ({"scale": 2.0}, ["scale"]),
    ],
)
def test_border_of_the_space(changes, expected):
    row = {"learning_rate": 1e-3, "l2": 1e-4, "dropout": 0.3, "hidden_units": 128, "scale": 4.0}
    assert search_checks.find_border(pd.Series(row | changes)) == expected


def test_shuffled_labels_teach_nothing():
    values = search_checks.shuffled_control(
        make_features(200, 0), make_features(200, 1), CONFIG, 1e-3, n_repeats=4
    )
    assert abs(np.mean(values) - 0.5) < 0.2  # a head with the true labels reaches .8


def test_needs_something_to_try():
    with pytest.raises(InputError, match="at least one trial"):
        search.search_head(make_features(8, 0), make_features(8, 1), CONFIG, n_trials=0)


def test_optunas_views_leave_the_style_alone(found):
    _, _, storage = found
    before = dict(plt.rcParams)
    study = search.open_study(CONFIG, "softmax", storage)
    figure = plots.optuna_view(study, "optimization_history")
    assert figure.axes[0].get_ylabel() == "validation AUC"
    assert dict(plt.rcParams) == before
    plt.close(figure)
