"""Presence: who else looks at a case is told to those who may see it and look at it too, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from citytwin.dashboards.hub import Hub
from citytwin.dashboards.presence import COUNTED, EVERY_MS, NAMED
from citytwin.dashboards.protocol import Look
from citytwin.models.desk.rights import FULL, Rights
from citytwin.models.frame import Frame
from tests.dashboards.fakes import FakeBoard
from tests.dashboards.test_hub import drain
from tests.dashboards.test_people import PASSWORD, City, served
from tests.dashboards.test_sockets import FRAME
from tests.servers.process import until as eventually

STEP = EVERY_MS


class Room:
    """A hub with people; `K1` lies in district D0, `K2` in D1."""

    def __init__(self, **people: Rights) -> None:
        board = FakeBoard()
        board.open_cases = [{"code": "K1", "scope": 2, "open": True}, {"code": "K2", "scope": 5, "open": True}]
        self.hub, self.at = Hub(board, "e"), 0.0
        self.key: dict[str, int] = {}
        for name, rights in people.items():
            self.join(name, rights)

    def join(self, name: str, rights: Rights = FULL, user: str = "") -> None:
        self.key[name] = len(self.key) + 1
        self.hub.join(self.key[name], rights, (user or name, (user or name).title()))

    def looks(self, name: str, case: str, typing: bool = False) -> None:
        self.hub.handle(self.key[name], Look(case=case, typing=typing), self.at)

    def told(self, name: str) -> list[tuple[str, list[str], int]]:
        """What somebody hears of others after a while: (case, names with * for who types, how many more)."""
        self.at += STEP
        said = [m for m in drain(self.hub, self.key[name], self.at) if m["type"] == "presence"]
        return [(m["case"], [_name(w) for w in m["who"]], m.get("more", 0)) for m in said]


def _name(who: dict[str, Any]) -> str:
    return str(who.get("name") or who["user"]) + ("*" if who.get("typing") else "")


def district(scope: str, role: str = "dispatcher") -> Rights:
    return Rights.of([(role, scope)])


def test_who_looks_at_the_same_case_is_told_and_forgotten_with_the_socket() -> None:
    room = Room(anna=FULL, ben=FULL, carl=FULL)
    room.looks("anna", "K1")
    assert room.told("anna") == [], "nobody else is no news"
    room.looks("ben", "K1")
    room.looks("carl", "K2")
    assert (room.told("anna"), room.told("ben"), room.told("carl")) == ([("K1", ["Ben"], 0)], [("K1", ["Anna"], 0)], [])
    room.looks("ben", "K1", typing=True)
    assert (room.told("anna"), room.told("ben")) == ([("K1", ["Ben*"], 0)], [])
    room.looks("carl", "K1")
    assert room.told("anna") == [("K1", ["Ben*", "Carl"], 0)]
    room.looks("carl", "")
    room.hub.leave(room.key["ben"])
    assert room.told("anna") == [("K1", [], 0)]
    assert room.hub.looking.stirred() >= {room.key["anna"]}, "a socket that closes wakes the others"


def test_only_who_may_see_the_case_is_told_and_is_named() -> None:
    room = Room(anna=district("D0"), ben=district("D1"), carl=district("D0", "operator"), dora=district("*"))
    for name in room.key:
        room.looks(name, "K1")
    assert room.told("ben") == [], "the case is of another district"
    assert room.told("anna") == [("K1", ["Carl", "Dora"], 0)], "who may not see a case does not look at it"
    assert room.told("carl") == [("K1", ["anna", "dora"], 0)], "names of people are not for everybody"


def test_rights_that_change_and_cases_that_move_are_told_at_once() -> None:
    room = Room(anna=FULL, ben=district("D0"))
    for name in room.key:
        room.looks(name, "K1")
    assert (room.told("anna"), room.told("ben")) == ([("K1", ["Ben"], 0)], [("K1", ["Anna"], 0)])
    room.hub.reright(room.key["ben"], district("D1"), room.at)
    assert (room.told("anna"), room.told("ben")) == ([("K1", [], 0)], [("K1", [], 0)])
    room.hub.publish(Frame(2, 2, 2, cases=({"code": "K1", "scope": 2, "open": True, "lent": [4]},)), room.at)
    assert (room.told("anna"), room.told("ben")) == ([("K1", ["Ben"], 0)], [("K1", ["Anna"], 0)]), "lent to D1"
    room.hub.publish(Frame(3, 3, 3, cases=({"code": "K1", "scope": 2, "open": False},)), room.at)
    assert (room.told("anna"), room.told("ben")) == ([("K1", [], 0)], [("K1", [], 0)]), "over"


def test_a_case_that_comes_later_is_looked_at_already() -> None:
    room = Room(anna=FULL, ben=FULL)
    for name in room.key:
        room.looks(name, "K9")
    assert room.told("anna") == []
    room.hub.publish(Frame(2, 2, 2, cases=({"code": "K9", "scope": 2, "open": True},)), room.at)
    assert room.told("anna") == [("K9", ["Ben"], 0)]


def test_the_same_person_at_two_windows_is_one() -> None:
    room = Room(anna=FULL, ben=FULL)
    room.join("anna2", user="anna")
    for name in room.key:
        room.looks(name, "K1")
    assert room.told("anna") == [("K1", ["Ben"], 0)]
    room.looks("anna2", "K1", typing=True)
    assert room.told("ben") == [("K1", ["Anna*"], 0)]


def test_it_is_bounded_in_names_and_in_how_often_it_is_told() -> None:
    room = Room(anna=FULL)
    room.looks("anna", "K1")
    for i in range(COUNTED + 40):
        room.join(f"p{i:03}")
        room.looks(f"p{i:03}", "K1")
    ((case, names, more),) = room.told("anna")
    assert (case, len(names), more) == ("K1", NAMED, COUNTED - 1 - NAMED)
    room.looks("p000", "K1", typing=True)
    assert room.hub.take(room.key["anna"], room.at + 1) is None, "so soon again it waits"
    assert room.hub.due(room.key["anna"], room.at + 1) == STEP - 1
    assert room.told("anna")[0][1][0] == "P000*"
    for name in room.key:
        room.hub.leave(room.key[name])
    assert (room.hub.looking._looks, room.hub.looking._at) == ({}, {}), "nothing is kept of who is gone"


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    with served(tmp_path) as found:
        for user, scope in (("anna", "D0"), ("ben", "D0"), ("carl", "D1")):
            found.accounts.add(user, PASSWORD, name=user.title())
            found.accounts.grant(user, "dispatcher", scope)
        yield found


def _heard(ws: Any) -> Any:
    """The next presence; each frame valid by the served contract."""
    while True:
        frame = json.loads(ws.recv(timeout=10))
        FRAME.validate(frame)
        for message in frame:
            if message["type"] == "presence":
                return message["who"]


def test_over_real_sockets_it_is_told_at_once_and_the_signed_in_user_counts(city: City) -> None:
    look = '{"type":"look","case":"K1"}'
    with city.dial(city.cookie(user="anna", password=PASSWORD)) as anna:
        anna.send(look)
        with city.dial(city.cookie(user="carl", password=PASSWORD)) as carl:
            carl.send(look)
            with city.dial(city.cookie(user="ben", password=PASSWORD)) as ben:
                ben.send(look)
                assert _heard(ben) == [{"user": "anna", "name": "Anna"}]
                assert _heard(anna) == [{"user": "ben", "name": "Ben"}], "carl is of another district"
            assert _heard(anna) == [], "his socket closed"
            anna.send('{"type":"look","case":"%s"}' % ("x" * 201))
            eventually(lambda: len(city.web.gateway.connections) == 1, 10, "a code that is none ends the connection")
