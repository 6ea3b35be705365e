"""The voice's search: few clips of both classes, features once, trials kept."""

import numpy as np
import pandas as pd

from dfutils import search_voice
from dfutils.audio import normalise_voice, write_flac
from dfutils.manifest import make_manifest
from dfutils.models import ModelConfig
from dfutils.voice_input import VoiceInput


def clips(folder, n) -> pd.DataFrame:
    generator, rows = np.random.default_rng(0), []
    for k in range(n):
        label = int(k % 4 != 0)  # more spoofs than bona fide clips
        path = folder / f"{k}.flac"
        noise = generator.standard_normal(12_800).astype(np.float32)
        write_flac(path, normalise_voice(0.1 * (np.cumsum(noise) / 50 if label else noise)))
        rows.append(
            {
                "path": str(path),
                "label": label,
                "person": f"p{k}",
                "source": f"s{k}",
                "method": "m" * label or "none",
            }
            | {"split": "train" if k < n // 2 else "val", "dataset": "tests"}
        )
    return make_manifest(rows)


def test_few_clips_of_both_classes_are_searched_once(tmp_path, monkeypatch):
    table = clips(tmp_path, 64)
    train, validation = (table[table["split"] == split] for split in ("train", "val"))
    seen, search_head = [], search_voice.search_head

    def watch(*features, **options):
        seen.append(features)
        return search_head(*features[:2], *features[2:], epochs=3, **options)

    monkeypatch.setattr(search_voice, "search_head", watch)
    config = ModelConfig("audio", "MobileNetV2", (32, 51), "softmax", 0, 0.3, scale=10.0)
    voice_input = VoiceInput("bands", 0.5, (32, 51), 32, (60.0, 7000.0))
    settings = (train, validation, config, voice_input, tmp_path / "work", 2, "random", (12, 8))
    trials = search_voice.search_voices(*settings, progress=False)
    assert trials.groupby("head").size().to_dict() == {"lmcl": 2, "softmax": 2}
    assert trials["auc"].between(0, 1).all()
    for (features, labels), n in zip(seen[0][:2], (12, 8)):
        assert features.shape[0] == n
        assert labels.mean() == 0.5
    again = search_voice.search_voices(*settings, progress=False)
    pd.testing.assert_frame_equal(trials, again)
    assert len(list((tmp_path / "work" / "features").glob("*.npz"))) == 2
