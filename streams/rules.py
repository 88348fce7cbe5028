"""The written law of what is taken: plain Python over one event, exact about the reason and the field of a refusal.

The columnar paths (`streams.build`) take what is clearly good and leave every other row to this law.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from citytwin.geo.crs import to_cgcs2000
from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.columns import MISSING, Coded, Column, Float64, Int64, Strings
from citytwin.models.vocabulary import EventType, Field, Kind, Property, Vocabulary
from citytwin.streams.secrets import Blanker, keyed_hash

_N = TypeVar("_N", int, float)
Box = tuple[float, float, float, float]

#: Longest texts of the envelope in UTF-8 bytes.
ENVELOPE_BYTES = {"id": 256, "source": 512, "subject": 256, "gridid": 128, "corrects": 256, "type": 128, "crs": 16}
#: Coordinate systems a source may declare.
CRS = ("cgcs2000", "wgs84", "gcj02", "bd09")
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_DECIMAL = re.compile(r"-?(?:0|[1-9]\d{0,30})(?:\.\d{1,30})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_STEPS_MAX = 2**62
#: Milliseconds UTC from here on, or from minus here down, are no time.
TIME_MAX = 2**62
_UNIT_SIGNS = str.maketrans({"µ": "u", "μ": "u", "³": "3", "²": "2"})


class Refusal(Exception):
    """Why an event is not taken: a reason of `REASONS`, the field and a sentence."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.field, self.detail = reason, field, detail


class Unreal:
    """Stands for a number that is none: NaN, Infinity, or one with too many digits."""

    def __init__(self, text: str) -> None:
        self.text = text[:40]


@dataclass(slots=True)
class Row:
    """One event that is taken, stored values by field name (int, str or None)."""

    type: str
    time: int
    source: str
    id: str
    subject: str
    lon: float
    lat: float
    scope: str
    corrects: str
    revision: int
    retracted: bool
    fields: dict[str, int | str | None] = field(default_factory=dict)


def _given(values: Mapping[str, object], name: str) -> object:
    """The value, None where it is absent, null or empty."""
    value = values.get(name)
    return None if value == "" else value


