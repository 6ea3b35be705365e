"""Batches for Keras: face crops and LFCC pictures."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dfutils.audio import SAMPLE_RATE_HZ, fragments, load_audio
from dfutils.augment import FaceAugmentation
from dfutils.augment_voice import VoiceAugmentation, mask_features
from dfutils.batches import ManifestSequence
from dfutils.crops import resize_image
from dfutils.errors import InputError
from dfutils.images import read_image
from dfutils.made_fakes import make_fake
from dfutils.voice_input import VoiceInput, cut_window

# with a share of .3, the sharpness (variance of the Laplacian) of DFDC reals and of the fakes that
# training sees tells them apart with an AUC of .50 instead of .59
SOFT_SCALES = (0.5, 0.95)


class FaceSequence(ManifestSequence):
    """Batches of face crops.

    A batch is ``(images, labels)``: float32 in 0..255, shape=(batch, height, width, 3), RGB; and
    int32, shape=(batch,), 1 = fake. The models scale pictures themselves.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Of crops (`dfutils.preprocess_video`).
    size_hw : tuple of int
        [px]
    augmentation : str
        One of `dfutils.augment.FACE_PIPELINES`; larger crops are first reduced to ``size_hw``.
    landmarks : numpy.ndarray, shape=(n, 5, 2), optional
        Five points per row [px of the crop], for manifests with the column ``made``: there a real
        face is turned into a fake (`dfutils.made_fakes`) before it is augmented, a new one every
        epoch.
    soften_reals : float
        Share of the reals, 0..1, that lose resolution before they are augmented. Fakes are softer than
        reals, because their generators are; a network that learns just that calls every soft face fake.
    **options
        See `ManifestSequence`.
    """

    def __init__(
        self,
        manifest: pd.DataFrame,
        size_hw: tuple[int, int] = (275, 225),
        augmentation: str = "none",
        landmarks: np.ndarray | None = None,
        soften_reals: float = 0.0,
        **options,
    ):
        super().__init__(manifest, **options)
        self.size_hw = tuple(size_hw)
        self.augment = FaceAugmentation(augmentation)
        if not 0 <= soften_reals <= 1:
            raise InputError("soften_reals", f"must lie in 0..1, got {soften_reals}")
        self.soften_reals = soften_reals
        self._made = self.manifest["made"].tolist() if "made" in self.manifest else None
        self._landmarks = landmarks
        if self._made and (landmarks is None or landmarks.shape != (len(manifest), 5, 2)):
            raise InputError("landmarks", "a manifest with made fakes needs five points for every row")

    def load(self, row: int, seed: int) -> np.ndarray:
        """Read, augment and resize one crop; shape=(height, width, 3), float32 in 0..255."""
        image = read_image(self._paths[row])
        scale = np.minimum(1.0, np.array(self.size_hw) / image.shape[:2])
        if (scale < 1).any():  # first, as in the detector; and what follows has fewer pixels to treat
            image = resize_image(image, tuple(np.round(image.shape[:2] * scale).astype(int)))
        if self._made and self._made[row]:
            points = self._landmarks[row] * scale[::-1]
            image = make_fake(image, points, seed, self._made[row])
        if self.soften_reals and not self.labels[row]:
            image = self._soften(image, np.random.default_rng([seed, 1]))
        image = self.augment(image, seed)
        return resize_image(image, self.size_hw).astype(np.float32)

    def _soften(self, image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if generator.random() >= self.soften_reals:
            return image
        size_hw = image.shape[:2]
        scale = generator.uniform(*SOFT_SCALES)
        small = resize_image(image, tuple(max(8, round(side * scale)) for side in size_hw))
        return resize_image(small, size_hw)


class LfccSequence(ManifestSequence):
    """Batches of LFCC pictures.

    A batch is ``(images, labels)``: float32, shape=(batch, height, width, 3) (`VoiceInput.picture`);
    and int32, shape=(batch,), 1 = spoof.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Of 16 kHz mono clips (`dfutils.preprocess_audio`).
    voice_input : VoiceInput
        Windows are cut at random while training (`dfutils.voice_input.cut_window`), and from the
        middle otherwise.
    augmentation : str
        Of the waveform, one of `dfutils.augment_voice.VOICE_PIPELINES`; all but ``"none"`` also mask
        the features.
    impulse_responses, noises, strength
        Folders of room responses and of noises; see `dfutils.augment_voice.VoiceAugmentation`.
    **options
        See `ManifestSequence`.
    """

    def __init__(
        self,
        manifest: pd.DataFrame,
        voice_input: VoiceInput | None = None,
        augmentation: str = "none",
        impulse_responses: str | os.PathLike | None = None,
        noises: str | os.PathLike | None = None,
        strength: float = 1.0,
        **options,
    ):
        super().__init__(manifest, **options)
        self.voice_input = voice_input or VoiceInput()
        self.augment = VoiceAugmentation(augmentation, impulse_responses, noises, strength)

    def load(self, row: int, seed: int) -> np.ndarray:
        """Read and augment one clip, compute its picture; shape=(height, width, 3), float32."""
        audio, learning = load_audio(Path(self._paths[row])), self.augment.name != "none"
        seconds = self.voice_input.seconds
        if seconds and learning:
            audio = cut_window(audio, round(seconds * SAMPLE_RATE_HZ), np.random.default_rng([seed, 1]))
        elif seconds:
            _, audio = fragments(audio, 1, seconds)[0]
        audio = self.augment(audio, SAMPLE_RATE_HZ, seed)
        return self.voice_input.picture(audio, partial(mask_features, seed=seed) if learning else None)
