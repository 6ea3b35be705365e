"""H.264 in memory: shape, loss that grows with the rate factor, prediction, refusals."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from dfutils import InputError
from dfutils.codecs_video import compress_h264


@pytest.fixture(scope="module")
def face(portrait):
    return np.ascontiguousarray(portrait[40:200, 140:300])


def test_quality_falls_with_the_rate_factor(face):
    quality = [cv2.PSNR(face, compress_h264(face, factor)) for factor in (10, 20, 30, 40)]
    assert quality == sorted(quality, reverse=True)
    assert quality[0] > 38  # near the limit that halved colour sets
    assert quality[-1] < 32


def test_a_predicted_frame_is_another_one(face):
    alone, predicted = compress_h264(face, 30), compress_h264(face, 30, (1.5, -0.5))
    assert not np.array_equal(alone, predicted)
    assert cv2.PSNR(face, predicted) > 28  # the frame itself comes out, not the shifted one before it


@pytest.mark.parametrize("shape", [(16, 16), (17, 31), (41, 64)])
def test_odd_sizes_keep_their_shape(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    result = compress_h264(image, 25, (1, 1))
    assert result.shape == image.shape
    assert result.dtype == np.uint8


def test_same_in_threads(face):
    expected = [compress_h264(face, factor, (1, 0)) for factor in range(20, 36)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda factor: compress_h264(face, factor, (1, 0)), range(20, 36)))
    np.testing.assert_array_equal(found, expected)


def test_refuses_what_h264_cannot_take(face):
    with pytest.raises(InputError, match="16 px"):
        compress_h264(face[:10], 20)
    with pytest.raises(InputError, match=r"0\.\.51"):
        compress_h264(face, 60)
