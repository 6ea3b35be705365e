"""Large-margin cosine loss (LMCL), the layer that feeds it, and an AUC metric on logits."""

from __future__ import annotations

from dfutils.backend import keras
from dfutils.errors import InputError

ops = keras.ops


@keras.saving.register_keras_serializable(package="dfutils")
class CosineLogits(keras.layers.Layer):
    """Scaled cosines between features and one weight vector per class.

    ``output[i, j] = scale * x_i . w_j / (|x_i| |w_j|)``, without bias: both factors are normalised
    to length 1, so only the angle counts.

    Input: shape=(batch, n_features), float32. Output: shape=(batch, units), in -scale..scale.

    Parameters
    ----------
    units : int
        Classes.
    scale : float
        The paper's ``s``, > 0.
    **options
        Of `keras.layers.Layer`.

    References
    ----------
    .. [1] Wang et al.: CosFace: large margin cosine loss for deep face recognition, CVPR 2018,
       equations 3 and 4.
    """

    def __init__(self, units: int, scale: float = 4.0, **options):
        super().__init__(**options)
        if units < 2 or not scale > 0:
            raise InputError("CosineLogits", f"needs units >= 2 and scale > 0, got {units} and {scale}")
        self.units, self.scale = units, float(scale)

    def build(self, input_shape):
        """Make the weights, shape=(n_features, units)."""
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), initializer="glorot_uniform"
        )

    def call(self, inputs):
        """See the class."""
        # float32 throughout: half precision loses the small angles
        features = _to_unit_length(ops.cast(inputs, "float32"), axis=-1)
        classes = _to_unit_length(ops.cast(self.kernel, "float32"), axis=0)
        return self.scale * ops.matmul(features, classes)

    def compute_output_shape(self, input_shape):
        """Shape of the output."""
        return (*input_shape[:-1], self.units)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "units": self.units, "scale": self.scale}


def _to_unit_length(x, axis: int):
    """Divide by the length; keras.ops.normalize has a NaN gradient at 0 with JAX and PyTorch."""
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))


@keras.saving.register_keras_serializable(package="dfutils")
class LargeMarginCosineLoss(keras.losses.Loss):
    """Large-margin cosine loss on the scaled cosines of `CosineLogits`.

    ``-log( exp(s (cos_y - m)) / (exp(s (cos_y - m)) + sum over j != y of exp(s cos_j)) )``

    With a margin of 0 it is the softmax cross-entropy of the scaled cosines.

    Parameters
    ----------
    scale : float
        The paper's ``s``; the same as in `CosineLogits`.
    margin : float
        The paper's ``m``, 0..2: how much further from its own class a sample is made to look.
    **options
        Of `keras.losses.Loss`.

    Notes
    -----
    ``y_true``: shape=(batch,) or (batch, 1), integer class. ``y_pred``: shape=(batch, n_classes),
    ``s cos``. Equation 4 of Wang et al., CVPR 2018. At prediction time there is no margin:
    probabilities are the softmax of ``s cos``.
    """

    def __init__(self, scale: float = 4.0, margin: float = 0.35, name: str = "lmcl", **options):
        super().__init__(name=name, **options)
        if not scale > 0 or not 0 <= margin <= 2:
            raise InputError("LMCL", f"needs scale > 0 and a margin in 0..2, got {scale} and {margin}")
        self.scale, self.margin = float(scale), float(margin)

    def call(self, y_true, y_pred):
        """Loss per sample, shape=(batch,)."""
        y_pred = ops.cast(y_pred, "float32")
        target = ops.one_hot(ops.cast(ops.reshape(y_true, (-1,)), "int32"), y_pred.shape[-1], dtype="float32")
        logits = y_pred - self.scale * self.margin * target
        return ops.logsumexp(logits, axis=-1) - ops.sum(target * logits, axis=-1)

    def get_config(self):
        """What `from_config` needs."""
        return {**super().get_config(), "scale": self.scale, "margin": self.margin}


@keras.saving.register_keras_serializable(package="dfutils")
class FakeAUC(keras.metrics.AUC):
    """Area under the ROC curve of the class fake, from two logits.

    Input: ``y_true`` shape=(batch,), 1 = fake; ``y_pred`` shape=(batch, 2), logits. The margin of
    the two logits is squashed to 0..1, as thresholds are spread evenly there; an exact value comes
    from `dfutils.metrics`.
    """

    def __init__(self, name: str = "auc", **options):
        super().__init__(name=name, **options)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take in one batch."""
        p_fake = ops.sigmoid(y_pred[:, 1] - y_pred[:, 0])
        return super().update_state(ops.reshape(y_true, (-1,)), p_fake, sample_weight)
