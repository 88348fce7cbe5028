"""Parts that look at the course of readings: their rate of change, and models that find one strange. In columns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citytwin.indicators.rules.atoms import Finding, Place
from citytwin.indicators.rules.matchers import Told
from citytwin.indicators.rules.part import Board, Part
from citytwin.models.anomaly import Cusum, Ewma, robust_z
from citytwin.models.columns import Bool, Float64, Int64, Strings, UInt64
from citytwin.models.desk.rules import When

#: Most readings that one part holds; beyond it the oldest are forgotten.
ROWS_MAX = 200_000


class Readings:
    """Readings by subject, then time, then a hash of source and id: whatever the order in which they came."""

    def __init__(self) -> None:
        self.slot: Int64 = np.zeros(0, np.int64)
        self.time: Int64 = np.zeros(0, np.int64)
        self.tie: UInt64 = np.zeros(0, np.uint64)
        self.value: Float64 = np.zeros(0)
        self.type: list[str] = []
        self.kind: Int64 = np.zeros(0, np.int64)
        self.id = Strings.empty(0)
        self._new: list[Readings] = []

    def __len__(self) -> int:
        return len(self.slot)

    @classmethod
    def of(cls, told: Told, rows: Int64, slot: Int64, value: Float64) -> Readings:
        """Rows of a batch."""
        made = cls()
        made.slot, made.time, made.tie, made.value = slot, told.time[rows], told.keys(rows).a, value
        made.type, made.kind = [told.kind.name], np.zeros(len(rows), np.int64)
        made.id = told.ledger.id.strings.take(told.index[rows])
        return made

    def add(self, more: Readings) -> None:
        """Take more in at the next `settle`."""
        if len(more):
            self._new.append(more)

    def remove(self, ties: UInt64) -> None:
        """Take readings away by the hash of their source and id."""
        self.settle()
        self._pick(np.flatnonzero(~np.isin(self.tie, ties)))

    def settle(self) -> bool:
        """Put what is new where it belongs; whether there was anything."""
        if not self._new:
            return False
        parts = [self, *self._new]
        names = {name: i for i, name in enumerate(dict.fromkeys(n for p in parts for n in p.type))}
        self.kind = np.concatenate([np.array([names[n] for n in p.type], np.int64)[p.kind] for p in parts if len(p)])
        self.type = list(names)
        self.slot, self.time, self.tie, self.value = (
            np.concatenate([getattr(p, n) for p in parts]) for n in ("slot", "time", "tie", "value")
        )
        self.id, self._new = Strings.concat([p.id for p in parts]), []
        self._pick(np.lexsort((self.tie, self.time, self.slot)))
        return True

    def _pick(self, order: Int64) -> None:
        self.slot, self.time, self.tie = self.slot[order], self.time[order], self.tie[order]
        self.value, self.kind, self.id = self.value[order], self.kind[order], self.id.take(order)

    def forget(self, before: int) -> int:
        """Drop what is older, then the oldest beyond ROWS_MAX; how many of the latter there were."""
        keep = self.time >= before
        over = int(np.count_nonzero(keep)) - ROWS_MAX
        if over > 0:
            edge = np.partition(self.time[keep], over)[over]
            keep &= self.time >= edge
        if not keep.all():
            self._pick(np.flatnonzero(keep))
        return max(0, over)

    def refs(self, rows: Int64) -> tuple[tuple[int, str, str], ...]:
        """How evidence names these rows."""
        return tuple((int(self.time[i]), self.type[int(self.kind[i])], self.id[int(i)]) for i in rows.tolist())

    def state(self) -> dict[str, Any]:
        """Plain values."""
        self.settle()
        numbers = {n: getattr(self, n).tolist() for n in ("slot", "time", "tie", "value", "kind")}
        return {**numbers, "type": list(self.type), "id": self.id.tolist()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self.__init__()  # type: ignore[misc]
        for name in ("slot", "time", "tie", "value", "kind"):
            setattr(self, name, np.array(state[name], getattr(self, name).dtype))
        self.type, self.id = list(state["type"]), Strings.of(state["id"])


def _ends(slot: Int64) -> tuple[Int64, Int64]:
    """First and last row of each run of equal slots."""
    change = np.flatnonzero(slot[1:] != slot[:-1])
    first = np.append(0, change + 1) if len(slot) else np.zeros(0, np.int64)
    return first.astype(np.int64), np.append(change, len(slot) - 1)[: len(first)].astype(np.int64)


class _Course(Part):
    """What both kinds do with readings."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.readings = Readings()
        self._found: dict[str, Finding] = {}
        self._stale: dict[str, int] = {}
        self._future = True

    def note(self, number: int, told: Told, rows: Int64, sign: int) -> None:
        """Readings with a value and a subject."""
        del number
        value = self.matchers[0].values(told, rows)
        rows, value = rows[~np.isnan(value)], value[~np.isnan(value)]
        if sign < 0:
            self.readings.remove(told.keys(rows).a)
            self._future = True
            return
        kept, slot = self.setting.subjects.numbers(told, rows)
        self.readings.add(Readings.of(told, kept, slot, value[np.searchsorted(rows, kept)]))

    def look(self, now: int, board: Board) -> dict[str, Finding]:
        """Worked out again only where readings came, or were of the future before."""
        del board
        if self.readings.settle() or self._future:
            self.dropped += self.readings.forget(self._before(now))
            self._future = bool((self.readings.time > now).any())
            self._found, self._stale = self.work_out(now)
        for last in self._stale.values():
            self.wake(last + self.when.fresh_ms, now)
        return {c: f for c, f in self._found.items() if now - self._stale[c] < self.when.fresh_ms}

    def _before(self, now: int) -> int:
        """What is older is not needed any more."""
        return now - self.setting.late_ms - self.when.within_ms - self.when.fresh_ms

    @abstractmethod
    def work_out(self, now: int) -> tuple[dict[str, Finding], dict[str, int]]:
        """Where it holds, and the time of the newest reading there."""

    def gather(self, found: list[tuple[Place, Finding, int]]) -> tuple[dict[str, Finding], dict[str, int]]:
        """Findings by place; subjects of one scope together."""
        by_code: dict[str, list[Finding]] = {}
        last: dict[str, int] = {}
        for place, finding, time in found:
            by_code.setdefault(place.code, []).append(finding)
            last[place.code] = max(time, last.get(place.code, time))
        joined = {c: self.joined(some[0].place, some) if len(some) > 1 else some[0] for c, some in by_code.items()}
        return joined, last

    def place_of(self, slot: int) -> Place:
        """What an alarm about a subject is about."""
        place = self.setting.subjects.place(slot)
        if self.when.by == "subject":
            return place
        ground = self.setting.ground
        row = ground.above(place.scope, self.when.by)
        return Place("" if row < 0 else ground.scopes.code[row], "", row, -1, place.lon, place.lat)

    def own_state(self) -> dict[str, Any]:
        """Plain values."""
        return {"readings": self.readings.state()}

    def own_load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self.readings.load(state["readings"])
        self._future = True


