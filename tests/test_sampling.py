"""Pairs of a fake and its real, and what the voice model learns from."""

import pandas as pd
import pytest

from dfutils import InputError
from dfutils.sampling import compose_voices, pair_with_originals


@pytest.fixture
def voices() -> pd.DataFrame:
    rows = [(f"b{k}", 0, f"b{k}", f"p{k % 3}", "none") for k in range(6)]
    rows += [(f"b{k}-{m}", 1, f"b{k}", f"p{k % 3}", f"copy-{m}") for k in range(6) for m in ("world", "lpc")]
    rows += [
        ("n0", 1, "b1", "p1", "COPY_neural"),
        ("t0", 1, "t0", "robot", "TTS_x"),
        ("t1", 1, "t1", "p2", "VC_y"),
    ]
    return pd.DataFrame(rows, columns=["path", "label", "source", "person", "method"])


def test_each_fake_once_with_its_own_real(voices):
    table = pair_with_originals(voices, 1)
    fakes, reals = (table[table["label"] == label].set_index("pair") for label in (1, 0))
    assert sorted(fakes["path"]) == sorted(voices.loc[voices["label"] == 1, "path"])
    assert fakes.index.is_unique
    assert set(fakes.index) == set(reals.index)
    copies = fakes[fakes["method"].str.lower().str.startswith("copy")]
    assert (copies["source"] == reals.loc[copies.index, "source"]).all()


def test_without_an_original_the_person_and_then_anyone(voices):
    table = pair_with_originals(voices, 1)
    partner = table[table["label"] == 0].set_index("pair")
    pair_of = table[table["label"] == 1].set_index("path")["pair"]
    assert partner.loc[pair_of["t1"], "person"] == "p2"
    assert partner.loc[pair_of["t0"], "path"].startswith("b")
    drawn = {
        pair_with_originals(voices, seed).query("label == 0").set_index("pair").loc[pair_of["t0"], "path"]
        for seed in range(12)
    }
    assert len(drawn) > 2


def test_given_spoofs_count_more_than_copies(voices):
    table = compose_voices(voices, 1, given_repeats=3)
    counts = table[table["label"] == 1]["path"].value_counts()
    assert set(counts[["n0", "t0", "t1"]]) == {3}
    assert set(counts[counts.index.str.startswith("b")]) == {1}
    assert (table["label"] == 0).sum() == (table["label"] == 1).sum() == 12 + 9


def test_methods_are_left_out_by_the_beginning_of_their_names(voices):
    table = compose_voices(voices, 1, without=("copy-w", "TTS"))
    assert set(table["method"]) == {"none", "copy-lpc", "COPY_neural", "VC_y"}


def test_wrong_compositions_are_refused(voices):
    with pytest.raises(InputError, match="given_repeats"):
        compose_voices(voices, 1, given_repeats=0)
    with pytest.raises(InputError, match="needs both classes"):
        pair_with_originals(voices[voices["label"] == 1], 1)
