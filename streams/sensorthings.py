"""Observations of the OGC SensorThings API (v1.1) as they come over MQTT, to `obs` by a TOML map of datastreams.

    source = "things"                     # the source of all events
    qualities = { "1" = "good" }          # resultQuality to the quality of obs; what is not named is left out
    [[datastreams]]
    id = "12"                             # or name = "...", when messages carry an expanded Datastream
    subject = "DEV-0012"
    property = "air.pm2_5"
    factor = 1.0                          # value = result * factor + offset
    offset = 0.0

    [[patterns]]                          # for many at once: a regular expression over the name or id
    match = '(?P<subject>[^/]+)/(?P<property>.+)'
    properties = { "PM2.5" = "air.pm2_5" }

A message holds `result`, `phenomenonTime` (an instant or an interval, of which the end counts) or `resultTime`, and
where the server sends them `@iot.id`, `resultQuality` and `Datastream`. Without `@iot.id` the id is the place.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from citytwin.models.batch import Rejection
from citytwin.streams.bridging import Lines, PlaceOf
from citytwin.streams.cloudevents import parse
from citytwin.streams.decoded import Decoded
from citytwin.streams.mapping import MappingError
from citytwin.streams.rules import Refusal, real_of

_TOPIC = re.compile(r"Datastreams\(([^()]{1,128})\)")


class Datastream(msgspec.Struct, forbid_unknown_fields=True):
    """A `[[datastreams]]`: what its observations are of; the datastream is known by `id` or by `name`."""

    subject: str
    property: str
    id: str = ""
    name: str = ""
    factor: float = 1.0
    offset: float = 0.0


class Pattern(msgspec.Struct, forbid_unknown_fields=True):
    """A `[[patterns]]`: names or ids that tell subject and property by themselves."""

    match: str
    properties: dict[str, str] = {}
    factor: float = 1.0
    offset: float = 0.0


class Things(msgspec.Struct, forbid_unknown_fields=True):
    """The whole map."""

    source: str
    datastreams: list[Datastream] = []
    patterns: list[Pattern] = []
    qualities: dict[str, str] = {}


class Observations:
    """Reads messages by a map and hands them to the law of CloudEvents."""

    def __init__(self, things: Things, lines: Lines) -> None:
        self._things, self._lines = things, lines
        self._known = {key: d for d in things.datastreams for key in (d.id, d.name) if key}
        if not self._known and not things.patterns:
            raise MappingError("the map of observations names no [[datastreams]] and no [[patterns]]")
        try:
            self._patterns = [(re.compile(p.match), p) for p in things.patterns]
        except re.error as error:
            raise MappingError(f"a pattern of the map of observations is no regular expression: {error}") from None
        for pattern, _ in self._patterns:
            if missing := {"subject", "property"} - set(pattern.groupindex):
                raise MappingError(f"the pattern {pattern.pattern} has no group named {', '.join(sorted(missing))}")

    @classmethod
    def load(cls, path: Path, lines: Lines) -> Observations:
        """The reader of a TOML file. Raises MappingError."""
        try:
            return cls(msgspec.convert(tomllib.loads(path.read_text("utf-8")), Things), lines)
        except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            raise MappingError(f"{path}: {error}") from None

    def read(self, messages: Sequence[tuple[str, bytes]], place: PlaceOf) -> Decoded:
        """Events of (topic, payload) pairs; positions are their indices."""
        lines: list[bytes] = []
        index: list[int] = []
        refused: list[Rejection] = []
        for i, (topic, payload) in enumerate(messages):
            try:
                lines.append(self._event(topic, payload, place(i)))
                index.append(i)
            except Refusal as why:
                refused.append(self._lines.rules.rejection(why, i, payload, self._things.source))
        done = self._lines.read(lines, lambda i: place(index[i])) if lines else Decoded()
        where = np.array(index, np.int64)
        done.index = [where[rows] for rows in done.index]
        moved = [
            Rejection(index[r.index], r.reason, r.field, r.detail, r.head, r.source, r.id) for r in done.rejections
        ]
        done.rejections = sorted([*moved, *refused], key=lambda r: r.index)
        done.total += len(refused)
        return done

    def _event(self, topic: str, payload: bytes, place: str) -> bytes:
        """One observation as a CloudEvent; raises Refusal."""
        told = parse(payload)
        subject, observed, factor, offset = self._datastream(topic, told)
        if "result" not in told:
            raise Refusal("missing", "result", "an Observation has a result")
        number = real_of("result", told["result"])
        result = told["result"] if number is None or (factor, offset) == (1.0, 0.0) else number * factor + offset
        data: dict[str, object] = {"property": observed, "value": result}
        quality = told.get("resultQuality")
        if isinstance(quality, str) and quality in self._things.qualities:
            data["quality"] = self._things.qualities[quality]
        own = told.get("@iot.id")
        event = {
            "specversion": "1.0", "type": "obs", "source": self._things.source, "subject": subject,
            "id": f"things/{own}" if isinstance(own, int | str) and own != "" else place,
            "time": _time(told), "data": data,
        }  # fmt: skip
        return json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")

    def _datastream(self, topic: str, told: Mapping[str, object]) -> tuple[str, str, float, float]:
        """Subject, property, factor and offset of a message's datastream; raises Refusal."""
        names = _names(topic, told)
        for name in names:
            if (known := self._known.get(name)) is not None:
                return known.subject, known.property, known.factor, known.offset
        for name in names:
            for pattern, spec in self._patterns:
                if found := pattern.fullmatch(name):
                    observed = found["property"]
                    return found["subject"], spec.properties.get(observed, observed), spec.factor, spec.offset
        shown = ", ".join(names) or "none"
        raise Refusal("unknown_property", "Datastream", f"no datastream of the map is this one ({shown[:100]})")


def _names(topic: str, told: Mapping[str, object]) -> list[str]:
    """By what a message's datastream may be known: the id in the topic, then id and name of an expanded one."""
    found = [m[1].strip("'") for m in [_TOPIC.search(topic)] if m]
    link = told.get("Datastream@iot.navigationLink")
    if isinstance(link, str) and (inside := _TOPIC.search(link)):
        found.append(inside[1].strip("'"))
    stream = told.get("Datastream")
    if isinstance(stream, Mapping):
        found += [str(stream[k]) for k in ("@iot.id", "name") if isinstance(stream.get(k), int | str)]
    return list(dict.fromkeys(found))


def _time(told: Mapping[str, object]) -> object:
    """When it was observed: an instant, or the end of an interval; else when the result was there."""
    for name in ("phenomenonTime", "resultTime"):
        value = told.get(name)
        if isinstance(value, str) and value:
            return value.rsplit("/", 1)[-1]
    raise Refusal("missing", "phenomenonTime", "an Observation has a phenomenonTime or a resultTime")