class Rate(_Course):
    """Change a minute from the first reading of a window to the newest; the window ends with the newest reading."""

    def work_out(self, now: int) -> tuple[dict[str, Finding], dict[str, int]]:
        """Subjects whose rate is beyond the edge."""
        held = self.readings
        rows = np.flatnonzero(held.time <= now)
        first, last = _ends(held.slot[rows])
        if not len(first):
            return {}, {}
        time, value = held.time[rows], held.value[rows]
        newest = np.repeat(time[last], last - first + 1)
        inside = np.where(time > newest - self.when.within_ms, np.arange(len(rows)), len(rows))
        begin = np.minimum.reduceat(inside, first)
        span = time[last] - time[begin]
        with np.errstate(all="ignore"):
            rate = np.where(span > 0, (value[last] - value[begin]) / (span / 60_000), np.nan)
        up = rate > self.when.above if self.when.above is not None else rate < self.when.below
        out = []
        for i in np.flatnonzero(up).tolist():
            place, at = self.place_of(int(held.slot[rows[last[i]]])), int(time[last[i]])
            count = int(last[i] - begin[i] + 1)
            evidence = held.refs(rows[[begin[i], last[i]]])
            out.append((place, Finding(place, True, float(rate[i]), count, at, evidence), at))
        return self.gather(out)


