"""Face detection and crop geometry, on a public-domain portrait."""

import importlib.util
import os

import cv2
import numpy as np
import pytest

from dfutils import InputError
from dfutils.crops import CropGeometry, crop_face, resize_image
from dfutils.faces import Face, YuNetDetector, largest_first, make_detector

# x, y, width, height found in skimage.data.astronaut() by OpenCV's own sample with the same model file
ASTRONAUT_BOX = np.array([178.2, 62.9, 89.9, 113.3])


def iou(first, second):
    """Intersection over union of two boxes ``(x, y, width, height)``."""
    x0, y0 = max(first[0], second[0]), max(first[1], second[1])
    x1 = min(first[0] + first[2], second[0] + second[2])
    y1 = min(first[1] + first[3], second[1] + second[3])
    common = max(0, x1 - x0) * max(0, y1 - y0)
    return common / (first[2] * first[3] + second[2] * second[3] - common)


@pytest.fixture(scope="module")
def yunet():
    return make_detector("yunet")


def test_the_astronaut(yunet, portrait):
    (face,) = yunet.detect(portrait)
    np.testing.assert_allclose(face.box, ASTRONAUT_BOX, atol=3)
    assert 0.9 < face.confidence <= 1
    assert face.area == pytest.approx(face.box[2] * face.box[3])


def test_landmarks_are_the_persons_own_sides(yunet, portrait):
    (face,) = yunet.detect(portrait)
    right_eye, left_eye, nose, right_mouth, left_mouth = face.landmarks
    assert right_eye[0] < nose[0] < left_eye[0]  # the person's right is to the viewer's left
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
    x, y, width, height = face.box
    assert ((face.landmarks > [x, y]) & (face.landmarks < [x + width, y + height])).all()


@pytest.mark.parametrize("factor", [0.25, 0.5, 2, 4])
def test_size_of_the_image_does_not_matter(yunet, portrait, factor):
    side = round(512 * factor)
    resized = cv2.resize(
        portrait, (side, side), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    )
    face = yunet.detect(resized)[0]
    assert iou(face.box, ASTRONAUT_BOX * factor) > 0.7
    expected = np.array([[200.1, 101.8], [247.1, 102.6], [220.4, 124.5], [198.6, 142.8], [239.7, 143.6]])
    np.testing.assert_allclose(face.landmarks, expected * factor, atol=0.2 * face.box[2])


def test_a_small_face_in_a_large_image_is_found_at_full_size(portrait):
    """Scaled to 640 px the face is some 6 px wide and lost; the second try is at full size."""
    image = np.full((1000, 2600, 3), 128, np.uint8)
    face = cv2.resize(portrait, (150, 150), interpolation=cv2.INTER_AREA)
    image[400:550, 1200:1350] = face
    detector = YuNetDetector()
    assert detector._detect_at(image, 640 / 2600) == []
    assert iou(detector.detect(image)[0].box, ASTRONAUT_BOX * 150 / 512 + [1200, 400, 0, 0]) > 0.6


def test_the_second_try_is_bounded(monkeypatch):
    """A picture of a few kilobytes can unpack to hundreds of megapixels, 80 bytes each in YuNet."""
    detector, scales = YuNetDetector(), []
    monkeypatch.setattr(detector, "_detect_at", lambda image, scale: scales.append(scale) or [])
    detector.detect(np.zeros((3000, 4000, 3), np.uint8))
    detector.detect(np.zeros((8000, 12_000, 3), np.uint8))
    assert scales == [640 / 4000, 1.0, 640 / 12_000, 0.5]


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (16, 16), (240, 320)])
def test_no_face_in_a_plain_image(yunet, shape):
    assert yunet.detect(np.full((*shape, 3), 120, np.uint8)) == []


def test_no_random_faces_in_very_flat_images(yunet, portrait):
    """OpenCV's YuNet reads memory left by earlier images below 32 px; some of its boxes are 1e8 px wide."""
    for _ in range(15):
        yunet.detect(portrait)
        for shape in ((3, 500), (2, 640), (5, 300)):
            assert yunet.detect(np.full((*shape, 3), 120, np.uint8)) == []


def test_two_faces_the_largest_first(yunet, portrait):
    small = cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA)
    image = np.full((512, 800, 3), 128, np.uint8)
    image[:256, :256], image[:, 288:] = small, portrait
    faces = yunet.detect(image)
    assert len(faces) == 2
    assert faces[0].area > faces[1].area
    assert faces[0].box[0] > 288
    assert largest_first(faces[::-1]) == faces


def test_confidence_limit(portrait):
    assert make_detector("yunet", min_confidence=0.99).detect(portrait) == []


def test_unknown_detector():
    with pytest.raises(InputError, match=r"detector.*'yunett'"):
        make_detector("yunett")


