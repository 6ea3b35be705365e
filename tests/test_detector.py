"""The detector and its command line on good, odd and broken files, with tiny models."""

import json
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from dfutils import InputError, ModelError, detector, judge_picture
from dfutils.__main__ import main
from dfutils.bundles import Bundle, load_bundle, save_bundle
from dfutils.calibration import Calibration
from dfutils.faces import Face
from dfutils.images import write_image
from dfutils.models import ModelConfig, build_model, get_backbone

INPUTS = {
    "picture": {
        "detector": "yunet",
        "min_confidence": 0.6,
        "min_face_px": 40,
        "geometry": {"kind": "tight", "margin": 0.3},
    },
    "voice": {
        "voice": {"features": "static", "size_hw": [64, 64]},
        "window_seconds": 3.2,
        "n_windows": 3,
    },
}


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for kind, what in (("picture", "video"), ("voice", "audio")):
        config = ModelConfig(what, "MobileNetV2", (64, 64), hidden_units=8)
        calibration = Calibration(threshold=0.5, fitted_on="nothing: random weights")
        keras.utils.set_random_seed(7)
        model = build_model(config, None)
        for layer in get_backbone(model).layers:
            if isinstance(layer, keras.layers.BatchNormalization):  # or all pictures would score alike
                layer.moving_variance.assign(np.full(layer.moving_variance.shape, 0.05))
        save_bundle(Bundle(model, config, INPUTS[kind], calibration), folder / kind)
    return folder


@pytest.fixture(scope="session")
def shipped_folders(model_folders, tmp_path_factory):
    """The same models as they ship: ONNX alone, half precision."""
    folder = tmp_path_factory.mktemp("shipped")
    for kind in ("picture", "voice"):
        save_bundle(load_bundle(model_folders / kind), folder / kind, onnx_only=True)
    return folder


