"""The baseline of `run.py`: a clip judged as the thesis' notebook does, with the models that ship.

Keras models; a seek to each frame, in random order; one prediction per frame; the sound by MoviePy,
a prediction per fragment. Face detector, crops and features are ours, so that only the way differs.
"""

import sys

import cv2
import librosa
import numpy as np
from moviepy import VideoFileClip

from dfutils import paths
from dfutils.audio import SAMPLE_RATE_HZ
from dfutils.bundles import load_bundle
from dfutils.crops import CropGeometry, crop_face, resize_image
from dfutils.faces import largest_first, make_detector
from dfutils.voice_input import VoiceInput


def main(path: str) -> None:
    """Print the mean probability of both parts."""
    picture, voice = (load_bundle(paths.models_dir() / kind) for kind in ("picture", "voice"))
    detector, geometry = make_detector("yunet"), CropGeometry(**picture.inputs["geometry"])
    generator, found = np.random.default_rng(0), []
    capture = cv2.VideoCapture(path)
    n_frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    for index in generator.choice(n_frames, 20, replace=False):
        capture.set(cv2.CAP_PROP_POS_FRAMES, int(index))
        ok, frame = capture.read()
        frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB) if ok else None
        faces = largest_first(detector.detect(frame)) if ok else []
        if faces:
            crop = resize_image(crop_face(frame, faces[0].box, geometry), picture.config.size_hw)
            for image in (crop, crop[:, ::-1]):
                logits = picture.model.predict(np.float32(image)[None], verbose=0)[0]
                found.append(logits[1] - logits[0])
    print("picture", picture.calibration.p_fake(np.mean(found)))
    clip = VideoFileClip(path)
    if clip.audio is not None:
        sound = clip.audio.to_soundarray(fps=44_100).mean(axis=1)
        sound = librosa.resample(sound.astype(np.float32), orig_sr=44_100, target_sr=SAMPLE_RATE_HZ)
        voice_input = VoiceInput(**voice.inputs["voice"])
        heard = []
        for _, part in voice_input.windows(voice_input.prepare(sound), 5):
            logits = voice.model.predict(voice_input.picture(part)[None], verbose=0)[0]
            heard.append(logits[1] - logits[0])
        print("voice", voice.calibration.p_fake(np.mean(heard)))


if __name__ == "__main__":
    main(sys.argv[1])
