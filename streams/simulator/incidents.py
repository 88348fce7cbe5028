"""Incidents as cases: the whole life of each case is planned when it begins, in working time where its limit is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from citytwin.models.columns import MISSING, Bool, Coded, Float64, Int64, Strings, UInt8
from citytwin.streams.simulator import noise
from citytwin.streams.simulator.city import Town
from citytwin.streams.simulator.day import day_stamp
from citytwin.streams.simulator.writer import Outbox, Plain, Writer, joined, only, table

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
#: Working hours of a working day, local: 9 to 17.
OPENS_MS, CLOSES_MS = 9 * HOUR, 17 * HOUR
CHANNELS = ("patrol", "12345", "app", "citycode", "iot", "video", "ai")
CHANNEL_SHARE = (0.46, 0.25, 0.09, 0.06, 0.07, 0.05, 0.02)
HOTLINE = CHANNELS.index("12345")


@dataclass(frozen=True, slots=True)
class Category:
    """A sub-class of incidents: `limit` in working hours (clock hours if `urgent`), share of all, who handles it."""

    name: str
    limit: float
    share: float
    dept: int
    urgent: bool = False


#: Limits are plausible local ones; DOMAIN.md tells which published tables exist.
CATEGORIES: tuple[Category, ...] = (
    Category("sanitation.litter", 5, 0.198, 0), Category("sanitation.rubble", 32, 0.07, 0),
    Category("sanitation.dirty_road", 5, 0.08, 0), Category("street.stall", 4, 0.12, 1),
    Category("street.parking", 4, 0.13, 2), Category("advert.illegal", 16, 0.06, 1),
    Category("construction.noise", 6, 0.06, 3), Category("construction.illegal", 120, 0.02, 3),
    Category("facility.streetlight", 24, 0.06, 4), Category("facility.manhole", 8, 0.012, 5, True),
    Category("facility.road", 40, 0.05, 5), Category("green.tree", 24, 0.04, 6),
    Category("traffic.signal", 6, 0.02, 2, True), Category("traffic.accident", 3, 0.03, 2, True),
    Category("power_outage", 12, 0.015, 7, True), Category("gas_leak", 4, 0.005, 8, True),
    Category("water.burst", 12, 0.03, 9, True), Category("flood.waterlog", 2, 0.0, 9, True),
)  # fmt: skip
_INDEX = {c.name: i for i, c in enumerate(CATEGORIES)}
WATERLOG, MANHOLE, OUTAGE, ACCIDENT = (
    _INDEX[name] for name in ("flood.waterlog", "facility.manhole", "power_outage", "traffic.accident")
)
#: So many grids have more incidents than others in a week: this share of all.
SPOTS, SPOT_SHARE = 1, 0.003
#: Incidents at a component name it and happen at its place: category and kind of facility.
AT_COMPONENT = {"facility.manhole": "manhole", "facility.streetlight": "streetlight", "traffic.signal": "signal"}
#: Share of a day's incidents by local hour.
BY_HOUR = np.array(
    [3, 2, 2, 2, 3, 6, 18, 40, 62, 68, 66, 58, 44, 48, 60, 62, 58, 50, 42, 36, 28, 20, 12, 6], np.float64
)


@dataclass(frozen=True, slots=True, eq=False)
class WorkClock:
    """Working time as a monotone function of time: `x` ms UTC edges of working days, `y` working ms before each."""

    x: Float64
    y: Float64

    @classmethod
    def around(cls, day_ms: int, offset_ms: int, off: Int64, on: Int64, days: int = 180) -> WorkClock:
        """A clock of the days around a time; weekends are free, and local day numbers in `off` but not in `on`."""
        first = (day_ms + offset_ms) // DAY - 5
        day = np.arange(first, first + days)
        working = day[((day + 3) % 7 < 5) & ~np.isin(day, off) | np.isin(day, on)]
        x = (working[:, None] * DAY - offset_ms + np.array([OPENS_MS, CLOSES_MS])).ravel()
        y = (np.arange(len(working))[:, None] + np.array([0.0, 1.0])).ravel() * (CLOSES_MS - OPENS_MS)
        return cls(x.astype(np.float64), y)

    def after(self, time: Int64, limit_ms: Float64) -> Int64:
        """The time at which `limit_ms` of working time after `time` have gone by (int64 ms)."""
        worked = np.interp(time, self.x, self.y) + limit_ms
        return np.asarray(np.rint(np.interp(worked, self.y, self.x)), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Cases that begin in one block: codes of one width, begin ms, indices of category and channel, places.

    `customers` that an outage cuts off (MISSING elsewhere), `component`: code of what is broken ("" elsewhere).
    `text`: what was said of it; `of`: the case of the block that it reports once more (-1: none). None: nothing of it.
    """

    code: UInt8
    time: Int64
    category: Int64
    channel: Int64
    lon: Float64
    lat: Float64
    customers: Int64
    component: Strings
    text: Strings | None = None
    of: Int64 | None = None

    def __len__(self) -> int:
        return len(self.time)


