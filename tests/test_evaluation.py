"""Voices: windows are averaged in order, and summarised in the field's terms."""

import numpy as np
import pandas as pd
import pytest

from dfutils.asv_metrics import cllr, official_eer
from dfutils.audio import load_audio, normalise_voice, write_flac
from dfutils.calibration import Calibration
from dfutils.evaluation import countermeasure_metrics, predict_voices
from dfutils.voice_input import VoiceInput

INPUT = VoiceInput("bands", 0.5, (24, 51), 24, (60.0, 7000.0))


class Loudness:
    """A model whose margin is the mean of the first map, and which notes how it was asked."""

    def __init__(self):
        self.shapes = []

    def predict(self, pictures, batch_size, verbose):
        """Two logits per picture."""
        self.shapes.append(pictures.shape)
        return np.stack([np.zeros(len(pictures)), pictures[..., 1].std(axis=(1, 2))], axis=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("clips")
    generator, rows = np.random.default_rng(0), []
    for k, seconds in enumerate((0.4, 0.6, 1.0, 1.7, 2.4)):
        sound = generator.standard_normal(int(16_000 * (seconds + 0.2))).astype(np.float32)
        sound *= 0.05 * (1 + np.sin((3 + k) * np.arange(sound.size) / 16_000)) ** (1 + k)
        rows.append(str(write_flac(folder / f"{k}.flac", normalise_voice(sound))))
    return pd.DataFrame({"path": rows})


@pytest.mark.parametrize("batch_size", [2, 32])
def test_a_clip_scores_the_mean_of_its_windows(clips, batch_size):
    model = Loudness()
    found = predict_voices(model, clips, INPUT, 3, batch_size, progress=False)
    assert all(shape[0] % batch_size == 0 for shape in model.shapes)  # Keras traces no batch anew
    for path, value in zip(clips["path"], found):
        windows = INPUT.windows(load_audio(path), 3)
        parts = [INPUT.picture(part)[..., 1].std() for _, part in windows]
        assert value == pytest.approx(np.mean(parts), rel=1e-5)
    assert len(set(np.round(found, 6))) == len(found)


def test_voices_are_summarised_per_split_and_over_methods():
    generator = np.random.default_rng(1)
    rows = []
    for split, shift in (("val", 2.0), ("unseen", 0.5)):
        for method, n, mean in (("none", 200, 0), ("a", 50, shift), ("b", 150, 2 * shift)):
            for value in generator.normal(mean, 1, n):
                rows.append((split, method, int(method != "none"), value))
    table = pd.DataFrame(rows, columns=["split", "method", "label", "logit"])
    calibration = Calibration(slope=50.0, intercept=-20.0)  # so steep that most probabilities are 0.0 or 1.0
    table["p_fake"] = calibration.p_fake(table["logit"])
    found = countermeasure_metrics(table, calibration).set_index("split")
    for split, part in table.groupby("split"):
        assert found.loc[split, "official_eer"] == official_eer(part["label"], part["logit"])[0]
        assert found.loc[split, "cllr"] == pytest.approx(cllr(part["label"], 50 * part["logit"] - 20))
        assert found.loc[split, "lowest_method"] == "a"
        assert found.loc[split, "lowest_auc"] < found.loc[split, "macro_auc"]
    assert found.loc["val", "macro_eer"] < found.loc["unseen", "macro_eer"] < 0.5
    assert found.loc["val", "min_dcf"] < found.loc["unseen", "min_dcf"] <= 1
