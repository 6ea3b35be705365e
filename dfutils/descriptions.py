"""``model.json``: how a trained model is used, and the hashes of its files. Nothing here needs Keras."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dfutils.calibration import Calibration
from dfutils.error_rates import check_evaluation
from dfutils.errors import InputError, IntegrityError
from dfutils.model_config import ModelConfig
from dfutils.paths import atomic_path

if TYPE_CHECKING:
    import keras

    from dfutils.onnx_model import OnnxModel

FORMAT = 1
DESCRIPTION_NAME, WEIGHTS_NAME, ONNX_NAME = "model.json", "model.weights.h5", "model.onnx"


@dataclass
class Bundle:
    """A model with all that its use depends on.

    Attributes
    ----------
    model : keras.Model or dfutils.onnx_model.OnnxModel
        `dfutils.bundles.load_bundle` gives the one, `dfutils.onnx_model.open_bundle` the other.
    config : ModelConfig
    inputs : dict
        How inputs are made: crop geometry and detector, or features and normalisation.
    calibration : Calibration
        From logits to a probability, and the decision threshold, both from validation.
    about : dict
        Where it comes from: corpus, manifest fingerprint, seed, ...
    sha256 : str
        Of the file that the weights come from.
    evaluation : list of dict
        How often it errs (`dfutils.error_rates`). What is saved anew is another model, and has none until
        it is rated (`dfutils.rating`).
    """

    model: keras.Model | OnnxModel
    config: ModelConfig
    inputs: dict
    calibration: Calibration = field(default_factory=Calibration)
    about: dict = field(default_factory=dict)
    sha256: str = ""
    evaluation: list[dict] = field(default_factory=list)

    @classmethod
    def described(cls, description: dict, model: keras.Model | OnnxModel, sha256: str) -> Bundle:
        """Make a bundle of what ``model.json`` says and a model."""
        config, calibration = ModelConfig(**description["config"]), Calibration(**description["calibration"])
        inputs, about = description["inputs"], description["about"]
        return cls(model, config, inputs, calibration, about, sha256, description.get("evaluation", []))


def write_description(folder: Path, bundle: Bundle, weights: dict, onnx: dict | None) -> None:
    """Write ``model.json``; it vouches for the other files, so it comes last.

    Parameters
    ----------
    folder : pathlib.Path
    bundle : Bundle
    weights : dict
        ``values_sha256`` of the weights' values, whatever file they are in; ``file`` and ``sha256``
        where there is a file of Keras weights.
    onnx : dict or None
        ``file`` and ``sha256``, where the model is there as ONNX.
    """
    description = {
        "format": FORMAT,
        "config": bundle.config.to_dict(),
        "inputs": bundle.inputs,
        "calibration": bundle.calibration.to_dict(),
        "about": bundle.about,
        "weights": weights,
    }
    if onnx:
        description["onnx"] = onnx
    with atomic_path(folder / DESCRIPTION_NAME) as temporary:
        temporary.write_text(json.dumps(description, indent=1) + "\n")


def read_description(folder: str | os.PathLike) -> dict:
    """Read ``model.json``.

    Raises
    ------
    InputError
        It is missing, incomplete, or of another format.
    """
    path = Path(folder) / DESCRIPTION_NAME
    if not path.is_file():
        raise InputError(
            folder, "holds no trained model (no model.json); run the notebook that trains it first"
        )
    try:
        description = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(path, f"is not readable JSON ({error})") from error
    found = description.get("format") if isinstance(description, dict) else None
    if found != FORMAT:
        raise InputError(path, f"has format {found!r}, this version reads {FORMAT}")
    missing = {"config", "inputs", "calibration", "about", "weights"} - description.keys()
    if missing:
        raise InputError(path, f"does not say all that is needed: {', '.join(sorted(missing))}")
    try:
        ModelConfig(**description["config"]), Calibration(**description["calibration"])
        check_evaluation(description.get("evaluation", []))
    except (TypeError, ValueError) as error:
        raise InputError(path, f"holds what this version does not know ({error})") from error
    return description


def model_file(description: dict) -> dict:
    """Return ``file`` and ``sha256`` of the file that a detector loads: ONNX where there is one."""
    return description.get("onnx") or description["weights"]


def read_verified(path: str | os.PathLike, sha256: str) -> bytes:
    """Read a file and check its hash; what was checked is what the caller gets.

    Raises
    ------
    IntegrityError
        The file cannot be read, or is not the recorded one.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise IntegrityError(path, f"this model cannot be read ({error.strerror})") from error
    check_sha256(path, hashlib.sha256(content).hexdigest(), sha256)
    return content


def check_sha256(path: str | os.PathLike, found: str, recorded: str) -> None:
    """Raise an IntegrityError if two hashes differ."""
    if found != recorded:
        raise IntegrityError(path, f"sha256 is {found[:12]}…, recorded is {str(recorded)[:12]}…; not loaded")


def sha256_of(path: str | os.PathLike) -> str:
    """Return the hash of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