@pytest.fixture(scope="session")
def judge(model_folders):
    return detector.DeepfakeDetector(model_folders / "picture", model_folders / "voice")


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """One clip of every kind, made by code; the face is scikit-image's astronaut."""
    import av
    from skimage.data import astronaut

    folder = tmp_path_factory.mktemp("clips")
    face = np.ascontiguousarray(astronaut()[0:256, 100:356])
    speech = np.random.default_rng(0).normal(0, 0.1, 3 * 16_000).astype(np.float32)
    speech *= 0.5 + 0.5 * np.sin(np.arange(speech.size) / 900)

    def write(name, n_frames=0, audio=None, picture=face):
        with av.open(str(folder / name), "w") as container:
            video = sound = None
            if n_frames:
                video = container.add_stream("libx264", rate=25)
                video.width, video.height, video.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
            if audio is not None:
                sound = container.add_stream("pcm_s16le" if name.endswith(".wav") else "aac", rate=16_000)
                sound.layout = "mono"
            for index in range(n_frames):
                frame = av.VideoFrame.from_ndarray(np.roll(picture, index % 5, axis=1), format="rgb24")
                container.mux(video.encode(frame))
            if video:
                container.mux(video.encode())
            if sound:
                samples = (audio * 32767).astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate = 16_000
                container.mux(sound.encode(frame))
                container.mux(sound.encode())
        return folder / name

    paths = {
        "good": write("good.mp4", 50, speech),
        "silent picture": write("no sound.mp4", 50),
        "one frame": write("one frame.mp4", 1),
        "sound only": write("speech.wav", audio=speech),
        "short sound": write("short.wav", audio=speech[: 16_000 // 5]),
        "digital silence": write("silence.wav", audio=np.zeros_like(speech)),
        "no face": write("no face.mp4", 30, speech, np.full((128, 160, 3), 90, np.uint8)),
        "accents": write("Vidéo à l'été 東京.mp4", 25, speech),
    }
    whole = paths["good"].read_bytes()
    for name, content in (
        ("empty.mp4", b""),
        ("text.mp4", b"this is a text\n" * 50),
        ("truncated.mp4", whole[: len(whole) // 2]),
    ):
        (folder / name).write_bytes(content)
        paths[name] = folder / name
    return paths


@pytest.mark.parametrize("name", ["good", "accents"])
def test_both_parts_of_a_clip_are_judged(judge, clips, name):
    findings = judge.analyze(clips[name], n_frames=4, n_fragments=2)
    report = findings.to_dict()
    for part, unit in (("picture", "frames_used"), ("voice", "fragments_used")):
        assert 0 <= report[part]["p_fake"] <= 1
        exact = getattr(findings, part)
        expected = "manipulated" if exact.p_fake >= exact.threshold else "pristine"
        assert report[part]["verdict"] == expected
        assert report[part][unit] == len(report[part]["scores"]) >= 1
    assert report["picture"]["frames_used"] == 4
    assert set(report["models"]) == {"picture", "voice"}
    assert report["schema"] == 1
    assert report["media"] == {"duration_s": pytest.approx(3, abs=0.2), "fps": 25.0}
    json.dumps(report)


def test_a_mirrored_clip_gets_the_same_score_where_the_model_flips(model_folders, tmp_path, monkeypatch):
    """Each face is then judged together with its mirror image, so that left and right cannot matter."""
    from skimage.data import astronaut

    portrait = np.ascontiguousarray(astronaut()[0:256, 100:356])
    for name, picture in (("one.png", portrait), ("other.png", portrait[:, ::-1])):
        write_image(tmp_path / name, picture)
    bundle = load_bundle(model_folders / "picture")
    scores = {}
    monkeypatch.setattr(judge_picture, "predict_margins", _left_minus_right)
    for flip in (True, False):
        bundle.inputs = {**INPUTS["picture"], "flip": flip, "aggregation": "mean-logit"}
        folder = save_bundle(bundle, tmp_path / f"flip {flip}")
        judge = detector.DeepfakeDetector(folder, model_folders / "voice")
        judge._detectors["yunet"] = WholePicture()
        scores[flip] = [judge.analyze(tmp_path / name).picture.p_fake for name in ("one.png", "other.png")]
    assert scores[True][0] == pytest.approx(scores[True][1], abs=1e-5)
    assert scores[False][0] != pytest.approx(scores[False][1], abs=0.05)


def _left_minus_right(model, images, batch_size):
    return np.array([image[:, :32].mean() - image[:, 32:].mean() for image in images]) / 20


class WholePicture:
    """Takes the whole picture for a face, so that both sides are cut alike."""

    def detect(self, image):
        height, width = image.shape[:2]
        return [Face((0.0, 0.0, float(width), float(height)), 1.0, None)]


@pytest.mark.parametrize(
    ("name", "picture", "voice"),
    [
        ("silent picture", None, "has no sound"),
        ("one frame", None, "has no sound"),
        ("sound only", "holds no picture", None),
        ("no face", "no face found in 5 frames", None),
        ("short sound", "holds no picture", "holds 0.2. s of sound, less than 0.5 s"),
        ("digital silence", "holds no picture", "is silent"),
    ],
)
def test_a_part_that_cannot_be_judged_abstains_and_says_why(judge, clips, name, picture, voice):
    report = judge.analyze(clips[name], n_frames=5, n_fragments=2)
    for judgement, reason in ((report.picture, picture), (report.voice, voice)):
        if reason is None:
            assert judgement.abstained is None
            assert judgement.p_fake is not None
        else:
            assert judgement.p_fake is None
            assert judgement.verdict is None
            assert re.search(reason, judgement.abstained), judgement.abstained


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty.mp4", r"is empty \(0 bytes\)"),
        ("text.mp4", "neither picture nor sound can be read"),
        ("truncated.mp4", "neither picture nor sound can be read"),
    ],
)
def test_broken_files_are_named_with_the_reason(judge, clips, name, reason):
    with pytest.raises(InputError, match=reason) as caught:
        judge.analyze(clips[name])
    assert caught.value.subject == str(clips[name])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"n_frames": 0}, "n_frames: must be a whole number in 1..1000, got 0"),
        ({"n_frames": "ten"}, "n_frames: must be a whole number"),
        ({"n_fragments": True}, "n_fragments: must be a whole number"),
        ({"fragment_seconds": 0.1}, "fragment_seconds: must lie in"),
    ],
)
def test_wrong_arguments_get_a_message(judge, clips, options, reason):
    with pytest.raises(InputError, match=reason):
        judge.analyze(clips["good"], **options)


def test_models_of_the_embedded_corpus_come_with_a_warning(judge, clips, tmp_path):
    from dfutils.bundles import load_bundle

    assert judge.analyze(clips["good"], n_frames=2).warning is None
    bundle = load_bundle(judge._folders["picture"])
    bundle.about["corpus"] = "embedded"
    toy = detector.DeepfakeDetector(save_bundle(bundle, tmp_path / "picture"), judge._folders["voice"])
    report = toy.analyze(clips["good"], n_frames=2)
    assert "the picture model was trained on the embedded corpus only" in str(report)
    assert report.to_dict()["warning"] == report.warning


