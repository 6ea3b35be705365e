"""A picture model without any network, for tests of what is done around it."""

import numpy as np

from dfutils.calibration import Calibration
from dfutils.descriptions import Bundle
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
