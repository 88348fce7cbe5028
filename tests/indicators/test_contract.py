"""Bad indicators are caught, and the message says what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citytwin.conformance import check, check_file
from citytwin.indicators import contract
from citytwin.indicators.api import Spec, Window, col, count, indicator, total
from citytwin.indicators.loading import NotAnIndicator
from citytwin.indicators.registry import Registry, builtin
from citytwin.plugins import load_file

_META: dict[str, Any] = {
    "theme": "t", "window": "sliding 1h/15m", "levels": "city grid", "unit": "%", "better": "up", "owner": "me",
    "name": {"zh": "甲", "en": "A"}, "meaning": {"zh": "甲", "en": "A"}, "source": "local default",
    "bands": {"yellow": 90, "red": 70}, "examples": [{"a": 1, "n": 2, "gives": 50}, {"a": 0, "n": 0, "gives": None}],
}  # fmt: skip


def make(formula: Any, **changes: Any) -> Spec:
    def wrapped(a: Any = count("obs", where=col.quality == "good"), n: Any = count("obs")) -> Any:
        return formula(a, n)

    return indicator("demo.x", **{**_META, **changes})(wrapped)


def good(a: Any, n: Any) -> Any:
    return 100 * a / n


def test_a_good_one_has_no_problems() -> None:
    assert check(make(good)) == []


_state = [0]


def counting(a: Any, n: Any) -> Any:
    _state[0] += 1
    return 100 * a / n + _state[0]


@pytest.mark.parametrize(
    ("formula", "changes", "rule", "words"),
    [
        (good, {"name": {"zh": "甲"}}, "metadata", 'name lacks "en"'),
        (good, {"bands": {"yellow": 70, "red": 90}}, "bands", "must go"),
        (good, {"bands": {"purple": 70}}, "bands", "no levels"),
        (good, {"better": "high"}, "metadata", "better="),
        (good, {"unit": "a unit that is much too long to be one"}, "metadata", "unit="),
        (good, {"levels": "city planet"}, "metadata", "planet"),
        (good, {"source": ""}, "metadata", "source"),
        (good, {"examples": [{"a": 1, "n": 2, "gives": 49}] * 2}, "examples", "gives 50.0, not 49"),
        (good, {"examples": [{"a": 1, "gives": 49}] * 2}, "examples", "must name"),
        (lambda a, n: 100 * a / n.sum(), {"examples": []}, "independent", "depends on other scopes"),
        (lambda a, n: a.sum(), {"examples": []}, "independent", "depends on other scopes"),
        (counting, {"examples": []}, "pure", "second time"),
        (lambda a, n: 1 if a > 0 else 0, {"examples": []}, "formula", "np.where"),
        (lambda a, n: np.zeros(3), {"examples": []}, "formula", "one value per scope"),
    ],
)
def test_a_bad_one_is_told_what_is_wrong(formula: Any, changes: dict[str, Any], rule: str, words: str) -> None:
    problems = check(make(formula, **changes))
    assert any(p.rule == rule and words in p.message for p in problems), problems


def test_a_missing_type_is_named() -> None:
    @indicator("demo.y", **{**_META, "examples": [{"n": 1, "gives": 1}, {"n": 0, "gives": 0}], "bands": {}})
    def y(n: Any = count("no.such")) -> Any:
        return n

    assert "no event type or family 'no.such'" in check(y)[0].message


def test_parameters_need_aggregates() -> None:
    with pytest.raises(TypeError, match="need an aggregate as default"):

        @indicator("demo.z", theme="t")
        def z(n: Any = 3) -> Any:
            return n


@pytest.mark.parametrize("text", ["sliding 1h", "tumbling 1h/5m", "hourly", "sliding 1h/7m", "sliding x/1m"])
def test_windows_are_checked(text: str) -> None:
    with pytest.raises(ValueError, match=r"window|duration"):
        Window.parse(text)


def test_every_built_in_keeps_the_pure_contract() -> None:
    """That they keep the one with events too, is tested in a process of its own: `test_workshop_check`."""
    assert [str(p) for spec in builtin() for p in contract.check(spec)] == []


def test_ids_are_given_once() -> None:
    with pytest.raises(ValueError, match="defined twice"):
        Registry([make(good), make(good)])


_FILE = """
from citytwin.indicators.api import count, indicator

@indicator("{id}", theme="t", window="sliding 1h/1m", unit="1", better="up", levels="city", owner="me",
           name={{"zh": "甲", "en": "A"}}, meaning={{"zh": "甲", "en": "A"}},
           examples=[dict(n=1, gives=1), dict(n=0, gives=0)])
def mine(n=count("obs")):
    return n
"""


def test_a_file_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(_FILE.format(id="demo.mine"), encoding="utf-8")
    assert check_file(path) == []
    path.write_text(_FILE.format(id="aqi"), encoding="utf-8")
    assert [p.rule for p in check_file(path)] == ["id"]


@pytest.mark.parametrize(
    ("text", "words"), [("x = 1", "declares no indicator"), ("import nothing_here", "ModuleNotFound")]
)
def test_a_file_without_use_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NotAnIndicator, match=words):
        load_file(path)


def test_equal_declarations_have_equal_keys() -> None:
    window = Window.parse("sliding 1h/1m")
    one, two = (total("obs", col.value, where=col.property == "x") for _ in range(2))
    assert one.key(window) == two.key(window)
    assert one.key(window) != total("obs", col.value, where=col.property == "y").key(window)
