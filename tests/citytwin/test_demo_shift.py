"""The roster of the demo, and the shift that has seen the alarms of the past."""

from __future__ import annotations

from citytwin.demo_shift import DAY, HOUR, roster, seen
from citytwin.geo.scopes import ScopeTree
from citytwin.models.desk.escalation import ROLE_OF
from citytwin.models.desk.event import Event
from citytwin.twin.desk.duty import Duty

NOW, EAST = 1_795_762_556_500, 8 * HOUR


def scopes() -> ScopeTree:
    """A city with a district and a street."""
    tree = ScopeTree()
    tree.add("420100", "武汉市", -1)
    tree.add("420102", "江岸区", 0)
    tree.add("420102001", "永清街道", 1)
    return tree


def told() -> Duty:
    """The duty of the desk after the roster."""
    duty = Duty()
    for draft in roster(scopes(), NOW, EAST):
        event = Event(draft.type, draft.time, "desk/auto", draft.id, draft.subject, fields=draft.fields)
        assert duty.check(event) is None, draft
        duty.apply(event)
    return duty


def test_somebody_is_on_duty_for_every_stage_at_any_time() -> None:
    duty = told()
    for hours in (-23, 0, 1, 13, 24 * 29):
        for role in {*ROLE_OF.values(), "supervisor", "commander"}:
            assert duty.on_duty("420100", role, NOW + hours * HOUR) is not None, (role, hours)
        for area in ("420102", "420102001"):
            assert duty.on_duty(area, "dispatcher", NOW + hours * HOUR) is not None
            assert duty.on_duty(area, "supervisor", NOW + hours * HOUR) is not None


def test_shifts_of_the_city_change_at_eight_and_at_twenty() -> None:
    found = told().on_duty("420100", "dispatcher", NOW)
    assert found is not None
    assert (found.person, (found.until + EAST) % DAY) == ("demo", 20 * HOUR)


def test_what_nobody_saw_is_acknowledged_by_its_occurrence() -> None:
    rows = [{"code": "a@1", "occurrence": 3, "acked": False}, {"code": "b@1", "occurrence": 1, "acked": True}]
    (draft,) = seen(rows, NOW)
    assert (draft.subject, draft.fields["occurrence"], draft.fields["actor"]) == ("a@1", 3, "demo")
