"""Error rates by appearance: planted differences are found, groups are equal, unknown traits passed over."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from dfutils import InputError
from dfutils.fairness import add_appearance, draw_slices, measure_appearance, slice_errors
from dfutils.images import write_image


def plain(red, green, blue, size=64):
    return np.full((size, size, 3), (red, green, blue), np.uint8)


def test_skin_tone_follows_published_colours():
    # L*a*b* of the Pantone-like patches: light (L 78, b 15), tan (L 60, b 20), dark (L 35, b 14), by hand
    lab = {"light": (78, 8, 15), "tan": (60, 12, 20), "dark": (35, 12, 14)}
    from skimage.color import lab2rgb

    found = {}
    for name, colour in lab.items():
        rgb = np.round(255 * lab2rgb(np.array(colour, float))).astype(np.uint8)
        found[name] = measure_appearance(plain(*rgb))["skin_tone"]
        expected = np.degrees(np.arctan((colour[0] - 50) / colour[2]))
        assert found[name] == pytest.approx(expected, abs=2.0)
    assert found["light"] > 55 > found["tan"] > 10 > -30 > found["dark"]
    assert measure_appearance(plain(100, 100, 100))["brightness"] == pytest.approx(100)
    with pytest.raises(InputError, match="uint8 RGB"):
        measure_appearance(np.zeros((64, 64, 3), np.float32))


def scored_faces(n=900) -> pd.DataFrame:
    generator = np.random.default_rng(3)
    labels, bright = generator.integers(0, 2, n), generator.uniform(0, 255, n)
    # dark reals are called fake more often: this is planted
    logit = (
        2.0 * (2 * labels - 1) + generator.normal(0, 1, n) + np.where((labels == 0) & (bright < 85), 2.5, 0)
    )
    return pd.DataFrame(
        {
            "path": [f"{k}.png" for k in range(n)],
            "label": labels,
            "person": [f"p{k % 60}" for k in range(n)],
            "dataset": "tests",
            "logit": logit,
            "called_fake": (logit > 0).astype(int),
            "brightness": bright,
            "skin_tone": 5.0,
        }
    )


def test_a_planted_difference_is_found_where_it_is():
    table = slice_errors(scored_faces(), n_resamples=200)
    assert set(table["trait"]) == {
        "brightness"
    }  # the same skin tone for all tells nothing, sizes are missing
    assert table["n"].tolist() == [300, 300, 300]
    dark, middle, light = table["false_alarm_rate"]
    assert dark > 0.5
    assert max(middle, light) < 0.1
    assert table["false_alarm_rate_low"][0] > table["false_alarm_rate_high"][1:].max()
    assert table["miss_rate"].max() < 0.1
    figure = draw_slices(plt.figure(), table)
    assert [axis.get_xlabel() for axis in figure.axes] == ["mean luma of the crop, 0..255"]
    plt.close(figure)


def test_a_group_of_one_class_has_no_rate_of_the_other():
    table = scored_faces(900)
    only_real = table[(table["label"] == 0) | (table["brightness"] > 170)]
    found = slice_errors(only_real, n_groups=4, n_resamples=50)
    assert np.isnan(found["auc"].iloc[0])
    assert found["auc"].iloc[-1] > 0.9


def test_appearance_is_added_in_the_order_of_the_rows(tmp_path):
    levels = (30, 200, 90)
    paths = [str(write_image(tmp_path / f"{level}.png", plain(level, level, level))) for level in levels]
    table = add_appearance(pd.DataFrame({"path": paths}, index=[7, 3, 5]))
    assert table["brightness"].round().tolist() == list(levels)
    assert table.index.tolist() == [7, 3, 5]
