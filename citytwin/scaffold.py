"""What `citytwin new indicator` writes: a module, a test, a page; `citytwin check` and pytest pass as they are."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_LONGEST = 100
#: Moves of a case that a template may count; the first where the name says none. So many letters make two words alike.
_MOVES = ("escalated", "reopened", "returned", "rejected", "voided", "handled", "arrived", "dispatched")
_ALIKE = 5
FORMS = ("function", "class", "toml")


class CannotWrite(Exception):
    """The files cannot be written; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Written:
    """The three files, and what to do next."""

    module: Path
    test: Path
    page: Path


_FUNCTION = Template('''\
"""$title. Change the names, the events and the formula; `citytwin check` says what is still missing."""

from __future__ import annotations

from citytwin.indicators.api import count, indicator
from citytwin.models.columns import Float64


@indicator(
    "$id",
    theme="$theme",
    window="sliding 1d/15m",  # the last 24 hours, in steps of 15 minutes; also: instant, tumbling 1d
    unit="%",
    better="down",  # where it should go: up, down, band or none
    levels="city district street",
    decimals=2,
    name={"zh": "$title", "en": "$title"},
    meaning={"zh": "$title", "en": "Cases $past per hundred $whole_past, of the last 24 hours"},
    bands={"yellow": 5, "red": 10},
    source="local default",  # the standard that gives the bands
    status="L",  # V verified, K known, S seed, L local
    owner="$owner",
    feeds=(("case", ""),),  # whose silence makes the value stale
    examples=[{"part": 1, "whole": 4, "gives": 25.0}, {"part": 0, "whole": 0, "gives": None}],
)
def $name(part: Float64 = count("case.$past"), whole: Float64 = count("case.$whole_past")) -> Float64:
    """Cases $past among those $whole_past. Each parameter is an aggregate, here an array over all scopes."""
    return 100 * part / whole
''')

_CLASS = Template('''\
"""$title. Change the names, the rows and the values; `citytwin check` says what is still missing."""

from __future__ import annotations

import numpy as np

from citytwin.indicators.api import Context, Indicator, row, rows
from citytwin.models.columns import Float64, Int32


class $cls(Indicator):
    """Median age of the open cases: a median of rows is no sum, so it needs the class form."""

    id = "$id"
    theme = "$theme"
    unit = "h"
    better = "down"  # where it should go: up, down, band or none
    levels = "city district"
    decimals = 2
    name = {"zh": "$title", "en": "$title"}
    meaning = {"zh": "$title", "en": "Median time since the open cases were filed"}
    bands = {"yellow": 24, "red": 72}
    source = "local default"  # the standard that gives the bands
    status = "L"  # V verified, K known, S seed, L local
    owner = "$owner"
    feeds = (("case", ""),)  # whose silence makes the value stale
    every = "1m"  # how often it is worked out
    aggregates = {"open": rows("case", where=row.open == 1, since=row.filed_at)}

    def values(self, ctx: Context) -> tuple[Int32, Float64]:
        """Scope rows and their values; scopes that are not named have no data. Keep nothing between two calls."""
        found = ctx.rows("open")
        hours = (ctx.now - found.number("since")) / 3_600_000
        above = ctx.scopes.ancestors()[found.scope]  # the city, district ... that each row lies in
        places, values = [], []
        for level in (0, 1):
            for place in np.unique(above[:, level][above[:, level] >= 0]):
                places.append(place)
                values.append(np.median(hours[above[:, level] == place]))
        return np.array(places, np.int32), np.array(values, np.float64)
''')

_TOML = Template("""\
# $title. Change the names and the expression; `citytwin check` says what is still missing.
# The aggregates of the expression are its parameters a, b, c ... in the order in which they first appear.
[indicator."$id"]
expr = '100 * count("case.$past") / count("case.$whole_past")'
theme = "$theme"
window = "sliding 1d/15m"
unit = "%"
better = "down"
levels = "city district street"
decimals = 2
name = {zh = "$title", en = "$title"}
meaning = {zh = "$title", en = "Cases $past per hundred $whole_past, of the last 24 hours"}
bands = {yellow = 5, red = 10}
source = "local default"
status = "L"
owner = "$owner"
feeds = [["case", ""]]
examples = [{a = 1, b = 4, gives = 25}, {a = 0, b = 0}]
""")

_TEST = Template('''\
"""Tests of $id: run them with pytest. The fixtures city, feed and at come with CityTwin."""

from pathlib import Path

PLUGIN = Path(__file__).parents[1] / "$file"

$formula
def test_in_a_small_city(city, feed, at):
    """Two districts, plain events, a clock that you move."""
    city.use(PLUGIN)
    here, there = city.grids[0], city.grids[-1]
$events
    assert city.value("$id") == $whole
    assert city.value("$id", city.districts[0]) == $first
    assert city.value("$id", city.districts[1]) == $second
''')

