"""A tiny city with rules: events in minutes after the start, and what the rules said of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from citytwin.engine import Engine
from citytwin.indicators.api import Spec
from citytwin.indicators.registry import Registry
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Column, Strings
from citytwin.models.desk.event import Draft
from citytwin.models.desk.ruletoml import parse_rules
from citytwin.models.events import VOCABULARY
from citytwin.models.vocabulary import Kind
from citytwin.testing import START_MS, TinyCity

MINUTE = 60_000
#: A degree of latitude in metres.
DEGREE_M = 6_371_008.8 * np.pi / 180

HEAD = """
[[rule]]
id = "r"
version = 1
valid_from = 2026-01-01T00:00:00+08:00
theme = "t"
title = { zh = "规则", en = "Rule" }
text = { zh = "{place} {value}{unit}", en = "{place} {value} {unit}" }
priority = 1
confidence = 0.9
source = "a test"
status = "L"
"""
LABEL = 'label = { zh = "部分", en = "Part" }\n'


def rule(when: str, more: str = "") -> str:
    """A rule with this condition; `more`: further fields of the rule."""
    return f"{HEAD}{more}\n[rule.when]\n{LABEL if 'parts' not in when else ''}{when}\n"


def at(minutes: float) -> int:
    """ms of so many minutes after the start."""
    return START_MS + round(minutes * MINUTE)


@dataclass
class Street:
    """An engine under rules. `say` feeds events, `tick` moves the clock and gives what was said, in short."""

    text: str
    specs: Sequence[Spec] = ()

    def __post_init__(self) -> None:
        words = VOCABULARY()
        for name, kind in words.types.items():  # events of the next minutes may be fed before their tick
            words.types[name] = replace(kind, future_ms=60 * MINUTE)
        self.city = TinyCity(words, kinds=("facility", "device"))
        self.city.rules = parse_rules(self.text)  # type: ignore[attr-defined]
        self.engine = Engine(self.city, Registry(self.specs))
        assert self.engine.rules is not None
        self.drafts: list[Draft] = []
        self._number = 0

    def batch(self, type: str, rows: Iterable[Mapping[str, Any]]) -> EventBatch:
        """Rows: `min` after the start, `who`, `lat` in metres north, `id`, `scope`, and the fields of the type."""
        rows = list(rows)
        kind = self.city.vocabulary.types[type]
        fields: dict[str, Column] = {}
        for f in kind.fields:
            if not any(f.name in row for row in rows):
                continue
            values: list[Any] = [row.get(f.name) for row in rows]
            if f.kind is Kind.CODE:
                fields[f.name] = Coded.of(values)
            elif f.kind in (Kind.TEXT, Kind.SECRET):
                fields[f.name] = Strings.of(str(v) for v in values)
            elif f.kind is Kind.FLAG:
                fields[f.name] = np.array(values, np.int8)
            else:
                fields[f.name] = np.array(
                    [round(v * self._steps(row, f.name, f.per_unit)) for v, row in zip(values, rows, strict=True)]
                )
        if type == "obs":
            fields["quality"] = Coded.of(["good"] * len(rows))
        ids = []
        for row in rows:
            self._number += 1
            ids.append(row.get("id", f"e{self._number:06d}"))
        lat = [30.0 + row["lat"] / DEGREE_M if "lat" in row else np.nan for row in rows]
        return EventBatch.of(
            type, [at(row["min"]) for row in rows], ids, subject=[row.get("who", "") for row in rows],
            lon=[114.0 if "lat" in row else np.nan for row in rows], lat=lat,
            scope=[row.get("scope", self.city.grid_codes()[0] if "lat" in row else "") for row in rows],
            corrects=[row.get("corrects", "") for row in rows], revision=[row.get("revision", 0) for row in rows],
            retracted=[row.get("retracted", False) for row in rows], fields=fields,
        )  # fmt: skip

    def _steps(self, row: Mapping[str, Any], name: str, per_unit: int) -> int:
        if name == "value" and "property" in row:
            return self.city.vocabulary.properties[row["property"]].per_unit
        return per_unit

    def say(self, type: str, *rows: Mapping[str, Any]) -> None:
        """Feed events of one type, all taken."""
        answer = self.engine.feed(self.batch(type, rows), 0)
        assert answer.accepted == len(rows), answer

    def depth(self, *rows: tuple[float, str, float]) -> None:
        """Depths of standing water: minute, device, cm."""
        self.say("obs", *({"min": m, "who": who, "property": "waterlog.depth", "value": v} for m, who, v in rows))

    @property
    def due(self) -> int:
        """When the rules want the next tick."""
        assert self.engine.rules is not None
        return self.engine.rules.next_due()

    def tick(self, minutes: float) -> list[str]:
        """What was said at this tick: type and subject."""
        self.engine.tick(at(minutes), 0)
        assert self.engine.rules is not None
        self.drafts += self.engine.rules.said
        return [f"{d.type} {d.subject}" for d in self.engine.rules.said]
