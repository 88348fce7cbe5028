"""The pure part of webhooks, and the queue."""

from __future__ import annotations

import hashlib
import hmac
import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Column, Strings
from citytwin.models.events import VOCABULARY
from citytwin.streams.hooks import (
    BASE_MS,
    LONGEST_REST_MS,
    MOST_MS,
    TOLERATED,
    Breaker,
    Target,
    bodies_of,
    delay_ms,
    is_private,
    key_of,
    sign,
    source_of,
    verify,
)
from citytwin.streams.hookstore import Fresh, HookStore

SECRET = "0123456789abcdef0123"
TARGET = Target("a", "https://example.com/x", ("case.*", "alarm.raised"), SECRET)
OPEN = replace(TARGET, texts=True)


def test_types_are_patterns() -> None:
    assert [TARGET.wants(t) for t in ("case.closed", "alarm.raised", "alarm.cleared", "xcase.closed")] == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "a b"}, "name"), ({"url": "ftp://x"}, "http"), ({"url": "http://u:p@x/"}, "without a user"),
        ({"url": "http://x:port/"}, "none"), ({"url": "http://x/\r\nX: y"}, "characters"), ({"types": ()}, "types"),
        ({"types": ("Case",)}, "types"), ({"secret": "short"}, "secret"), ({"url": "http:///x"}, "http"),
        ({"url": "https://例子.com"}, "characters"),
    ],
)  # fmt: skip
def test_a_target_that_cannot_be_used_says_why(changed: dict[str, str], said: str) -> None:
    given = {"name": "a", "url": "http://x/", "types": ("case.*",), "secret": SECRET, **changed}
    problem = Target(**given).problem()  # type: ignore[arg-type]
    assert said in problem
    assert "short" not in problem.replace("shorter", "")
    assert SECRET not in repr(TARGET)


@given(st.binary(max_size=200), st.integers(0, 2**40), st.integers(-400, 400))
def test_the_signature_is_an_hmac_of_time_and_body(body: bytes, stamp: int, off: int) -> None:
    header = sign(SECRET, stamp, body)
    by_hand = hmac.new(SECRET.encode(), str(stamp).encode() + b"." + body, hashlib.sha256).hexdigest()
    assert header == f"t={stamp},v1={by_hand}"
    assert verify(SECRET, header, body, stamp + off) == (abs(off) <= 300)
    assert not verify(SECRET, header, body + b" ", stamp)
    assert not verify(SECRET + "x", header, body, stamp)


@given(st.text(max_size=60))
def test_any_header_may_come(header: str) -> None:
    assert not verify(SECRET, header, b"", 0)


@given(st.integers(1, 1000), st.floats(0, 1, exclude_max=True))
def test_delays_double_and_are_bounded(tries: int, chance: float) -> None:
    whole = min(MOST_MS, BASE_MS * 2 ** (tries - 1))
    assert whole / 2 - 1 <= delay_ms(tries, chance) <= whole


def test_a_target_that_fails_is_left_alone_longer_and_longer() -> None:
    breaker, now, rests = Breaker(), 0, list[int]()
    for n in range(TOLERATED + 12):
        breaker = breaker.after(now, 0.999, well=False)
        assert breaker.waits(now) == (n + 1 >= TOLERATED)
        if breaker.waits(now):
            rests.append(breaker.open_until - now)
            now = breaker.open_until
            assert not breaker.waits(now), "then one try is made"
    assert rests == sorted(rests)
    assert rests[-1] <= LONGEST_REST_MS
    assert breaker.after(now, 0.5, well=True) == Breaker()


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("127.0.0.1", True), ("10.0.0.1", True), ("172.16.3.4", True), ("192.168.1.1", True), ("169.254.169.254", True),
        ("100.64.0.1", True), ("0.0.0.0", True), ("224.0.0.1", True), ("::1", True), ("fe80::1%eth0", True),
        ("fd00::1", True), ("::ffff:10.0.0.1", True), ("2002:7f00:1::", True), ("64:ff9b::7f00:1", True),
        ("8.8.8.8", False), ("2606:4700::1111", False), ("::ffff:8.8.8.8", False),
    ],
)  # fmt: skip
def test_private_networks_are_known(address: str, private: bool) -> None:
    assert is_private(address) == private


def reported() -> EventBatch:
    fields: dict[str, Column] = {
        "category": Coded.of(["facility.road"]), "channel": Coded.of(["12345"]),
        "actor": Coded.of(["wang"]), "reason": Strings.of(["他的电话 13812345678"]),
    }  # fmt: skip
    return EventBatch.of("case.reported", [1_760_000_000_123], ["e 1/武"], "s", ["C-1"], [114.3], [30.6], fields=fields)