def test_the_same_file_gets_the_same_scores(judge, clips):
    first, second = (judge.analyze(clips["good"], n_frames=3).to_dict() for _ in range(2))
    assert first == second


def test_keras_judges_as_onnx_does_where_there_is_no_onnx(shipped_folders, clips, tmp_path):
    for kind in ("picture", "voice"):
        folder = save_bundle(load_bundle(shipped_folders / kind), tmp_path / kind)
        (folder / "model.onnx").unlink()
        description = json.loads((folder / "model.json").read_text())
        del description["onnx"]
        (folder / "model.json").write_text(json.dumps(description))
    options = {"n_frames": 4, "n_fragments": 3, "fragment_seconds": 0.8}
    reports = [
        detector.DeepfakeDetector(place / "picture", place / "voice").analyze(clips["good"], **options)
        for place in (tmp_path, shipped_folders)
    ]
    for kind in ("picture", "voice"):
        by_keras, by_onnx = (
            np.array([score["p_fake"] for score in getattr(report, kind).scores]) for report in reports
        )
        assert len(by_keras) >= 3
        assert np.ptp(by_keras) > 1e-3
        np.testing.assert_allclose(by_onnx, by_keras, rtol=0, atol=1e-3)


def test_the_detector_starts_at_once():
    heavy = ("tensorflow", "keras", "pandas", "sklearn", "scipy", "librosa", "onnx")
    modules = "dfutils.detector, dfutils.onnx_model, dfutils.judge_files, dfutils.heat_map, dfutils.video"
    code = f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_neither_tensorflow_nor_keras_is_imported(shipped_folders, clips):
    code = f"""
import json, sys
from dfutils.detector import DeepfakeDetector
judge = DeepfakeDetector({str(shipped_folders / "picture")!r}, {str(shipped_folders / "voice")!r})
video = judge.analyze({str(clips["good"])!r}, n_frames=3)
sound = judge.analyze({str(clips["sound only"])!r})
used = [video.picture.used, video.voice.used, sound.voice.used]
print(json.dumps([used, sorted({{name.split(".")[0] for name in sys.modules}})]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    used, roots = json.loads(run.stdout)
    assert min(used) >= 1
    assert "onnxruntime" in roots
    assert not {"tensorflow", "keras", "onnx", "h5py", "torch", "jax"} & set(roots)
    assert run.stderr == ""


def test_command_line_judges_the_good_and_reports_the_bad(model_folders, clips, tmp_path, capsys):
    out = tmp_path / "out" / "findings.json"
    names = ("good", "text.mp4", "accents", "empty.mp4")
    options = [
        "--picture-model",
        str(model_folders / "picture"),
        "--voice-model",
        str(model_folders / "voice"),
    ]
    code = main(
        ["detect", *(str(clips[name]) for name in names), "--json", str(out), "--frames", "2", *options]
    )
    assert code == 1
    findings = json.loads(out.read_text())
    assert [entry["path"] for entry in findings] == [str(clips[name]) for name in names]
    assert ["error" in entry for entry in findings] == [False, True, False, True]
    assert findings[3]["picture"] == {"abstained": "is empty (0 bytes)"}
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert "looks" in printed.out


def test_command_line_names_a_missing_file_and_a_missing_model(tmp_path, capsys):
    assert main(["detect", str(tmp_path / "nothing.mp4")]) == 1
    assert "does not exist" in capsys.readouterr().err
    clip = tmp_path / "clip.wav"
    import soundfile

    soundfile.write(clip, np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000)
    assert main(["detect", str(clip), "--voice-model", str(tmp_path / "no model")]) == 2
    assert "holds no trained model" in capsys.readouterr().err


def test_without_any_model_the_user_is_told_what_to_do(tmp_path, monkeypatch, clips):
    monkeypatch.setenv("DFUTILS_WORK", str(tmp_path))
    monkeypatch.setattr(detector.paths, "models_dir", lambda: tmp_path / "models")
    with pytest.raises(ModelError, match="no trained model yet; `make study` trains one"):
        detector.DeepfakeDetector().analyze(clips["good"])


def test_a_missing_voice_model_leaves_the_picture_judged(tmp_path, monkeypatch, clips, model_folders):
    monkeypatch.setenv("DFUTILS_WORK", str(tmp_path))
    monkeypatch.setattr(detector.paths, "models_dir", lambda: tmp_path / "models")
    report = detector.DeepfakeDetector(model_folders / "picture").analyze(clips["good"], n_frames=2)
    assert report.picture.used == 2
    assert "no trained model yet" in report.voice.abstained
    assert set(report.models) == {"picture"}
