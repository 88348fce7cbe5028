"""Roster, shifts and editions of the calendar as parts of the desk."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from citytwin.models.columns import MISSING
from citytwin.models.desk.calendar import CHINA_MS, Edition, Limit, recomputed_due
from citytwin.models.desk.editions import Deadline, rescheduled
from citytwin.models.desk.event import Event
from citytwin.models.desk.holidays import china
from citytwin.twin.desk.calendars import EDITIONS_MAX, Calendars
from citytwin.twin.desk.duty import KEEP_MS, SHIFTS_MAX, Duty

HOUR = 3_600_000
T = 1_795_000_000_000
POST = "duty/S1/dispatcher"


def at(text: str) -> int:
    """A time in China, ms UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000) - CHINA_MS


def spell(person: str, begin: float, end: float, post: str = POST, time: float = 0, **more: Any) -> Event:
    """`duty.set` of hours after T."""
    fields = {"role": "dispatcher", "area": "S1", "from": T + int(begin * HOUR), "until": T + int(end * HOUR), **more}
    if person:
        fields["person"] = person
    return Event("duty.set", T + int(time * HOUR), "desk/li", f"{post}{person}{begin}{more}", post, fields=fields)


def shift(type_: str, actor: str, code: str = "S-1", hour: float = 1, **fields: Any) -> Event:
    """`shift.handed` or `shift.taken`."""
    return Event(f"shift.{type_}", T + int(hour * HOUR), f"desk/{actor}", f"{type_}{actor}{hour}", code, fields=fields)


def taken(part: Any, *events: Event) -> Any:
    """The part after events of which none is refused."""
    for event in events:
        assert part.check(event) is None, event
        part.apply(event)
    return part


def who(duty: Duty, hour: float, area: str = "S1", role: str = "dispatcher") -> str | None:
    """The person on duty so many hours after T."""
    found = duty.on_duty(area, role, T + int(hour * HOUR))
    return found.person if found else None


def test_the_last_word_on_a_time_holds() -> None:
    duty = taken(Duty(), spell("wang", 0, 8, deputy="ma"), spell("li", 8, 16), spell("zhao", 6, 9))
    there = [who(duty, h) for h in (-1, 0, 5.9, 6, 8.5, 9, 15.9, 16)]
    assert there == [None, "wang", "wang", "zhao", "zhao", "li", "li", None]
    assert who(duty, 1, area="S2") is None
    assert who(duty, 1, role="supervisor") is None
    taken(duty, spell("", 1, 2, absent=True))
    assert [who(duty, h) for h in (0.5, 1, 1.9, 2)] == ["wang", "ma", "ma", "wang"]
    found = duty.on_duty("S1", "dispatcher", T + HOUR)
    assert found is not None
    assert found.stands_in_for == "wang"
    taken(duty, spell("", 10, 11, absent=True))
    assert who(duty, 10) is None, "li has no deputy"
    taken(duty, spell("", 12, 13))
    assert who(duty, 12) is None, "nobody was set"


def test_rows_change_with_the_clock_alone() -> None:
    duty = taken(Duty(), spell("wang", 1, 8), spell("li", 8, 16))
    duty.tick(T)
    assert [r["person"] for r in duty.take_changed()] == [None]
    assert duty.due() == T + HOUR
    duty.tick(T + HOUR)
    (row,) = duty.take_changed()
    assert (row["code"], row["person"], row["until"], len(row["spells"])) == (POST, "wang", T + 8 * HOUR, 2)
    assert duty.take_changed() == []
    duty.tick(T + 9 * HOUR)
    assert [r["person"] for r in duty.take_changed()] == ["li"]
    duty.tick(T + 16 * HOUR)
    assert duty.due() == MISSING
    assert duty.rows()[0]["person"] is None


def test_spells_of_long_ago_are_forgotten() -> None:
    duty = taken(Duty(), spell("wang", 0, 8), spell("li", 0, 8, post="other", time=9 + KEEP_MS / HOUR))
    assert who(duty, 1) is None
    assert duty.check(spell("x", 5, 5)).reason == "out_of_range"


