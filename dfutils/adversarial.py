"""Adversarial noise on face crops: FGSM and PGD.

The only module that speaks to a backend by name: Keras has no gradient with respect to an input.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dfutils.backend import keras
from dfutils.errors import InputError


def losses_and_gradients(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, flip: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Compute each picture's loss, and its gradient by the pixels.

    Parameters
    ----------
    model : keras.Model
        Two logits (real, fake).
    images : numpy.ndarray, shape=(n, height, width, 3), float32 in 0..255
    labels : numpy.ndarray, shape=(n,)
        1 = fake.
    flip : bool
        Of the mean of the logits of a picture and of its mirror image, as the model may be used.

    Returns
    -------
    losses : numpy.ndarray, shape=(n,), float32
        Logit margin towards the wrong class. With two classes cross-entropy rises with it, and its
        gradient has the same signs; but the margin's does not vanish where the model is sure.
    gradients : numpy.ndarray, shape=(n, height, width, 3), float32

    Raises
    ------
    InputError
        The model is no Keras model, or the backend has no gradients.
    """
    if not isinstance(model, keras.Model):
        raise InputError("model", "has no gradients: load it with Keras (dfutils.bundles.load_bundle)")
    signs = keras.ops.convert_to_tensor(np.where(np.asarray(labels) == 1, -1, 1), "float32")

    def find_losses(pictures):
        logits = model(pictures, training=False)
        if flip:
            logits = (logits + model(keras.ops.flip(pictures, axis=2), training=False)) / 2
        return signs * (logits[:, 1] - logits[:, 0])

    losses, gradients = _differentiate(find_losses, keras.ops.convert_to_tensor(images, "float32"))
    return keras.ops.convert_to_numpy(losses), keras.ops.convert_to_numpy(gradients)


def _differentiate(function: Callable, x):
    """Values of shape (n,), and the gradient of their sum."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            values = function(x)
        return values, tape.gradient(values, x)  # of the sum, as TensorFlow has it
    if backend == "torch":
        import torch

        x = x.detach().requires_grad_(True)
        values = function(x)
        return values.detach(), torch.autograd.grad(values.sum(), x)[0]
    if backend == "jax":
        import jax

        values, gradient_of = jax.vjp(function, x)
        return values, gradient_of(keras.ops.ones_like(values))[0]
    raise InputError("backend", f"Keras runs on {backend!r}, which has no gradients")


def fgsm(
    model: keras.Model, images: np.ndarray, labels: np.ndarray, epsilon: float, flip: bool = False
) -> np.ndarray:
    """Move every pixel by ``epsilon`` in the direction that raises the loss.

    Parameters
    ----------
    model, images, labels, flip
        See `losses_and_gradients`.
    epsilon : float
        Of 255.

    Returns
    -------
    numpy.ndarray, shape=(n, height, width, 3), float32 in 0..255

    References
    ----------
    .. [1] Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, ICLR 2015.
    """
    images = np.asarray(images, np.float32)
    _, gradients = losses_and_gradients(model, images, labels, flip)
    return np.clip(images + np.float32(epsilon) * np.sign(gradients), 0, 255)


def pgd(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    epsilon: float,
    n_steps: int = 10,
    flip: bool = False,
    seed: int = 0,
) -> np.ndarray:
    """Climb the loss in small steps from a random start, never further than ``epsilon`` from the picture.

    Parameters
    ----------
    model, images, labels, epsilon, flip
        See `fgsm`.
    n_steps : int
        Of 2.5 epsilon / n_steps each.
    seed : int
        Of the start.

    Returns
    -------
    numpy.ndarray, shape=(n, height, width, 3), float32 in 0..255
        Of all that was seen on the way, `fgsm`'s included, what has the highest loss; so PGD is never
        the weaker of the two. Pixels are not rounded to whole numbers, which a file would do.

    References
    ----------
    .. [1] Madry et al.: Towards deep learning models resistant to adversarial attacks, ICLR 2018.
    """
    images = np.asarray(images, np.float32)
    low, high = np.maximum(images - np.float32(epsilon), 0), np.minimum(images + np.float32(epsilon), 255)
    step = np.float32(2.5 * epsilon / max(1, n_steps))
    best = fgsm(model, images, labels, epsilon, flip)
    best_losses, _ = losses_and_gradients(model, best, labels, flip)
    noise = np.random.default_rng(seed).uniform(-epsilon, epsilon, images.shape).astype(np.float32)
    now = np.clip(images + noise, low, high)
    for number in range(n_steps + 1):
        losses, gradients = losses_and_gradients(model, now, labels, flip)
        is_better = losses > best_losses
        best[is_better], best_losses[is_better] = now[is_better], losses[is_better]
        if number < n_steps:
            now = np.clip(now + step * np.sign(gradients), low, high)
    return best
