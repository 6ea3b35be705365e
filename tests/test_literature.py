"""Published figures beside ours: copied right, signs right, drawn for whatever was scored."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from dfutils import literature


def summary_of(*rows):
    return pd.DataFrame(rows, columns=["part", "split", "auc", "eer"])


def test_the_thesis_matrices_give_the_accuracies_of_its_text():
    for (part, split), stated in {("picture", "validation"): 0.9266, ("picture", "unseen"): 0.776}.items():
        counts = np.array(literature.THESIS_CONFUSIONS[part, split])
        assert np.trace(counts) / counts.sum() == pytest.approx(stated, abs=0.001)
    totals = [np.array(counts).sum() for counts in literature.THESIS_CONFUSIONS.values()]
    assert totals == [40_063, 76_466, 12_740, 71_237]  # validation set, test set; half of dev, eval less few
    voice = np.array(literature.THESIS_CONFUSIONS["voice", "unseen"])
    assert np.mean(np.diag(voice) / voice.sum(axis=1)) == pytest.approx(0.77, abs=0.005)  # AUC of verdicts


def test_a_fall_is_positive_where_things_get_worse():
    summary = summary_of(("picture", "val", 0.9, 0.1), ("picture", "unseen", 0.7, 0.3))
    falls = literature.compare_falls(summary)
    assert falls["fall"][:2].round(6).tolist() == [0.2, 0.2]
    assert falls["what"][:2].tolist() == ["ours", "ours"]
    assert set(falls["part"]) == {"picture"}
    assert (falls["fall"] > 0).all()
    read = pd.concat([summary, summary_of(("picture", "test", 0.95, 0.05))])
    assert literature.compare_falls(read)["at_home"][0] == 0.95  # the test where it was read
    alone = literature.compare_falls(summary_of(("voice", "val", 0.9, 0.1)))
    assert "ours" not in set(alone["what"])
    assert set(alone["part"]) == {"voice"}


def test_figures_show_both(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"split": np.repeat(["val", "unseen"], 20), "label": np.tile([0, 1], 20)})
    scored = {"picture": table.assign(called_fake=rng.random(40) < 0.5), "voice": table.assign(called_fake=1)}
    figure = literature.draw_confusions(scored)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:4] == ["picture, val", "picture, unseen", "voice, val", "voice, unseen"]
    assert titles[4] == "thesis: picture, validation"
    assert "41,446" in {text.get_text().split("\n")[0] for axis in figure.axes for text in axis.texts}
    summary = summary_of(
        *((part, split, 0.8, 0.2) for part in ("picture", "voice") for split in ("val", "unseen"))
    )
    falls = literature.compare_falls(summary)
    figure = literature.draw_falls(falls)
    assert sum(len(axis.lines) for axis in figure.axes) == len(falls) + 2
    plt.close("all")
