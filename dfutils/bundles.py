"""A trained model on disk: ``model.json`` beside Keras weights, the same model as ONNX, or both."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np

from dfutils.backend import keras
from dfutils.checkpoints import hdf5_bytes
from dfutils.descriptions import (
    ONNX_NAME,
    WEIGHTS_NAME,
    Bundle,
    check_sha256,
    read_description,
    read_verified,
    sha256_of,
    write_description,
)
from dfutils.errors import IntegrityError
from dfutils.models import ModelConfig, build_model
from dfutils.onnx_export import export_onnx, verify_onnx
from dfutils.onnx_weights import fill_model
from dfutils.paths import atomic_path, reserve

__all__ = ["Bundle", "load_bundle", "load_weights", "read_description", "save_bundle"]


def save_bundle(bundle: Bundle, folder: str | os.PathLike, onnx_only: bool = False) -> Path:
    """Write a bundle; ``model.json``, which vouches for the weights by their sha256, comes last.

    Parameters
    ----------
    bundle : Bundle
        With a Keras model.
    folder : str or os.PathLike
    onnx_only : bool
        False: Keras weights as they are, and ``model.onnx`` beside them; a model that cannot be
        exported is saved without, and a warning says why. True, for shipping: ``model.onnx`` alone,
        which stores half precision and from which `load_bundle` fills a Keras model too.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    InputError
        ``onnx_only``, and the model cannot be exported.
    IntegrityError
        ``onnx_only``, and what was exported computes something else than the model.
    """
    folder = Path(folder)
    weights = {"values_sha256": _values_sha256(bundle.model)}
    if onnx_only:
        onnx = _save_onnx(bundle, folder / ONNX_NAME)
        bundle.sha256 = onnx["sha256"]
    else:
        with atomic_path(folder / WEIGHTS_NAME) as temporary:
            reserve(temporary, hdf5_bytes(bundle.model))
            bundle.model.save_weights(temporary)
            onnx = _try_save_onnx(bundle, folder / ONNX_NAME)
            bundle.sha256 = sha256_of(temporary)
        weights = {"file": WEIGHTS_NAME, "sha256": bundle.sha256, **weights}
    write_description(folder, bundle, weights, onnx)
    for name, is_recorded in ((WEIGHTS_NAME, not onnx_only), (ONNX_NAME, onnx)):
        if not is_recorded:  # of a bundle that was here before
            (folder / name).unlink(missing_ok=True)
    return folder


def _save_onnx(bundle: Bundle, path: Path) -> dict:
    with atomic_path(path) as temporary:  # in place only once it has been compared with Keras
        sha256 = export_onnx(bundle.model, bundle.config, temporary)
        verify_onnx(bundle.model, temporary, sha256)
    return {"file": path.name, "sha256": sha256}


def _try_save_onnx(bundle: Bundle, path: Path) -> dict | None:
    try:
        return _save_onnx(bundle, path)
    except OSError:  # such as a full disk: then nothing is replaced
        raise
    except Exception as error:  # whatever it is, hours of training are not to be lost by it
        warnings.warn(f"saved without {path.name}: {error}", stacklevel=3)
        return None


def load_bundle(folder: str | os.PathLike) -> Bundle:
    """Build the Keras model again and load its weights, after checking their hash.

    Parameters
    ----------
    folder : str or os.PathLike
        With Keras weights, or with ``model.onnx`` alone.

    Raises
    ------
    InputError
        There is no bundle, or it is of another format.
    IntegrityError
        The weights are missing, altered, or did not all arrive in the model.
    """
    folder = Path(folder)
    description = read_description(folder)
    config, recorded = ModelConfig(**description["config"]), description["weights"]
    if "file" in recorded:
        weights, sha256 = folder / WEIGHTS_NAME, recorded["sha256"]
        if not weights.is_file():
            raise IntegrityError(weights, "these weights are missing")
        check_sha256(weights, sha256_of(weights), sha256)
        model = build_model(config, weights=None)
        load_weights(model, weights)
    elif description.get("onnx"):
        weights, sha256 = folder / ONNX_NAME, description["onnx"]["sha256"]
        content = read_verified(weights, sha256)
        model = build_model(config, weights=None)
        fill_model(model, content, weights)
    else:
        raise IntegrityError(folder, "no weights are recorded in model.json")
    if _values_sha256(model) != recorded["values_sha256"]:
        raise IntegrityError(weights, "the weights did not all arrive in the model (another Keras version?)")
    return Bundle.described(description, model, sha256)


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Load Keras weights without the false alarm that Keras 3.15 raises for nested models."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Skipping nested container at '_operations_by_depth")
        model.load_weights(path)


def _values_sha256(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for value in model.get_weights():  # float16: the same before and after storing in half precision
        with np.errstate(over="ignore"):
            digest.update(np.asarray(value).astype(np.float16).tobytes())
    return digest.hexdigest()
