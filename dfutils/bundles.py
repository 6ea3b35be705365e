"""A trained model on disk: ``model.json`` (how to build and use it) beside ``model.weights.h5``."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from dfutils.backend import keras
from dfutils.calibration import Calibration
from dfutils.errors import InputError, IntegrityError
from dfutils.models import ModelConfig, build_model
from dfutils.paths import atomic_path

FORMAT = 1
WEIGHTS_NAME = "model.weights.h5"


@dataclass
class Bundle:
    """A model with all that its use depends on.

    Attributes
    ----------
    model : keras.Model
    config : ModelConfig
    inputs : dict
        How inputs are made: crop geometry and detector, or features and normalisation.
    calibration : Calibration
        From logits to a probability, and the decision threshold, both from validation.
    about : dict
        Where it comes from: corpus, manifest fingerprint, seed, ...
    sha256 : str
        Of the weights file.
    """

    model: keras.Model
    config: ModelConfig
    inputs: dict
    calibration: Calibration = field(default_factory=Calibration)
    about: dict = field(default_factory=dict)
    sha256: str = ""


def save_bundle(bundle: Bundle, folder: str | os.PathLike, half_precision: bool = False) -> Path:
    """Write a bundle; ``model.json``, which vouches for the weights by their sha256, comes last.

    Parameters
    ----------
    bundle : Bundle
    folder : str or os.PathLike
    half_precision : bool
        Store float16, which halves the file.
    """
    folder = Path(folder)
    with atomic_path(folder / WEIGHTS_NAME) as temporary:
        bundle.model.save_weights(temporary)
        if half_precision:
            _halve(temporary)
        bundle.sha256 = _sha256(temporary)
    description = {
        "format": FORMAT,
        "config": bundle.config.to_dict(),
        "inputs": bundle.inputs,
        "calibration": bundle.calibration.to_dict(),
        "about": bundle.about,
        "weights": {
            "file": WEIGHTS_NAME,
            "sha256": bundle.sha256,
            "values_sha256": _values_sha256(bundle.model),
        },
    }
    with atomic_path(folder / "model.json") as temporary:
        temporary.write_text(json.dumps(description, indent=1) + "\n")
    return folder


def read_description(folder: str | os.PathLike) -> dict:
    """Read ``model.json``.

    Raises
    ------
    InputError
        It is missing, or of another format.
    """
    path = Path(folder) / "model.json"
    if not path.is_file():
        raise InputError(
            folder, "holds no trained model (no model.json); run the notebook that trains it first"
        )
    try:
        description = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(path, f"is not readable JSON ({error})") from error
    if description.get("format") != FORMAT:
        raise InputError(path, f"has format {description.get('format')!r}, this version reads {FORMAT}")
    return description


def load_bundle(folder: str | os.PathLike) -> Bundle:
    """Build the model again and load its weights, after checking their hash.

    Raises
    ------
    InputError
        There is no bundle, or it is of another format.
    IntegrityError
        The weights are missing, altered, or did not all arrive in the model.
    """
    description = read_description(folder)
    weights = Path(folder) / WEIGHTS_NAME
    expected = description["weights"]
    if not weights.is_file():
        raise IntegrityError(weights, "these weights are missing")
    if (found := _sha256(weights)) != expected["sha256"]:
        raise IntegrityError(
            weights, f"sha256 is {found[:12]}…, recorded is {expected['sha256'][:12]}…; not loaded"
        )
    config = ModelConfig(**description["config"])
    model = build_model(config, weights=None)
    load_weights(model, weights)
    if _values_sha256(model) != expected["values_sha256"]:
        raise IntegrityError(weights, "the weights did not all arrive in the model (another Keras version?)")
    return Bundle(
        model,
        config,
        description["inputs"],
        Calibration(**description["calibration"]),
        description["about"],
        found,
    )


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Load Keras weights without the false alarm that Keras 3.15 raises for nested models."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Skipping nested container at '_operations_by_depth")
        model.load_weights(path)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _values_sha256(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for value in model.get_weights():  # float16: the same before and after storing in half precision
        with np.errstate(over="ignore"):
            digest.update(np.asarray(value).astype(np.float16).tobytes())
    return digest.hexdigest()


def _halve(path: Path) -> None:
    """Rewrite every float32 array of an HDF5 file as float16."""
    smaller = path.with_name(path.name.replace(".weights.h5", ".half.weights.h5"))
    with h5py.File(path, "r") as old, h5py.File(smaller, "w") as new:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                value = item[()]
                half = value
                if getattr(value, "dtype", None) == np.float32:
                    with np.errstate(over="ignore"):
                        half = value.astype(np.float16)
                    if not np.array_equal(np.isfinite(half), np.isfinite(value)):  # beyond 65,504
                        half = value
                target = new.create_dataset(name, data=half)
            else:
                target = new.require_group(name)
            for key, attribute in item.attrs.items():
                target.attrs[key] = attribute

        for key, attribute in old.attrs.items():
            new.attrs[key] = attribute
        old.visititems(copy)
    os.replace(smaller, path)
