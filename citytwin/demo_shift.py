"""The people of the demo before somebody sits down: a duty roster, and a shift that has seen the old alarms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from citytwin.geo.scopes import LEVELS, ScopeTree
from citytwin.models.desk.event import Draft

HOUR, DAY = 3_600_000, 86_400_000
#: Shifts change at 8 and 20 o'clock; the roster is told for so many days.
_LENGTH, _FIRST, _DAYS = 12 * HOUR, 8 * HOUR, 31
#: Who is on duty in the city; districts and streets have a dispatcher and a supervisor of their own.
_CITY = {
    "acceptance_clerk": "demo", "shift_leader": "demo", "dispatcher": "demo", "verifier": "demo-verifier",
    "supervisor": "demo-commander", "commander": "demo-commander", "evaluator": "demo-verifier",
}  # fmt: skip


def roster(scopes: ScopeTree, now: int, offset_ms: int) -> list[Draft]:
    """Who is on duty from a day before `now` on: the city's people by shifts, the others for the whole time."""
    out = [_spell(post, now - DAY, now + _DAYS * DAY, now) for post in _posts(scopes)]
    first = (now - DAY + offset_ms - _FIRST) // _LENGTH * _LENGTH + _FIRST - offset_ms
    for at in range(first, now + _DAYS * DAY, _LENGTH):
        out += [_spell((scopes.code[0], role, person), at, at + _LENGTH, now) for role, person in _CITY.items()]
    return out


def _posts(scopes: ScopeTree) -> Iterator[tuple[str, str, str]]:
    """Area, role and person of the posts of districts and streets."""
    for row, code in enumerate(scopes.code):
        level = LEVELS[int(scopes.level[row])]
        if level in ("district", "street") and not scopes.unlocated[row]:
            yield code, "dispatcher", f"{scopes.name[row]}值班员"
            yield code, "supervisor", f"{scopes.name[row]}督办员"


def _spell(post: tuple[str, str, str], begin: int, until: int, now: int) -> Draft:
    area, role, person = post
    told = {"role": role, "area": area, "person": person, "from": begin, "until": until}
    return Draft("duty.set", now, f"demo/duty/{area}/{role}/{begin}", f"{role}@{area}", fields=told)


def seen(alarms: Sequence[Mapping[str, Any]], now: int) -> list[Draft]:
    """The shift before has acknowledged what was raised in its time: what comes from now on is news."""
    return [
        Draft(
            "alarm.acknowledged", now, f"demo/seen/{a['code']}/{a['occurrence']}", a["code"],
            fields={"occurrence": a["occurrence"], "actor": "demo"},
        )
        for a in alarms
        if not a["acked"]
    ]  # fmt: skip
