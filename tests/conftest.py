"""What all tests share: `figure` for measured numbers, `PROVE` for the large counts, `chromium`, and real servers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.servers import fixtures
from tests.servers.fixtures import influx as influx
from tests.servers.fixtures import influx_tls as influx_tls
from tests.servers.fixtures import kafka as kafka
from tests.servers.fixtures import mosquitto as mosquitto
from tests.servers.fixtures import own_kafka as own_kafka
from tests.servers.fixtures import prefix as prefix

_BUILD = Path(__file__).resolve().parent.parent / "build"

Figure = Callable[[str, float, str], None]


def proving() -> bool:
    """Whether this run proves: large counts, figures into build/prove.json."""
    return os.environ.get("CITYTWIN_TEST_PROVE") == "1"


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """`figure(name, value, unit)`: a measured number that the run reports and writes into build/."""

    def note(name: str, value: float, unit: str) -> None:
        row: dict[str, object] = {"name": name, "value": value, "unit": unit, "test": request.node.nodeid}
        request.node.user_properties.append(("figure", row))  # with the test's report, also from another process

    return note


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; fails with the sentence that helps if there is none."""
    names = (os.environ.get("CITYTWIN_TEST_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, (shutil.which(n) for n in names if n)), None)
    if found is None:
        pytest.fail("no Chromium was found; `make test` installs it, or name one in CITYTWIN_TEST_CHROMIUM")
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures and write them: build/prove.json when proving, else build/figures.json."""
    reports = [r for list in terminalreporter.stats.values() for r in list if getattr(r, "when", "") == "call"]
    rows = [row for r in reports for name, row in r.user_properties if name == "figure"]
    if not rows:
        return
    target = _BUILD / ("prove.json" if proving() else "figures.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", "utf-8")
    terminalreporter.section(f"figures, also in build/{target.name}")
    for row in rows:
        terminalreporter.write_line(f"{row['name']}: {row['value']:g} {row['unit']}")


def pytest_configure(config: pytest.Config) -> None:
    """Leave the package as it is written: pytest would make assertions of all of it tell more, for it has a plugin.

    That parses each module when it is imported, maybe in two threads at once, which 3.11 cannot do.
    """
    marked = config.pluginmanager.rewrite_hook._must_rewrite  # type: ignore[attr-defined]
    marked.difference_update([name for name in marked if name.split(".")[0] == "citytwin"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Clients of servers that are killed under them leave sockets and transports to the garbage collector."""
    for item in items:
        if Path(item.path).parent.name in ("cluster", "history", "servers", "packaging", "crash"):
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


_MARKS = pytest.StashKey[dict[str, int]]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have the servers serve before each test, and remember where their logs are."""
    fixtures.mend()
    item.stash[_MARKS] = fixtures.marks()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what the servers said during it."""
    report = yield
    if report.failed:
        report.sections += fixtures.logs(item.stash.get(_MARKS, {}))
    return report
