"""The strip under an annotated clip: verdicts in words, and the scores over time with a moving cursor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import cv2
import numpy as np

from dfutils.annotate_boxes import GAP, Way
from dfutils.annotate_drawing import (
    FAKE,
    GROUND,
    INK,
    PANEL,
    REAL,
    SOFT,
    colour_of,
    draw_text,
    letter_px,
    line_px,
    paste,
    wrap_text,
)
from dfutils.html_pieces import show_percent, show_time
from dfutils.html_timeline import PARTS, find_ticks
from dfutils.names import spell_out
from dfutils.report import say_who

NOTE = "score: estimated probability of manipulation, no proof"
KEY = "squares reach the threshold (dashed)"


class Strip:
    """Drawn once, then shown with the cursor at any time.

    Parameters
    ----------
    findings : Mapping
        See `dfutils.report.Report.to_dict`.
    ways : sequence of dfutils.annotate_boxes.Way
        Of the persons.
    size_hw : tuple of int
        Of the frames [px].
    times_s : numpy.ndarray, shape=(n_frames,)
        When they are shown [s].
    duration_s : float
        Length of the axis [s]; 0 for a still picture: words only.
    """

    def __init__(
        self,
        findings: Mapping,
        ways: Sequence[Way],
        size_hw: tuple[int, int],
        times_s: np.ndarray,
        duration_s: float,
    ):
        self._px, self._width = letter_px(size_hw), size_hw[1]
        self._pad, self._duration_s, self._times_s = max(4, self._px // 2), duration_s, times_s
        self._panels: list[tuple[int, int]] = []  # first and last row
        rows: list[np.ndarray] = [self._space(0.3)]
        for name in PARTS:
            part = findings[name]
            rows.append(self._line(_say_part(name, part), colour_of(part.get("verdict"))))
            marks = _mark_voice(part) if name == "voice" else self._mark_faces(part)
            if duration_s and marks:
                top = sum(len(row) for row in rows)
                rows.append(self._draw_panel(part["threshold"], marks, ways if name == "picture" else ()))
                self._panels.append((top, top + len(rows[-1])))
        if self._panels:
            rows.append(self._draw_ticks())
        note = f"{KEY}; {NOTE}" if self._panels else NOTE
        image = np.concatenate([*rows, self._line(note, SOFT, 0.8), self._space(0.3)])
        odd = (size_hw[0] + len(image)) % 2
        self._image = np.pad(image, ((0, odd), (0, 0), (0, 0)), constant_values=GROUND[0])

    @property
    def height(self) -> int:
        """[px]; together with the frame's, it is even."""
        return len(self._image)

    def draw_on(self, canvas: np.ndarray, time_s: float) -> None:
        """Draw the strip with the cursor at ``time_s``, in place.

        Parameters
        ----------
        canvas : numpy.ndarray, shape=(height of the strip, width, 3), uint8, RGB
        time_s : float
            [s]
        """
        paste(canvas, self._image, 0, 0)
        half = line_px(self._px) // 2
        for top, bottom in self._panels:
            x = self._x(time_s)
            for colour, reach in ((GROUND, 2 * half + 1), (INK, half)):
                canvas[top:bottom, max(0, x - reach) : x + reach + 1] = colour

    def _x(self, time_s: float) -> int:
        share = min(max(time_s / self._duration_s, 0.0), 1.0)
        return self._pad + round(share * (self._width - 1 - 2 * self._pad))

    def _space(self, letters: float) -> np.ndarray:
        return np.full((round(letters * self._px), self._width, 3), GROUND, np.uint8)

    def _line(self, text: str, colour: tuple, scale: float = 1.0) -> np.ndarray:
        px, room = round(scale * self._px), self._width - 2 * self._pad
        lines = [draw_text(line, px, room, colour) for line in wrap_text(text, px, room)]
        row = np.full((sum(map(len, lines)), self._width, 3), GROUND, np.uint8)
        for number, line in enumerate(lines):
            paste(row, line, self._pad, number * len(line))
        return row

    def _mark_faces(self, part: Mapping) -> list[tuple[float, float, float, int]]:
        marks = []
        for score in part.get("scores", []):
            index = score["frame_index"]
            time_s = self._times_s[index] if index < len(self._times_s) else score.get("time_s", 0.0)
            marks.append((float(time_s), float(time_s), score["p_fake"], score["person"]))
        return marks

    def _draw_panel(self, threshold: float, marks: list[tuple], ways: Sequence[Way]) -> np.ndarray:
        height, thick = round(2.4 * self._px), line_px(self._px)
        radius = max(2, round(self._px / 5))

        def y(p_fake: float) -> int:
            return round(radius + thick + (height - 1 - 2 * (radius + thick)) * (1 - p_fake))

        panel = np.full((height, self._width, 3), GROUND, np.uint8)
        panel[:, self._pad : self._width - self._pad] = PANEL
        dash = max(3, self._px // 2)
        for x in range(self._pad, self._width - self._pad, 2 * dash):
            end = min(x + dash, self._width - self._pad) - 1
            cv2.line(panel, (x, y(threshold)), (end, y(threshold)), SOFT, max(1, thick // 2))
        for start, end in _find_lines(marks, ways):
            place = (self._x((start[0] + start[1]) / 2), y(start[2]))
            cv2.line(panel, place, (self._x((end[0] + end[1]) / 2), y(end[2])), SOFT, max(1, thick // 2))
        several = len({mark[3] for mark in marks}) > 1
        for start_s, end_s, p_fake, person in marks:
            colour, at_y = FAKE if p_fake >= threshold else REAL, y(p_fake)
            if end_s > start_s:
                cv2.line(panel, (self._x(start_s), at_y), (self._x(end_s), at_y), colour, thick)
            x = self._x((start_s + end_s) / 2)
            if p_fake >= threshold:
                cv2.rectangle(panel, (x - radius, at_y - radius), (x + radius, at_y + radius), colour, -1)
            else:
                cv2.circle(panel, (x, at_y), radius, PANEL, -1)
                cv2.circle(panel, (x, at_y), radius, colour, max(1, thick // 2), cv2.LINE_AA)
            if several:  # whose it is
                digit = draw_text(str(person), max(8, round(0.7 * self._px)), self._px * 2, INK, PANEL)
                up = at_y - digit.shape[0] // 2
                paste(panel, digit, x + radius + 2, min(max(0, up), height - digit.shape[0]))
        return panel

    def _draw_ticks(self) -> np.ndarray:
        px = max(8, round(0.8 * self._px))
        row = np.full((round(1.35 * px), self._width, 3), GROUND, np.uint8)
        for tick in find_ticks(self._duration_s):
            label = draw_text(show_time(tick, self._duration_s), px, self._width, SOFT)
            x = self._x(tick) - label.shape[1] // 2
            paste(row, label, min(max(self._pad, x), self._width - self._pad - label.shape[1]), 0)
        return row


def _say_part(name: str, part: Mapping) -> str:
    if part.get("abstained") is not None:
        return f"{name.capitalize()}: cannot tell: {spell_out(part['abstained'])}"
    score, threshold = show_percent(part["p_fake"]), show_percent(part["threshold"])
    return (
        f"{name.capitalize()}: looks {part['verdict']}, score {score}, threshold {threshold}{say_who(part)}"
    )


def _mark_voice(part: Mapping) -> list[tuple[float, float, float, int]]:
    return [(score["time_s"], score["end_s"], score["p_fake"], 0) for score in part.get("scores", [])]


def _find_lines(marks: list[tuple], ways: Sequence[Way]) -> list[tuple]:
    """Pairs of one person's marks between which they were followed."""
    lines = []
    for way in ways:
        own = sorted(mark for mark in marks if mark[3] == way.person)
        gaps_s = np.diff([mark[0] for mark in own])
        usual_s = float(np.median(gaps_s)) if len(gaps_s) else 0.0
        lines += [pair for pair, gap_s in zip(pairwise(own), gaps_s) if gap_s <= GAP * usual_s]
    return lines
