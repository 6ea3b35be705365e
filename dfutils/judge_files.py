"""Judge many files: one bad file stops no other, nothing is lost on interruption, nothing is done twice."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from dfutils import __version__
from dfutils.csv_report import render_csv
from dfutils.descriptions import sha256_of
from dfutils.detector import DeepfakeDetector, keep_detector
from dfutils.errors import InputError
from dfutils.evidence import make_case
from dfutils.guard import Guard, Limits
from dfutils.html_case import render_case
from dfutils.html_report import assemble_page
from dfutils.images import check_file
from dfutils.judge_picture import N_NOTABLE
from dfutils.paths import atomic_path
from dfutils.report import SCHEMA, Report

N_MOMENTS_OF_MANY = 4  # faces shown of each of several files, so that the page stays small
PATIENCE = 20  # the growing page is written when that takes less than 1/20 of the time


class FileJudge:
    """Judges files one by one and keeps all findings on disk, up to date after each.

    Use it in a ``with`` statement: leaving it, by an error too, completes the page.

    Parameters
    ----------
    detector : dfutils.detector.DeepfakeDetector
    files : sequence of str
        All that will be judged, in this order.
    n_frames, n_fragments, fragment_seconds
        See `dfutils.detector.DeepfakeDetector.analyze`.
    json_path : str, os.PathLike or None
        A list with one object per file: `dfutils.report.Report.to_dict`, and ``sha256`` of the file,
        ``settings`` (the arguments, hashes of the models' ``model.json``, our version) and
        ``judged_at``; a file that cannot be judged has ``error``. Findings that are there already, on
        the same file with the same settings, are taken over.
    csv_path, html_path : str, os.PathLike or None
        `dfutils.csv_report.render_csv`, `dfutils.html_report.render_report`.
    fresh : bool
        Take nothing over.
    limits : dfutils.guard.Limits, optional
        Judge in a child process that may take no more for one file: one that crashes its decoder, hangs
        or grows has ``error``, and the next one is judged. Without, all is done in this process.

    Attributes
    ----------
    findings : list of dict
    n_known : int
        How many of them were taken over.
    guard : dfutils.guard.Guard or None
        Of the child process.

    Raises
    ------
    InputError
        An output cannot be written, is one of the inputs, or is JSON of something else.
    """

    def __init__(
        self,
        detector: DeepfakeDetector,
        files: Sequence[str],
        n_frames: int = 20,
        n_fragments: int = 5,
        fragment_seconds: float | None = None,
        json_path: str | os.PathLike | None = None,
        csv_path: str | os.PathLike | None = None,
        html_path: str | os.PathLike | None = None,
        fresh: bool = False,
        limits: Limits | None = None,
    ):
        self._detector, self._files = detector, [str(Path(path)) for path in files]
        self._json, self._csv, self._html = json_path, csv_path, html_path
        _check_outputs([path for path in (json_path, csv_path, html_path) if path], self._files)
        self._arguments = (n_frames, n_fragments, fragment_seconds)
        self._settings = {
            "frames": n_frames,
            "fragments": n_fragments,
            "fragment_seconds": fragment_seconds,
            "picture_model_json": detector.fingerprint("picture"),
            "voice_model_json": detector.fingerprint("voice"),
            "dfutils": __version__,
        }
        self._known = {} if fresh or not json_path else read_findings(json_path)
        self._texts = {path: _to_json(self._known[path]) for path in self._known}
        self._done: list[str] = []
        self._sections: list[str] = []
        self._page_at, self._page_took = 0.0, 0.0
        self.findings: list[dict] = []
        self.n_known = 0
        self.guard = Guard(limits) if limits else None
        self._save()

    def __enter__(self) -> FileJudge:
        return self

    def __exit__(self, *_) -> None:
        if self.guard:
            self.guard.close()
        if self._html and self._sections:
            self._write_page()

    def judge(self, path: str) -> dict:
        """Judge the next file and write the findings.

        Returns
        -------
        dict
            See `FileJudge`.

        Raises
        ------
        InputError
            Not the file is to blame, but an argument or a model.
        """
        path = str(Path(path))
        sha256, reason, crops = None, None, {}
        try:
            sha256 = self._check(path)
            finding = self._recall(path, sha256)
            if finding is None:
                report = self._analyze(path)
                finding, crops = report.to_dict(), report.picture.crops
            else:
                self.n_known += 1
        except InputError as error:
            if error.subject != path:
                raise
            reason = error.reason
        except Exception as error:  # whatever a file of unknown origin does to a decoder
            reason = f"could not be judged ({type(error).__name__}: {error})"
        if reason is not None:
            unread = {"abstained": reason}
            finding = {"schema": SCHEMA, "path": path, "error": reason, "picture": unread, "voice": unread}
        if "settings" not in finding:
            finding |= {"sha256": sha256, "settings": self._settings}
            finding["judged_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.findings.append(finding)
        self._done.append(_to_json(finding))
        if self._html:
            several = len(self._files) > 1
            n_moments = N_MOMENTS_OF_MANY if several else N_NOTABLE
            case = make_case(finding, self._detector, crops, n_moments, self.guard)
            self._sections.append(render_case(case, len(self.findings), len(self._files)))
        self._save()
        return finding

    def _analyze(self, path: str) -> Report:
        if self.guard is None:
            return self._detector.analyze(path, *self._arguments)
        return self.guard.run(_analyze, (self._detector.folders, path, *self._arguments), path)

    def _check(self, path: str) -> str | None:
        if os.path.isdir(path):
            searchable = os.access(path, os.R_OK | os.X_OK)
            reason = "this folder holds no video, picture or sound file that its name tells"
            raise InputError(path, reason if searchable else "this folder may not be read")
        check_file(path)
        return sha256_of(path) if self._json or self._csv or self._html else None

    def _recall(self, path: str, sha256: str | None) -> dict | None:
        known = self._known.get(path, {})
        recorded = (known.get("schema"), known.get("sha256"), known.get("settings"))
        return dict(known) if sha256 and recorded == (SCHEMA, sha256, self._settings) else None

    def _save(self) -> None:
        to_come = [path for path in self._files[len(self._done) :] if path in self._known]
        if self._json:
            texts = [*self._done, *(self._texts[path] for path in to_come)]
            _write(self._json, "[\n" + ",\n".join(texts) + "\n]\n")
        if self._csv:
            _write(self._csv, render_csv([*self.findings, *(self._known[path] for path in to_come)]))
        if self._html and self._sections:
            patience = PATIENCE * self._page_took if len(self._sections) < len(self._files) else 0
            if time.monotonic() - self._page_at >= patience:
                self._write_page()

    def _write_page(self) -> None:
        start = time.monotonic()
        _write(self._html, assemble_page(self.findings, self._sections))
        self._page_at = time.monotonic()
        self._page_took = self._page_at - start


def read_findings(path: str | os.PathLike) -> dict[str, dict]:
    """Read what `FileJudge` wrote, by path; nothing where there is no file.

    Raises
    ------
    InputError
        It holds something else, which is not to be overwritten by mistake.
    """
    if not os.path.exists(path):
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8")
        findings = json.loads(text) if text.strip() else []
        return {finding["path"]: finding for finding in findings if finding["picture"] and finding["voice"]}
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            path, "is there and holds no findings to go on from; --fresh overwrites it"
        ) from error


def _analyze(folders: tuple, path: str, *arguments) -> Report:
    """Judge a file in a child process, which keeps the models for the next one."""
    return keep_detector(*folders).analyze(path, *arguments)


def _check_outputs(outputs: list[str | os.PathLike], files: list[str]) -> None:
    places = [os.path.realpath(path) for path in outputs]
    inputs = {os.path.realpath(path) for path in files}
    for path, place in zip(outputs, places):
        if place in inputs or places.count(place) > 1:
            raise InputError(path, "is named twice: as a file to write and as another")
        if os.path.exists(place) and not os.path.isfile(place):
            raise InputError(path, "is there and is no regular file")
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
        except OSError as error:
            raise InputError(path, f"cannot be written ({error.strerror})") from error
        if not os.access(os.path.dirname(place), os.W_OK):
            raise InputError(path, "cannot be written (permission denied)")


def _to_json(finding: dict) -> str:
    return json.dumps(finding, indent=1, ensure_ascii=False)


def _write(path: str | os.PathLike, text: str) -> None:
    with atomic_path(path) as temporary:  # of names that are no UTF-8, escapes that JSON reads back
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
