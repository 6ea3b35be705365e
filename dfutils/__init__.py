"""Helpers of a reproducible study of audio-visual deepfake detection.

One label convention everywhere: fake (spoof) = 1, real (bona fide) = 0, score = ``p_fake``.
Importing this package is cheap: Keras and TensorFlow load only with the modules that need them.
"""

from dfutils.errors import InputError, IntegrityError, LeakError

__version__ = "0.1.0"
__all__ = ["InputError", "IntegrityError", "LeakError", "__version__"]
