"""The server of the web page."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import tempfile
from pathlib import Path

from mviper.app.gallery import Gallery
from mviper.app.jobs import Limits, Workplace
from mviper.errors import ConfigError
from mviper.extras import import_extra
from mviper.inference import MeshRecoverer

#: Minimum length of a token.
_TOKEN = 12

_STYLE = """
.gradio-container {width: 100%; max-width: 1100px !important; margin: auto}
#result iframe {width: 100%; height: 520px; border: 0; border-radius: 8px}
.progress progress {appearance: none; width: 100%; height: 14px; border: 0; border-radius: 7px; overflow: hidden;
  background: #e0e7ff}
.progress progress::-webkit-progress-bar {background: transparent}
.progress progress::-webkit-progress-value {background: #6366f1}
.progress progress::-moz-progress-bar {background: #6366f1}
.progress progress:indeterminate {background: linear-gradient(90deg, #e0e7ff 30%, #6366f1, #e0e7ff 70%) 0 0 / 200% 100%;
  animation: pass 2s linear infinite}
.progress progress:indeterminate::-moz-progress-bar {background: transparent}
@keyframes pass {from {background-position: 200% 0} to {background-position: 0 0}}
@media (max-width: 700px) {#result iframe {height: 640px}}
"""


def serve(
    recoverer: MeshRecoverer,
    *,
    data_root: Path | None = None,
    limits: Limits | None = None,
    port: int = 7860,
    public: bool = False,
    token: str | None = None,
) -> None:
    """Serves the page until interrupted, then removes all uploads and results.

    Args:
        recoverer: Recovers uploads.
        data_root: A generated data set for the second tab.
        limits: Limits of uploads.
        port: TCP port.
        public: Whether other machines may connect, with the token; otherwise only this one.
        token: The token; None generates one.

    Raises:
        ConfigError: A token without ``public``, or an easily guessed one; a port that is taken.
        MissingDataError: No sequences in ``data_root``.
        MissingDependencyError: Gradio is not installed.
    """
    if token is not None and not public:
        raise ConfigError("a token is only used by a public page: add --public")
    if token is not None and len(token) < _TOKEN:
        raise ConfigError(f"the token has {len(token)} characters; expected at least {_TOKEN}")
    token = token or secrets.token_urlsafe(24)
    host = "0.0.0.0" if public else "127.0.0.1"
    with socket.socket() as probe:  # Gradio would say so later, and in its own terms
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"port {port} cannot be used ({error.strerror}); choose another with --port") from error
    limits = limits or Limits()
    gallery = None if data_root is None else Gallery(data_root)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="mviper_app_") as folder:
        # Gradio serves files only from this folder, which holds all uploads and results.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False"}
        gr = import_extra("gradio")
        from mviper.app.page import build_page

        page = build_page(recoverer, Workplace(Path(folder), limits), gallery)
        _, url, _ = page.launch(
            server_name=host, server_port=port, share=False, quiet=True,
            auth=("mviper", token) if public else None, max_file_size=f"{int(limits.megabytes * 1e6)}b",
            prevent_thread_lock=True, theme=gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            css=_STYLE, footer_links=[], run_history=False, enable_monitoring=False, ssr_mode=False, pwa=False,
            mcp_server=False,
        )  # fmt: skip
        print(f"Open {url} (Ctrl-C ends it)", flush=True)
        if public:
            print(f"Other machines log in as mviper with the token {token}", flush=True)
        page.block_thread()
