"""One suite of behaviours for a city in one process and for a cluster: the same events, the same answers and numbers.

Both run side by side. What differs by design is written here as such: a bridge does not know duplicates nor what only
a shard can refuse, and a gateway knows neither the events behind a number, nor dead letters.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from citytwin.client import CityError
from tests.cluster.driver import CITY, EAST, GRIDS, WEST, Driver, Event, OneProcess, OnKafka, event, send, value
from tests.cluster.driver import wait_for as wait_for_one
from tests.cluster.wide import Watcher, differences, history
from tests.servers.kafka import Kafka
from tests.servers.process import until

HOUR = 3_600_000
DAY = 24 * HOUR
_OFFSET = 8 * HOUR


def now() -> int:
    """The time now (ms UTC)."""
    return time.time_ns() // 1_000_000


def today(ms: int) -> int:
    """The given time, or the beginning of the city's day if that is later."""
    return max(ms, (now() + _OFFSET) // DAY * DAY - _OFFSET + 1)


class Both:
    """The two cities; what is sent goes to both of them."""

    def __init__(self, one: OneProcess, many: OnKafka) -> None:
        self.one, self.many = one, many
        self.cities: tuple[Driver, Driver] = (one, many)
        self.letters: dict[str, int] = {}

    def send(self, *events: Event) -> None:
        """Send events that both take."""
        for driver in self.cities:
            status, answer = send(driver, events)
            assert (status, answer["accepted"] + answer["duplicates"]) == (200, len(events)), (driver.name, answer)

    def expect(self, indicator: str, wanted: float | None, scope: str = CITY) -> None:
        """Wait until both have a value."""
        for driver in self.cities:
            wait_for_one(driver, indicator, wanted, scope)

    def quality(self, indicator: str, wanted: str, fresh: int | None = None, expected: int | None = None) -> None:
        """Wait until both say a quality at the city."""
        for driver in self.cities:
            until(lambda d=driver: value(d, indicator)[1:] == (wanted, fresh, expected), 30,  # type: ignore[misc]
                  f"{driver.name}: {indicator} is {wanted} {fresh}/{expected}")  # fmt: skip

    def refuse(self, reason: str, seconds: float = 30) -> None:
        """Wait until both have one more dead letter of a reason that only a shard can find out."""
        self.letters[reason] = self.letters.get(reason, 0) + 1
        for driver in self.cities:
            until(lambda d=driver: letters(d).get(reason) == self.letters[reason], seconds,  # type: ignore[misc]
                  f"{driver.name}: {self.letters[reason]} of {reason}")  # fmt: skip


def letters(driver: Driver) -> dict[str, int]:
    """Events that were refused after they were taken, by reason."""
    found: dict[str, int] = driver.city.get("deadletters/summary")["by_reason"]
    return found


@pytest.fixture(scope="module")
def both(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    home = tmp_path_factory.mktemp("both")
    one, many = OneProcess(home / "one"), OnKafka(home / "many", kafka.plain, f"t{secrets.token_hex(4)}", workers=2)
    try:
        many.create()
        one.run.launch()
        many.start()
        one.start()
        yield Both(one, many)
    finally:
        one.close()
        many.close()


def test_quality_says_which_inputs_are_missing(both: Both) -> None:
    at = now() - 1000
    both.send(*(event("obs", f"q-{d}", at, d, property="waterlog.depth", value=v)
                for d, v in (("D-e1", 20), ("D-w1", 3), ("D-w2", 15))))  # fmt: skip
    both.expect("waterlog_points", 2)
    both.expect("waterlog_points", 1, WEST)
    both.quality("waterlog_points", "partial", 3, 4)
    both.send(event("obs", "q-last", at, "D-e3", property="waterlog.depth", value=27))
    both.expect("waterlog_points", 2, EAST)
    both.quality("waterlog_points", "good")


def test_duplicates_corrections_retractions_and_conflicts(both: Both) -> None:
    def use(id: str, user: str, grid: str, **more: Any) -> Event:
        return event("citycode.use", id, today(now() - HOUR), user, gridid=GRIDS[grid], user=user, **more)

    first = [use("c1", "ann", "e1"), use("c2", "bob", "w1"), use("c3", "cy", "w2"), use("c4", "ann", "w1")]
    answers = {d.name: send(d, first)[1]["accepted"] for d in both.cities}
    assert answers == {"one process": 4, "cluster": 4}
    both.expect("citycode_active_users", 3)
    both.expect("citycode_active_users", 3, WEST)
    # one process knows a duplicate when it answers, a bridge leaves it to the shard
    again = {d.name: send(d, first)[1] for d in both.cities}
    assert [(a["accepted"], a["duplicates"]) for a in again.values()] == [(0, 4), (4, 0)]
    both.send(use("c2-1", "bob", "e3", corrects="c2", revision=1))
    both.expect("citycode_active_users", 2, EAST)
    both.expect("citycode_active_users", 2, WEST)
    both.send(use("c3-1", "cy", "w2", corrects="c3", revision=1, retracted=True))
    both.expect("citycode_active_users", 2)
    both.expect("citycode_active_users", 1, WEST)
    conflict = use("c1", "ann", "w1")
    answered = [[r["reason"] for r in send(d, [conflict])[1]["rejected"]] for d in both.cities]
    assert answered == [["conflict"], []]
    both.refuse("conflict")
    both.expect("citycode_active_users", 2)


def test_a_late_event_counts_in_the_day_that_it_is_of(both: Both) -> None:
    at = today(0) - 2 * HOUR
    both.send(*(event("citycode.use", f"y{n}", at, f"y{n}", gridid=GRIDS["e2"], user=f"y{n}") for n in range(3)))

    def closed(driver: Driver) -> float | None:
        return next(r.closed for r in driver.city.values("citycode_active_users", scope=EAST) if r.code == EAST)

    for driver in both.cities:
        until(lambda d=driver: closed(d) == 3, 30, f"{driver.name}: yesterday's window has three")  # type: ignore[misc]
    both.expect("citycode_active_users", 2)
    for driver in both.cities:
        send(driver, [event("citycode.use", "y9", now() - 3 * DAY, "y9", gridid=GRIDS["e2"], user="y9")])
    both.refuse("horizon")


def test_a_source_that_falls_silent_is_stale(both: Both) -> None:
    at = now()
    call = {"source": "hot/line", "caller": "13800000000"}
    both.send(event("call.offered", "h1", at, **call), event("call.answered", "h2", at, wait_s=4.5, **call),
              event("call.offered", "h3", at, **call), event("call.abandoned", "h4", at, wait_s=9, **call))  # fmt: skip
    both.expect("hotline_answer_rate", 50)
    both.quality("hotline_answer_rate", "stale")
    for driver in both.cities:
        found = {s["source"]: s for s in driver.city.get("ops")["sources"]}
        assert (found["hot/line"]["state"], found["hot/line"]["watermark"]) == ("stale", at), driver.name


def test_a_case_that_makes_an_illegal_move(both: Both) -> None:
    at = now() - 10_000
    due = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((at + DAY) / 1000))
    case = {"source": "bureau/one", "gridid": GRIDS["w1"]}
    for code in ("K1", "K2"):
        both.send(event("case.reported", f"{code}a", at, code, **case),
                  event("case.accepted", f"{code}b", at + 1, code, **case),
                  event("case.filed", f"{code}c", at + 2, code, due_at=due, **case))  # fmt: skip
    both.expect("case_backlog", 2, WEST)
    # a move may overtake the one before it: it is a dead letter when it has been illegal for a minute
    both.send(event("case.closed", "K1x", at + 3, "K1", **case))
    both.expect("case_backlog", 2)
    both.send(event("case.merged", "K2d", at + 4, "K2", into="K1", **case))
    both.expect("case_backlog", 1)
    shown = [[(c["code"], c["state"]) for c in d.city.cases(open=True)] for d in both.cities]
    assert shown == [[("K1", "filed")]] * 2
    until(lambda: [[c["code"] for c in d.city.cases(open=False)] for d in both.cities] == [["K2"]] * 2, 20, "the other")


def test_a_device_is_registered_changed_and_removed(both: Both) -> None:
    at = now() - 60_000
    attributes: dict[str, Any] = {"device_kind": "bin", "period_s": 3600, "in_service": True, "properties": "bin.fill"}
    both.send(event("device.registered", "r1", at, "R-1", gridid=GRIDS["w2"], name="Bin", **attributes))
    for driver in both.cities:
        until(lambda d=driver: in_service(d) == 1, 30, f"{driver.name} knows the device")  # type: ignore[misc]
    both.send(event("obs", "r2", at + 10, "R-1", property="bin.fill", value=95))
    both.expect("bin_overflow_ratio", 100, WEST)
    both.quality("bin_overflow_ratio", "good")
    both.send(event("device.changed", "r3", at + 20, "R-1", in_service=False))
    for driver in both.cities:
        until(lambda d=driver: in_service(d) == 0, 30, f"{driver.name} knows the change")  # type: ignore[misc]
    both.send(event("device.removed", "r4", at + 30, "R-1"))
    removed = [send(d, [event("device.removed", "r5", at + 40, "R-unknown")])[1]["rejected"] for d in both.cities]
    assert [[r["reason"] for r in rejected] for rejected in removed] == [["unknown_subject"], []]
    both.refuse("unknown_subject")
    found = [item(d) for d in both.cities]
    assert found[0] == found[1]


def in_service(driver: Driver) -> int | None:
    """Of the device that the test registers; None before it is there."""
    found = item(driver)
    return None if found is None else int(found["attributes"]["in_service"])


def item(driver: Driver) -> dict[str, Any] | None:
    """What is read of that device."""
    try:
        return driver.city.entity("device", "R-1")
    except CityError:
        return None


class Socket:
    """One WebSocket with one subscription."""

    def __init__(self, driver: Driver, ask: dict[str, Any]) -> None:
        address = f"ws://{driver.city.url.removeprefix('http://')}/ws"
        protocol = [Subprotocol("citytwin.v1+json")]
        self.socket: ClientConnection = connect(
            address, subprotocols=protocol, proxy=None, compression=None, legacy=True
        )
        self.socket.send(json.dumps({"type": "hello", "id": 0}))
        self.socket.send(json.dumps({"type": "sub", "id": 1, **ask}))

    def until(self, last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Messages up to one of a sort."""
        found: list[dict[str, Any]] = []
        end = time.monotonic() + 30
        while not (found and last(found[-1])):
            assert time.monotonic() < end, found[-3:]
            for message in json.loads(self.socket.recv(timeout=30)):
                found.append(message)
                if last(message):
                    return found
        return found


def test_a_value_is_pushed_and_a_client_resumes(both: Both) -> None:
    ask = {"channel": "ind", "filter": {"scope": WEST, "ids": ["waterlog_points"]}}
    sockets = {d.name: Socket(d, ask) for d in both.cities}
    lives = {name: s.until(lambda m: m["type"] == "live")[-1] for name, s in sockets.items()}
    both.send(event("obs", "p1", now(), "D-w1", property="waterlog.depth", value=40))
    for driver in both.cities:
        told = sockets[driver.name].until(lambda m: m["type"] == "delta")[-1]
        assert told["values"]["waterlog_points"]["v"] == [2.0], driver.name
        sockets[driver.name].socket.close()
        lives[driver.name] |= {"seq": told["seq"]}
    both.send(event("obs", "p2", now(), "D-w1", property="waterlog.depth", value=1))
    both.expect("waterlog_points", 1, WEST)
    for driver in both.cities:
        place = {name: lives[driver.name][name] for name in ("epoch", "seq")}
        again = Socket(driver, {**ask, "resume": place})
        # at the moment of resuming what changed meanwhile comes first or right after, never a whole snapshot
        found = again.until(lambda m: m["type"] == "delta")
        assert "snap" not in [m["type"] for m in found], driver.name
        assert [m.get("resumed") for m in found if m["type"] == "live"] == [True], driver.name
        assert found[-1]["values"]["waterlog_points"]["v"] == [1.0], driver.name
        again.socket.close()


BAD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"[{", "application/cloudevents-batch+json"),
    "no events": (b"7", "application/cloudevents-batch+json"),
    "no such content": (b"a,b", "text/csv"),
    "no UTF-8": (b'[{"id":"\xff"}]', "application/cloudevents-batch+json"),
}


def bad_events(at: int) -> Iterator[Event]:
    """Events that the door itself refuses, each for a reason of its own."""
    good = event("obs", "b", at, "D-e1", property="waterlog.depth", value=1)
    yield good | {"specversion": "2.0"}
    yield good | {"type": "obs.tomorrow"}
    yield good | {"corects": "x"}
    yield good | {"time": "yesterday"}
    yield good | {"time": "2026-01-01T00:00:00"}
    yield good | {"id": ""}
    yield good | {"id": "x" * 300}
    yield good | {"data": {"property": "water.depth", "value": 1}}
    yield good | {"data": {"property": "waterlog.depth", "value": "1"}}
    yield good | {"data": {"property": "waterlog.depth", "value": -5}}
    yield good | {"data": {"property": "waterlog.depth", "value": 1, "colour": "red"}}
    yield good | {"data": {"property": "waterlog.depth"}}
    yield good | {"corrects": "q-last", "revision": 0}
    yield event("device.status", "b", at, "D-e1", state="sleepy")


def test_bad_events_are_answered_alike(both: Both) -> None:
    for what, (body, kind) in BAD.items():
        found = [send(d, body, kind) for d in both.cities]
        told = [(status, {**answer, "position": 0}) for status, answer in found]
        assert told[0] == told[1], what
        assert told[0][0] >= 400 or told[0][1]["rejected"], what
    events = list(bad_events(now()))
    good = event("obs", "b-ok", now(), "D-e1", property="waterlog.depth", value=20)
    answers = [send(d, [*events, good])
               for d in both.cities]  # fmt: skip
    assert [(s, a["accepted"], a["rejected"]) for s, a in answers] == [(200, 1, answers[0][1]["rejected"])] * 2
    assert len(answers[0][1]["rejected"]) == len(events)
    alone = [send(d, json.dumps(events[0]).encode(), "application/cloudevents+json") for d in both.cities]
    assert alone[0] == alone[1]
    assert alone[0][0] == 400
    ahead = [send(d, [event("obs", "b-ahead", now() + 366 * DAY, "D-e1", property="waterlog.depth", value=9)])
             for d in both.cities]  # fmt: skip
    assert [(s, [(r["index"], r["reason"], r["field"]) for r in a["rejected"]]) for s, a in ahead] == [
        (200, [(0, "future", "time")])
    ] * 2


def test_what_only_a_shard_can_refuse_is_a_dead_letter_at_both(both: Both) -> None:
    at = now()
    bad: list[tuple[str, Event]] = [
        ("unknown_subject", event("device.status", "s1", at, "nobody", state="online")),
        ("unknown_scope", event("obs", "s2", at, "D-e1", gridid="999", property="waterlog.depth", value=1)),
    ]
    for reason, one in bad:
        rejected = send(both.one, [one])[1]["rejected"]
        assert [r["reason"] for r in rejected] == [reason]
        assert send(both.many, [one])[1]["rejected"] == []
        both.refuse(reason)


def test_ops_says_what_is_true(both: Both) -> None:
    wide = list(history(now()))
    for start in range(0, len(wide), 500):
        both.send(*wide[start : start + 500])
    states = [settled(d) for d in both.cities]
    for driver, state in zip(both.cities, states, strict=True):
        assert [v["code"] for v in state["verdicts"] if v["level"] == "alarm"] == [], driver.name
        assert state["frames"]["open"] == [k for k in state["frames"]["open"] if k > state["frames"]["final"]]
    alone, together = (sum(s["events"] for s in state["shards"]) for state in states)
    assert alone == together + 3, "registers are of no shard: three events of the device above"
    marks = [{s["source"]: s["watermark"] for s in state["sources"]} for state in states]
    assert marks[0] == marks[1]
    # a door's own refusals are counted where it is: in the list of one process, in the topic of a cluster
    members = {(m["role"], m["id"]) for m in states[1]["members"]}
    assert members >= {("clock", "clock"), ("gateway", "gateway"), ("worker", "worker-1"), ("worker", "worker-2")}
    shards = {s["shard"]: s["owner"] for s in states[1]["shards"]}
    assert shards.keys() == {"desk", 0, 1, 2, 3}
    assert set(shards.values()) == {"worker-1", "worker-2"}


def settled(driver: Driver) -> dict[str, Any]:
    """The state of operation once no more events come in."""
    seen: list[tuple[int, int]] = []

    def still() -> bool:
        state = driver.city.get("ops")
        seen.append((sum(s["events"] for s in state["shards"]), state["frames"]["final"]))
        same = [final for events, final in seen if events == seen[-1][0]]
        return seen[-1][0] > 0 and same[-1] >= same[0] + 4

    until(still, 60, f"{driver.name} has counted everything")
    found: dict[str, Any] = driver.city.get("ops")
    return found


def test_every_value_is_the_same_at_the_same_tick(both: Both) -> None:
    found = list[str]()

    def same(one: Watcher, other: Watcher) -> bool:
        at = max(int(d.city.get("city")["at"]) for d in both.cities) + 1000
        until(lambda: min(int(d.city.get("city")["at"]) for d in both.cities) > at, 30, "both show a later tick")
        found[:] = differences(one, other, at)
        return not found

    with Watcher(both.one.city.url) as alone, Watcher(both.many.city.url) as together:
        until(lambda: alone.at and together.at, 30, "both have told everything")
        # a frame of the cluster may have been provisional, and corrected at a later tick
        until(lambda: same(alone, together), 20, f"no difference: {found}")


def test_an_illegal_move_is_a_dead_letter(both: Both) -> None:
    both.refuse("illegal_move", seconds=90)
    both.expect("case_backlog", 1)


def test_killed_and_started_again_they_say_the_same(both: Both) -> None:
    twice = event("obs", "k1", now(), "D-w2", property="waterlog.depth", value=33)
    both.send(twice)
    both.expect("waterlog_depth_max", 40, WEST)
    for driver in both.cities:
        driver.kill()
    for driver in both.cities:
        driver.start()
    both.send(twice, event("obs", "k2", now(), "D-w2", property="waterlog.depth", value=51))
    both.expect("waterlog_depth_max", 51, WEST)
    test_every_value_is_the_same_at_the_same_tick(both)


def test_they_end_when_told_to(both: Both) -> None:
    for driver in both.cities:
        driver.stop()
