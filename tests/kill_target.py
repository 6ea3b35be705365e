"""What `test_kill` starts, kills and starts again: ``python kill_target.py STEP FOLDER``."""

import hashlib
import json
import sys
import time
from pathlib import Path


def crops(folder):
    """Cut faces out of every video of the table."""
    from dfutils.manifest import read_manifest
    from dfutils.preprocess_video import CropSettings, extract_crops

    settings = CropSettings(n_per_real=3, n_per_fake=3)
    extract_crops(read_manifest(folder.parent / "videos.csv"), folder, settings, n_jobs=2, progress=False)


def copies(folder):
    """Copy every voice of the table."""
    from dfutils.copy_synthesis import make_copies
    from dfutils.manifest import read_manifest

    make_copies(read_manifest(folder.parent / "voices.csv"), folder, ("lpc-noise", "world"), progress=False)


def learn(folder):
    """Cache features, and train all layers, with dropout, on augmented pictures."""
    import media

    from dfutils import models, training
    from dfutils.datasets import FaceSequence
    from dfutils.features import backbone_features
    from dfutils.manifest import read_manifest

    class Slow(FaceSequence):
        def load(self, row, seed):
            time.sleep(0.02 if self.shuffle else 0.1)
            return super().load(row, seed)

    models.build_backbone = media.tiny_backbone
    faces = read_manifest(folder.parent / "faces.csv")
    config = models.ModelConfig("video", "EfficientNetV2B0", (32, 32), hidden_units=8, dropout=0.4)
    training.set_seed(7)
    model = models.build_model(config, None)
    held_out = FaceSequence(faces, config.size_hw, batch_size=8)
    cached = backbone_features(
        model, Slow(faces, config.size_hw, batch_size=2), folder, False, block_batches=2
    )
    train = Slow(faces, config.size_hw, "flip", batch_size=4, shuffle=True, seed=7)
    training.fine_tune(model, config, train, held_out, 8, folder / "all", 0.003, "adamw", patience=6)
    values = [cached[0], *model.get_weights()]
    digests = [hashlib.sha256(value.tobytes()).hexdigest() for value in values]
    (folder / "digests.json").write_text(json.dumps(digests))


if __name__ == "__main__":
    {"crops": crops, "copies": copies, "learn": learn}[sys.argv[1]](Path(sys.argv[2]))
