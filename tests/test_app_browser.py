"""The page of `make app` in a real browser: Voilà with the real notebook and the models that ship."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from urllib.parse import urlsplit

import media
import pytest

from dfutils.app_server import NOTEBOOK
from dfutils.detector import DeepfakeDetector
from dfutils.html_pieces import show_percent
from dfutils.paths import PROJECT_ROOT, data_dir
from dfutils.uploads import MAX_UPLOAD_BYTES

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra dev)")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine"),
    pytest.mark.skipif(
        not (PROJECT_ROOT / "models" / "picture" / "model.json").is_file(),
        reason="no model ships with this copy",
    ),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 180_000  # a page that starts or judges on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Port of a running server, and the folder that it and its kernels have for temporary files."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dfutils.app_server", "--port", str(port), "--no-browser"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env=os.environ | {"TMPDIR": str(folder)},
            start_new_session=True,
        )
    try:
        until = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
                break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.2)
        yield port, folder
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        assert [path.name for path in folder.iterdir()] == ["log"]  # nothing of any session is left
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    profile = tmp_path_factory.mktemp("profile")
    with sync_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=BROWSER, headless=True, args=FLAGS
        )
        yield context
        context.close()


@pytest.fixture
def page(server, browser):
    """The page, ready; in the end: it asked nobody else for anything, and nothing in it failed."""
    page, asked, failed = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda websocket: asked.append(websocket.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(f"http://localhost:{server[0]}/", timeout=PATIENCE_MS)
    page.wait_for_selector(".dfutils-app button.widget-upload", timeout=PATIENCE_MS)
    yield page
    page.close()
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "about:", "blob:"))}
    assert hosts == {f"localhost:{server[0]}"}
    assert len(asked) > 10
    assert failed == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "my clip.mp4"
    return media.write_video(path, media.moving_face(50), audio=media.voice(2.0))


@pytest.fixture(scope="module")
def expected(clip):
    return DeepfakeDetector().analyze(clip).picture


def send(page, path):
    with page.expect_file_chooser() as chooser:
        page.click("button.widget-upload")
    chooser.value.set_files(path)


def press_judge(page):
    page.click("button:text-is('Judge'):not([disabled])", timeout=PATIENCE_MS)


def judge(page, path):
    """Send a file, press the button, wait; returns the widths of the bar that were seen."""
    send(page, path)
    page.wait_for_selector("text=Chosen: ", timeout=PATIENCE_MS)
    assert path.name in page.inner_text(".dfutils-status")
    press_judge(page)
    widths, until = set(), time.monotonic() + PATIENCE_MS / 1000
    while not page.query_selector("p.dfutils-verdict, p.dfutils-problem"):
        bar = page.query_selector(".dfutils-bar .progress-bar")
        if bar and bar.is_visible():
            widths.add(bar.evaluate("bar => bar.style.width"))
        assert time.monotonic() < until, page.inner_text("body")
        time.sleep(0.03)
    return widths


def check_layout(page, width):
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.scrollWidth") <= width


@pytest.mark.parametrize("width", [1280, 400])
def test_a_clip_is_judged(page, clip, expected, width):
    page.set_viewport_size({"width": width, "height": 800})
    check_layout(page, width)
    before = page.inner_text("main")
    assert "It can be wrong" in before
    assert "100 MB" in before
    assert "What it cannot do" in before
    widths = judge(page, clip)
    assert len(widths) >= 3, widths
    verdict = page.inner_text("p.dfutils-verdict")
    assert verdict.startswith("my clip.mp4: picture ")
    assert verdict.count("looks ") + verdict.count("cannot tell") == 2
    frame = page.wait_for_selector(".dfutils-result iframe").content_frame()
    frame.wait_for_selector("figure img")
    report = frame.inner_text("body")
    assert f"Estimated probability of manipulation: {show_percent(expected.p_fake)}" in report
    assert "Findings on my clip.mp4" in report
    check_layout(page, width)
    # all of the report stands on the page, without a bar of its own to scroll
    page.wait_for_function(
        "frame => frame.clientHeight >= (frame.contentDocument?.documentElement?.scrollHeight ?? Infinity)",
        arg=page.query_selector(".dfutils-result iframe"),
        timeout=20_000,
    )
    assert frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    shown = page.inner_text("body") + report
    for hidden in ("Traceback", "DeepfakeDetector(", "import ", "FRAGMENT_SECONDS", "Run all cells", "/tmp"):
        assert hidden not in shown
    assert page.locator("input[type=text]:visible").count() == 0  # nowhere to type a path


def test_what_cannot_be_judged_is_said_in_one_sentence_and_the_page_goes_on(page, clip, tmp_path):
    text, half, huge = tmp_path / "notes.mp4", tmp_path / "half.mp4", tmp_path / "huge.mp4"
    text.write_text("#EXTM3U\nfile:///etc/passwd\n")
    half.write_bytes(clip.read_bytes()[:2000])
    with open(huge, "wb") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1)
    send(page, text)
    problem = page.wait_for_selector("p.dfutils-problem", timeout=PATIENCE_MS).inner_text()
    assert problem == "! notes.mp4 cannot be judged: is not a video, picture or sound file of a known kind."
    send(page, huge)
    notice = page.wait_for_selector("#notice:visible").inner_text()
    assert notice == "! This file is larger than 100 MB, the limit. Cut out the part that matters."
    judge(page, half)
    assert page.locator("#notice:visible").count() == 0
    problem = page.inner_text("p.dfutils-problem")
    assert problem.startswith("! half.mp4 cannot be judged: neither picture nor sound can be read: ")
    assert "\n" not in problem
    assert "Traceback" not in page.inner_text("body")
    sound = media.write_sound(tmp_path / "speech.wav", media.voice(2.0))
    judge(page, sound)
    assert "picture ? cannot tell, voice " in page.inner_text("p.dfutils-verdict")


def test_a_session_ends_with_its_page_and_leaves_no_file(server, browser, clip):
    page = browser.new_page()
    page.goto(f"http://localhost:{server[0]}/", timeout=PATIENCE_MS)
    page.wait_for_selector(".dfutils-app button.widget-upload", timeout=PATIENCE_MS)
    kernel = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    assert get(server, f"/api/kernels/{kernel}")[0] == 200
    send(page, clip)
    press_judge(page)
    until = time.monotonic() + 60
    while not (held := list(server[1].rglob("dfutils-upload-*"))):
        assert time.monotonic() < until
        time.sleep(0.01)
    for folder in (held[0], held[0].parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    page.close(run_before_unload=True)  # in the middle of it
    until = time.monotonic() + 60
    while get(server, f"/api/kernels/{kernel}")[0] != 404 or list(server[1].rglob("dfutils-upload-*")):
        assert time.monotonic() < until
        time.sleep(0.3)


def get(server, path, host=None):
    """Status and text of an answer; the path is sent as it is."""
    connection = http.client.HTTPConnection("localhost", server[0], timeout=60)
    connection.request("GET", path, headers={"Host": host or f"localhost:{server[0]}"})
    answer = connection.getresponse()
    result = answer.status, answer.read().decode(errors="replace")
    connection.close()
    return result


@pytest.mark.parametrize(
    "path",
    [
        "/voila/files/01-preprocessing-video.ipynb",
        f"/voila/files/{NOTEBOOK.name.replace(' ', '%20')}",
        "/voila/files/../README.md",
        "/voila/files/..%2f..%2f..%2fetc%2fpasswd",
        "/voila/files/profiles/full.yaml",
        "/voila/render/01-preprocessing-video.ipynb",
        "/01-preprocessing-video.ipynb",
        "/voila/tree",
        "/voila/api/contents",
        "/api/contents",
        "/api/kernels",
        "/voila/static/../../../../../../etc/passwd",
        "/voila/templates/detector/static/../../../../../paths.py",
    ],
)
def test_nothing_but_the_page_is_served(server, path):
    status, text = get(server, path)
    assert status in (302, 403, 404, 500)  # 500: Voilà trips over some paths with dots
    if status == 302:  # Voilà sends all it does not know to its folder of files, of which it gives none
        assert get(server, f"/voila/files{path}")[0] == 403
    assert "root:" not in text
    assert "def " not in text
    assert "http" not in text  # its own pages for errors load nothing from elsewhere, either


def test_a_foreign_name_for_this_machine_is_refused(server):
    assert get(server, "/", host="attacker.example")[0] == 403


@pytest.mark.skipif(data_dir() is None, reason="DFUTILS_DATA is not set")
def test_a_clip_of_dfdc_gets_the_score_of_the_command_line(page):
    videos = sorted((data_dir() / "videos").glob("dfdc-*.mp4"))
    if not videos:
        pytest.skip("DFUTILS_DATA has no video of DFDC")
    judge(page, videos[0])
    frame = page.wait_for_selector(".dfutils-result iframe").content_frame()
    report = frame.wait_for_selector("section.case").inner_text()
    expected = DeepfakeDetector().analyze(videos[0])
    for part in (expected.picture, expected.voice):
        assert f"Estimated probability of manipulation: {show_percent(part.p_fake)}" in report
