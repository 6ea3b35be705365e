"""Serve `Deepfake Detector.ipynb`, and nothing else, as a page by Voilà: ``make app``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dfutils.paths import ASSETS, PROJECT_ROOT
from dfutils.uploads import MAX_UPLOAD_BYTES

if TYPE_CHECKING:
    from traitlets.config import Config

NOTEBOOK = PROJECT_ROOT / "notebooks" / "Deepfake Detector.ipynb"
MAX_SESSIONS = 8  # each has a process of its own, of some 700 MB
IDLE_MINUTES = 30  # after which a session ends
LOCAL = ("localhost", "127.0.0.1", "::1")
WIDGETS = ["@voila-dashboards/widgets-manager8", "@jupyter-widgets/jupyterlab-manager"]
# the page may load what this server has, and ask nobody else for anything
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'self'"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted; what sessions leave behind, even killed ones, goes at the end."""
    parser = argparse.ArgumentParser(prog="dfutils.app_server", description=__doc__)
    parser.add_argument("--port", type=int, default=8866, metavar="N", help="on this machine (8866)")
    parser.add_argument(
        "--ip", default="localhost", help="address to listen on (localhost); there is no password"
    )
    parser.add_argument("--no-browser", action="store_true", help="open none")
    options = parser.parse_args(arguments)
    os.environ["JUPYTER_PATH"] = os.pathsep.join(
        [str(ASSETS), *filter(None, [os.environ.get("JUPYTER_PATH")])]
    )
    with tempfile.TemporaryDirectory(prefix="dfutils-app-") as folder:  # mode 0700; kernels inherit it
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        from voila.app import Voila

        print(f"Starting http://{options.ip}:{options.port}/ (Ctrl+C stops it)", flush=True)
        config = make_config(options.port, options.ip, not options.no_browser)
        Voila.launch_instance([str(NOTEBOOK)], config=config, config_file_paths=[])


def make_config(port: int, ip: str = "localhost", open_browser: bool = False) -> Config:
    """Put together Voilà's settings.

    Parameters
    ----------
    port : int
    ip : str
        Address to listen on.
    open_browser : bool
        Whether to open one here.
    """
    from traitlets.config import Config

    config = Config()
    config.Voila.port, config.Voila.port_retries, config.Voila.ip = port, 0, ip
    config.Voila.open_browser = open_browser
    config.Voila.log_level = "WARN"
    config.Voila.tornado_settings = {
        "websocket_max_message_size": MAX_UPLOAD_BYTES + 2_000_000,
        "ws_ping_interval": 300_000,  # ms; a slow line busy with a file answers late
        "ws_ping_timeout": 300_000,
        "allow_remote_access": ip not in LOCAL,  # else a foreign page could reach us by a name of its own
        "headers": {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        },
    }
    page = config.VoilaConfiguration
    page.template, page.theme = "detector", "light"
    page.allow_template_override = page.allow_theme_override = "NO"
    page.file_allowlist, page.file_denylist = [], [".*"]
    page.strip_sources, page.show_tracebacks = True, False
    page.resources = {"max_upload_bytes": MAX_UPLOAD_BYTES}
    page.extension_allowlist = WIDGETS  # else all that this machine's JupyterLab has
    page.prelaunch_hook = admit
    config.VoilaExecutor.cell_error_instruction = "Please tell whoever runs this page."
    config.MappingKernelManager.cull_idle_timeout = IDLE_MINUTES * 60
    config.MappingKernelManager.cull_interval = 60
    config.MappingKernelManager.cull_connected = True
    config.ZMQChannelsWebsocketConnection.limit_rate = False  # a report counts as a flood of output
    return config


def admit(handler, notebook, cwd) -> None:
    """Let a visitor in, or refuse one session too many; Voilà asks before it starts a kernel.

    Raises
    ------
    tornado.web.HTTPError
        503
    """
    from tornado.web import HTTPError

    if len(handler.kernel_manager.list_kernel_ids()) >= MAX_SESSIONS:
        raise HTTPError(503, reason="Too many people use the detector now. Please try again in some minutes")
    # asking for the token sets its cookie, without which the page may not end its session on leaving
    _ = handler.xsrf_token


if __name__ == "__main__":
    sys.exit(main())
