"""The voice model's ablation: what is left out stays out, results are taken up, methods weigh alike."""

import numpy as np
import pandas as pd
import pytest

from dfutils import InputError, ablation_voice
from dfutils.ablation_voice import BANDS, HELD_OUT, VARIANTS, VoiceVariant, compare, summarise
from dfutils.audio import normalise_voice, write_flac
from dfutils.manifest import make_manifest
from dfutils.voice_input import VoiceInput
from dfutils.voice_views import make_views

SMALL = VoiceInput("bands", 0.5, (32, 51), 32, (60.0, 7000.0))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("clips")
    generator, rows = np.random.default_rng(0), []
    methods = ("none", "copy-world", "copy-joins", "COPY_fargan")
    for k in range(6):
        for method in methods:
            path = folder / f"{k}-{method}.flac"
            write_flac(path, normalise_voice(0.1 * generator.standard_normal(12_800).astype(np.float32)))
            rows.append(
                {
                    "path": str(path),
                    "label": int(method != "none"),
                    "split": "train" if k < 4 else "val",
                    "person": f"p{k}",
                    "source": f"s{k}",
                    "method": method,
                    "dataset": "tests",
                }
            )
    return make_manifest(rows)


def test_each_method_weighs_the_same_in_the_rule():
    methods = ["none"] * 4 + ["copy-joins"] * 8 + ["COPY_hifigan"] * 2 + ["COPY_fargan"] * 2
    scores = np.r_[0, 1, 2, 3, np.full(8, 9.0), -1, -1, 1.5, 1.5]
    table = pd.DataFrame({"method": methods, "label": [0] * 4 + [1] * 12})
    found = summarise(table, scores)
    assert found["per_method"] == {"copy-joins": 1.0, "COPY_hifigan": 0.0, "COPY_fargan": 0.5}
    assert found["held_out_auc"] == 0.5
    assert found["known_auc"] == 0.5
    with pytest.raises(InputError, match="no bona fide"):
        summarise(table[table["label"] == 1], scores[4:])


def test_variants_differ_and_hold_the_same_methods_out():
    assert len({variant.name for variant in VARIANTS}) == len(set(VARIANTS)) == len(VARIANTS)
    assert {variant.voice_input.features for variant in VARIANTS} == {"bands", "static", "dynamic", "all"}
    assert BANDS.size_hw == (80, 201)


def test_results_are_taken_up_and_held_out_methods_never_learnt(clips, tmp_path, monkeypatch):
    views = make_views(clips, tmp_path, SMALL, n_channels=1, progress=False, workers=1)
    learnt, compose = [], ablation_voice.compose_voices

    def watch(*arguments):
        learnt.append(compose(*arguments))
        return learnt[-1]

    monkeypatch.setattr(ablation_voice, "compose_voices", watch)
    variants = (
        VoiceVariant("both", SMALL),
        VoiceVariant("copies", SMALL, given=False, paired=False, head="lmcl"),
        VoiceVariant("thesis", VoiceInput(size_hw=(32, 32)), copies=False, frozen=True),
    )
    budget = {"epochs": 1, "samples_per_epoch": 8, "weights": "random", "batch_size": 4}
    table = compare(clips, views, tmp_path, variants, **budget)
    assert table["variant"].tolist() == ["both", "copies", "thesis"]
    for part in learnt:
        assert not part["method"].str.startswith(HELD_OUT).any()
        assert set(part["split"]) == {"train"}
    assert [set(part["method"]) for part in learnt] == [
        {"none", "copy-world", "COPY_fargan"},
        {"none", "copy-world"},
        {"none", "COPY_fargan"},
    ]
    for row in table.itertuples():
        assert set(row.per_method) == {"copy-world", "copy-joins", "COPY_fargan"}
        assert row.held_out_auc == row.per_method["copy-joins"]
    again = compare(clips, views, tmp_path, variants, **budget)
    assert len(learnt) == 3
    pd.testing.assert_frame_equal(table, again)
