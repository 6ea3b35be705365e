"""Peers on the same trials, and what a model can do without a face."""

import numpy as np
import pandas as pd
import pytest

from dfutils import peers
from dfutils.images import write_image
from dfutils.metrics import auc
from dfutils.peers import audit_picture_model, compare_peers


def trials(n=240) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, n)
    return pd.DataFrame(
        {
            "label": labels,
            "logit": 2 * labels + generator.standard_normal(n),
            "split": np.where(np.arange(n) % 2, "val", "unseen"),
            "person": [f"p{k % 24}" for k in range(n)],
            "dataset": "tests",
            "method": np.where(labels, "swap", "none"),
        },
        index=np.arange(n)[::-1],
    )


def test_peers_are_compared_trial_by_trial():
    table = trials()
    same, guess = table["logit"].to_numpy(), np.random.default_rng(1).random(len(table))
    found = compare_peers(table, {"itself": same, "guess": guess}, n_resamples=200).set_index(
        ["split", "peer"]
    )
    for split in ("val", "unseen"):
        part = table[table["split"] == split]
        assert found.loc[(split, "itself"), "difference"] == 0
        assert found.loc[(split, "guess"), "auc"] == pytest.approx(auc(part["label"], part["logit"]))
        own = auc(part["label"], pd.Series(guess, table.index)[part.index])
        assert found.loc[(split, "guess"), "peer_auc"] == pytest.approx(own)
        assert found.loc[(split, "guess"), "low"] > 0
        assert found.loc[(split, "guess"), "p_value"] < 0.05


def test_a_model_that_lives_on_the_background_is_found_out(tmp_path, monkeypatch):
    generator, table = np.random.default_rng(2), trials(80)
    paths = []
    for number, label in enumerate(table["label"]):
        image = generator.integers(90, 110, (64, 64, 3)).astype(np.uint8)
        image[:8, :8] = 250 if label else 10  # the shortcut stands in a corner
        paths.append(str(write_image(tmp_path / f"{number}.png", image)))
        with open(paths[-1], "ab") as file:
            file.write(bytes(2000 * label))  # and the files of fakes are larger
    table["path"] = paths
    points = pd.DataFrame(
        [(24, 28, 40, 28, 32, 36, 26, 44, 38, 44)] * len(table),
        index=pd.Index(paths, name="path"),
        columns=[f"{name}_{axis}" for name in ("a", "b", "c", "d", "e") for axis in "xy"],
    )
    monkeypatch.setattr(peers, "find_landmarks", lambda some, place: points.loc[some])

    def score(bundle, masked, progress):
        from dfutils.images import read_image

        return masked.assign(logit=[float(read_image(path)[:8, :8].mean()) for path in masked["path"]])

    monkeypatch.setattr(peers.evaluation, "score", score)
    found = audit_picture_model(None, table, tmp_path / "none.csv", max_faces=30).set_index(["split", "seen"])
    for split in ("val", "unseen"):
        assert found.loc[(split, "background only"), "auc"] == 1.0
        assert np.isnan(found.loc[(split, "face only"), "auc"])  # the same grey for all
        assert found.loc[(split, "six trivial features"), "auc"] > 0.9
        assert found.loc[(split, "size of the file"), "auc"] == 1.0
        assert found.loc[(split, "background only"), "n"] <= 30