_FORMULA = Template('''\

def test_formula(city):
    """The formula is a function of numbers."""
    rate = city.use(PLUGIN)
    assert rate($part=1, $full=4) == 25
    assert rate($part=0, $full=0) is None

''')

_RATIO_EVENTS = Template("""\
    feed({"type": "case.$whole_past", "subject": "C1", "scope": here$due})
    feed({"type": "case.$whole_past", "subject": "C2", "scope": there$due})
    feed({"type": "case.$past", "subject": "C1", "scope": here, "time": "+1s"})
    at("+15m")""")

_AGE_EVENTS = """\
    feed({"type": "case.history", "subject": "C1", "scope": here, "created_at": "-2h"})
    feed({"type": "case.history", "subject": "C2", "scope": there, "created_at": "-4h"})
    at("+1h")"""

_PAGE = Template("""\
# $title (`$id`)

What it tells, in one sentence that an operator understands.

* **Formula**: see `$file`.
* **Events**: which, and who sends them.
* **Bands**: where they come from; who decided them, and until when they hold.
* **What to do**: who acts when it turns yellow, and who when it turns red.
* **Known limits**: what it does not see.
""")


def write(id: str, folder: Path, *, theme: str = "local", form: str = "function", owner: str = "modeler") -> Written:
    """Write the three files of an indicator. Raises CannotWrite; nothing is ever overwritten."""
    _check(id, theme, owner)
    stem = id.replace(".", "_")
    made = Written(
        folder / f"{stem}.{'toml' if form == 'toml' else 'py'}",
        folder / "tests" / f"test_{stem}.py",
        folder / "docs" / f"{stem}.md",
    )
    there = [str(p) for p in (made.module, folder / f"{stem}.py", folder / f"{stem}.toml", made.test) if p.exists()]
    if there:
        raise CannotWrite(f"{there[0]} is there already and is left as it is; choose another id or folder")
    texts = _texts(id, stem, made.module.name, form, {"theme": theme, "owner": owner})
    try:
        for path, text in zip((made.module, made.test, made.page), texts, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path != made.page or not path.exists():
                with path.open("x", encoding="utf-8") as out:
                    out.write(text)
    except OSError as error:
        raise CannotWrite(f"{error.filename} cannot be written: {error.strerror}") from error
    return made


def _check(id: str, theme: str, owner: str) -> None:
    if not _ID.fullmatch(id) or len(id) > _LONGEST:
        raise CannotWrite(f"{id!r} is no id; write small letters, digits, _ and dots, as in gov.case.reopen_rate")
    if not re.fullmatch(r"[a-z0-9_]{1,60}", theme):
        raise CannotWrite(f"{theme!r} is no theme; write small letters, digits and _, as in social_governance")
    if not owner.strip() or not owner.isprintable() or set(owner) & set("\"'\\$"):
        raise CannotWrite("the owner is a plain name, without quotes")


def _event_of(last: str) -> str:
    """The move of a case that a name speaks of, as `reopened` for reopen_rate."""
    for word in last.split("_"):
        for event in _MOVES:
            if len(word) >= _ALIKE and word[:_ALIKE] == event[:_ALIKE]:
                return event
    return _MOVES[0]


def _texts(id: str, stem: str, file: str, form: str, facts: dict[str, str]) -> tuple[str, str, str]:
    last = id.rpartition(".")[2]
    title = last.replace("_", " ").capitalize()
    name = f"{last}_" if keyword.iskeyword(last) else last
    cls = "".join(w.capitalize() for w in last.split("_") if w)
    past = _event_of(last)
    facts |= {"past": past, "whole_past": "closed" if past == "reopened" else "filed"}
    facts = {**facts, "id": id, "title": title, "name": name, "cls": cls, "file": file}
    module = {"function": _FUNCTION, "class": _CLASS, "toml": _TOML}[form].substitute(facts)
    part, full = ("a", "b") if form == "toml" else ("part", "whole")
    if form == "class":
        seen = {"formula": "", "events": _AGE_EVENTS, "whole": "4", "first": "3", "second": "5"}
    else:
        formula = _FORMULA.substitute(part=part, full=full)
        due = ', "due_at": "+1d"' if facts["whole_past"] == "filed" else ""
        seen = {
            "formula": formula,
            "events": _RATIO_EVENTS.substitute(facts, due=due),
            "whole": "50",
            "first": "100",
            "second": "0",
        }
    return module, _TEST.substitute(facts, **seen), _PAGE.substitute(facts)
