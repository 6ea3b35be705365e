"""A person in front of a background: motion, light, camera noise, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dfutils.embedded.people import Person
from dfutils.embedded.portraits import LANDMARKS, ORIGIN_XY, SCALE

FRAME_HW = (240, 320)
FPS = 24
_NAMES = list(LANDMARKS)


@dataclass(frozen=True)
class Clip:
    """Everything random about one recording; a fake shares it with its real.

    Attributes
    ----------
    matrices : numpy.ndarray [shape=(n_frames, 2, 3), float32]
        From canvas to frame coordinates.
    mouth, blink : numpy.ndarray [shape=(n_frames,), float32 in 0..1]
        How far mouth and eyelids have moved.
    gain : numpy.ndarray [shape=(n_frames, 3), float32]
        Light, per colour.
    background : numpy.ndarray [shape=(280, 360, 3), float32 in 0..255]
    drift : numpy.ndarray [shape=(n_frames, 2), float32]
        Where in the background the frame begins [pixels].
    noise_seed : int
    noise_sigma : float
        Camera noise [grey levels].
    crf : int
        H.264 quality, drawn here so that real and fake share it.
    """

    matrices: np.ndarray
    mouth: np.ndarray
    blink: np.ndarray
    gain: np.ndarray
    background: np.ndarray
    drift: np.ndarray
    noise_seed: int
    noise_sigma: float
    crf: int


def draw_clip(rng: np.random.Generator, voice_envelope: np.ndarray) -> Clip:
    """Draw a recording's motion, light, background and camera.

    Parameters
    ----------
    rng : numpy.random.Generator
    voice_envelope : numpy.ndarray [shape=(n_frames,), float32 in 0..1]
        Loudness of the voice; it opens the mouth.

    Returns
    -------
    Clip
    """
    n_frames = len(voice_envelope)
    seconds = np.arange(n_frames, dtype=np.float32) / FPS

    def sway(amplitude: float) -> np.ndarray:
        total = np.zeros(n_frames, np.float32)
        for _ in range(3):
            total += rng.uniform(0.3, 1) * np.sin(
                2 * np.pi * (rng.uniform(0.1, 0.6) * seconds + rng.random())
            )
        return amplitude * total / 1.6

    zoom = rng.uniform(0.96, 1.10) * (1 + sway(0.03)) / SCALE
    angle = np.deg2rad(rng.uniform(-3, 3) + sway(2.5))
    x, y = rng.uniform(145, 175) + sway(6), rng.uniform(116, 124) + sway(3)
    pivot = (np.float32((222, 125)) - ORIGIN_XY) * SCALE
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    matrices = np.empty((n_frames, 2, 3), np.float32)
    matrices[:, 0] = np.stack([cos, -sin, x - cos * pivot[0] + sin * pivot[1]], axis=1)
    matrices[:, 1] = np.stack([sin, cos, y - sin * pivot[0] - cos * pivot[1]], axis=1)

    blink = np.zeros(n_frames, np.float32)
    for start in np.cumsum(rng.uniform(0.7, 2.6, 4)):
        blink = np.maximum(blink, np.exp(-(((seconds - start) / 0.07) ** 2)))
    light = 1 + sway(0.04)[:, None]
    tint = rng.uniform(0.94, 1.06, 3) * rng.uniform(0.82, 1.02)
    return Clip(
        matrices=matrices,
        mouth=np.clip(voice_envelope, 0, 1).astype(np.float32) * rng.uniform(0.7, 1.0),
        blink=blink.astype(np.float32),
        gain=(light * tint).astype(np.float32),
        background=draw_background(rng),
        drift=np.stack([20 + sway(6), 20 + sway(4)], axis=1),
        noise_seed=int(rng.integers(2**31)),
        noise_sigma=float(rng.uniform(2.5, 4.0)),
        crf=int(rng.integers(19, 26)),
    )


def draw_background(rng: np.random.Generator) -> np.ndarray:
    """Draw a wall with shelves, panels, blinds or lamps, out of focus.

    Returns
    -------
    numpy.ndarray [shape=(280, 360, 3), float32 in 0..255]
    """
    height, width = FRAME_HW[0] + 40, FRAME_HW[1] + 40
    y, x = np.mgrid[:height, :width].astype(np.float32)
    wall = rng.uniform(50, 200) * rng.uniform(0.8, 1.2, 3)
    slope = rng.uniform(-0.35, 0.35) * x / width + rng.uniform(-0.35, 0.35) * y / height
    image = (wall * (1 + slope)[..., None]).astype(np.float32)
    kind = rng.choice(["shelf", "panels", "blinds", "lamps", "plain"])
    if kind == "shelf":
        for top in range(int(rng.integers(0, 30)), height, int(rng.integers(50, 75))):
            left = 0
            while left < width:
                wide, tall = int(rng.integers(7, 22)), int(rng.integers(24, 46))
                colour = rng.uniform(30, 210, 3)
                cv2.rectangle(image, (left, top + 46 - tall), (left + wide, top + 46), colour.tolist(), -1)
                left += wide + int(rng.integers(0, 4))
            cv2.rectangle(image, (0, top + 46), (width, top + 50), (wall * 0.4).tolist(), -1)
    elif kind == "panels":
        for _ in range(int(rng.integers(3, 7))):
            corner = rng.uniform((0, 0), (width, height)).astype(int)
            size = rng.uniform(40, 140, 2).astype(int)
            colour = wall * rng.uniform(0.5, 1.5) + rng.uniform(-25, 25, 3)
            cv2.rectangle(image, corner.tolist(), (corner + size).tolist(), colour.tolist(), -1)
    elif kind == "blinds":
        period = rng.uniform(12, 30)
        along = y if rng.random() < 0.5 else x
        image *= (1 + 0.25 * np.tanh(4 * np.sin(2 * np.pi * along / period)))[..., None]
    elif kind == "lamps":
        for _ in range(int(rng.integers(6, 16))):
            center = rng.uniform((0, 0), (width, height)).astype(int).tolist()
            disc = np.zeros((height, width), np.float32)
            cv2.circle(disc, center, int(rng.integers(6, 20)), 1.0, -1, cv2.LINE_AA)
            image += disc[..., None] * rng.uniform(20, 110, 3)
    blobs = cv2.resize(
        rng.standard_normal((5, 6, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
    )
    image = cv2.GaussianBlur(image + 9 * blobs, (0, 0), rng.uniform(1.5, 4.0))
    return np.clip(image, 0, 245).astype(np.float32)


def animate(person: Person, mouth: float, blink: float) -> np.ndarray:
    """Open a person's mouth and close the eyes by local warps.

    Parameters
    ----------
    person : Person
    mouth, blink : float
        0..1.

    Returns
    -------
    numpy.ndarray [shape=(660, 720, 4), uint8, RGBA premultiplied]
    """
    eyes = person.landmarks[:2]
    lips, chin = person.landmarks[_NAMES.index("mouth")], person.landmarks[_NAMES.index("chin")]
    left, right = int(eyes[:, 0].min()) - 70, int(eyes[:, 0].max()) + 70
    top, bottom = int(eyes[:, 1].min()) - 45, int(chin[1]) + 45
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    map_y = y.copy()
    below = np.clip((y - lips[1] - 1) / 9, 0, 1)
    fade = np.clip((chin[1] + 40 - y) / (chin[1] + 30 - lips[1]), 0, 1)
    side = np.exp(-(((x - lips[0]) / 46) ** 2))
    map_y -= 15 * mouth * below * fade * side
    if person.blinks and blink > 0.02:
        for eye in eyes:
            weight = np.exp(-(((x - eye[0]) / 26) ** 2 + ((y - eye[1]) / 15) ** 2) / 2)
            map_y += 1.9 * blink * weight * (y - eye[1])
    out = person.portrait.copy()
    patch = cv2.remap(person.portrait, x, map_y, cv2.INTER_LINEAR)
    radius = 0.5 + 8.0 * mouth
    inside = np.exp(-((((x - lips[0]) / 27) ** 2 + ((y - lips[1] - 6 - 0.4 * radius) / radius) ** 2) ** 2))
    depth = (0.85 * min(1.0, 2 * mouth) * inside)[..., None]
    patch[..., :3] = patch[..., :3] * (1 - depth) + np.float32((58, 24, 22)) * depth
    out[top:bottom, left:right] = patch
    return out


def place(layer: np.ndarray, matrix: np.ndarray, size_hw: tuple[int, int] = FRAME_HW) -> np.ndarray:
    """Warp a canvas layer into the frame (one bilinear resampling)."""
    return cv2.warpAffine(layer, matrix, (size_hw[1], size_hw[0]), flags=cv2.INTER_LINEAR)


def render_frame(person: Person, clip: Clip, index: int) -> np.ndarray:
    """Render one real frame.

    Returns
    -------
    numpy.ndarray [shape=(240, 320, 3), uint8, RGB]
    """
    layer = place(animate(person, clip.mouth[index], clip.blink[index]), clip.matrices[index])
    (drift_x, drift_y), (height, width) = clip.drift[index], FRAME_HW
    shift = np.float32([[1, 0, -drift_x], [0, 1, -drift_y]])
    background = cv2.warpAffine(clip.background, shift, (width, height), borderMode=cv2.BORDER_REFLECT)
    frame = layer[..., :3] + background * (1 - layer[..., 3:] * np.float32(1 / 255))
    frame = frame * clip.gain[index] + camera_noise(clip, index)
    return np.clip(frame, 0, 255).astype(np.uint8)


def camera_noise(clip: Clip, index: int) -> np.ndarray:
    """Draw a frame's camera noise, mostly in brightness [shape=(240, 320, 3), float32, grey levels]."""
    rng = np.random.default_rng([clip.noise_seed, index])
    noise = rng.standard_normal((*FRAME_HW, 1), dtype=np.float32) * clip.noise_sigma
    colour = rng.standard_normal((FRAME_HW[0] // 2, FRAME_HW[1] // 2, 3), dtype=np.float32)
    return noise + cv2.resize(colour, FRAME_HW[::-1], interpolation=cv2.INTER_LINEAR) * (
        0.5 * clip.noise_sigma
    )