def text_of(name: str, value: object, most: int) -> str:
    """A text of at most `most` bytes, "" for None."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refusal("wrong_type", name, f"{name} must be a string")
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise Refusal("not_utf8", name, f"{name} holds half a surrogate pair") from None
    if size > most:
        raise Refusal("too_large", name, f"{name} has {size} bytes, at most {most} are taken")
    return value


def real_of(name: str, value: object) -> float | None:
    """A finite number, None for None."""
    if value is None:
        return None
    if isinstance(value, Unreal):
        raise Refusal("bad_number", name, f"{name} is not a finite number: {value.text}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal("wrong_type", name, f"{name} must be a number")
    number = float(value) + 0.0
    if not math.isfinite(number):
        raise Refusal("bad_number", name, f"{name} is not finite")
    return number


def whole_of(name: str, value: object) -> int | None:
    """A whole number within 63 bits, None for None; 3.0 counts as 3."""
    number = real_of(name, value)
    if number is None:
        return None
    if number != math.floor(number):
        raise Refusal("wrong_type", name, f"{name} must be a whole number")
    if abs(number) >= _STEPS_MAX:
        raise Refusal("out_of_range", name, f"{name} is too large")
    return value if isinstance(value, int) else int(number)


def flag_of(name: str, value: object) -> bool | None:
    """true or false, None for None."""
    if value is None or isinstance(value, bool):
        return value
    raise Refusal("wrong_type", name, f"{name} must be true or false")


def instant_of(name: str, value: object, millis: bool = False) -> int | None:
    """Milliseconds UTC of an RFC 3339 text (digits beyond the third dropped); with `millis` also of an integer."""
    if value is None:
        return None
    if millis and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= TIME_MAX:
            raise Refusal("bad_time", name, f"{name} is no time")
        return value
    if not isinstance(value, str):
        raise Refusal("wrong_type", name, f"{name} must be a string, as 2026-01-31T12:00:00+08:00")
    match = _TIME.fullmatch(value)
    if match is None:
        raise Refusal("bad_time", name, f"{name} is not RFC 3339 with an offset, as 2026-01-31T12:00:00+08:00")
    fraction, sign, hours, minutes = match.group(7) or "", match.group(8), match.group(9), match.group(10)
    try:
        local = dt.datetime(*(int(g) for g in match.groups()[:6]), tzinfo=dt.UTC)  # type: ignore[misc, arg-type]
    except ValueError as error:
        raise Refusal("bad_time", name, f"{name}: {error}") from None
    if sign and (int(hours) > 23 or int(minutes) > 59):
        raise Refusal("bad_time", name, f"{name} has no such offset")
    shift = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1) if sign else 0
    seconds = (local - _EPOCH) // dt.timedelta(seconds=1) - shift * 60
    return seconds * 1000 + int((fraction + "000")[:3])


class Rules:
    """The law of one city: its vocabulary, its secret, its box (lon0, lat0, lon1, lat1; None = everywhere)."""

    def __init__(self, vocabulary: Vocabulary, secret: bytes, box: Box | None = None) -> None:
        if not secret:
            raise ValueError("the secret for personal numbers is empty; set one")
        self.vocabulary, self.secret, self.box = vocabulary, secret, box
        secrets = {f.name for t in vocabulary.types.values() for f in t.fields if f.kind is Kind.SECRET}
        self.blanker = Blanker(secrets)

    def event(self, envelope: Mapping[str, object], data: Mapping[str, object], millis: bool = False) -> Row:
        """The row of one event, or a Refusal. `millis`: times may be integers (ms UTC)."""
        texts = {n: text_of(n, _given(envelope, n), most) for n, most in ENVELOPE_BYTES.items()}
        for name in ("id", "source", "type"):
            if not texts[name]:
                raise Refusal("missing", name, f"{name} is required")
        time = instant_of("time", _given(envelope, "time"), millis)
        if time is None:
            raise Refusal("missing", "time", "time is required")
        event = self.vocabulary.types.get(texts["type"])
        if event is None:
            raise Refusal("unknown_type", "type", f"there is no event type {texts['type']}")
        revision = self._revision(envelope, texts["corrects"])
        retracted = flag_of("retracted", _given(envelope, "retracted")) or False
        if retracted and not texts["corrects"]:
            raise Refusal("bad_correction", "corrects", "a retraction must name the event that it takes back")
        lon, lat = self.place(*_place_of(event, envelope, data), texts["crs"])
        fields = self.fields(event, data, retracted, millis)
        return Row(
            event.name, time, texts["source"], texts["id"], texts["subject"], lon, lat, texts["gridid"],
            texts["corrects"], revision, retracted, fields,
        )  # fmt: skip

    def _revision(self, envelope: Mapping[str, object], corrects: str) -> int:
        revision = whole_of("revision", _given(envelope, "revision")) or 0
        if not 0 <= revision < 2**31:
            raise Refusal("out_of_range", "revision", "revision must be from 0 to 2147483647")
        if bool(corrects) != bool(revision):
            raise Refusal("bad_correction", "revision", "corrects and a revision of 1 or more belong together")
        return revision

    def place(self, lon: object, lat: object, crs: str = "") -> tuple[float, float]:
        """The place in CGCS2000 degrees, NaN where there is none; checked against the city's box."""
        x, y = _degrees("lon", lon), _degrees("lat", lat)
        if crs and crs not in CRS:
            raise Refusal("bad_code", "crs", f"crs must be one of {', '.join(CRS)}")
        if x is None and y is None:
            return math.nan, math.nan
        if x is None or y is None:
            missing = "lon" if x is None else "lat"
            raise Refusal("missing", missing, f"a place needs {missing} too")
        swapped = abs(x) <= 90 and (self.inside(y, x) if self.box else abs(y) > 90) and abs(y) <= 180
        if abs(x) > 180 or abs(y) > 90:
            if swapped:
                raise Refusal("swapped_lonlat", "lat", "longitude and latitude seem to be exchanged")
            raise Refusal("out_of_range", "lon" if abs(x) > 180 else "lat", "lon is -180..180, lat is -90..90")
        if crs:
            xs, ys = convert_crs(np.array([x]), np.array([y]), crs)
            x, y = float(xs[0]), float(ys[0])
        if not self.inside(x, y):
            if swapped:
                raise Refusal("swapped_lonlat", "lat", "longitude and latitude seem to be exchanged")
            raise Refusal("outside_city", "lon", "the place is outside the city")
        return x, y

    def inside(self, lon: float, lat: float) -> bool:
        """Whether a place lies in the city's box."""
        return self.box is None or (self.box[0] <= lon <= self.box[2] and self.box[1] <= lat <= self.box[3])

    def fields(
        self, event: EventType, data: Mapping[str, object], retracted: bool, millis: bool
    ) -> dict[str, int | str | None]:
        """Stored values of all fields of the type. A retraction may leave out what is required."""
        known = {f.name for f in event.fields}
        for name in data:
            if name not in known and name not in ("lon", "lat"):
                raise Refusal("unknown_field", name[:64], f"{event.name} has no field {name[:64]}")
        observed = self._observed(event, data)
        stored: dict[str, int | str | None] = {}
        for f in event.fields:
            value = _given(data, f.name)
            if value is None and f.default:
                value = f.default
            if value is None and f.required and not retracted:
                raise Refusal("missing", f.name, f"{f.name} is required")
            stored[f.name] = self._stored(f, value, observed, millis)
        return stored

    def _observed(self, event: EventType, data: Mapping[str, object]) -> Property | None:
        """The property of a reading; its unit must be the one of the vocabulary, if any is told."""
        name = _given(data, "property")
        if event.name != "obs" or name is None:
            return None
        found = self.vocabulary.properties.get(text_of("property", name, 512))
        if found is None:
            raise Refusal("unknown_property", "property", f"there is no observed property {str(name)[:64]}")
        unit = text_of("unit", _given(data, "unit"), 512)
        if unit and plain_unit(unit) != found.unit:
            raise Refusal("bad_code", "unit", f"{found.name} is told in {found.unit}")
        return found

    def _stored(self, f: Field, value: object, observed: Property | None, millis: bool) -> int | str | None:
        if f.kind is Kind.NUMBER:
            law = observed if observed is not None and f.name == "value" else f
            return _steps(f.name, real_of(f.name, value), law)
        if f.kind is Kind.INTEGER:
            whole = whole_of(f.name, value)
            return None if whole is None else _ranged(f.name, whole, f)
        if f.kind is Kind.TIME:
            return instant_of(f.name, value, millis)
        if f.kind is Kind.FLAG:
            return flag_of(f.name, value)
        text = text_of(f.name, value, f.max_bytes)
        if f.kind is Kind.SECRET:
            return keyed_hash(self.secret, text) if text else ""
        if f.kind is Kind.CODE:
            if text and f.choices and text not in f.choices:
                raise Refusal("bad_code", f.name, f"{f.name} must be one of {', '.join(f.choices[:12])}")
            if f.name == "unit" and observed is not None and text:
                return observed.unit
            return text or None
        return text

    def rejection(self, refusal: Refusal, index: int, raw: bytes, source: object = "", id: object = "") -> Rejection:
        """The dead letter's content of one refused event, without any secret."""
        hide = self.blanker.text
        who = [hide(v[:256]) if isinstance(v, str) else "" for v in (source, id)]
        return Rejection(
            index, refusal.reason, hide(refusal.field), hide(refusal.detail), self.blanker.head(raw), who[0], who[1]
        )


