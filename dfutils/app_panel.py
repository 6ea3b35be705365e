"""The controls of `Deepfake Detector.ipynb`: a file, three sliders, a button, progress, the findings."""

from __future__ import annotations

import base64
from threading import Thread

import ipywidgets as widgets

from dfutils.app import Outcome, is_served, judge_file, judge_upload, warm_up
from dfutils.detector import DeepfakeDetector
from dfutils.errors import InputError
from dfutils.html_case import say_verdict
from dfutils.html_pieces import show_name
from dfutils.html_report import frame_report, render_report
from dfutils.html_timeline import PARTS
from dfutils.paths import ASSETS
from dfutils.uploads import MAX_UPLOAD_BYTES, check_upload, clean_name, show_size

MAX_FRAMES, MAX_FRAGMENTS = 100, 30
SECONDS = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
AS_IN_TRAINING = "as in training"
SERVED_NOTE = (
    f"The file may have up to {show_size(MAX_UPLOAD_BYTES)}. It is sent to the computer that runs this page, "
    "judged there and deleted at once; nothing of it is kept."
)
LOCAL_NOTE = (
    "Give the path of the file, or upload it (up to 10 MB in JupyterLab). An upload is deleted as soon as it "
    "has been judged."
)


class Panel:
    """What a user sees and presses; ``box`` is the widget to display.

    Parameters
    ----------
    detector : dfutils.detector.DeepfakeDetector
    n_frames, n_fragments : int
        Where the sliders stand at first.
    fragment_seconds : float
        The same [s]; 0 takes what the model learnt with.
    served : bool or None
        Whether strangers use it, who may upload but not name files of this machine; None: see
        `dfutils.app.is_served`.

    Attributes
    ----------
    box : ipywidgets.VBox
    thread : threading.Thread or None
        That judges, or did last: the kernel stays free meanwhile, to show progress and to end in order.
    """

    def __init__(
        self,
        detector: DeepfakeDetector,
        n_frames: int = 20,
        n_fragments: int = 5,
        fragment_seconds: float = 0.0,
        served: bool | None = None,
    ):
        self._detector, self._n_said = detector, 0
        served = is_served() if served is None else served
        self.thread: Thread | None = None
        self.upload = widgets.FileUpload(
            accept="video/*,audio/*,image/*",
            description="Choose a file",
            tooltip="a video, a picture or a sound file",
            icon="",
        )
        self.path = None  # a page for strangers has no such widget: one only hidden could still be filled in
        if not served:
            self.path = widgets.Text(placeholder="of a video, picture or sound file", description="Path")
        self.frames = _make_slider("Frames to look at", n_frames, MAX_FRAMES)
        self.fragments = _make_slider("Pieces of sound", n_fragments, MAX_FRAGMENTS)
        lengths = sorted({*SECONDS, float(fragment_seconds)} - {0.0})
        self.seconds = widgets.SelectionSlider(
            options=[(AS_IN_TRAINING, 0.0), *((f"{length:g} s", length) for length in lengths)],
            value=float(fragment_seconds),
            description="Length of a piece",
        )
        self.button = widgets.Button(
            description="Judge", tooltip="Judge", button_style="primary", disabled=True
        )
        self.bar = widgets.FloatProgress(0.0, min=0.0, max=1.0)
        self.status, self.result = widgets.HTML(), widgets.HTML()
        for widget, name in ((self.bar, "bar"), (self.status, "status"), (self.result, "result")):
            widget.add_class(f"dfutils-{name}")
        self.bar.layout.display = "none"
        self.upload.observe(lambda _: self._choose(self.upload), "value")
        self.button.on_click(lambda _: self.start())
        files = [self.upload]
        if self.path is not None:
            files.append(self.path)
            self.path.observe(lambda _: self._choose(self.path), "value")
        style = widgets.HTML(f"<style>{(ASSETS / 'app.css').read_text(encoding='utf-8')}</style>")
        note = widgets.HTML(f"<p>{SERVED_NOTE if served else LOCAL_NOTE}</p>")
        sliders = [self.frames, self.fragments, self.seconds]
        for widget in (*files, *sliders):
            widget.style.description_width = "initial"
        self.box = widgets.VBox(
            [style, note, *files, *sliders, self.button, self.bar, self.status, self.result]
        )
        self.box.add_class("dfutils-app")
        Thread(target=warm_up, args=(detector,), daemon=True).start()

    def start(self) -> None:
        """Judge what is chosen, in a thread; nothing happens while one is at work, or nothing is chosen."""
        if (self.thread and self.thread.is_alive()) or not (self.upload.value or self._typed()):
            return
        self._enable(False)
        self.thread = Thread(target=self.judge, daemon=True)
        self.thread.start()

    def judge(self) -> None:
        """Judge what is chosen and show what came of it; an upload is forgotten afterwards."""
        self._enable(False)
        self.result.value, self.bar.value, self.bar.layout.display = "", 0.0, ""
        how = (self.frames.value, self.fragments.value, self.seconds.value or None, self._tell)
        try:
            if self.upload.value:
                sent = self.upload.value[0]
                outcome = judge_upload(self._detector, str(sent["name"]), sent["content"], *how)
            else:
                outcome = judge_file(self._detector, self._typed(), *how)
            self._show(outcome)
        except Exception as error:  # a fault of ours, of which the reader still gets a sentence
            self._say(f"This did not work ({show_name(f'{type(error).__name__}: {error}')}).", "problem")
        finally:
            self.upload.value = ()
            self.bar.layout.display = "none"
            self._enable(True)

    def _enable(self, free: bool) -> None:
        """Let files be chosen, and judged where one is; or not, while one is at work."""
        for widget in filter(None, (self.upload, self.path)):
            widget.disabled = not free
        self.button.disabled = not (free and self._typed())

    def _typed(self) -> str:
        return self.path.value.strip() if self.path is not None else ""

    def _choose(self, widget: widgets.Widget) -> None:
        """Take the file that was chosen last, of one that was sent only if it can be judged at all."""
        if not widget.value:  # cleared, by us or by hand
            return
        if widget is self.path:
            self.upload.value = ()
            self.button.disabled = False
            return
        if self.path is not None:
            self.path.value = ""
        sent = self.upload.value[0]
        name, content = str(sent["name"]), sent["content"]
        try:
            check_upload(name, content)
        except InputError as error:
            self.upload.value = ()
            self.button.disabled = True
            self._say(f"{show_name(error.subject)} cannot be judged: {show_name(error.reason)}.", "problem")
            return
        self.button.disabled = False
        size = show_size(memoryview(content).nbytes)
        self._say(f"Chosen: {show_name(clean_name(name))} ({size}). Press “Judge”.")

    def _tell(self, share: float, what: str) -> None:
        self.bar.value = share
        self._say(f"{share:.0%} done: {what} …")

    def _say(self, sentence: str, kind: str = "plain") -> None:
        self._n_said += 1  # so that no two are the same: a page that has put another text there takes it
        sign = "! " if kind == "problem" else ""
        self.status.value = f'<p class="dfutils-{kind}" data-number="{self._n_said}">{sign}{sentence}</p>'

    def _show(self, outcome: Outcome) -> None:
        if outcome.case is None:
            self._say(show_name(outcome.problem), "problem")
            return
        findings = outcome.case.findings
        verdicts = ", ".join(f"{part} {say_verdict(findings[part])[1]}" for part in PARTS)
        self._say(f"<b>{show_name(findings['path'])}:</b> {verdicts}.", "verdict")
        page = base64.b64encode(render_report([outcome.case]).encode()).decode()
        self.result.value = (
            f'<p><a download="findings.html" href="data:text/html;base64,{page}">Save this report</a> as a '
            f"page that needs nothing else to be read. It shows faces.</p>{frame_report([outcome.case])}"
        )


def _make_slider(description: str, value: int, highest: int) -> widgets.IntSlider:
    return widgets.IntSlider(
        value, min=1, max=max(highest, value), description=description, continuous_update=False
    )
