"""Build the picture and the voice model: a Keras backbone by name, the thesis' heads."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from dfutils.backend import keras
from dfutils.errors import InputError
from dfutils.losses import CosineLogits, FakeAUC, LargeMarginCosineLoss
from dfutils.paths import weights_dir

# what each family of keras.applications expects, told by the beginning of its name
_SCALINGS = {
    "EfficientNet": "0..255",  # B0..B7 and V2: their rescaling is inside
    "MobileNetV3": "0..255",
    "ConvNeXt": "0..255",
    "MobileNet": "-1..1",
    "Xception": "-1..1",
    "Inception": "-1..1",
    "NASNet": "-1..1",
    "DenseNet": "imagenet",
    "ResNet50V2": "-1..1",
    "ResNet101V2": "-1..1",
    "ResNet152V2": "-1..1",
    "ResNet": "bgr",
    "VGG": "bgr",
}
HEADS = ("softmax", "lmcl")
# file names under which DFUTILS_WEIGHTS may hold ImageNet weights without top
_WEIGHT_FILES = {
    "EfficientNetV2B0": "efficientnetv2-b0_notop.weights.h5",
    "EfficientNetV2S": "efficientnetv2-s_notop.weights.h5",
    "MobileNetV2": "mobilenetv2_1.0_224_notop.weights.h5",
}


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
        if not hasattr(keras.applications, self.backbone) or not _scaling(self.backbone):
            raise InputError(
                "backbone", f"{self.backbone!r} is no backbone of keras.applications that we know"
            )
        if not 0 <= self.dropout < 1 or self.hidden_units < 0 or self.l2 < 0:
            raise InputError("head", f"dropout in 0..1, hidden_units and l2 >= 0 are needed, got {self}")

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return {**asdict(self), "size_hw": list(self.size_hw)}


def build_video_model(
    backbone: str = "EfficientNetV2S", weights: str | os.PathLike | None = "auto", **options
) -> keras.Model:
    """Build the picture model; input float32 0..255, shape=(batch, height, width, 3), RGB.

    With its defaults 20,413,474 parameters, of which 82,114 train while the backbone is frozen.

    Parameters
    ----------
    backbone : str
    weights : str, os.PathLike or None
        See `build_model`.
    **options
        See `ModelConfig`.
    """
    return build_model(ModelConfig(kind="video", backbone=backbone, **options), weights)


def build_audio_model(
    backbone: str = "MobileNetV2", weights: str | os.PathLike | None = "auto", **options
) -> keras.Model:
    """Build the voice model; input float32 0..1, shape=(batch, height, width, 3).

    Parameters
    ----------
    backbone : str
    weights : str, os.PathLike or None
        See `build_model`.
    **options
        See `ModelConfig`; the thesis' final head has 512 hidden units.
    """
    options = {"size_hw": (224, 224), "hidden_units": 512} | options
    return build_model(ModelConfig(kind="audio", backbone=backbone, **options), weights)


def build_model(config: ModelConfig, weights: str | os.PathLike | None = "auto") -> keras.Model:
    """Build a model with a frozen backbone.

    Parameters
    ----------
    config : ModelConfig
    weights : str, os.PathLike or None
        Of the backbone: ``"imagenet"`` (Keras downloads them), a file of Keras weights without
        top, ``"auto"`` (the file in ``DFUTILS_WEIGHTS`` if there is one, else ``"imagenet"``),
        or None or ``"random"``.

    Returns
    -------
    keras.Model
        Output: two logits (real, fake), float32, shape=(batch, 2); `probabilities` squashes them.

    Raises
    ------
    InputError
        Weights cannot be had, or are of another architecture.
    """
    backbone = _build_backbone(config, weights)
    backbone.trainable = False
    inputs = keras.Input((*config.size_hw, 3), name="image")
    scaled = keras.layers.Identity(name="scaled")(_scale_input(inputs, config))
    outputs = _add_head(backbone(scaled), config)
    return keras.Model(inputs, outputs, name=f"{config.kind}_{config.backbone}")


def build_head_model(config: ModelConfig, n_features: int) -> keras.Model:
    """Build the head alone; input: features of a backbone, float32, shape=(batch, n_features)."""
    inputs = keras.Input((n_features,), name="features")
    return keras.Model(inputs, _add_head(inputs, config), name="head")


def _add_head(features, config: ModelConfig):
    x = keras.layers.Dropout(config.dropout, name="dropout")(features)
    if config.hidden_units:
        x = keras.layers.Dense(
            config.hidden_units,
            activation="relu",
            kernel_initializer="glorot_uniform",
            kernel_regularizer=keras.regularizers.L2(config.l2),
            name="hidden",
        )(x)
    if config.head == "lmcl":
        return CosineLogits(2, config.scale, dtype="float32", name="logits")(x)
    return keras.layers.Dense(2, dtype="float32", name="logits")(x)


def get_backbone(model: keras.Model) -> keras.Model:
    """Return the backbone, a model inside the model: pixels to pooled features."""
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def unfreeze(model: keras.Model, train_batch_norm: bool = False) -> None:
    """Let all weights train; batch normalisation keeps its statistics unless told otherwise.

    With ImageNet weights the kept statistics are the stable choice for small batches. A backbone
    that starts from random weights needs ``train_batch_norm=True``, and statistics that follow
    within tens of steps: MobileNetV2's default momentum of .999 would take thousands.
    """
    backbone = get_backbone(model)
    backbone.trainable = True
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = train_batch_norm
            if train_batch_norm:
                layer.momentum = min(layer.momentum, 0.9)


def compile_model(
    model: keras.Model, config: ModelConfig, learning_rate, optimizer: str = "rmsprop"
) -> keras.Model:
    """Compile with the loss that belongs to the head, accuracy and AUC.

    Parameters
    ----------
    model : keras.Model
    config : ModelConfig
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
    optimizer : {"rmsprop", "adam", "adamw"}
    """
    classes = {"rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW"}
    if optimizer not in classes:
        raise InputError("optimizer", f"must be one of {sorted(classes)}, got {optimizer!r}")
    if config.head == "lmcl":
        loss = LargeMarginCosineLoss(config.scale, config.margin)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        getattr(keras.optimizers, classes[optimizer])(learning_rate),
        loss,
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy"), FakeAUC()],
    )
    return model


def warm_up_and_cosine(peak: float, n_steps: int, warm_up: float = 0.1):
    """Learning rate that rises for a share of all steps and then falls to 0 along a cosine.

    Parameters
    ----------
    peak : float
    n_steps : int
        Of the whole training.
    warm_up : float
        Share of the steps, 0..1.

    Returns
    -------
    keras.optimizers.schedules.CosineDecay
    """
    n_warm_up = round(warm_up * n_steps)
    return keras.optimizers.schedules.CosineDecay(
        peak / 100, max(1, n_steps - n_warm_up), warmup_target=peak, warmup_steps=n_warm_up
    )


def _scaling(backbone: str) -> str | None:
    fitting = [prefix for prefix in _SCALINGS if backbone.startswith(prefix)]
    return _SCALINGS[max(fitting, key=len)] if fitting else None


def _scale_input(inputs, config: ModelConfig):
    unit = 255.0 if config.kind == "video" else 1.0  # the largest input value
    layers = keras.layers
    scaling = _scaling(config.backbone)
    if scaling == "-1..1":
        return layers.Rescaling(2 / unit, -1.0, name="scaling")(inputs)
    scaled = inputs if unit == 255.0 else layers.Rescaling(255.0, name="scaling")(inputs)
    if scaling == "imagenet":
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        return layers.Normalization(
            mean=[255 * v for v in mean], variance=[(255 * v) ** 2 for v in std], name="normalisation"
        )(scaled)
    if scaling == "bgr":
        centred = layers.Normalization(
            mean=[123.68, 116.779, 103.939], variance=[1.0, 1.0, 1.0], name="normalisation"
        )(scaled)
        return keras.ops.flip(centred, axis=-1)
    return scaled


def _build_backbone(config: ModelConfig, weights: str | os.PathLike | None) -> keras.Model:
    source = None if weights == "random" else weights
    if weights == "auto":
        source = find_weights(config.backbone) or "imagenet"
    elif source not in (None, "imagenet") and not Path(weights).is_file():
        raise InputError(weights, "these weights do not exist")
    build = getattr(keras.applications, config.backbone)
    shape = (*config.size_hw, 3)
    try:
        return build(
            include_top=False,
            weights=source and str(source),
            input_shape=shape,
            pooling="avg",
        )
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if source == "imagenet" and "URL fetch failure" in str(error):
            raise InputError(
                "weights",
                f"ImageNet weights of {config.backbone} could not be downloaded; set DFUTILS_WEIGHTS to a"
                f" folder with {_WEIGHT_FILES.get(config.backbone, 'them')}, give a path, or weights=None",
            ) from error
        if source and source != "imagenet" and isinstance(error, ValueError | OSError | KeyError):
            raise InputError(source, f"does not hold weights of {config.backbone} ({error})") from error
        raise


def find_weights(backbone: str) -> Path | None:
    """Return the file in ``DFUTILS_WEIGHTS`` with ImageNet weights of a backbone, or None."""
    folder = weights_dir()
    name = _WEIGHT_FILES.get(backbone)
    return folder / name if folder and name and (folder / name).is_file() else None
