"""LFCC against torchaudio (golden), against a naive loop, and by what must hold of them."""

import numpy as np
import pytest

from dfutils import InputError
from dfutils.lfcc import LOG_FLOOR, delta, lfcc, lfcc_image, linear_filter_bank, voice_features

GOLDEN_CASES = {
    "thesis_20_20": {"n_filters": 20, "n_coefficients": 20},
    "wide_70_19": {"n_filters": 70, "n_coefficients": 19},
    "band_20_13": {"n_filters": 20, "n_coefficients": 13, "fmin_hz": 300.0, "fmax_hz": 4000.0},
}


def noise(seconds=1.0, seed=0, amplitude=0.1):
    generator = np.random.default_rng(seed)
    return (amplitude * generator.standard_normal(round(seconds * 16_000))).astype(np.float32)


def naive_lfcc(audio, n_filters, window, hop, sr):
    """Straight from the formulas, in double precision, with loops and no FFT."""
    padded = np.pad(np.asarray(audio, np.float64), window // 2, mode="reflect")
    n = np.arange(window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / window)
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(window // 2 + 1), n) / window)
    spacing = sr / 2 / (n_filters + 1)
    rows = []
    for start in range(0, len(audio) + 1, hop):
        power = np.abs(fourier @ (padded[start : start + window] * hann)) ** 2
        logs = []
        for i in range(n_filters):
            centre = (i + 1) * spacing
            band = sum(p * max(0.0, 1 - abs(k * sr / window - centre) / spacing) for k, p in enumerate(power))
            logs.append(np.log(band + 1e-6))
        rows.append(
            [
                np.sqrt((1 if c == 0 else 2) / n_filters)
                * sum(logs[i] * np.cos(np.pi * c * (2 * i + 1) / (2 * n_filters)) for i in range(n_filters))
                for c in range(n_filters)
            ]
        )
    return np.array(rows).T


def test_golden_file_is_not_empty(golden_lfcc):
    assert set(GOLDEN_CASES) <= set(golden_lfcc)
    assert all(golden_lfcc[name].size > 500 for name in GOLDEN_CASES)


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_torchaudio_agrees(golden_lfcc, case):
    """Both are float32 with another FFT and another order of summation: 2e-5 apart, values up to 34."""
    ours = lfcc(golden_lfcc["audio"], **GOLDEN_CASES[case])
    assert ours.shape == golden_lfcc[case].shape
    np.testing.assert_allclose(ours, golden_lfcc[case], atol=1e-4, rtol=0)


def test_naive_loop_agrees():
    audio = noise(0.03)
    ours = lfcc(audio, n_filters=8, n_coefficients=8, window_samples=128, hop_samples=50)
    np.testing.assert_allclose(ours, naive_lfcc(audio, 8, 128, 50, 16_000), atol=2e-4, rtol=0)


@pytest.mark.parametrize("n_samples", [257, 1600, 1601, 15_999, 16_000])
def test_number_of_frames(n_samples):
    assert lfcc(noise()[:n_samples]).shape == (20, 1 + n_samples // 160)


def test_fewer_coefficients_are_the_first_ones():
    np.testing.assert_array_equal(lfcc(noise(), n_coefficients=5), lfcc(noise())[:5])


def test_gain_moves_only_the_zeroth_coefficient():
    """A factor g adds ln(g²) to every band, which is sqrt(n_filters) ln(g²) in c0."""
    low, high = lfcc(noise()), lfcc(2 * noise())
    np.testing.assert_allclose(high[1:], low[1:], atol=1e-4)
    np.testing.assert_allclose(high[0] - low[0], np.sqrt(20) * np.log(4), atol=1e-4)


def test_silence_is_the_floor():
    found = lfcc(np.zeros(4000, np.float32))
    np.testing.assert_allclose(found[0], np.sqrt(20) * np.log(LOG_FLOOR), rtol=1e-5)
    np.testing.assert_allclose(found[1:], 0, atol=1e-4)


def test_a_tone_fills_the_filter_of_its_frequency():
    t = np.arange(8000) / 16_000
    bank = linear_filter_bank(20, 512, 16_000)
    for number in (2, 9, 17):
        centre_hz = 8000 * (number + 1) / 21
        spectrum = np.abs(np.fft.rfft(np.sin(2 * np.pi * centre_hz * t[:512]) * np.hanning(512))) ** 2
        assert np.argmax(bank @ spectrum) == number


def test_filter_bank():
    bank = linear_filter_bank(20, 512, 16_000)
    bins_hz = np.linspace(0, 8000, 257)
    centres = 8000 * np.arange(1, 21) / 21
    assert bank.shape == (20, 257)
    assert bank.min() >= 0
    assert bank.max() <= 1
    between = (bins_hz >= centres[0]) & (bins_hz <= centres[-1])
    np.testing.assert_allclose(bank.sum(axis=0)[between], 1, atol=1e-5)
    mean_hz = bank @ bins_hz / bank.sum(axis=1)
    np.testing.assert_allclose(mean_hz, centres, atol=5)


def test_filter_bank_of_a_part_of_the_range():
    bank = linear_filter_bank(10, 512, 16_000, 1000.0, 3000.0)
    bins_hz = np.linspace(0, 8000, 257)
    assert bank[:, (bins_hz <= 1000) | (bins_hz >= 3000)].max() == 0
    assert (bank.sum(axis=1) > 1).all()


def test_filter_bank_cannot_be_changed_by_its_users():
    with pytest.raises(ValueError, match="read-only"):
        linear_filter_bank(20, 512, 16_000)[0, 0] = 1


def test_errors():
    with pytest.raises(InputError, match=r"mono.*\(2, 16000\)"):
        lfcc(np.zeros((2, 16_000), np.float32))
    with pytest.raises(InputError, match="256 samples, too few for a window of 512"):
        lfcc(noise()[:256])
    with pytest.raises(InputError, match=r"n_coefficients.*1\.\.20.*21"):
        lfcc(noise(), n_coefficients=21)
    with pytest.raises(InputError, match=r"0\.\.8000 Hz, got 100\.*"):
        lfcc(noise(), fmin_hz=100.0, fmax_hz=9000.0)
    with pytest.raises(InputError, match=r"features.*'dynamics'"):
        voice_features(noise(), kind="dynamics")


# ------------------------------------------------------------------ delta


def test_delta_of_a_constant_is_zero():
    constant = np.full((3, 40), 7.0, np.float32)
    np.testing.assert_allclose(delta(constant), 0, atol=1e-5)
    np.testing.assert_allclose(delta(constant, 2), 0, atol=1e-5)


def test_delta_of_a_ramp_is_its_slope():
    ramp = np.stack([0.25 * np.arange(40), -2.0 * np.arange(40)]).astype(np.float32)
    inside = slice(4, -4)
    np.testing.assert_allclose(delta(ramp)[0, inside], 0.25, rtol=1e-4)
    np.testing.assert_allclose(delta(ramp)[1, inside], -2.0, rtol=1e-4)
    np.testing.assert_allclose(delta(ramp, 2)[:, inside], 0, atol=1e-4)


def test_second_delta_of_a_parabola_is_its_curvature():
    parabola = (1.5 * np.arange(40.0) ** 2)[None].astype(np.float32)
    np.testing.assert_allclose(delta(parabola, 2)[0, 4:-4], 3.0, rtol=1e-3)


def test_kinds_of_features():
    audio = noise()
    static, dynamic, everything = (voice_features(audio, kind=kind) for kind in ("static", "dynamic", "all"))
    assert [table.shape for table in (static, dynamic, everything)] == [(20, 101), (40, 101), (60, 101)]
    np.testing.assert_array_equal(everything, np.concatenate([static, dynamic]))
    np.testing.assert_array_equal(dynamic[:20], delta(static))
    np.testing.assert_array_equal(static, lfcc(audio))


# ------------------------------------------------------------------ image


def test_image_spans_0_to_1_in_three_equal_channels():
    image = lfcc_image(lfcc(noise()), (224, 200))
    assert image.shape == (224, 200, 3)
    assert image.dtype == np.float32
    assert image.min() == 0
    assert image.max() == 1
    np.testing.assert_array_equal(image[..., 0], image[..., 1])
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_image_keeps_place_and_order():
    features = np.zeros((20, 100), np.float32)
    features[2, 90] = 1
    image = lfcc_image(features, (200, 400))[..., 0]
    row, column = np.unravel_index(np.argmax(image), image.shape)
    assert 20 <= row < 30
    assert 360 <= column < 364


def test_image_does_not_depend_on_gain_and_offset():
    features = lfcc(noise())
    np.testing.assert_allclose(
        lfcc_image(3 * features - 5, (64, 64)), lfcc_image(features, (64, 64)), atol=1e-5
    )


def test_constant_features_give_a_black_image():
    image = lfcc_image(np.full((20, 50), -3.0, np.float32), (32, 32))
    assert image.shape == (32, 32, 3)
    assert not image.any()
