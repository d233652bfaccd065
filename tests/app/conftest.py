"""The web page as users see it: its server in a separate process, viewed in a headless browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page_server import Server

from mviper.graphics import read_video, write_video


@pytest.fixture(scope="session")
def short_video(repository, tmp_path_factory) -> Path:
    """A third of a second of a walking person."""
    frames = read_video(repository / "mviper" / "app" / "example.mp4", 8)
    path = tmp_path_factory.mktemp("video") / "short.mp4"
    write_video(path, frames, 24)
    return path


@pytest.fixture(scope="session")
def serve(repository, tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """Starts servers, which are stopped after the tests."""
    pytest.importorskip("gradio", reason="gradio is not installed: requirements/app.txt")
    servers = []

    def start(*options: object, **kwargs: object) -> Server:
        servers.append(Server(repository, tmp_path_factory.mktemp("app"), *options, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def browser(tmp_path) -> Iterator[Callable]:
    """Opens Chromium windows on a page; downloads go to ``tmp_path``."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: requirements/tests.txt")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    windows = []

    def open_window(url: str, width: int = 1200, height: int = 1400) -> object:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in ("headless=new", "no-sandbox", f"window-size={width},{height}", "enable-unsafe-swiftshader"):
            options.add_argument(f"--{argument}")
        options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
        window = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        windows.append(window)
        window.get(url)
        return window

    yield open_window
    for window in windows:
        window.quit()