@pytest.mark.parametrize(("name", "file"), [("retinaface", "RetinaFace"), ("dsfd", "DSFD")])
def test_optional_detector_without_its_weights(name, file, monkeypatch, tmp_path):
    monkeypatch.delenv("DFUTILS_WEIGHTS", raising=False)
    with pytest.raises(InputError, match=f"{name}.*DFUTILS_WEIGHTS.*{file}.*not set.*yunet"):
        make_detector(name)
    monkeypatch.setenv("DFUTILS_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=tmp_path.name):
        make_detector(name)


@pytest.mark.skipif(
    importlib.util.find_spec("face_detection") is not None, reason="face-detection is installed"
)
def test_optional_detector_without_its_package(monkeypatch, tmp_path):
    (tmp_path / "RetinaFace_mobilenet025.pth").write_bytes(b"weights")
    monkeypatch.setenv("DFUTILS_WEIGHTS", str(tmp_path))
    with pytest.raises(InputError, match=r"dfutils\[dsfd\]"):
        make_detector("retinaface")


def test_mtcnn_without_its_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mtcnn", None)
    with pytest.raises(InputError, match=r"dfutils\[mtcnn\]"):
        make_detector("mtcnn")


@pytest.mark.skipif(importlib.util.find_spec("mtcnn") is None, reason="extra mtcnn is not installed")
def test_mtcnn_agrees_with_yunet(yunet, portrait):
    image = portrait[:256, 90:346]
    (expected,) = yunet.detect(image)
    face = make_detector("mtcnn").detect(image)[0]
    assert iou(face.box, expected.box) > 0.5
    np.testing.assert_allclose(face.landmarks, expected.landmarks, atol=0.12 * expected.box[2])


def _retinaface_reason():
    weights = os.environ.get("DFUTILS_WEIGHTS", "")
    for package in ("torch", "face_detection"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed"
    try:
        import face_detection  # noqa: F401
    except (ImportError, RuntimeError) as error:
        return f"face_detection cannot be imported: {error}"
    names = os.listdir(weights) if weights and os.path.isdir(weights) else []
    return (
        ""
        if any(name.startswith("RetinaFace_mobilenet") for name in names)
        else "no weights in DFUTILS_WEIGHTS"
    )


def test_retinaface_agrees_with_yunet(yunet, portrait):
    if reason := _retinaface_reason():
        pytest.skip(reason)
    (expected,) = yunet.detect(portrait)
    assert iou(make_detector("retinaface").detect(portrait)[0].box, expected.box) > 0.5


# ------------------------------------------------------------------ crops


@pytest.mark.parametrize("box", [(200.0, 150.0, 88.5, 109.5), (310.0, 280.0, 177.0, 219.0)])
def test_tight_crop_puts_the_box_where_documented(box):
    x0, y0, x1, y1 = CropGeometry("tight").rectangle(box)
    side = x1 - x0
    assert side == y1 - y0
    x, y, width, height = box
    assert width / side == pytest.approx(0.885, abs=0.01)
    assert height / side == pytest.approx(1.095, abs=0.01)
    assert (x + width / 2 - x0) / side == pytest.approx(0.493, abs=0.6 / side)
    assert (y + height / 2 - y0) / side == pytest.approx(0.455, abs=0.6 / side)


def test_tight_rectangle_is_square_for_any_box():
    generator = np.random.default_rng(0)
    for x, y, width, height in generator.uniform([-50, -50, 0.2, 0.2], [300, 300, 200, 200], (200, 4)):
        x0, y0, x1, y1 = CropGeometry("tight").rectangle((x, y, width, height))
        assert x1 - x0 == y1 - y0 >= 1


def test_crop_cuts_the_right_pixels():
    y, x = np.mgrid[:200, :250]
    image = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)
    geometry = CropGeometry("tight")
    box = (100.0, 80.0, 40.0, 50.0)
    crop = crop_face(image, box, geometry)
    x0, y0, x1, y1 = geometry.rectangle(box)
    assert crop.shape == (y1 - y0, x1 - x0, 3)
    assert crop[0, 0].tolist() == [x0, y0, 0]
    assert crop[-1, -1].tolist() == [x1 - 1, y1 - 1, 0]


def test_tight_crop_at_the_edge_repeats_the_border_and_keeps_the_place():
    y, x = np.mgrid[:100, :100]
    image = np.stack([x, y, x], axis=-1).astype(np.uint8)
    geometry = CropGeometry("tight")
    box = (-10.0, 70.0, 40.0, 50.0)
    x0, y0, x1, y1 = geometry.rectangle(box)
    assert x0 < 0
    assert y1 > 100
    crop = crop_face(image, box, geometry)
    assert crop.shape == (y1 - y0, x1 - x0, 3)
    columns = np.clip(np.arange(x0, x1), 0, 99)
    rows = np.clip(np.arange(y0, y1), 0, 99)
    np.testing.assert_array_equal(crop, image[np.ix_(rows, columns)])


def test_margin_crop_grows_by_half_on_each_side_and_is_clipped():
    image = np.zeros((200, 300, 3), np.uint8)
    geometry = CropGeometry("margin", margin=0.5)
    assert geometry.rectangle((100, 60, 40, 80)) == (90, 40, 150, 160)
    assert crop_face(image, (100, 60, 40, 80), geometry).shape == (120, 60, 3)
    assert crop_face(image, (0, 0, 40, 80), geometry).shape == (100, 50, 3)
    assert crop_face(image, (270, 150, 40, 80), geometry).shape == (70, 40, 3)
    assert CropGeometry("margin", margin=0).rectangle((10, 20, 30, 40)) == (10, 20, 40, 60)


def test_geometry_errors():
    with pytest.raises(InputError, match="'loose'"):
        CropGeometry("loose")
    with pytest.raises(InputError, match=r"0\.\.3.*-0.1"):
        CropGeometry("margin", margin=-0.1)
    with pytest.raises(InputError, match="outside an image of 80 x 60 px"):
        crop_face(np.zeros((60, 80, 3), np.uint8), (200, 10, 20, 20), CropGeometry())


def test_resize_takes_height_first_and_averages_when_shrinking():
    checkers = (np.indices((100, 100)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    small = resize_image(checkers, (25, 50))
    assert small.shape == (25, 50, 3)
    assert np.ptp(small) <= 1  # area averaging, no moiré
    assert resize_image(small, (275, 225)).shape == (275, 225, 3)


def test_face_is_immutable():
    face = Face((0.0, 0.0, 2.0, 3.0), 0.9)
    with pytest.raises(AttributeError):
        face.confidence = 1.0
