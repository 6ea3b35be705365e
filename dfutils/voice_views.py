"""Maps of voices in several channels, computed once and stored: training reads crops of them."""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from dfutils.audio import condition_voice, load_audio, peak_normalise
from dfutils.augment_voice import mask_features
from dfutils.batches import ManifestSequence
from dfutils.channels import CHANCES, VERSION, ChannelAugmentation
from dfutils.errors import InputError
from dfutils.jobs import run_jobs
from dfutils.lfcc import log_bands, maps_of
from dfutils.paths import atomic_path
from dfutils.voice_input import FRAME_SAMPLES, VoiceInput, cut_window, resize_maps

CLIPS_PER_FILE = 64
MAX_SECONDS = 3.2  # as notebook 02 leaves clips


def make_views(
    manifest: pd.DataFrame,
    folder: str | os.PathLike,
    voice_input: VoiceInput,
    n_channels: int = 3,
    impulse_responses: str | os.PathLike | None = None,
    noises: str | os.PathLike | None = None,
    strength: float = 0.7,
    seed: int = 42,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Send every clip through random channels and store the power in its bands; resumable.

    Clips of the same ``source`` (a voice and its copies) go through the same channels, so that
    the channel never tells them apart.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Of clips (`dfutils.preprocess_audio`).
    folder : str or os.PathLike
        Gets one folder for each combination of clips and settings.
    voice_input : VoiceInput
        With the features "bands".
    n_channels : int
        Versions of each clip beside the clean one.
    impulse_responses, noises, strength
        See `dfutils.channels.ChannelAugmentation`.
    seed : int
    workers : int
        Processes.
    progress : bool

    Returns
    -------
    pathlib.Path
        Folder for `ViewSequence`.
    """
    if voice_input.features != "bands":
        raise InputError("features", f"views are made of 'bands', not of {voice_input.features!r}")
    table = manifest.drop_duplicates("path")[["path", "source"]].reset_index(drop=True)
    sounds = [sorted(os.listdir(place)) if place else None for place in (impulse_responses, noises)]
    bands = [voice_input.n_filters, voice_input.range_hz]
    settings = [n_channels, strength, seed, CHANCES, VERSION, bands, sounds]
    key = hashlib.sha256(json.dumps(settings).encode())
    for row in table.itertuples():
        stat = os.stat(row.path)
        key.update(f"{row.path} {row.source} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    folder = Path(folder) / f"views-{key.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    make = partial(
        _make_file, folder=folder, voice_input=voice_input, n_channels=n_channels,
        channel=partial(ChannelAugmentation, impulse_responses, noises, strength), seed=seed,
    )  # fmt: skip
    parts = [table.iloc[first : first + CLIPS_PER_FILE] for first in range(0, len(table), CLIPS_PER_FILE)]
    stream = run_jobs(make, enumerate(parts), workers, in_order=False)
    for _ in tqdm(stream, total=len(parts), desc="views", unit="file", disable=not progress):
        pass
    with atomic_path(folder / "paths.csv") as temporary:
        table.to_csv(temporary, index=False)
    return folder


def _make_file(number, part, folder, voice_input, n_channels, channel, seed) -> None:
    target = folder / f"{number:05d}.npz"
    if target.exists():
        return
    send, n_frames = channel(), 1 + round(MAX_SECONDS * 16_000) // FRAME_SAMPLES
    maps = np.zeros((len(part), n_channels + 1, voice_input.n_filters, n_frames), np.float16)
    lengths = np.empty(len(part), np.int32)
    for place, row in enumerate(part.itertuples()):
        audio = load_audio(row.path, max_seconds=MAX_SECONDS)
        for version in range(n_channels + 1):
            sound = audio
            if version:
                digest = hashlib.sha256(f"{seed}/{row.source}/{version}".encode()).digest()
                own_seed = int.from_bytes(digest[:4], "big")
                sound = condition_voice(send(audio, 16_000, own_seed), seed=own_seed)
            bands = log_bands(peak_normalise(sound), 16_000, voice_input.n_filters, *voice_input.range_hz)
            maps[place, version, :, : bands.shape[1]] = bands
        lengths[place] = bands.shape[1]
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        np.savez(file, maps=maps, lengths=lengths)


class ViewSequence(ManifestSequence):
    """Batches for training from views that `make_views` stored; the same pictures as `VoiceInput` makes.

    A batch is as of `dfutils.datasets.LfccSequence`. Each sample is a random crop of a random
    version of its clip, perhaps warped, with bands and frames masked; partners of a pair
    get the same version, warp, crop and masks.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Rows of the manifest that the views were made of, repeated or left out at will.
    folder : str or os.PathLike
        From `make_views`.
    voice_input : VoiceInput
        The same.
    clean_share : float
        How often the clean version is drawn, 0..1.
    warp : float
        Half of the samples are stretched or squeezed along frequency and along time, each by a factor
        in 1 - warp..1 + warp, as if another throat spoke at another pace [1]_; 0..0.5.
    **options
        See `ManifestSequence`.

    References
    ----------
    .. [1] Jaitly, Hinton: Vocal tract length perturbation (VTLP) improves speech recognition, ICML 2013
       workshop on deep learning for audio, speech and language processing.
    """

    def __init__(
        self,
        manifest: pd.DataFrame,
        folder: str | os.PathLike,
        voice_input: VoiceInput,
        clean_share: float = 0.25,
        warp: float = 0.0,
        **options,
    ):
        super().__init__(manifest, **options)
        if not 0 <= warp <= 0.5:
            raise InputError("warp", f"must lie in 0..0.5, got {warp}")
        self.voice_input, self.clean_share, self.warp = voice_input, clean_share, warp
        folder = Path(folder)
        if not (folder / "paths.csv").is_file():
            raise InputError(folder, "holds no finished views")
        paths = pd.read_csv(folder / "paths.csv", dtype=str, keep_default_na=False)["path"]
        n_files = -(-len(paths) // CLIPS_PER_FILE)  # glob would find what a kill has left half
        files = [np.load(folder / f"{number:05d}.npz", allow_pickle=False) for number in range(n_files)]
        self._maps = [file["maps"] for file in files]
        self._lengths = np.concatenate([file["lengths"] for file in files])
        places = pd.Series(range(len(paths)), index=paths)
        unknown = sorted(set(self._paths) - set(paths))
        if unknown:
            raise InputError(unknown[0], f"is not among the views in {folder.name}")
        self._places = places.loc[self._paths].to_numpy()

    def load(self, row: int, seed: int) -> np.ndarray:
        """Crop and mask one sample; shape=(height, width, 3), float32."""
        place = int(self._places[row])
        versions = self._maps[place // CLIPS_PER_FILE][place % CLIPS_PER_FILE]
        generator = np.random.default_rng([seed, 1])
        clean, which = generator.random(2)
        version = 0 if clean < self.clean_share else 1 + int(which * (len(versions) - 1))
        rows = versions[version][:, : self._lengths[place]].astype(np.float32)
        if self.warp:
            rows = warp_bands(rows, self.warp, np.random.default_rng([seed, 2]))
        if self.voice_input.seconds:
            n_frames = 1 + round(self.voice_input.seconds * 16_000) // FRAME_SAMPLES
            rows = cut_window(rows, n_frames, generator)
            rows = rows[:, np.arange(n_frames) % rows.shape[1]]
        maps = mask_features(maps_of(rows), seed)
        return 0.5 + 0.5 * resize_maps(maps, self.voice_input.size_hw)


def warp_bands(rows: np.ndarray, most: float, generator: np.random.Generator) -> np.ndarray:
    """Stretch or squeeze bands along frequency and time, half of the time; else leave them.

    Parameters
    ----------
    rows : numpy.ndarray, shape=(n_bands, n_frames), float32
        Evenly spaced bands, the lowest first.
    most : float
        Factors lie in 1 - most..1 + most.
    generator : numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape=(n_bands, round(n_frames * factor)), float32
        What lies beyond the highest band repeats it.
    """
    import cv2

    applied, frequency, time = generator.random(3)
    if applied < 0.5:
        return rows
    frequency, time = 1 + most * (2 * frequency - 1), 1 + most * (2 * time - 1)
    n_frames = max(1, round(rows.shape[1] * time))
    scaling = np.array([[time, 0, 0], [0, frequency, 0]])
    size = (n_frames, rows.shape[0])
    return cv2.warpAffine(rows, scaling, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
