"""From frames to clips."""

import numpy as np
import pandas as pd
import pytest

from dfutils import InputError
from dfutils.aggregation import AGGREGATIONS, aggregate, aggregate_by_video, compare_aggregations


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_equal_scores_are_their_own_summary(how):
    assert aggregate([0.3] * 7, how) == pytest.approx(0.3)
    assert aggregate([0.8], how) == pytest.approx(0.8)


@pytest.mark.parametrize("how", AGGREGATIONS)
def test_order_does_not_matter_and_certainty_stays_finite(how):
    scores = np.array([0.0, 1.0, 0.2, 0.9, 0.4])
    assert aggregate(scores, how) == pytest.approx(aggregate(scores[::-1], how))
    assert 0 <= aggregate(scores, how) <= 1
    assert aggregate([1.0, 1.0], how) == pytest.approx(1.0)


def test_values_by_hand():
    odds = np.array([1 / 4, 1, 1, 4, 16])  # logits -2, 0, 0, 2, 4 in units of log 2
    p_fake = odds / (1 + odds)
    assert aggregate(p_fake, "mean") == pytest.approx(p_fake.mean())
    assert aggregate(p_fake, "median") == pytest.approx(0.5)
    for how, mean in (("mean-logit", 0.8), ("trimmed", 2 / 3), ("top-half", 2.0)):
        assert aggregate(p_fake, how) == pytest.approx(2**mean / (1 + 2**mean)), how


@pytest.mark.parametrize("bad", [[], [0.5, np.nan], [[0.5, 0.5]]])
def test_scores_that_cannot_be_summarised(bad):
    with pytest.raises(InputError):
        aggregate(bad)


def test_unknown_way_is_refused():
    with pytest.raises(InputError, match="mean-logit"):
        aggregate([0.5], "vote")


def make_scored(**changes):
    """40 clips of 5 frames; in a fake clip only the last two frames look fake."""
    generator = np.random.default_rng(0)
    rows = []
    for clip in range(40):
        for frame in range(5):
            fake = clip % 2 and frame >= 3
            p_fake = np.clip(generator.normal(0.75 if fake else 0.3, 0.12), 0.01, 0.99)
            rows.append(
                {"path": f"{clip}-{frame}", "video": str(clip), "person": f"p{clip % 4}"}
                | {"label": clip % 2, "p_fake": p_fake}
            )
    return pd.DataFrame(rows).assign(**changes)


def test_comparison_prefers_the_top_where_clips_are_fake_in_part():
    table = compare_aggregations(make_scored())
    assert sorted(table["aggregation"]) == sorted(AGGREGATIONS)
    assert table["auc"].is_monotonic_decreasing
    values = table.set_index("aggregation")["auc"]
    assert values["top-half"] > values["median"] + 0.1
    assert set(table["clips_are"]) == {"videos"}
    assert set(table["n_clips"]) == {40}


def test_single_frames_are_grouped_by_person():
    table = compare_aggregations(make_scored(video=[str(number) for number in range(200)]))
    assert set(table["clips_are"]) == {"persons"}
    assert set(table["n_clips"]) == {4}  # persons are real or fake throughout here


def test_videos_take_the_way_that_is_asked_for():
    frames = pd.DataFrame({"video": ["a", "a", "a"], "label": 1, "p_fake": [0.1, 0.2, 0.9]})
    for how in AGGREGATIONS:
        videos = aggregate_by_video(frames, how=how)
        assert videos["p_fake"].tolist() == [pytest.approx(aggregate(frames["p_fake"], how))]
        assert videos["n_frames"].tolist() == [3]
