"""What a trained model says of pictures: one margin of logits each, by onnxruntime or by Keras."""

from __future__ import annotations

import numpy as np

AT_A_TIME = 128  # pictures that are float32, four times their size, at the same time


def predict_margins(model, images: list[np.ndarray], batch_size: int = 32) -> np.ndarray:
    """Compute logit margins (fake minus real).

    Parameters
    ----------
    model : dfutils.onnx_model.OnnxModel or keras.Model
    images : list of numpy.ndarray, shape=(height, width, 3)
        In the range that the model was trained on; uint8 where that is 0..255.
    batch_size : int
        For Keras.

    Returns
    -------
    numpy.ndarray, shape=(n,), float64
    """
    margins = []
    for start in range(0, len(images), AT_A_TIME):
        some = images[start : start + AT_A_TIME]
        n = len(some)
        if hasattr(model, "predict_with_feature_map"):
            logits = model.predict(np.stack(some).astype(np.float32, copy=False))
        else:  # in batches of one size: every new size would cost Keras seconds of tracing
            padded = np.stack(some + [some[-1]] * (-n % batch_size)).astype(np.float32, copy=False)
            logits = model.predict(padded, batch_size=batch_size, verbose=0)[:n]
        margins.append(np.asarray(logits[:, 1], np.float64) - logits[:, 0])
    return np.concatenate(margins)
