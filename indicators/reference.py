"""A reference page for each indicator, made of its declaration: one structure, written as Markdown or as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from citytwin.indicators.api import Spec, source_text
from citytwin.indicators.lineage import aggregate_text, lineage
from citytwin.models.thresholds import STATUSES, Threshold
from citytwin.models.vocabulary import ALWAYS, EventType

_BETTER = {
    "up": "higher is better 越高越好", "down": "lower is better 越低越好",
    "band": "between; too high is bad 区间内为宜，过高告警", "none": "report only 仅供参考",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Source text."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; cells are plain texts."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it."""

    title: str
    parts: Sequence[Text | Code | Table]


@dataclass(frozen=True, slots=True)
class Page:
    """The reference of one indicator."""

    id: str
    title: str
    sections: Sequence[Section]


def status_text(status: str) -> str:
    """What stands behind a threshold, in both languages: `V+L` is verified in part and local in part."""
    return "; ".join(f"{STATUSES[s]['en']} {STATUSES[s]['zh']}" for s in status.split("+") if s in STATUSES)


def date_text(ms: int) -> str:
    """A moment as UTC, "" for the beginning and end of time."""
    if abs(ms) >= ALWAYS:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def number_text(value: object) -> str:
    """A number as short as it is exact; no data for None and NaN."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "no data"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def page(spec: Spec, specs: Sequence[Spec], types: Mapping[str, EventType]) -> Page:
    """The page of an indicator; `specs` are all that are in force, `types` the vocabulary."""
    made = lineage(spec, specs, types)
    words = " ".join((getattr(spec.formula or spec.cls, "__doc__", "") or "").split())
    facts = [
        ("id", spec.id), ("theme", spec.theme), ("unit", spec.unit), ("direction", _BETTER[spec.better]),
        ("levels", ", ".join(spec.levels)), ("window", spec.window_text or "instant"),
        ("decimals", str(spec.decimals)), ("owner", spec.owner), ("source", spec.source),
        ("status", status_text(spec.status)),
        ("inputs that make it stale", ", ".join(f"{t} {p}".strip() for t, p in spec.feeds) or "those of its parts"),
    ]  # fmt: skip
    sections = [
        Section("Meaning", [Text(spec.meaning.get("en", "")), Text(spec.meaning.get("zh", ""))]),
        Section("Facts", [Table(("", ""), facts)]),
        Section("Thresholds", [thresholds(spec)]),
        Section("Formula", [Text(words), Code(source_text(spec.cls or spec.formula))]),
        Section("Aggregates", [parameters(spec)]),
    ]
    if spec.examples:
        sections.append(Section("Worked examples", [examples(spec)]))
    read = [("events", ", ".join(made.events)), ("reads", ", ".join(made.reads)), ("read by", ", ".join(made.read_by))]
    sections.append(Section("Lineage", [Table(("", ""), [(k, v or "none") for k, v in read])]))
    return Page(spec.id, f"{spec.name.get('en', spec.id)} {spec.name.get('zh', '')}", sections)


def thresholds(spec: Spec) -> Text | Table:
    """All editions of the bands."""
    if not spec.thresholds:
        return Text("No limits: report only. 无阈值，仅供参考。")
    head = ("edition", "from", "to", "bands", "source", "status")
    return Table(head, [_edition(spec, t) for t in spec.thresholds])


def _edition(spec: Spec, t: Threshold) -> tuple[str, ...]:
    sign = "below" if spec.better == "up" else "from"
    share = f" of {spec.of}" if spec.of else ""
    bands = "; ".join(f"{band} {sign} {number_text(edge)}{share}" for band, edge in t.bands.items())
    return (
        t.edition or "-", date_text(t.valid_from) or "always", date_text(t.valid_to) or "open", bands, t.source,
        status_text(t.status),
    )  # fmt: skip


def parameters(spec: Spec) -> Text | Table:
    """The aggregates by name."""
    if not spec.params:
        return Text("None: it reads the registers of the twin.")
    return Table(("name", "aggregate"), [(n, aggregate_text(p, spec.window)) for n, p in spec.params.items()])


def examples(spec: Spec) -> Table:
    """Worked examples, a row each."""
    names = [n for n in spec.examples[0] if n != "gives"]
    rows = [[*(number_text(e.get(n)) for n in names), number_text(e.get("gives"))] for e in spec.examples]
    return Table((*names, "gives"), rows)


def markdown(page: Page) -> str:
    """The page as Markdown."""
    out = [f"# {page.title}\n"]
    for section in page.sections:
        out.append(f"## {section.title}\n")
        out += [_markdown(part) for part in section.parts]
    return "\n".join(out)


def _markdown(part: Text | Code | Table) -> str:
    if isinstance(part, Text):
        return f"{part.text}\n"
    if isinstance(part, Code):
        return f"```python\n{part.text.rstrip()}\n```\n"

    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(" ".join(c.replace("|", "\\|").split()) for c in cells) + " |"

    return "\n".join([row(part.head), row(["---"] * len(part.head)), *map(row, part.rows)]) + "\n"


def hypertext(page: Page) -> str:
    """The page as a piece of HTML: everything in it is escaped."""
    out = [f"<h1>{html.escape(page.title)}</h1>"]
    for section in page.sections:
        out.append(f"<h2>{html.escape(section.title)}</h2>")
        out += [_hypertext(part) for part in section.parts]
    return "\n".join(out)


def _hypertext(part: Text | Code | Table) -> str:
    if isinstance(part, Text):
        return f"<p>{html.escape(part.text)}</p>"
    if isinstance(part, Code):
        return f"<pre>{html.escape(part.text.rstrip())}</pre>"
    head = "".join(f"<th>{html.escape(c)}</th>" for c in part.head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in part.rows)
    top = f"<thead><tr>{head}</tr></thead>" if any(part.head) else ""
    return f"<div class=table><table>{top}<tbody>{body}</tbody></table></div>"


def contents(specs: Sequence[Spec]) -> dict[str, list[Spec]]:
    """All indicators by theme, in the order of the registry."""
    themes: dict[str, list[Spec]] = {}
    for spec in specs:
        themes.setdefault(spec.theme, []).append(spec)
    return themes


def index(specs: Sequence[Spec]) -> str:
    """The table of contents as Markdown, a link to each page beside it."""
    out = [f"# Indicators\n\n{len(specs)} indicators over {len(contents(specs))} themes.\n"]
    for theme, members in contents(specs).items():
        rows = [
            (f"[{s.id}]({s.id}.md)", s.name.get("en", ""), s.name.get("zh", ""), s.unit, s.window_text or "instant",
             ", ".join(s.levels), s.status)
            for s in members
        ]  # fmt: skip
        head = ("id", "name", "名称", "unit", "window", "levels", "status")
        out += [f"## {theme}\n", _markdown(Table(head, rows))]
    return "\n".join(out)
