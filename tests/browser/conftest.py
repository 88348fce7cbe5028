"""A Chromium and a server for the page: the fake one of dashboards/web/fake, or any that CITYTWIN_TEST_URL names."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
FAKE = ROOT / "dashboards" / "web" / "fake" / "server.py"
FLAGS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


class FakeServer:
    """The fake as a process that can be stopped and started again on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [sys.executable, str(FAKE), "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready "), line

    def stop(self) -> None:
        """Kill it, as a power cut would."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None


@dataclass(slots=True)
class Watched:
    """A page with all that it asked for and all that it complained of."""

    page: Page
    url: str
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, query: str = "", wait: bool = True) -> Page:
        """Load the page; by default wait until values and map stand."""
        self.page.goto(f"{self.url}/{query}")
        if wait:
            self.page.wait_for_function("window.__citytwin && window.__citytwin.seq > 0", timeout=60_000)
            self.page.wait_for_selector("[data-testid=legend]", timeout=60_000)
        return self.page


@pytest.fixture(scope="session")
def driver(chromium: str) -> Iterator[Browser]:
    """One browser for all tests."""
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def built() -> None:
    """The pages must be built: they are not in the repository."""
    if not (ROOT / "dashboards" / "static" / "index.html").is_file():
        pytest.fail("the pages are not built; run `npm ci && npm run build` in dashboards/web")


@pytest.fixture(scope="session")
def base_url(built: None) -> Iterator[str]:
    """Address of the server under test."""
    given = os.environ.get("CITYTWIN_TEST_URL")
    if given:
        yield given.rstrip("/")
        return
    server = FakeServer()
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def mortal(built: None) -> Iterator[FakeServer]:
    """A fake server of one's own, to be killed."""
    server = FakeServer()
    server.start()
    yield server
    server.stop()


def watched(browser: Browser, url: str, width: int = 1280, height: int = 720) -> Watched:
    """A page that notes foreign requests, console errors and warnings, failed answers."""
    page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    out = Watched(page, url)
    page.on("request", lambda r: out.foreign.append(r.url) if not r.url.startswith((url, "data:", "blob:")) else None)
    page.on("console", lambda m: out.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: out.complaints.append(str(e)))
    page.on("response", lambda r: out.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    return out


@pytest.fixture
def view(driver: Browser, base_url: str) -> Iterator[Watched]:
    """A watched page of 1280 x 720 on the server under test."""
    out = watched(driver, base_url)
    yield out
    out.page.close()
