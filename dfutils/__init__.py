"""Helpers of a reproducible study of audio-visual deepfake detection.

One label convention everywhere: fake (spoof) = 1, real (bona fide) = 0, score = ``p_fake``.
Importing this package is cheap: Keras and TensorFlow load only with the modules that need them.
"""

import os

# before anybody imports these libraries: our errors name the file, theirs do not; nothing phones home
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from dfutils.errors import InputError, IntegrityError, LeakError, ModelError

__version__ = "0.1.0"
__all__ = ["InputError", "IntegrityError", "LeakError", "ModelError", "__version__"]