class _RobustZ:
    """The robust z of each value against the values before it; strange beyond `width` on either side."""

    def __init__(self, n: int, when: When) -> None:
        self.width, self.floor = when.width, when.floor
        self.past: Float64 = np.full((n, when.history), np.nan)

    def update(self, values: Float64) -> Bool:
        """Take one value a series (float64[n], NaN = none)."""
        least = self.past.shape[1] // 2
        with np.errstate(all="ignore"):
            z = robust_z(values, self.past, self.floor, least)
        known = np.isfinite(values)
        self.past[known] = np.roll(self.past[known], -1, axis=1)
        self.past[known, -1] = values[known]
        return np.abs(z) > self.width

    def state(self) -> dict[str, NDArray[np.float64]]:
        """Arrays by series."""
        return {"past": self.past.copy()}

    def load(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Restore."""
        self.past = state["past"].copy()


def _model(when: When, n: int) -> Ewma | Cusum | _RobustZ:
    if when.model == "ewma":
        return Ewma(n, when.target, when.sigma, when.weight, when.width)
    if when.model == "cusum":
        return Cusum(n, when.target, when.slack, when.limit)
    return _RobustZ(n, when)


class Anomaly(_Course):
    """A model of each subject's own history. What is older than the lateness is folded in for good, the rest anew."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        #: State of the model after all settled readings, by array: float64[subjects, ...].
        self._settled = _model(self.when, 0).state()
        #: Subjects whose newest settled reading was strange: its time, type, id and value.
        self._strange: dict[int, tuple[int, str, str, float]] = {}

    def _before(self, now: int) -> int:
        self._settle(now - self.setting.late_ms)
        return now - self.setting.late_ms

    def _rows(self, slots: Int64) -> dict[str, NDArray[np.float64]]:
        """Settled state of some subjects."""
        n, fresh = len(self.setting.subjects), _model(self.when, 1).state()
        for name, held in self._settled.items():
            more = n - len(held)
            if more > 0:
                self._settled[name] = np.concatenate([held, np.repeat(fresh[name], more, axis=0)])
        return {name: held[slots] for name, held in self._settled.items()}

    def _fold(self, rows: Int64) -> tuple[Int64, Ewma | Cusum | _RobustZ, Bool]:
        """Fold rows of the readings over the settled state: subjects, model, whether the newest value is strange."""
        held = self.readings
        slots, series = np.unique(held.slot[rows], return_inverse=True)
        model, strange = _model(self.when, len(slots)), np.zeros(len(slots), np.bool_)
        model.load(self._rows(slots))
        first, last = _ends(held.slot[rows])
        turn = np.arange(len(rows)) - np.repeat(first, last - first + 1)
        for k in range(int(turn.max(initial=-1)) + 1):
            values = np.full(len(slots), np.nan)
            now = turn == k
            values[series[now]] = held.value[rows[now]]
            told = model.update(values)
            strange = np.where(np.isfinite(values), told, strange)
        return slots, model, strange

    def _settle(self, before: int) -> None:
        rows = np.flatnonzero(self.readings.time < before)
        if not len(rows):
            return
        slots, model, strange = self._fold(rows)
        for name, held in model.state().items():
            self._settled[name][slots] = held
        _, last = _ends(self.readings.slot[rows])
        for slot, is_so, at in zip(slots.tolist(), strange.tolist(), rows[last], strict=True):
            self._strange.pop(slot, None)
            if is_so:
                self._strange[slot] = (*self.readings.refs(np.array([at]))[0], float(self.readings.value[at]))

    def work_out(self, now: int) -> tuple[dict[str, Finding], dict[str, int]]:
        """Subjects whose newest reading is strange."""
        rows = np.flatnonzero(self.readings.time <= now)
        slots, _, strange = self._fold(rows)
        _, last = _ends(self.readings.slot[rows])
        newest = dict(self._strange)
        for slot, is_so, at in zip(slots.tolist(), strange.tolist(), rows[last], strict=True):
            newest.pop(slot, None)
            if is_so:
                newest[slot] = (*self.readings.refs(np.array([at]))[0], float(self.readings.value[at]))
        out = []
        for slot, (time, kind, id, value) in sorted(newest.items()):
            place = self.place_of(slot)
            out.append((place, Finding(place, True, value, 1, time, ((time, kind, id),)), time))
        return self.gather(out)

    def own_state(self) -> dict[str, Any]:
        """Plain values."""
        strange = {str(slot): list(told) for slot, told in sorted(self._strange.items())}
        settled = {n: _lists(a) for n, a in self._settled.items()}
        return super().own_state() | {"settled": settled, "strange": strange}

    def own_load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        super().own_load(state)
        blank = _model(self.when, 0).state()
        self._settled = {n: _arrays(told, blank[n]) for n, told in state["settled"].items()}
        self._strange = {int(slot): (t[0], t[1], t[2], t[3]) for slot, t in state["strange"].items()}


def _lists(array: NDArray[np.float64]) -> list[Any]:
    return [None if v != v else v for v in array.ravel().tolist()]  # noqa: PLR0124  NaN is no JSON


def _arrays(told: list[Any], blank: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = np.array([np.nan if v is None else v for v in told], np.float64)
    return flat.reshape(-1, *blank.shape[1:])
