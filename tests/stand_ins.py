"""Models without any network, for tests of what is done around them."""

import numpy as np

from dfutils.calibration import Calibration
from dfutils.descriptions import Bundle
from dfutils.detector import DeepfakeDetector
from dfutils.errors import NoModelError
from dfutils.model_config import ModelConfig

SIZE_HW = (64, 48)
INPUTS = {
    "detector": "yunet",
    "min_confidence": 0.6,
    "min_face_px": 40,
    "geometry": {"kind": "tight", "margin": 0.3},
    "aggregation": "trimmed",
}


class RedIsFake:
    """Stands in for an exported model: the redder, the higher; never the same for two pictures."""

    predict_with_feature_map = None  # the mark of a model that is not Keras'

    def __init__(self):
        self.n_images = 0

    def predict(self, images):
        assert images.dtype == np.float32
        assert images.shape[1:] == (*SIZE_HW, 3)
        self.n_images += len(images)
        weights = np.random.default_rng(0).normal(0, 1e-5, images.shape[1:])
        margin = (images[..., 0] - images[..., 2]).mean(axis=(1, 2)) / 20 + (images * weights).sum((1, 2, 3))
        return np.stack([-margin, margin], axis=1).astype(np.float32)


def red_is_fake():
    """A fresh bundle of that model."""
    config = ModelConfig("video", "MobileNetV2", SIZE_HW)
    calibration, about = Calibration(0.7, -0.1, 0.45, "tests"), {"corpus": "tests"}
    return Bundle(RedIsFake(), config, dict(INPUTS), calibration, about, "f00d" * 16)


def use_red_is_fake(monkeypatch):
    """Let every detector of this process have that picture model, and no voice model."""
    bundle = red_is_fake()

    def give(self, kind):
        if kind == "voice":
            raise NoModelError(kind, "there is no trained model yet")
        self._bundles[kind] = bundle
        return bundle

    monkeypatch.setattr(DeepfakeDetector, "bundle", give)
    monkeypatch.setattr("dfutils.__main__.GUARDED", False)  # a child process would not see them


VOICE_SIZE_HW = (80, 201)


class HighIsFake:
    """Stands in for a voice model: the more there is in the upper bands, the higher."""

    predict_with_feature_map = None

    def predict(self, images):
        assert images.shape[1:] == (*VOICE_SIZE_HW, 3)
        margin = (images[:, 40:, :, 0].mean(axis=(1, 2)) - images[:, :40, :, 0].mean(axis=(1, 2))) * 3
        return np.stack([-margin, margin], axis=1).astype(np.float32)


def high_is_fake():
    """A fresh bundle of that voice model, which takes sound as the one that ships does."""
    config = ModelConfig("audio", "MobileNetV2", VOICE_SIZE_HW)
    voice = {"features": "bands", "seconds": 2.0, "size_hw": VOICE_SIZE_HW, "n_filters": 80,
             "range_hz": (60.0, 7000.0), "normalise": True}  # fmt: skip
    inputs = {"voice": voice, "window_seconds": 2.0, "n_windows": 3, "aggregation": "mean-logit"}
    calibration, about = Calibration(0.8, -0.1, 0.48, "tests"), {"corpus": "tests"}
    return Bundle(HighIsFake(), config, inputs, calibration, about, "beef" * 16)


def stand_in_detector():
    """A detector with both, for whole files."""
    detector = DeepfakeDetector()
    detector._bundles |= {"picture": red_is_fake(), "voice": high_is_fake()}
    return detector