def test_an_event_is_told_without_what_speaks_of_people() -> None:
    plain = json.loads(bodies_of(reported(), VOCABULARY(), [0], TARGET)[0])
    assert plain["data"] == {"category": "facility.road", "channel": "12345"}
    assert (plain["id"], plain["subject"], plain["lon"], plain["lat"]) == ("e 1/武", "C-1", 114.3, 30.6)
    assert plain["time"] == "2025-10-09T08:53:20.123Z"
    told = json.loads(bodies_of(reported(), VOCABULARY(), [0], OPEN)[0])
    assert told["data"]["actor"] == "wang"
    assert told["data"]["reason"] == "他的电话 ***"
    assert key_of("desk/王", "e 1#武").isascii()
    assert key_of("a", "b#c") != key_of("a#b", "c")


def test_who_at_the_desk_did_it_is_a_hash() -> None:
    def source(name: str, target: Target) -> str:
        return source_of(EventBatch.of("case.closed", [1], ["a"], name), 0, target)

    hidden = source("desk/wang", TARGET)
    assert hidden.startswith("desk/")
    assert "wang" not in hidden
    assert hidden == source("desk/wang", TARGET)
    assert len({hidden, source("desk/li", TARGET), source("desk/wang", replace(TARGET, secret=SECRET[::-1]))}) == 3
    assert source("desk/wang", OPEN) == "desk/wang"
    assert [source(n, TARGET) for n in ("desk/auto", "open311")] == ["desk/auto", "open311"]


def test_hashes_of_numbers_stay_here_and_readings_have_units() -> None:
    call = EventBatch.of("call.offered", [1], ["c"], fields={"caller": Strings.of(["ab" * 16])})
    assert "data" not in str(json.loads(bodies_of(call, VOCABULARY(), [0], OPEN)[0])["data"])
    assert json.loads(bodies_of(call, VOCABULARY(), [0], OPEN)[0])["data"] == {}
    words = VOCABULARY()
    steps = words.properties["air.pm25"].per_unit
    obs = EventBatch.of(
        "obs", [1, 2], ["a", "b"], subject=["D", "D"],
        fields={"property": Coded.of(["air.pm25"] * 2), "value": np.array([35 * steps, 36 * steps])},
    )  # fmt: skip
    assert [json.loads(b)["data"]["value"] for b in bodies_of(obs, words, [0, 1], TARGET)] == [35.0, 36.0]


def fresh(n: int, first: int = 0, target: str = "a") -> list[Fresh]:
    return [Fresh(target, f"s#{i}", "case.closed", b"{}") for i in range(first, first + n)]


def test_the_queue_is_bounded_and_says_what_went(tmp_path: Path) -> None:
    with HookStore(tmp_path / "hooks.db", most=10) as store:
        store.add(TARGET)
        store.take_in(fresh(8), 1, 0)
        store.take_in(fresh(8, 8), 2, 0)
        assert store.counts("a") == {"waiting": 10, "dead": 0, "sent": 0, "failed": 0, "dropped": 6, "forgotten": 0}
        first = store.next("a", 0)
        assert first is not None
        assert first.key == "s#6"
        store.take_in(fresh(16), 3, 0)
        assert store.counts("a")["waiting"] == 10
        assert store.position == 3
    assert stat.S_IMODE((tmp_path / "hooks.db").stat().st_mode) == 0o600


def test_dead_letters_can_be_driven_again(tmp_path: Path) -> None:
    with HookStore(tmp_path / "hooks.db", most=3) as store:
        store.take_in(fresh(3), 1, 0)
        while found := store.next("a", 0):
            store.failed(found, None, "the target answered 500")
        assert [d.why for d in store.dead("a")] == ["the target answered 500"] * 3
        store.take_in(fresh(1), 2, 5)  # it came once more
        assert store.retry("a", None, 7) == 2
        assert store.counts("a")["waiting"] == 3
        assert store.counts("a")["dead"] == 0
        assert store.due("a") == 5
        found = store.next("a", 7)
        assert found is not None
        store.done(found)
        assert store.counts("a")["sent"] == 1
        assert store.remove("a") is False
    with HookStore(tmp_path / "hooks.db") as again:
        assert again.position == 2


def test_a_failed_one_waits_and_others_pass(tmp_path: Path) -> None:
    with HookStore(tmp_path / "hooks.db") as store:
        store.take_in(fresh(2), 1, 0)
        found = store.next("a", 0)
        assert found is not None
        store.failed(found, 1000, "no answer")
        other = store.next("a", 0)
        assert other is not None
        assert other.key == "s#1"
        store.done(other)
        assert store.next("a", 999) is None
        late = store.next("a", 1000)
        assert late is not None
        assert (late.key, late.tries, late.why) == ("s#0", 1, "no answer")