def test_both_sign_the_same_page() -> None:
    duty = taken(Duty(), shift("handed", "wang", hash="h1", area="S1"), shift("handed", "wang", hash="h2", hour=1.5))
    cases = [
        (shift("taken", "ma", hash="h1", hour=2), "stale_rev"),
        (shift("taken", "wang", hash="h2", hour=2), "not_allowed"),
        (shift("taken", "ma", code="S-9", hash="h2", hour=2), "unknown_case"),
        (shift("handed", "ma", hash="h3", hour=2), "not_now"),
    ]
    for event, reason in cases:
        refusal = duty.check(event)
        assert refusal is not None
        assert refusal.reason == reason
        assert reason == "unknown_case" or refusal.known == {"by": "wang", "at": T + int(1.5 * HOUR)}
    assert [r["code"] for r in duty.rows()] == ["S-1"]
    taken(duty, shift("taken", "ma", hash="h2", hour=2))
    held = duty.shift("S-1")
    assert held is not None
    assert (held.handed_by, held.taken_by, held.taken_at) == ("wang", "ma", T + 2 * HOUR)
    for again in (shift("taken", "li", hash="h2", hour=3), shift("handed", "wang", hash="h4", hour=3)):
        refusal = duty.check(again)
        assert refusal is not None
        assert (refusal.reason, refusal.known["by"]) == ("not_now", "ma")
    assert duty.rows() == []


def test_a_shift_for_somebody_is_taken_by_nobody_else() -> None:
    duty = taken(Duty(), shift("handed", "wang", hash="h", to="ma"))
    assert duty.check(shift("taken", "li", hash="h")).reason == "not_allowed"
    taken(duty, shift("taken", "ma", hash="h"))
    for n in range(SHIFTS_MAX + 3):
        taken(duty, shift("handed", "wang", code=f"N-{n}", hash="h"))
    assert len(duty.state()["shifts"]) == SHIFTS_MAX
    assert duty.shift("S-1") is None


def test_a_state_is_plain_and_leads_to_the_same() -> None:
    rng = random.Random(3)
    begins = [rng.randrange(50) for _ in range(40)]
    events = [spell(rng.choice("abc"), b, b + rng.randrange(1, 20), f"p{rng.randrange(3)}", deputy="d") for b in begins]
    events += [shift("handed", "wang", hash="h", hour=50), shift("taken", "ma", hash="h", hour=51)]
    whole, parts = Duty(), Duty()
    for n, event in enumerate(events):
        now = T + n * HOUR
        for duty in (whole, parts):
            taken(duty, event)
            duty.tick(now)
        fresh = Duty()
        fresh.load(json.loads(json.dumps(parts.state())))
        parts = fresh
        assert parts.state() == whole.state()
        assert parts.rows() == whole.rows()
        assert parts.due() == whole.due()


NOTICE = {"days": json.dumps({"2027-02-05": 0, "2027-02-08": 0, "2027-02-13": 1}), "years": "2027"}


def edition(code: str, **fields: Any) -> Event:
    """`calendar.edition`."""
    return Event("calendar.edition", T, "desk/admin", code, code, fields=fields)


