"""MesoNet, the peer for pictures: its published networks with their published weights, on our trials.

Afchar, Nozick, Yamagishi, Echizen: MesoNet: a compact facial video forgery detection network, WIFS 2018.
The weights come with the authors' code (data/README.md); they call a real face 1, we call a fake 1.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from dfutils.backend import keras
from dfutils.datasets import FaceSequence
from dfutils.descriptions import read_verified
from dfutils.errors import InputError
from dfutils.paths import weights_dir
from dfutils.training import PredictBar

SIZE_PX = 256
# file names and hashes of the authors' weights: trained on Deepfakes (DF) and on Face2Face (F2F)
PEERS = {
    "Meso4_DF": "036ed30d04ffd9c7506f825b97c86aa64915f5818931da96817b169aad790af5",
    "Meso4_F2F": "bcfda015d217b9f8d6557693edbdf9f4e79cfd22672541968dd0e2954462b5d7",
    "MesoInception_DF": "234586d40058e76ef8b6f27ca4b63c06e31c2a5a69c0d8ba6f30b1468ab7bafa",
    "MesoInception_F2F": "d4533ac8a3197dc35c47405d23d99e888c1d0135e267e03540c7451feaccff3f",
}
_KINDS = ("conv2d", "batch_normalization", "dense")


def find_peers() -> dict[str, Path]:
    """Return the weights that ``DFUTILS_WEIGHTS`` holds in ``peers/``, by the names of `PEERS`."""
    folder = weights_dir()
    places = {name: folder / "peers" / f"{name}.h5" for name in PEERS} if folder else {}
    return {name: place for name, place in places.items() if place.is_file()}


def build_mesonet(inception: bool) -> keras.Model:
    """Build Meso-4, or MesoInception-4, as published.

    Returns
    -------
    keras.Model
        Input: float32 0..1, shape=(batch, 256, 256, 3), RGB. Output: probability that the face is
        **real**, shape=(batch, 1).
    """
    layers = keras.layers
    x = inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    blocks = (
        [_inception(1, 4, 4, 2), _inception(2, 4, 4, 2), _convolution(16, 5), _convolution(16, 5)]
        if inception
        else [_convolution(8, 3), _convolution(8, 5), _convolution(16, 5), _convolution(16, 5)]
    )
    for block, pool in zip(blocks, (2, 2, 2, 4)):
        x = layers.MaxPooling2D(pool, padding="same")(layers.BatchNormalization()(block(x)))
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.LeakyReLU(negative_slope=0.1)(layers.Dense(16)(x))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.5)(x)))


def load_mesonet(path: Path) -> keras.Model:
    """Build the network that a file of `PEERS` belongs to, and fill it.

    Raises
    ------
    IntegrityError
        The file is not the published one.
    InputError
        It is none of `PEERS`, or its layers are others.
    """
    import io

    import h5py

    if path.stem not in PEERS:
        raise InputError(path, f"must be one of {tuple(PEERS)}")
    content = read_verified(path, PEERS[path.stem])
    model = build_mesonet("Inception" in path.stem)
    with h5py.File(io.BytesIO(content)) as file:
        # layers are numbered in the order in which the authors' code builds them, as ours does
        stored = {name: file[name] for name in np.asarray(file.attrs["layer_names"]).astype(str)}
        for kind in _KINDS:
            names = [name for name in stored if re.fullmatch(rf"{kind}_\d+", name)]
            names.sort(key=lambda name: int(name.rsplit("_", 1)[1]))
            ours = [layer for layer in _in_order(model) if _kind_of(layer) == kind]
            if len(names) != len(ours):
                raise InputError(path, f"has {len(names)} layers of kind {kind}, not {len(ours)}")
            for name, layer in zip(names, ours):
                group = stored[name]
                values = [np.asarray(group[weight]) for weight in group.attrs["weight_names"]]
                layer.set_weights(values)
    return model


def score_faces(model: keras.Model, faces: pd.DataFrame, batch_size: int = 32) -> np.ndarray:
    """Score the crops of a manifest by a MesoNet.

    Returns
    -------
    numpy.ndarray, shape=(n,), float64
        Log odds of fake: no ties where the probability is 0 or 1 to seven digits.
    """
    data = FaceSequence(faces, (SIZE_PX, SIZE_PX), batch_size=batch_size)
    inputs = keras.Input((SIZE_PX, SIZE_PX, 3))
    before = keras.Model(model.inputs, model.layers[-1].input)
    kernel, bias = (np.asarray(value, np.float64) for value in model.layers[-1].get_weights())
    features = keras.Model(inputs, before(inputs / 255.0))
    hidden = features.predict(data, verbose=0, callbacks=[PredictBar(len(data))])
    return -(np.asarray(hidden, np.float64) @ kernel + bias)[:, 0]


def _convolution(n: int, size: int):
    return keras.layers.Conv2D(n, size, padding="same", activation="relu")


def _inception(a: int, b: int, c: int, d: int):
    """Four branches beside each other: 1 x 1, and 3 x 3 with dilation 1, 2, 3 behind 1 x 1."""
    options = {"padding": "same", "activation": "relu"}
    narrow = [keras.layers.Conv2D(a, 1, **options)]
    for n, dilation in ((b, 1), (c, 2), (d, 3)):
        narrow += [
            keras.layers.Conv2D(n, 1, **options),
            keras.layers.Conv2D(n, 3, dilation_rate=dilation, **options),
        ]

    def apply(x):
        branches = [narrow[0](x)] + [narrow[k + 1](narrow[k](x)) for k in (1, 3, 5)]
        return keras.layers.Concatenate()(branches)

    return apply


def _kind_of(layer) -> str:
    return re.sub(r"_\d+$", "", layer.name)


def _in_order(model: keras.Model) -> list:
    """Layers as they were made: Keras numbers them, the first of a kind has no number."""
    return sorted(model.layers, key=lambda layer: int((re.findall(r"_(\d+)$", layer.name) or ["0"])[0]))
