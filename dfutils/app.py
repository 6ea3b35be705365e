"""Judge one file for a reader: progress in words, findings for the report page, problems as one sentence."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dfutils.descriptions import sha256_of
from dfutils.detector import DeepfakeDetector, Progress
from dfutils.errors import InputError
from dfutils.evidence import make_case
from dfutils.html_case import Case
from dfutils.names import spell_out
from dfutils.report import describe_findings
from dfutils.uploads import clean_name, hold_upload

ANALYSIS_SHARE = 0.9  # of the work, about; the rest are heat maps and the page


@dataclass(frozen=True)
class Outcome:
    """What came of a file.

    Attributes
    ----------
    case : dfutils.html_case.Case or None
        For the report page.
    problem : str or None
        Why there is none, as one sentence.
    """

    case: Case | None = None
    problem: str | None = None

    def __str__(self) -> str:
        return self.problem or describe_findings(self.case.findings)


def judge_file(
    detector: DeepfakeDetector,
    path: str | os.PathLike,
    n_frames: int = 20,
    n_fragments: int = 5,
    fragment_seconds: float | None = None,
    progress: Progress | None = None,
    name: str | None = None,
) -> Outcome:
    """Judge a file and put together what the report page shows of it; nothing is raised.

    Parameters
    ----------
    detector, path, n_frames, n_fragments, fragment_seconds, progress
        See `dfutils.detector.DeepfakeDetector.analyze`, which gives the scores. The last share of the
        progress is the page's.
    name : str or None
        What the reader calls the file, where it is not its path.
    """
    path, shown = str(path), name or str(path)

    def tell(share: float, what: str) -> None:
        if progress:  # the analysis done, what follows takes a while, too
            progress(ANALYSIS_SHARE * share, what if share < 1 else "laying out the report")

    try:
        report = detector.analyze(path, n_frames, n_fragments, fragment_seconds, progress=tell)
        settings = {"frames": n_frames, "fragments": n_fragments, "fragment_seconds": fragment_seconds}
        findings = report.to_dict() | {"sha256": sha256_of(path), "settings": settings}
        findings["judged_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        case = make_case(findings, detector, report.picture.crops)
    except InputError as error:
        reason = error.reason if error.subject == path else str(error)
        return Outcome(problem=_say(f"{shown} cannot be judged: {reason}", path, shown))
    except Exception as error:  # whatever a file of unknown origin does to a decoder
        return Outcome(problem=_say(f"{shown} could not be judged ({_describe(error)})", path, shown))
    return Outcome(replace(case, findings=findings | {"path": shown}))


def judge_upload(
    detector: DeepfakeDetector,
    name: str,
    content: bytes | memoryview,
    n_frames: int = 20,
    n_fragments: int = 5,
    fragment_seconds: float | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Judge what was sent, on a copy that is there for this call only (`dfutils.uploads`); nothing is raised.

    Parameters
    ----------
    name : str
        What the sender calls it; shown, not used as a path.
    content : bytes or memoryview
        Of the file.
    detector, n_frames, n_fragments, fragment_seconds, progress
        See `judge_file`.
    """
    shown = clean_name(name)
    try:
        with hold_upload(name, content) as path:
            return judge_file(detector, path, n_frames, n_fragments, fragment_seconds, progress, shown)
    except InputError as error:
        return Outcome(problem=_say(f"{shown} cannot be judged: {error.reason}"))
    except Exception as error:  # a full disk, or a sender that is no browser
        return Outcome(problem=_say(f"{shown} could not be judged ({_describe(error)})"))


def is_served() -> bool:
    """Tell whether Voilà runs this for anybody who opens the page, so that no path may be typed."""
    return any(name.startswith("VOILA_") for name in os.environ)


def is_interactive() -> bool:
    """Tell whether somebody sits before it: at the served page, or in JupyterLab; no batch run."""
    return is_served() or "JPY_SESSION_NAME" in os.environ


def warm_up(detector: DeepfakeDetector) -> None:
    """Load models and libraries while the reader still chooses a file; what fails is told on judging."""
    with suppress(InputError):
        detector.bundle("picture")
    with suppress(InputError):
        detector.bundle("voice")
        import librosa.core  # noqa: F401  (seconds, the first time)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _say(problem: str, path: str = "", shown: str = "") -> str:
    """Make it one sentence on one line, without the place of a file that was sent."""
    if path:
        problem = problem.replace(path, shown)
    return spell_out(" ".join(problem.split())).rstrip(".") + "."