def test_a_new_edition_moves_open_deadlines_and_survives_a_restart() -> None:
    part = Calendars(china())
    filed, limit = at("2027-02-04T16:00"), Limit.parse("4wh")
    assert part.edition == "cn-2004-2026"
    assert recomputed_due(filed, limit, [], part.calendar) == at("2027-02-05T12:00")
    assert part.calendar.provisional(filed, filed)
    taken(part, edition("cn-2027", **NOTICE))
    assert part.edition == "cn-2027"
    assert recomputed_due(filed, limit, [], part.calendar) == at("2027-02-09T12:00")
    assert not part.calendar.provisional(filed, filed)
    assert part.take_changed() == part.rows() == [
        {"code": "cn-2027", "days": 3, "years": [2027], "valid_from": None, "since": T}
    ]  # fmt: skip
    late = edition("cn-2027b", days='{"2027-02-08": 1, "2027-02-09": 0}', valid_from=at("2027-02-09T00:00"))
    taken(part, late)
    assert recomputed_due(filed, limit, [], part.calendar) == at("2027-02-10T12:00")
    fresh = Calendars(china())
    fresh.load(json.loads(json.dumps(part.state())))
    assert fresh.state() == part.state()
    assert fresh.calendar.edition == part.calendar.edition
    assert (part.tick(T), part.due(), part.take_changed()[0]["code"]) == ([], MISSING, "cn-2027b")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"days": "{"}, "days"), ({"days": "[]"}, "days"), ({"days": '{"2027-02-30": 0}'}, "days"),
        ({"days": '{"2027-02-03": 2}'}, "days"), ({"days": "{}", "years": "27"}, "years"),
        ({"days": "[" * 5000}, "days"), ({"days": "{}", "years": "next"}, "years"),
    ],
)  # fmt: skip
def test_what_is_no_edition_is_refused(fields: dict[str, str], field: str) -> None:
    refusal = Calendars(Edition("week")).check(edition("x", **fields))
    assert refusal is not None
    assert (refusal.reason, refusal.field) == ("wrong_type", field)


def test_editions_are_bounded() -> None:
    part = Calendars(Edition("week"))
    for n in range(EDITIONS_MAX):
        taken(part, edition(f"e{n}", days="{}"))
    refusal = part.check(edition("more", days="{}"))
    assert refusal is not None
    assert refusal.reason == "not_now"


def deadline(due: str, **more: Any) -> Deadline:
    """An open case, filed on a Thursday at 16:00 for four working hours."""
    filed = at("2027-02-04T16:00")
    case = Deadline("C-1", "dispatched", filed, at(due), 0, filed + HOUR, Limit.parse("4wh"))
    return replace(case, **more)


def test_an_edition_extends_what_its_limit_gave_and_nothing_else() -> None:
    notice = edition("cn-2027", **NOTICE)
    part = taken(Calendars(china()), replace(notice, time=at("2027-02-04T18:00")))
    (turn,) = part.turns
    case = deadline("2027-02-05T12:00")
    moved = rescheduled(case, part.turns)
    assert moved is not None
    assert (moved.type, moved.subject, moved.fields["due_at"]) == ("case.extended", "C-1", at("2027-02-09T12:00"))
    assert moved.time == turn.since
    assert rescheduled(case, part.turns, {moved.id}) is None
    # held for an hour before: both deadlines are an hour later
    held = rescheduled(replace(case, due_at=case.due_at + HOUR, held_ms=HOUR), part.turns)
    assert held is not None
    assert held.fields["due_at"] == at("2027-02-09T13:00")
    others = {
        "named by a person": deadline("2027-02-05T15:00"),
        "in clock hours": deadline("2027-02-04T20:00", limit=Limit.parse("4h")),
        "on hold": deadline("2027-02-05T12:00", state="deferred"),
        "over": deadline("2027-02-05T12:00", state="closed"),
        "filed under it": replace(case, filed_at=turn.since + 1),
        "never due": replace(case, due_at=MISSING),
    }
    assert {why for why, other in others.items() if rescheduled(other, part.turns)} == set()


def test_one_edition_after_another_moves_a_deadline_on_and_a_restart_says_the_same() -> None:
    first = replace(edition("a", **NOTICE), time=at("2027-02-04T18:00"))
    second = edition("b", days='{"2027-02-08": 1, "2027-02-09": 0}')
    part = taken(Calendars(china()), first, replace(second, time=at("2027-02-04T19:00")))
    fresh = Calendars(china())
    fresh.load(json.loads(json.dumps(part.state())))
    for one in (part, fresh):
        case, done = deadline("2027-02-05T12:00"), set[str]()
        dues = []
        while (draft := rescheduled(case, one.turns, done)) is not None:
            done.add(draft.id)
            assert draft.time > case.last_at
            case = replace(case, due_at=draft.fields["due_at"], last_at=draft.time)
            dues.append(case.due_at)
        assert dues == [at("2027-02-09T12:00"), at("2027-02-08T12:00")]
        assert done == {f"edition/a/{at('2027-02-04T18:00')}/C-1", f"edition/b/{at('2027-02-04T19:00')}/C-1"}
