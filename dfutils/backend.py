"""Import Keras, and start its backend, without the native libraries' start-up chatter."""

import logging
import os

from dfutils.quiet import native_stderr_to

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with native_stderr_to():
    import keras

    keras.ops.zeros(1)  # the backend looks at the processor, and says so, on first use

# its advice on retracing is meant for loops; ours build a few models, each traced once
logging.getLogger("tensorflow").setLevel(logging.ERROR)

__all__ = ["keras"]
