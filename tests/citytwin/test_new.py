"""`citytwin new`: what it writes passes the check and its own test at once; the tiny city of tests says why not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from citytwin.cli import main
from citytwin.conformance import check
from citytwin.indicators.loading import NotAnIndicator, load_text
from citytwin.indicators.registry import builtin
from citytwin.plugins import load_file
from citytwin.pytest_plugin import at, city, feed  # noqa: F401 - the fixtures that authors get
from citytwin.scaffold import FORMS, CannotWrite, write
from citytwin.tryout import RefusedEvent, SmallCity
from tests.citytwin.bad_plugins import GOOD, RAISES

ROOT = Path(__file__).resolve().parents[2]
ID = "gov.case.reopen_rate"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "id", "counts"),
    [
        *((form, ID, "case.reopened") for form in FORMS),
        ("function", "gov.case.escalation_rate", "case.escalated"),
        ("toml", "share", "case.escalated"),
    ],
)
def test_what_is_written_passes_at_once(tmp_path: Path, form: str, id: str, counts: str) -> None:
    made = write(id, tmp_path / "plugins", theme="social_governance", form=form, owner="governance")
    (spec,) = load_file(made.module).specs
    assert (spec.id, spec.theme, spec.owner) == (id, "social_governance", "governance")
    assert check(spec) == []
    assert form == "class" or counts in {a.table for a in spec.params.values()}
    assert f"`{id}`" in made.page.read_text("utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "citytwin.pytest_plugin", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*command, str(made.test)], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["new", "indicator", ID])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "citytwin check plugins/gov_case_reopen_rate.py" in said
    assert "citytwin demo --plugins plugins" in said
    before = (tmp_path / "plugins" / "gov_case_reopen_rate.py").read_text("utf-8")
    with pytest.raises(SystemExit) as left:
        main(["new", "indicator", ID, "--form", "toml"])
    assert left.value.code == 1
    assert "is there already and is left as it is" in capsys.readouterr().err
    assert (tmp_path / "plugins" / "gov_case_reopen_rate.py").read_text("utf-8") == before
    assert not (tmp_path / "plugins" / "gov_case_reopen_rate.toml").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"id": "Gov.Rate"}, "is no id"),
        ({"id": "../../etc/x"}, "is no id"),
        ({"id": "a" * 101}, "is no id"),
        ({"theme": "A theme"}, "is no theme"),
        ({"owner": 'me"; import os'}, "plain name"),
    ],
)
def test_names_that_cannot_be_are_refused(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(CannotWrite, match=words):
        write(**{"id": ID, "folder": tmp_path, **given})
    assert list(tmp_path.iterdir()) == []


def test_a_word_of_python_is_no_function_name(tmp_path: Path) -> None:
    assert load_file(write("my.class", tmp_path).module).ids == ("my.class",)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "plugins").write_text("a file", "utf-8")
    with pytest.raises(CannotWrite, match="cannot be written"):
        write(ID, tmp_path / "plugins")


# The tiny city for tests of authors.


def test_an_author_needs_five_lines(city: SmallCity, feed: Any, at: Any) -> None:  # noqa: F811
    city.use(builtin()["hotline_answer_rate"])
    feed({"type": "call.offered"}, {"type": "call.offered"}, {"type": "call.answered", "wait_s": 3})
    at("+5m")
    assert city.value("hotline_answer_rate") == 50
    assert city.quality("hotline_answer_rate") == "good"
    assert city.values("hotline_answer_rate") == {city.code: 50}


def test_a_file_and_what_it_reads(tmp_path: Path, city: SmallCity, feed: Any) -> None:  # noqa: F811
    file = tmp_path / "backlog.py"
    file.write_text(GOOD.replace('count("call.offered")', 'ind("case_backlog")'), "utf-8")
    spec = city.use(file)
    feed({"type": "case.history", "subject": "C1", "created_at": "-2h", "scope": city.grids[3]})
    assert city.value(spec.id, city.districts[0]) == 1
    assert city.value(spec.id, city.districts[1]) == 0


def test_what_a_city_would_refuse_is_refused_here_too(city: SmallCity, feed: Any, at: Any) -> None:  # noqa: F811
    city.use(builtin()["case_backlog"])
    for event, words in (
        ({"type": "case.filled"}, "no event type 'case.filled'; there are"),
        ({"type": "case.filed", "subject": "C1"}, "missing: due_at is required"),
        ({"type": "obs", "subject": "D99", "property": "rain.depth", "value": 1}, "unknown_subject"),
        ({"type": "obs", "subject": "D00", "property": "rain.depth", "value": -1}, "out_of_range"),
        ({"type": "obs", "subject": "D00", "property": "rain.depth", "value": 1, "time": "+2h"}, "future"),
    ):
        with pytest.raises(RefusedEvent, match=words):
            feed(event)
    feed({"type": "case.closed", "subject": "C1"})
    at("+1m")
    at("+1m")
    assert [r.reason for r in city.refused] == ["illegal_move"]


def test_mistakes_are_told_in_words(city: SmallCity, at: Any) -> None:  # noqa: F811
    with pytest.raises(KeyError, match=r"call city\.use"):
        city.value("case_backlog")
    with pytest.raises(TypeError, match="name an indicator"):
        city.use()
    with pytest.raises(NotAnIndicator, match="no such file"):
        city.use("nowhere.py")
    city.use(builtin()["case_backlog"])
    at("+1m")
    for when in ("-5m", "soon", "5m"):
        with pytest.raises(ValueError, match="how far to go on"):
            at(when)
    with pytest.raises(ValueError, match="does not go back"):
        at(5)
    with pytest.raises(KeyError, match="no scope 9"):
        city.value("case_backlog", "9")
    with pytest.raises(RuntimeError, match="before the first event"):
        city.use(builtin()["case_backlog"])


def test_one_that_raises_says_so(tmp_path: Path, city: SmallCity, feed: Any) -> None:  # noqa: F811
    file = tmp_path / "raises.py"
    file.write_text(RAISES, "utf-8")
    city.use(file)
    feed({"type": "call.offered"})
    with pytest.raises(AssertionError, match=r"bad\.raises raised ValueError: boom"):
        city.value("bad.raises")


def test_the_examples_of_the_document_hold(tmp_path: Path, city: SmallCity, feed: Any, at: Any) -> None:  # noqa: F811
    text = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    line = re.findall(r"```toml\n(.*?)```", text, re.S)[0]
    function, test = re.findall(r"```python\n(.*?)```", text, re.S)
    for name, source in (("line.toml", line), ("a.py", f"from citytwin.indicators.api import *\n{function}")):
        for spec in load_text(name, source).specs:
            assert check(spec) == []
    (tmp_path / "plugins").mkdir()
    write(ID, tmp_path / "plugins")
    place: dict[str, Any] = {}
    exec(test.replace("plugins/", f"{tmp_path / 'plugins'}/"), place)
    place["test_half_of_the_closed_cases_came_back"](city, feed, at)