def convert_crs(lon: Float64, lat: Float64, crs: str) -> tuple[Float64, Float64]:
    """Degrees of a declared system as CGCS2000 degrees."""
    return to_cgcs2000(lon, lat, crs)


def plain_unit(unit: str) -> str:
    """A unit in the spelling of the vocabulary.

    >>> plain_unit("µg/m³")
    'ug/m3'
    """
    return unit.replace("℃", "°C").translate(_UNIT_SIGNS)


def _degrees(name: str, value: object) -> float | None:
    if isinstance(value, str):  # CloudEvents attributes have no floating type, so some senders write a string
        if not _DECIMAL.fullmatch(value):
            raise Refusal("wrong_type", name, f"{name} must be a number")
        return real_of(name, float(value))
    return real_of(name, value)


def _place_of(event: EventType, envelope: Mapping[str, object], data: Mapping[str, object]) -> tuple[object, object]:
    """lon and lat of the envelope if it has either, else of the data unless they are fields of the type."""
    lon, lat = _given(envelope, "lon"), _given(envelope, "lat")
    if lon is None and lat is None:
        known = {f.name for f in event.fields}
        lon, lat = (None if n in known else _given(data, n) for n in ("lon", "lat"))
    return lon, lat


def _steps(name: str, value: float | None, law: Field | Property) -> int | None:
    if value is None:
        return None
    _ranged(name, value, law)
    scaled = value * law.per_unit
    if not abs(scaled) < _STEPS_MAX:
        raise Refusal("out_of_range", name, f"{name} is too large")
    return round(scaled)


def _ranged(name: str, value: _N, law: Field | Property) -> _N:
    if (law.lo is not None and value < law.lo) or (law.hi is not None and value > law.hi):
        lo, hi = ("" if b is None else f"{b:g}" for b in (law.lo, law.hi))
        raise Refusal("out_of_range", name, f"{name} must be in {lo}..{hi} {law.unit}".rstrip())
    return value


def batches_of(rules: Rules, rows: Iterable[tuple[Row, int]]) -> list[tuple[EventBatch, Int64]]:
    """Rows with their positions as one batch per type (index int64)."""
    groups: dict[str, list[tuple[Row, int]]] = {}
    for row, index in rows:
        groups.setdefault(row.type, []).append((row, index))
    return [
        (_batch(rules.vocabulary.types[name], [r for r, _ in group]), np.array([i for _, i in group], np.int64))
        for name, group in groups.items()
    ]


def _batch(event: EventType, rows: list[Row]) -> EventBatch:
    return EventBatch.of(
        event.name, [r.time for r in rows], [r.id for r in rows], [r.source for r in rows],
        [r.subject for r in rows], [r.lon for r in rows], [r.lat for r in rows], [r.scope for r in rows],
        [r.corrects for r in rows], [r.revision for r in rows], [r.retracted for r in rows],
        {f.name: _column(f, [r.fields[f.name] for r in rows]) for f in event.fields},
    )  # fmt: skip


def _column(f: Field, values: list[int | str | None]) -> Column:
    if f.kind in (Kind.TEXT, Kind.SECRET):
        return Strings.of([str(v) if v is not None else "" for v in values])
    if f.kind is Kind.CODE:
        return Coded.of([None if v is None else str(v) for v in values])
    if f.kind is Kind.FLAG:
        return np.array([-1 if v is None else int(v) for v in values], np.int8)
    return np.array([MISSING if v is None else v for v in values], np.int64)
