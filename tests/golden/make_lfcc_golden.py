"""Make ``lfcc_torchaudio.npz``: LFCC of a fixed signal by torchaudio, which shares no code with ours.

Reference: ``torchaudio.transforms.LFCC`` (made with torchaudio 2.11.0, torch 2.15.0; the file tells), with
``log_lf=True`` (natural logarithm of power + 1e-6), its own linear filter bank and orthonormal DCT-II.
Run by hand in an environment of its own with torch and torchaudio; the test reads only the file:

    python tests/golden/make_lfcc_golden.py

torchaudio computes in float32 from end to end, as we do, with another FFT and another order of
summation: the two agree to about 2e-5. The signal has a noise floor, so that no band falls to
where the logarithm would amplify rounding.
"""

from pathlib import Path

import numpy as np
import torch

torch.version.cuda = "13.0"  # torchaudio compares CUDA builds at import; nothing here uses CUDA
import torchaudio  # noqa: E402

SR = 16_000


def signal() -> np.ndarray:
    """Half a second of seeded noise plus a rising chirp, float32, the second half 20 dB quieter."""
    t = np.arange(SR // 2) / SR
    noise = 0.05 * np.random.default_rng(2015).standard_normal(t.size)
    chirp = 0.4 * np.sin(2 * np.pi * (200 * t + 0.5 * (7000 - 200) / t[-1] * t**2))
    envelope = np.where(t < t[-1] / 2, 1.0, 0.1)
    return ((noise + chirp) * envelope).astype(np.float32)


def main() -> None:
    """Write the golden file beside this script."""
    audio = signal()
    found = {"audio": audio, "versions": np.array([torch.__version__, torchaudio.__version__])}
    for name, n_filters, n_coefficients, fmin, fmax in (
        ("thesis_20_20", 20, 20, 0.0, None),
        ("wide_70_19", 70, 19, 0.0, None),
        ("band_20_13", 20, 13, 300.0, 4000.0),
    ):
        transform = torchaudio.transforms.LFCC(
            sample_rate=SR,
            n_filter=n_filters,
            f_min=fmin,
            f_max=fmax,
            n_lfcc=n_coefficients,
            dct_type=2,
            norm="ortho",
            log_lf=True,
            speckwargs={
                "n_fft": 512, "hop_length": 160, "window_fn": torch.hann_window, "center": True,
                "pad_mode": "reflect", "power": 2.0,
            },
        )  # fmt: skip
        found[name] = transform(torch.from_numpy(audio)).numpy()
    np.savez_compressed(Path(__file__).with_name("lfcc_torchaudio.npz"), **found)


if __name__ == "__main__":
    main()
