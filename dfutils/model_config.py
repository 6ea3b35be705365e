"""What a model is, in plain values: this module imports neither TensorFlow nor Keras."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from dfutils.errors import InputError

HEADS = ("softmax", "lmcl")
# the range that each backbone of keras.applications expects; a test compares the names with Keras'
SCALINGS = {
    r"EfficientNet(B[0-7]|V2(B[0-3]|[SML]))": "0..255",  # their rescaling is inside
    r"MobileNetV3(Small|Large)": "0..255",
    r"ConvNeXt(Tiny|Small|Base|Large|XLarge)": "0..255",
    r"MobileNet(V2)?": "-1..1",
    r"Xception|InceptionV3|InceptionResNetV2": "-1..1",
    r"NASNet(Mobile|Large)": "-1..1",
    r"DenseNet(121|169|201)": "imagenet",
    r"ResNet(50|101|152)V2": "-1..1",
    r"ResNet(50|101|152)": "bgr",
    r"VGG(16|19)": "bgr",
}


def input_scaling(backbone: str) -> str | None:
    """Return the range of values that a backbone expects, or None if we do not know it."""
    return next((scaling for names, scaling in SCALINGS.items() if re.fullmatch(names, backbone)), None)


@dataclass(frozen=True)
class ModelConfig:
    """All that is needed to build a model again.

    Parameters
    ----------
    kind : {"video", "audio"}
        Pixels come as 0..255 (face crops) or 0..1 (LFCC pictures).
    backbone : str
        A class of ``keras.applications``.
    size_hw : tuple of int
        Input height and width [px].
    head : {"softmax", "lmcl"}
    hidden_units : int
        Of the dense layer before the last; 0 leaves it out.
    dropout : float
        0..1, before that layer.
    l2 : float
        Weight decay of that layer.
    scale, margin : float
        For ``"lmcl"``, see `dfutils.losses`.
    """

    kind: str = "video"
    backbone: str = "EfficientNetV2S"
    size_hw: tuple[int, int] = (275, 225)
    head: str = "softmax"
    hidden_units: int = 64
    dropout: float = 0.3
    l2: float = 1e-4
    scale: float = 4.0
    margin: float = 0.35

    def __post_init__(self):
        object.__setattr__(self, "size_hw", tuple(int(side) for side in self.size_hw))  # JSON has lists
        if self.kind not in ("video", "audio"):
            raise InputError("kind", f"must be 'video' or 'audio', got {self.kind!r}")
        if self.head not in HEADS:
            raise InputError("head", f"must be one of {HEADS}, got {self.head!r}")
        if not input_scaling(self.backbone):
            raise InputError(
                "backbone", f"{self.backbone!r} is no backbone of keras.applications that we know"
            )
        if not 0 <= self.dropout < 1 or self.hidden_units < 0 or self.l2 < 0:
            raise InputError("head", f"dropout in 0..1, hidden_units and l2 >= 0 are needed, got {self}")

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return {**asdict(self), "size_hw": list(self.size_hw)}
