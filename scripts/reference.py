"""Write the parts of docs/ that are made from the code: reasons, events and properties, the life of a case.

`reference.py` writes them, `reference.py --check` only tells whether they are in step (a test does that too).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from casepage import cases

from citytwin.models.batch import REASONS
from citytwin.models.events import TITLES, VOCABULARY
from citytwin.models.vocabulary import ALWAYS, HOUR_MS, EventType, Field

DOCS = Path(__file__).resolve().parent.parent / "docs"
_NOTE = "<!-- Made by scripts/reference.py from the code: change the code, then run it. -->\n"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    names = list(head)
    lines = [names, ["---"] * len(names), *([str(c).replace("|", "\\|") for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def reasons() -> str:
    """Why an event is not taken."""
    rows = ((f"`{code}`", words) for code, words in REASONS.items())
    return (
        "# Why an event was not taken\n\n" + _NOTE + "\nEach bad event gets one of these codes, in the answer of "
        "`POST /ingest` and in the list of dead letters; its neighbours are not affected.\n\n"
        + table(("code", "meaning"), rows)
    )


def horizon(kind: EventType) -> str:
    """How long events of a type can still be corrected."""
    return "always" if kind.horizon_ms >= ALWAYS else f"{kind.horizon_ms // HOUR_MS} h"


def field_words(field: Field) -> str:
    """One field with kind, unit, resolution and range."""
    unit = f" {field.unit}" if field.unit else ""
    step = f", steps of {1 / field.per_unit:g}" if field.per_unit != 1 else ""
    span = f", {field.lo:g} to {field.hi:g}" if field.lo is not None and field.hi is not None else ""
    return f"`{field.name}` {field.kind.value}{unit}{step}{span}{', required' if field.required else ''}"


def events() -> str:
    """Event types and observed properties."""
    words = VOCABULARY()
    kinds = (
        (f"`{t.name}`", TITLES[t.name]["en"], "; ".join(map(field_words, t.fields)), " + ".join(t.key), horizon(t))
        for t in words.types.values()
    )
    properties = (
        (f"`{p.name}`", TITLES[p.name]["en"], p.unit, f"{1 / p.per_unit:g}", f"{p.lo:g} to {p.hi:g}", p.model)
        for p in words.properties.values()
    )
    return (
        "# Events and observed properties\n\n" + _NOTE + "\n## Events\n\nA type with a key keeps its newest event per "
        "key as a row of a table. The horizon is how long ids and corrections are kept.\n\n"
        + table(("type", "name", "fields", "key", "horizon"), kinds)
        + "\n## Observed properties\n\nThe `value` of an `obs` event is in the unit of its property.\n\n"
        + table(("property", "name", "unit", "step", "range", "Smart Data Models"), properties)
    )


def pages() -> dict[str, str]:
    """File name and text of every generated page."""
    return {"reasons.md": reasons(), "events.md": events(), "cases.md": cases(_NOTE, table)}


def main() -> int:
    """Write or check: 1 if a page was out of step under --check."""
    parser = argparse.ArgumentParser(description="The generated pages of docs/.")
    parser.add_argument("--check", action="store_true")
    check, stale = parser.parse_args().check, []
    for name, text in pages().items():
        path = DOCS / name
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, "utf-8")
                print(f"wrote docs/{name}")
    if check and stale:
        print(f"out of step with the code: {', '.join(stale)}; run .venv/bin/python scripts/reference.py")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
