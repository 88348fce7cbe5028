"""Events of one case for tests: said by somebody at minutes after a beginning, and the commands that may be tried."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from citytwin.models.desk.casebody import CaseFile, CaseLaw
from citytwin.models.desk.casefile import fold
from citytwin.models.desk.event import Event

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_750_000_000_000 // HOUR * HOUR
#: Every stage may take an hour, that of level I a minute.
LAW = CaseLaw(limit=lambda category, level, stage, at: at + (MINUTE if level == 1 else HOUR))


def said(move: str, minute: float, actor: str = "", code: str = "K1", **fields: Any) -> Event:
    """An event of a case."""
    time = START + round(minute * MINUTE)
    told = ({"actor": actor} if actor else {}) | fields
    return Event(f"case.{move}", time, f"desk/{actor or 'x'}", f"{move}@{time}", code, fields=told)


def filed(minute: float = 2, due: float = 600, **told: Any) -> list[Event]:
    """A case up to its filing; `due` in minutes."""
    return [
        said("reported", minute - 2, "ann", category="road.pothole", channel="12345", **told),
        said("accepted", minute - 1, "ann"),
        said("filed", minute, "leo", due_at=START + round(due * MINUTE)),
    ]


def sent(minute: float = 3, unit: str = "U1", **told: Any) -> list[Event]:
    """A case up to its dispatch."""
    return [*filed(minute - 1, **told), said("dispatched", minute, "dan", unit=unit)]


def file_of(events: Iterable[Event], law: CaseLaw = LAW) -> CaseFile:
    """The file of the case."""
    found = list(events)
    return fold(found[0].subject, found, law)


#: What may be tried at any time of a case: type, fields with times in minutes from then on, by hand and by the unit.
TRIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("reported", {}), ("accepted", {}), ("rejected", {}), ("filed", {"due_at": 600}), ("dispatched", {"unit": "U1"}),
    ("dispatched", {"unit": "U2"}), ("dispatched", {}), ("received", {}), ("received", {"unit": "S1"}),
    ("arrived", {}), ("arrived", {"unit": "S1"}), ("handled", {}), ("returned", {}), ("verified", {"passed": True}),
    ("verified", {"passed": False}), ("closed", {}), ("reopened", {}), ("deferred", {"until": 60}),
    ("extended", {"due_at": 900}), ("escalated", {}), ("merged", {"into": "K0"}), ("voided", {}), ("evaluated", {}),
    ("answered", {}), ("transferred", {"to": "110"}), ("withdrawn", {}), ("parked", {"until": 60}), ("unmerged", {}),
    ("designated", {"to": "U2"}), ("assigned", {"unit": "S1"}), ("assigned", {"unit": "U2", "role": "lead"}),
    ("unassigned", {"unit": "U1"}), ("unassigned", {"unit": "U2"}), ("unassigned", {"unit": "S1"}), ("enroute", {}),
    ("enroute", {"unit": "S1"}), ("cleared", {}), ("cleared", {"unit": "S1"}), ("extension_asked", {"due_at": 900}),
    ("extension_asked", {"until": 60}), ("extension_refused", {}), ("urged", {}), ("supervised", {}),
    ("instructed", {}), ("noted", {"text": "a word"}), ("evidence", {"hash": "ab"}), ("unlike", {"other": "K7"}),
    ("called_back", {"satisfied": True}), ("acknowledged", {"receipt": "119-4711"}),
)  # fmt: skip
TIMES = ("due_at", "until")


def tried(code: str, move: str, fields: dict[str, Any], time: int, actor: str) -> Event:
    """A try as an event; its times lie after `time`."""
    told = {k: time + v * MINUTE if k in TIMES else v for k, v in fields.items()}
    return Event(f"case.{move}", time, f"desk/{actor}", f"{move}@{time}", code, fields={"actor": actor, **told})
