"""Training on two virtual devices gives what training on one gives."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import media
import numpy as np
import pytest
from conftest import manifest_row

from dfutils import InputError
from dfutils.distribution import use_all_devices
from dfutils.images import write_image
from dfutils.manifest import make_manifest, write_manifest

TARGET = Path(__file__).with_name("distribution_target.py")


def train(backend, n_devices, folder):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, TARGET, str(n_devices), folder]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_learn_what_one_does(tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    rows = []
    for k in range(25):
        image = media.portrait()[60 + 2 * k : 160 + 2 * k, 170:260]
        rows.append(manifest_row(write_image(tmp_path / f"{k}.png", image), k % 2, k))
    write_manifest(make_manifest(rows), tmp_path / "faces.csv")
    one, two = (train(backend, n, tmp_path) for n in (1, 2))
    assert (one["n_used"], two["n_used"]) == (1, 2)
    for name in ("loss", "val_loss", "margins"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-5)
    if backend == "jax":
        assert "25 samples in batches of 8 cannot be shared evenly by 2 devices" in two["refusal"]
    else:
        assert 0 < two["odd_loss"][0] < 2
        np.testing.assert_allclose(two["odd_margins"], two["expected_margins"], rtol=1e-4, atol=1e-5)
    assert abs(one["loss"][1] - one["loss"][0]) > 1e-3  # it did learn something


def test_one_device_changes_nothing(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])
    with use_all_devices() as n_used:
        assert n_used == 1


def test_a_device_that_is_not_there():
    with pytest.raises(InputError, match=r"there is no \['GPU:7'\]"), use_all_devices(["GPU:7"]):
        pass


def test_a_backend_that_cannot(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(InputError, match="not 'torch'"), use_all_devices():
        pass
