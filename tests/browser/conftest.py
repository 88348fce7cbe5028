"""A Chromium, and the city that it looks at: the demo itself, or any that CITYTWIN_TEST_URL names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.city import ROOT, Demo, Stage
from tests.servers.process import until

FLAGS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


@dataclass(slots=True)
class Watched:
    """A page with all that it asked for and all that it complained of."""

    page: Page
    url: str
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, query: str = "") -> Page:
        """Load the page and wait until values and map stand."""
        self.page.goto(f"{self.url}/{query}")
        self.until("window.__citytwin && window.__citytwin.frames > 0")
        self.page.wait_for_selector("[data-testid=legend]", timeout=60_000)
        return self.page

    def until(self, expression: str, arg: Any = None, seconds: float = 60) -> None:
        """Wait until a JavaScript expression holds. The page's security policy forbids Playwright's own way to wait."""
        until(lambda: self.page.evaluate(expression, arg), seconds, expression)


@pytest.fixture(scope="package")
def driver(chromium: str) -> Iterator[Browser]:
    """One browser for all tests."""
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def built() -> None:
    """The pages must be built: they are not in the repository."""
    if not (ROOT / "dashboards" / "static" / "index.html").is_file():
        pytest.fail("the pages are not built; `make test` builds them first")


@pytest.fixture(scope="package")
def demo(built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo with its history in."""
    made = Demo(tmp_path_factory.mktemp("demo") / "city")
    made.start()
    until(made.live, 120, "the history is in")
    yield made
    made.stop()


@pytest.fixture(scope="package")
def base_url(request: pytest.FixtureRequest) -> str:
    """Address of the server under test."""
    given = os.environ.get("CITYTWIN_TEST_URL")
    return given.rstrip("/") if given else str(request.getfixturevalue("demo").url)


@pytest.fixture
def stage(built: None, tmp_path: Path) -> Iterator[Stage]:
    """A city of one's own in which nothing happens by itself."""
    made = Stage(tmp_path)
    yield made
    made.close()


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
