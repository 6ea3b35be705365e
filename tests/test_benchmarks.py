"""The benchmark runs, and both ways in it give the same verdicts; nothing here is timed."""

import re
import subprocess
import sys

import pytest

from dfutils.paths import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "benchmarks"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    sys.path.insert(0, str(FOLDER))
    try:
        import common
    finally:
        sys.path.remove(str(FOLDER))
    return common.draw_clip(tmp_path_factory.mktemp("clip") / "drawn.mp4", seconds=4)


def test_rows_are_printed(drawn):
    command = [sys.executable, str(FOLDER / "run.py"), "--clip", str(drawn), "--repeats", "1", "--only"]
    done = subprocess.run([*command, "frames", "lfcc"], capture_output=True, text=True, check=True)
    rows = [line for line in done.stdout.splitlines() if "20 frames" in line or "60 LFCC" in line]
    assert len(rows) == 4
    assert all(re.search(r"\d\.?\d* +\d\.?\d* ", row) for row in rows)


@pytest.mark.slow
def test_the_baseline_reaches_our_verdict_another_way(drawn):
    from dfutils.detector import DeepfakeDetector

    report = DeepfakeDetector().analyze(drawn)
    command = [sys.executable, str(FOLDER / "thesis_detector.py"), str(drawn)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for kind, tolerance in (("picture", 0.15), ("voice", 0.02)):  # other frames; the same fragments
        value = float(re.search(rf"{kind} ([\d.]+)", printed)[1])
        assert value == pytest.approx(getattr(report, kind).p_fake, abs=tolerance)
