"""What `test_distribution` runs: ``python distribution_target.py N_DEVICES FOLDER``; prints losses."""

import json
import os
import sys
from pathlib import Path


def make_devices(n_devices):
    """Split the processor, before a backend has looked at it."""
    if os.environ["KERAS_BACKEND"] == "jax":
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={n_devices}"
        return
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * n_devices)


def refusal_of(model, odd, run):
    from dfutils import InputError, training

    try:
        training.fit(model, odd, odd, 1, run / "odd", progress=False)
    except InputError as error:
        return str(error)


def main(n_devices, folder):
    """Train all layers for two epochs."""
    make_devices(n_devices)
    import media
    import numpy as np

    from dfutils import models, training
    from dfutils.backend import keras
    from dfutils.datasets import FaceSequence
    from dfutils.distribution import use_all_devices
    from dfutils.manifest import read_manifest

    models.build_backbone = media.tiny_backbone
    faces = read_manifest(folder / "faces.csv")
    even, run = faces.iloc[:24], folder / f"run-{n_devices}"
    config = models.ModelConfig("video", "EfficientNetV2B0", (32, 32), hidden_units=8, dropout=0.0)
    options = {"batch_size": 8, "seed": 7}
    training.set_seed(7)
    with use_all_devices() as n_used:
        model = models.build_model(config, None)
        train = FaceSequence(even, config.size_hw, "flip", shuffle=True, **options)
        held_out = FaceSequence(even, config.size_hw, **options)
        history = training.fine_tune(model, config, train, held_out, 2, run / "even", 0.003, "adamw")
    margins = training.predict_logits(model, held_out, progress=False)
    found = {"n_used": n_used, "margins": margins.tolist(), **history.to_dict("list")}
    if n_devices > 1:  # one of 25 is left over, which two devices cannot share
        odd = FaceSequence(faces, config.size_hw, **options)
        with use_all_devices():
            if keras.backend.backend() == "jax":  # which wants even shares
                return print(json.dumps(found | {"refusal": refusal_of(model, odd, run)}))
            history = training.fit(model, odd, odd, 1, run / "odd", progress=False)
        margins = training.predict_logits(model, odd, progress=False)
        found |= {"odd_loss": history["val_loss"].tolist(), "odd_margins": margins.tolist()}
        pictures = np.concatenate([odd[index][0] for index in range(len(odd))])
        logits = keras.ops.convert_to_numpy(model(pictures, training=False))
        found["expected_margins"] = (logits[:, 1] - logits[:, 0]).tolist()
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