@dataclass(slots=True)
class Life:
    """Walks all cases of a block through their moves; `now` is the time of each case's last move."""

    town: Town
    writer: Writer
    box: Outbox
    cases: Cases
    rng: np.random.Generator
    #: 1 = ordinary pace; a story hurries.
    pace: float = 1.0
    #: Share of the callers who say whether they are satisfied.
    answer: float = 0.35
    #: Cases that began before this time (ms) are walked too, so that chance falls the same, but not told of.
    cut_ms: int = 0
    now: Int64 = field(init=False)
    #: When the first report of the matter was: what repeats an untold one is not told either.
    begun: Int64 = field(init=False)
    alive: Bool = field(init=False)
    made: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = self.cases.time.copy()
        of = np.arange(len(self.cases)) if self.cases.of is None else self.cases.of
        self.begun = np.where(of < 0, self.now, self.now[of])
        self.alive = np.ones(len(self.cases), np.bool_)

    def some(self, share: float) -> Bool:
        """A share of the living cases, by chance."""
        return (self.rng.random(len(self.cases)) < share) & self.alive

    def wait(self, low_min: float, high_min: float, who: Bool | None = None) -> None:
        """Let minutes go by for these cases; at least a second, so that moves of a case never share a time."""
        span = self.rng.uniform(low_min, high_min, len(self.cases)) * MINUTE / self.pace
        step = np.maximum(span.astype(np.int64), 1_000)
        self.now = self.now + np.where(self.alive if who is None else who, step, 0)

    def move(
        self, name: str, actor: str, who: Bool | None = None, at: Int64 | None = None, reason: str = "",
        fields: Mapping[str, Plain] | None = None,
    ) -> None:  # fmt: skip
        """Put one move of these cases into the outbox; `fields` have a row for every case of the block."""
        turn = self.made[name] = self.made.get(name, 0) + 1
        rows = np.flatnonzero((self.alive if who is None else who) & (self.begun > self.cut_ms))
        if not len(rows):
            return
        code, n = self.cases.code[rows], len(rows)
        time = (self.now if at is None else at)[rows]
        given: dict[str, Plain] = {"actor": [actor] * n, "reason": [reason or name] * n}
        for key, column in (fields or {}).items():
            given[key] = column.take(rows) if isinstance(column, Strings | Coded) else np.asarray(column)[rows]
        batch = self.writer.batch(
            f"case.{name}", time, joined([code, f".{name}.{turn}".encode()], n), "desk/cases",
            subject=joined([code], n), lon=self.cases.lon[rows], lat=self.cases.lat[rows], fields=given,
        )  # fmt: skip
        self.box.add(batch, time + 100)

    def live(self) -> None:
        """The whole life of every case, from report to evaluation."""
        self.report()
        self.merge()
        due = self.file()
        self.dispatch()
        handled = self.work(due)
        self.verify(handled)

    def names(self) -> dict[str, Plain]:
        """Category, channel and broken component of each case."""
        return {
            "text": self.cases.text or Strings.empty(len(self.cases)),
            "component": self.cases.component,
            "category": Coded(self.cases.category.astype(np.int32), tuple(c.name for c in CATEGORIES)),
            "channel": Coded(self.cases.channel.astype(np.int32), CHANNELS),
        }

    def report(self) -> None:
        """Reported, then accepted or rejected."""
        self.move("reported", "collector", fields=self.names())
        self.wait(0.5, 6)
        refused = self.some(0.02)
        self.move("rejected", "clerk", refused, reason="not a matter of the city")
        self.alive &= ~refused
        self.move("accepted", "clerk")

    def file(self) -> Int64:
        """Filed with its due time: int64 ms."""
        self.wait(1, 12)
        limit = np.array([c.limit for c in CATEGORIES])[self.cases.category] * HOUR
        urgent = np.array([c.urgent for c in CATEGORIES])[self.cases.category]
        clock = WorkClock.around(int(self.now.min(initial=2**62)), self.town.offset_ms, self.town.off, self.town.on)
        due = np.where(urgent, self.now + limit.astype(np.int64), clock.after(self.now, limit))
        self.move("filed", "shift leader", fields={"due_at": due, "customers": self.cases.customers, **self.names()})
        void = self.some(0.004) & ~self.repeated()
        self.move("voided", "shift leader", void, at=self.now + 30_000, reason="filed by mistake")
        self.alive &= ~void
        return np.asarray(due, np.int64)

    def dispatch(self) -> None:
        """Dispatched; a few come back and go to another unit; received, mostly arrived."""
        dept = np.array([c.dept for c in CATEGORIES])[self.cases.category] % len(self.town.departments)
        unit: dict[str, Plain] = {"unit": Coded(dept.astype(np.int32), self.town.departments)}
        self.wait(1, 10)
        self.move("dispatched", "dispatcher", fields=unit)
        back = self.some(0.03)
        self.wait(5, 60, back)
        self.move("returned", "unit", back, reason="not ours", fields={"why": ["jurisdiction"] * len(self.cases)})
        self.wait(2, 20, back)
        self.move("dispatched", "dispatcher", back, fields=unit)
        self.wait(1, 15)
        self.move("received", "unit")
        there = self.some(0.75)
        self.wait(5, 40, there)
        self.move("arrived", "unit", there)

    def repeated(self) -> Bool:
        """Cases that others of the block report once more."""
        out = np.zeros(len(self.cases), np.bool_)
        if self.cases.of is not None:
            out[self.cases.of[self.cases.of >= 0]] = True
        return out

    def merge(self) -> None:
        """What was reported once more is merged into the first report, where that one was accepted."""
        of = self.cases.of
        if of is None:
            return
        child = self.alive & (of >= 0) & self.alive[of]
        self.wait(1, 15, child)
        parent = joined([self.cases.code[np.maximum(of, 0)]], len(self.cases))
        self.move("merged", "dispatcher", child, reason="same matter", fields={"into": parent})
        self.alive &= ~child

    def work(self, due: Int64) -> Int64:
        """Handled: nine in ten within the limit; a few deferred; late ones escalated when they fall due."""
        n = len(self.cases)
        begin = self.now.copy()
        late = self.some(0.09 / self.pace)
        share = np.where(late, self.rng.uniform(1.05, 1.8, n), 0.08 + 0.85 * self.rng.beta(1.6, 2.2, n))
        limit = np.array([c.limit for c in CATEGORIES])[self.cases.category] * HOUR
        urgent = np.array([c.urgent for c in CATEGORIES])[self.cases.category]
        clock = WorkClock.around(int(begin.min(initial=2**62)), self.town.offset_ms, self.town.off, self.town.on)
        slow = np.where(urgent, begin + (limit * share).astype(np.int64), clock.after(begin, limit * share))
        done = np.maximum(begin + ((slow - begin) / self.pace).astype(np.int64), begin + 60_000)
        held = self.some(0.02) & ~late & (self.pace == 1.0)
        until = begin + (self.rng.uniform(0.5, 3.0, n) * DAY).astype(np.int64)
        self.move("deferred", "supervisor", held, at=begin + 30_000, reason="waits for parts", fields={"until": until})
        again = until + 20 * MINUTE
        self.resume(held, again)
        done = np.where(held, np.maximum(done, again + HOUR), done)
        self.move("escalated", "supervisor", self.alive & ~held & (done > due + 1_000), at=np.maximum(due, begin + 500),
                  reason="overdue", fields={"to": ["district"] * n})  # fmt: skip
        self.now = np.where(self.alive, done, self.now)
        return self.now

    def resume(self, held: Bool, at: Int64) -> None:
        """Deferred cases are dispatched once more and received."""
        dept = np.array([c.dept for c in CATEGORIES])[self.cases.category] % len(self.town.departments)
        unit: dict[str, Plain] = {"unit": Coded(dept.astype(np.int32), self.town.departments)}
        self.move("dispatched", "dispatcher", held, at=at, fields=unit)
        self.move("received", "unit", held, at=at + 5 * MINUTE)

    def verify(self, handled: Int64) -> None:
        """Handled, verified, with some rework; closed; some evaluated by whoever reported them."""
        evidence: dict[str, Plain] = {"evidence": ["photo"] * len(self.cases)}
        self.move("handled", "unit", fields=evidence)
        self.wait(5, 60)
        failed = self.some(0.05)
        no: dict[str, Plain] = {"passed": np.zeros(len(self.cases), np.int8)}
        yes: dict[str, Plain] = {"passed": np.ones(len(self.cases), np.int8)}
        self.move("verified", "verifier", failed, reason="not solved", fields=no)
        if failed.any():
            self.rework(failed, evidence)
        self.move("verified", "verifier", fields=yes)
        self.wait(1, 20)
        self.move("closed", "shift leader")
        told = self.some(self.answer) & (self.cases.channel > 0)
        self.wait(30, 900, told)
        happy = (self.rng.random(len(self.cases)) < 0.93).astype(np.int8)
        self.move("evaluated", "caller", told, fields={"satisfied": happy, "resolved": happy})

    def rework(self, failed: Bool, evidence: Mapping[str, Plain]) -> None:
        """The second round of cases that failed the check."""
        dept = np.array([c.dept for c in CATEGORIES])[self.cases.category] % len(self.town.departments)
        unit: dict[str, Plain] = {"unit": Coded(dept.astype(np.int32), self.town.departments)}
        self.wait(5, 30, failed)
        self.move("dispatched", "dispatcher", failed, fields=unit)
        self.wait(5, 30, failed)
        self.move("received", "unit", failed)
        self.wait(20, 180, failed)
        self.move("handled", "unit", failed, fields=evidence)
        self.wait(5, 40, failed)


