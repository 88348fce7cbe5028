"""Histories: what a town may send in two days, with duplicates, late, corrected and retracted events, in any order."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.indicators import recounts
from tests.indicators.oracle_law import DAY, HOUR, MINUTE, MOVES
from tests.indicators.town import FACILITIES, OFFSET_MS, STEPS, centre

Event = dict[str, Any]
#: Beginnings: a day before the air tables changed, before a 30-day pane ends, and an ordinary day.
_PANE_30D = 690
BASES = (
    1_772_294_400_000 - 26 * HOUR,
    _PANE_30D * 30 * DAY - OFFSET_MS - 20 * HOUR,
    1_750_000_000_000 // HOUR * HOUR,
)
SPAN = 40 * HOUR

# property: devices that send it, interesting values
SENT: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "traffic.speed": (("T1", "T2", "T3", "R3", "R4"), (0, 0.9, 1, 10, 15, 15.1, 20, 33.3, 35, 60, 81.7)),
    "traffic.flow": (("T1", "T2", "T3", "R3"), (0, 1, 12, 300)),
    "water.pressure": (("P1", "P2"), (0.139999, 0.14, 0.3)),
    "gas.ch4_lel": (("G1", "G2"), (0, 0.1, 9.9, 10, 55.5)),
    "wq.do": (("W1", "W2"), (1.999, 2, 7.5, 8)),
    "wq.nh3n": (("W1", "W2"), (0.15, 0.151, 1, 2.001)),
    "wq.tp": (("W1",), (0.02, 0.3, 0.4)),
    "rain.depth": (("N1", "N2"), (0, 0.01, 0.1, 7.5)),
    "river.level": (("H1", "H2"), (24.999, 25, 27.315)),
    "waterlog.depth": (("L1", "L2", "L3"), (0, 14.9, 15, 26.6)),
    "air.pm25": (("A1", "A2", "A3"), (0, 35, 60.5, 75, 114.9, 600)),
    "air.pm10": (("A1", "A2"), (50, 120, 150.5)),
    "air.o3": (("A1", "A3"), (99.5, 160, 215, 900)),
    "air.co": (("A1", "A2"), (0.85, 2, 4.05)),
    "air.so2": (("A2",), (4, 801)),
    "air.no2": (("A3",), (40, 100)),
}
for _found in recounts.of("SENT", {}):
    for _prop, (_devices, _values) in _found.items():
        _old = SENT.get(_prop, ((), ()))
        SENT[_prop] = (_old[0] + _devices, _old[1] + _values)
PROPERTIES = tuple(SENT)
#: Deeds of the recounts' own events, and how their corrections differ.
MORE = tuple(deed for found in recounts.of("deeds", ()) for deed in found)
REVISE = tuple(revise for revise in recounts.of("revise", None) if revise)
#: The next move of a case that goes well.
USUAL = {
    "new": "reported", "reported": "accepted", "accepted": "filed", "filed": "dispatched", "dispatched": "received",
    "received": "handled", "arrived": "handled", "handled": "verified", "verified": "closed", "closed": "evaluated",
    "evaluated": "reopened", "deferred": "dispatched", "returned": "dispatched", "parked": "dispatched",
    "merged": "unmerged", "rejected": "noted", "voided": "noted", "answered": "noted", "transferred": "noted",
    "withdrawn": "noted",
}  # fmt: skip
QUALITIES = ("good", "good", "good", "suspect", "bad")
FRAME = {"time", "id", "source", "subject", "scope", "corrects", "revision", "retracted"}
PLACES = (None, None, "C", "C0", "C010", "C1101", "lonlat")
DEEDS, WORDS = 48, 10  # most deeds of a history, bytes that describe one


@dataclass
class Step:
    """A batch of raw events, or a tick."""

    events: list[Event]
    tick: int = 0


class Writer:
    """Turns drawn bytes into events; the same bytes always give the same events."""

    def __init__(self, base: int, ticks: list[int]) -> None:
        self.base, self.ticks, self.events = base, ticks, list[Event]()

    def add(self, type: str, time: int, subject: str, place: int = 0, **fields: Any) -> Event:
        """One event with an id of its own, somewhere."""
        event: Event = {
            "type": type, "time": time, "id": f"e{len(self.events)}", "source": ("s1", "s2")[len(self.events) % 3 == 0],
            "subject": subject, **{k: v for k, v in fields.items() if v is not None},
        }  # fmt: skip
        where = PLACES[place % len(PLACES)]
        if where == "lonlat":
            event["lon"], event["lat"] = centre(place // len(PLACES) % 16)
        elif where:
            event["scope"] = where
        self.events.append(event)
        return event

    def time(self, a: int, b: int) -> int:
        """A time shortly before a tick, where short windows look, or anywhere in the span."""
        if a % 3:
            back = ((b % 16) * 7_000, b * 13_000, b * MINUTE)[a % 5 % 3]
            return self.ticks[a // 3 % len(self.ticks)] - back
        offset = (a * 256 + b) * (self.ticks[-1] - self.base + 5 * MINUTE) // 65536
        return self.base + offset // MINUTE * MINUTE + (b % 3 - 1) * (b % 2)

    def deed(self, w: bytes) -> None:
        """What one draw stands for."""
        deeds = (
            self.readings, self.readings, self.series, self.case, self.service, self.service, self.again, self.again,
        )  # fmt: skip
        if MORE and w[0] >= 144:
            MORE[w[0] % len(MORE)](self, w)
            return
        deeds[w[0] % len(deeds)](w)

    def readings(self, w: bytes) -> None:
        """A few readings about one time."""
        for k in range(1 + w[9] % 4):
            more = random.Random(w + bytes([k])).randbytes(WORDS)
            self.reading(more if k % 2 else more[:1] + w[1:3] + more[3:])

    def reading(self, w: bytes) -> None:
        """One reading, now and then of an unknown device, with a place of its own or without a subject."""
        prop = PROPERTIES[w[3] // 4 % len(PROPERTIES)] if w[3] % 4 else "traffic.speed"
        devices, values = SENT[prop]
        subject = "X9" if w[4] == 255 else "" if w[4] == 254 else devices[w[4] % len(devices)]
        place = w[7] if w[8] % 4 == 0 or not subject else 0
        self.add("obs", self.time(w[1], w[2]), subject, place, property=prop, quality=QUALITIES[w[6] % 5],
                 value=values[w[5] % len(values)])  # fmt: skip
        if prop == "traffic.speed" and w[9] % 2 and subject in SENT["traffic.flow"][0]:
            self.add("obs", self.time(w[1], w[2]), subject, property="traffic.flow", value=(3, 40)[w[9] % 4 // 2],
                     quality="good")  # fmt: skip

    def series(self, w: bytes) -> None:
        """A station of air for a day, or a gauge for an hour."""
        if w[3] % 3:
            prop = [p for p in PROPERTIES if p.startswith("air.")][w[3] % 6]
            devices, values = SENT[prop]
            count, gap = 18 + w[5] % 12, HOUR
        else:
            prop, count, gap = "rain.depth", 3 + w[5] % 12, 5 * MINUTE
            devices, values = SENT[prop]
        start = self.time(w[1], w[2]) - (count - 1) * gap
        for k in range(count):
            if (k * 7 + w[6]) % 11 == 0 and w[6] % 2:
                continue
            value = round(values[(k + w[7]) % len(values)] * STEPS[prop] * (4 + k % 3) / 5) / STEPS[prop]
            self.add("obs", start + k * gap, devices[w[4] % len(devices)], property=prop, value=value, quality="good")

    def case(self, w: bytes) -> None:
        """A case walks some of its moves, now and then an illegal one."""
        code, state, time = f"K{w[3] % 6}", "new", self.time(w[1], w[2]) - w[8] % 12 * HOUR
        before = "new"
        choice = random.Random(w[4] * 256 + w[5])
        for k in range(1 + w[6] % 14):
            moves = list(MOVES[state])
            if not moves:
                break
            move = choice.choice(moves) if choice.random() < 0.25 else USUAL[state]
            if choice.random() < 0.06:
                move = choice.choice(["closed", "filed", "reported", "reopened"])
            self._move(code, move, time, w[7] + k, choice)
            following = MOVES[state].get(move, "=")
            before = state if following == "merged" else before
            state = state if following == "=" else before if following == "<" else following
            time += choice.choice((MINUTE, 9 * MINUTE, 40 * MINUTE, 3 * HOUR))

    def _move(self, code: str, move: str, time: int, place: int, choice: random.Random) -> None:
        later = time + choice.choice((-HOUR, 10 * MINUTE, HOUR, 9 * HOUR, 40 * HOUR))
        fields: dict[str, Any] = {"actor": "a"}
        if move in ("filed", "extended") or (move == "reopened" and choice.random() < 0.5):
            fields["due_at"] = later
        if move in ("deferred", "parked"):
            fields["until"] = later
        if move == "extension_asked":
            fields["due_at"] = later
        if move in ("transferred", "designated", "unassigned", "assigned", "unlike"):
            fields["other" if move == "unlike" else "unit" if "assigned" in move else "to"] = "E1"
        if move in ("called_back", "evaluated"):
            fields |= {"satisfied": choice.random() < 0.5, "resolved": None if move == "called_back" else True}
        if move.startswith("verified"):
            fields["passed"] = not move.endswith("-")
        if move == "merged":
            fields["into"] = "K0"
        if move == "acknowledged":
            fields["receipt"] = "119-7"
        if move.startswith("history"):
            fields = {"created_at": time - HOUR, "due_at": later if choice.random() < 0.7 else None}
            if not move.endswith("-"):
                fields["closed_at"] = time + choice.choice((0, 10 * MINUTE, 30 * HOUR))
        self.add(f"case.{move.rstrip('-')}", time, code, place if choice.random() < 0.5 else 0, **fields)

    def service(self, w: bytes) -> None:
        """A call, a use of the city code, a delivery, a device's status, a published indicator."""
        time, kind = self.time(w[1], w[2]), w[3] % 6
        if kind == 0:
            type = ("offered", "offered", "answered", "abandoned")[w[4] % 4]
            wait = None if type == "offered" else (0, 0.004, 7.25, 30, 61.5, 3600)[w[5] % 6]
            for k in range(1 + w[8] % 3):
                self.add("call.offered", time - k * 20_000, f"L{w[6]}.{k}", caller=f"c{w[7] % 4}")
            self.add(f"call.{type}", time, f"L{w[6]}.0", wait_s=wait, caller=f"c{w[7] % 4}")
        elif kind == 1:
            self.add("citycode.use", time, "", w[4], user=f"u{w[5] % 5}", service="bus")
        elif kind == 2:
            due = time + (w[5] % 5 - 2) * 5 * HOUR
            got = None if w[6] % 3 == 0 else due + (w[6] % 3 - 1) * 10 * MINUTE
            self.add("data.batch", time, f"B{w[4] % 4}", w[7], dataset="d", due_at=due, received_at=got)
        elif kind == 3:
            device = ("T1", "P1", "G1", "L2", "L3", "W2", FACILITIES[0][0])[w[4] % 7]
            self.add("device.status", time, device, state="online")
        elif kind == 4:
            spent = (3, 250, 900, 2500, 61_000)[w[4] % 5]
            self.add("indicator.value", time, "aqi", event_ts=time - spent, published_ts=time)
        else:
            self.add("unit.state", time, ("E1", "U7", "P2")[w[4] % 3], state=("ready", "busy")[w[5] % 2])

    def again(self, w: bytes) -> None:
        """Something about an event that was said before: a duplicate, a correction, a retraction, a wrong one."""
        if not self.events:
            return
        first = self.events[(w[1] * 256 + w[2]) % len(self.events)]
        if w[3] % 8 == 0:
            self.events.append(dict(first))
            return
        if w[3] % 8 == 7 and first["type"] == "obs":  # the same id with other content: whichever comes first stays
            values = SENT[first["property"]][1]
            self.events.append(first | {"value": values[w[6] % len(values)], "time": first["time"] - MINUTE})
            return
        if first.get("corrects") and w[3] % 8 != 1:
            return
        revised = {k: v for k, v in first.items() if k not in ("lon", "lat", "scope", "revision", "retracted")}
        revised |= {"id": f"e{len(self.events)}", "corrects": first["id"], "revision": 1 + w[4] % 3}
        if w[3] % 8 in (2, 3):
            revised["retracted"] = True
        if w[5] % 4 == 0:
            revised["time"] = first["time"] + (-HOUR, 7 * MINUTE, 3)[w[5] // 4 % 3]
        if w[5] % 4 == 1:
            revised["scope"] = ("C1", "C0010", "C1011")[w[5] // 4 % 3]
        if first["type"] == "obs":
            values = SENT[first["property"]][1]
            revised["value"], revised["quality"] = values[w[6] % len(values)], QUALITIES[w[7] % 5]
        elif "wait_s" in first:
            revised["wait_s"] = (2.5, 45.0)[w[6] % 2]
        elif "due_at" in first:
            revised["due_at"] = first["due_at"] + (-2 * HOUR, 2 * HOUR)[w[6] % 2]
        elif "user" in first:
            revised["user"] = f"u{w[6] % 5}"
        for revise in REVISE:
            revised |= revise(first, w)
        if w[8] % 32 == 31:
            revised["subject"] = "P1"
        if w[8] % 32 == 30:
            revised = {k: v for k, v in revised.items() if k in FRAME} | {"type": "unit.state", "state": "busy"}
        self.events.append(revised)


def schedule(events: list[Event], ticks: list[int], delays: bytes, seed: int, together: bool) -> list[Step]:
    """Events before the first tick that has reached their time plus a delay, shuffled, cut into batches.

    A tick a minute before that one lets the clock refuse what is too old or too far ahead; the first box meets a clock
    that does not run yet, as a replay does.
    """
    shuffle = random.Random(seed)
    boxes: list[list[Event]] = [[] for _ in ticks]
    for i, event in enumerate(events):
        delay = (0, 0, 0, 0, 10 * MINUTE, 3 * HOUR, 25 * HOUR, SPAN)[delays[i % len(delays)] % 8]
        due = [k for k, t in enumerate(ticks) if t >= event["time"] + delay]
        boxes[0 if together else (due or [len(ticks) - 1])[0]].append(event)
    steps = []
    for k, (box, tick) in enumerate(zip(boxes, ticks, strict=True)):
        if k:
            steps.append(Step([], tick - MINUTE))
        shuffle.shuffle(box)
        at = 0
        while at < len(box):
            size = shuffle.choice((1, 3, 8, 40, 400))
            steps.append(Step(box[at : at + size]))
            at += size
        steps.append(Step([], tick))
    return steps


def history(drawn: bytes) -> list[Step]:
    """A history from 20 bytes, as steps; the last one is a tick.

    Two bytes choose the beginning and the ticks, six are the mask of the deeds that happen, twelve are the seed of what
    they are: so a failing history shrinks to few deeds without changing the others.
    """
    chance = random.Random(drawn[8:])
    base = BASES[chance.randrange(len(BASES))]
    count = 1 + drawn[0] % 4
    minutes = sorted(chance.sample(range(10, SPAN // MINUTE, 2), count))
    extra = (0, 1, 37_000)[chance.randrange(3)]
    ticks = [base + m * MINUTE + extra for m in minutes]
    writer = Writer(base, ticks)
    mask = int.from_bytes(drawn[2:8], "big")
    for k in range(DEEDS):
        word = chance.randbytes(WORDS)
        if mask >> k & 1:
            writer.deed(word)
    return schedule(writer.events, ticks, chance.randbytes(8), chance.getrandbits(32), drawn[1] % 4 == 1)


#: One draw and no more: Hypothesis would fill its budget with variations on few seeds if there were several.
histories = st.binary(min_size=20, max_size=20).map(history)
