"""Build the picture and the voice model: a Keras backbone by name, the thesis' heads."""

from __future__ import annotations

import os
from dataclasses import replace

from dfutils.backbones import build_backbone, scale_input
from dfutils.backend import keras
from dfutils.errors import InputError
from dfutils.losses import CosineLogits, FakeAUC, LargeMarginCosineLoss
from dfutils.model_config import ModelConfig


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
        Output: two logits (real, fake), float32, shape=(batch, 2); their softmax gives
        the probabilities.

    Raises
    ------
    InputError
        Weights cannot be had, or are of another architecture.
    """
    backbone = build_backbone(config.backbone, config.size_hw, weights)
    backbone.trainable = False
    inputs = keras.Input((*config.size_hw, 3), name="image")
    unit = 255.0 if config.kind == "video" else 1.0  # the largest input value
    scaled = keras.layers.Identity(name="scaled")(scale_input(inputs, config.backbone, unit))
    outputs = _add_head(backbone(scaled), config)
    return keras.Model(inputs, outputs, name=f"{config.kind}_{config.backbone}")


def change_size(model: keras.Model, config: ModelConfig, size_hw: tuple[int, int]) -> keras.Model:
    """Build the same model for another input size, with the same weights, its backbone frozen.

    Small pictures first, large ones at the end: most of the learning then costs half.

    Parameters
    ----------
    model : keras.Model
    config : ModelConfig
        Of ``model``.
    size_hw : tuple of int
        [px]

    References
    ----------
    .. [1] Tan, Le: EfficientNetV2, ICML 2021, section 4 (progressive learning).
    """
    resized = build_model(replace(config, size_hw=size_hw), None)
    resized.set_weights(model.get_weights())
    return resized


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
