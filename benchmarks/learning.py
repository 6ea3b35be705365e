"""Benchmarks of learning: cached features, the loader beside the step it feeds, precision; and of use."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from common import in_turns, row, run_measured

HERE = Path(__file__).parent
SIZE_HW, BATCH = (224, 224), 32


def bench_cached(clip: Path, repeats: int) -> list[dict]:
    """An epoch of the head on a frozen EfficientNetV2-B0: features computed anew against cached."""
    from dfutils import models
    from dfutils.backend import keras

    config = models.ModelConfig("video", "EfficientNetV2B0", SIZE_HW)
    model = models.compile_model(models.build_model(config, None), config, 1e-3)
    images = np.random.default_rng(0).uniform(0, 255, (128, *SIZE_HW, 3)).astype(np.float32)
    labels = np.arange(128) % 2
    features = models.get_backbone(model).predict(images, batch_size=BATCH, verbose=0)
    head = models.compile_model(models.build_head_model(config, features.shape[1]), config, 1e-3)
    assert isinstance(head, keras.Model)
    times = in_turns(
        lambda: model.fit(images, labels, batch_size=BATCH, verbose=0),
        lambda: head.fit(features, labels, batch_size=BATCH, verbose=0),
        repeats,
    )
    return [row("epoch of a frozen backbone, 128 faces", "features anew", *times)]


def bench_loader(clip: Path, repeats: int) -> list[dict]:
    """Batches of 32 augmented faces by one and by two threads, beside the training step that takes them."""
    from skimage.data import astronaut

    from dfutils import models
    from dfutils.crops import resize_image
    from dfutils.datasets import FaceSequence
    from dfutils.images import write_image

    config = models.ModelConfig("video", "EfficientNetV2B0", SIZE_HW)
    model = models.build_model(config, None)
    models.unfreeze(model)
    models.compile_model(model, config, 1e-4)
    face, rows = resize_image(np.ascontiguousarray(astronaut()[:230, 110:340]), (256, 256)), []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(4 * BATCH):
            path = write_image(Path(folder) / f"{number}.png", np.roll(face, number, axis=1))
            rows.append({"path": str(path), "label": number % 2})
        loaders = {
            n: FaceSequence(pd.DataFrame(rows), SIZE_HW, "robust", batch_size=BATCH, shuffle=True, workers=n)
            for n in (1, 2)
        }
        images, labels = loaders[1][0]
        found = []
        for workers, loader in loaders.items():
            epoch = in_turns(
                lambda: [model.train_on_batch(images, labels) for _ in range(4)],
                lambda: _run_epoch(loader),  # noqa: B023
                repeats,
            )
            name = f"{BATCH} augmented faces, threads: {workers}"
            found.append(row(name, "the training step that takes them", *(part / 4 for part in epoch)))
    return found


def _run_epoch(loader) -> None:
    for number in range(len(loader)):
        loader[number]
    loader.on_epoch_end()


def bench_precision(clip: Path, repeats: int) -> list[dict]:
    """A fine-tuning step of 16 faces: float32 against mixed precision (bfloat16), on this hardware."""
    from dfutils import models
    from dfutils.backend import keras

    config = models.ModelConfig("video", "EfficientNetV2B0", SIZE_HW)
    images = np.random.default_rng(0).uniform(0, 255, (16, *SIZE_HW, 3)).astype(np.float32)
    labels, steps, before = np.arange(16) % 2, {}, keras.mixed_precision.global_policy()
    try:
        for policy in ("float32", "mixed_bfloat16"):
            keras.mixed_precision.set_global_policy(policy)
            model = models.build_model(config, None)
            models.unfreeze(model)
            steps[policy] = models.compile_model(model, config, 1e-4)
    finally:
        keras.mixed_precision.set_global_policy(before)
    times = in_turns(
        lambda: steps["float32"].train_on_batch(images, labels),
        lambda: steps["mixed_bfloat16"].train_on_batch(images, labels),
        repeats,
    )
    return [row("fine-tuning step of 16 faces, mixed bfloat16", "float32", *times)]


def bench_runtime(clip: Path, repeats: int) -> list[dict]:
    """The shipped picture model on 40 faces, once loaded: Keras against onnxruntime."""
    from dfutils import paths
    from dfutils.bundles import load_bundle
    from dfutils.margins import predict_margins
    from dfutils.onnx_model import open_bundle

    folder = paths.models_dir() / "picture"
    keras_model, onnx_model = load_bundle(folder), open_bundle(folder)
    size_hw = tuple(onnx_model.config.size_hw)
    faces = list(np.random.default_rng(0).integers(0, 256, (40, *size_hw, 3), np.uint8))
    times = in_turns(
        lambda: predict_margins(keras_model.model, faces),
        lambda: predict_margins(onnx_model.model, faces),
        repeats,
    )
    return [row("40 faces, model loaded", "Keras, batches of 32", *times)]


def bench_detector(clip: Path, repeats: int) -> list[dict]:
    """A clip from the command line to the verdict, start included: see `thesis_detector.py`."""
    commands = {
        "baseline": [sys.executable, str(HERE / "thesis_detector.py"), str(clip)],
        "ours": [sys.executable, "-m", "dfutils", "detect", str(clip)],
    }
    taken: dict[str, list] = {name: [] for name in commands}
    for number in range(repeats + 1):
        for name, command in commands.items():
            seconds, peak_mb = run_measured(command)
            if number:  # the first run warms the disk's cache
                taken[name].append((seconds, peak_mb))
    (base_s, base_mb), (ours_s, ours_mb) = ([*map(statistics.median, zip(*t))] for t in taken.values())
    note = f"peak memory {base_mb:.0f} against {ours_mb:.0f} MB"
    way = "random seeks, Keras frame by frame, MoviePy's sound"
    return [row("verdict on the clip, start included", way, base_s, ours_s, note)]


def bench_warm(clip: Path, repeats: int) -> list[dict]:
    """The same clip judged by a detector that is loaded, as the notebook and the app do."""
    from dfutils.detector import DeepfakeDetector

    detector = DeepfakeDetector()
    times = in_turns(lambda: DeepfakeDetector().analyze(clip), lambda: detector.analyze(clip), repeats)
    return [row("verdict on the clip, detector loaded", "models loaded anew", *times)]