def cases_of_day(town: Town, seed: int, day: int, per_day: float, wet: Float64) -> Cases:
    """Cases that begin on local day number `day`; `wet` float64[24]: how much more each hour brings because of rain."""
    rng = noise.generator(seed, "cases", day)
    weekend = 0.75 if (day + 3) % 7 >= 5 else 1.0
    n = rng.poisson(per_day * weekend * BY_HOUR / BY_HOUR.sum() * (1 + wet))
    hour = np.repeat(np.arange(24), n)
    time = np.sort(day * DAY - town.offset_ms + hour * HOUR + rng.integers(0, HOUR, len(hour)))
    share = np.array([c.share for c in CATEGORIES])
    category = rng.choice(len(CATEGORIES), len(time), p=share / share.sum())
    channel = rng.choice(len(CHANNELS), len(time), p=CHANNEL_SHARE)
    lon, lat = town.near(rng, _grids(town, seed, day, rng, len(time)))
    component = _components(town, category, lon, lat, rng)
    cut_off = np.clip(np.exp(rng.normal(3.7, 1.0, len(time))), 4, 1500).astype(np.int64)
    customers = np.where(category == OUTAGE, cut_off, MISSING)
    stamp = day_stamp(day).encode()
    code = table([b"C", stamp, b"-", noise.digits(np.arange(1, len(time) + 1), 5)], len(time))
    return Cases(code, time, category, channel, lon, lat, customers, component)


def _grids(town: Town, seed: int, day: int, rng: np.random.Generator, n: int) -> Int64:
    """Where incidents happen: mostly anywhere, the rest where people live, a few at the trouble spots of the week."""
    grid, anywhere = town.draw(rng, n), rng.integers(0, len(town.grids), n)
    grid = np.where(rng.random(n) < 0.8, anywhere, grid)
    spots = town.draw(noise.generator(seed, "trouble spots", (day + 3) // 7), SPOTS)
    return np.where(rng.random(n) < SPOT_SHARE, spots[rng.integers(0, SPOTS, n)], grid)


def _components(town: Town, category: Int64, lon: Float64, lat: Float64, rng: np.random.Generator) -> Strings:
    """A component by chance for each incident at one; the incident moves to its place (`lon`, `lat` change)."""
    at = np.full(len(category), -1, np.int64)
    for name, kind in AT_COMPONENT.items():
        rows, mine = town.sites.of(kind), np.flatnonzero(category == _INDEX[name])
        if len(rows) and len(mine):
            at[mine] = rows[rng.integers(0, len(rows), len(mine))]
    known, places = np.flatnonzero(at >= 0), town.sites.places
    lon[known], lat[known] = places.lon[at[known]], places.lat[at[known]]
    return only(places.code.take(np.maximum(at, 0)), at >= 0) if len(places) else Strings.empty(len(at))
