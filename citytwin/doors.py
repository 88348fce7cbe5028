"""The doors for other systems over a running city: what comes in becomes events of the log, what goes out is read off.

Each call runs on a worker thread and is answered once the log has the event and the engine has judged it. What a door
refuses changes nothing; CAP messages and device alarms that are refused are kept as dead letters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from citytwin.clock import Clock
from citytwin.dashboards.door_ports import Asked, Reply
from citytwin.dashboards.ports import Refused
from citytwin.door_config import Cap, Open311
from citytwin.engine import Engine
from citytwin.geo.scopes import LEVELS
from citytwin.ingest import decode_body, refused
from citytwin.models.batch import Changes, Rejection
from citytwin.models.desk.event import AUTO, Event
from citytwin.streams import cap, caparea, capout, gb28181
from citytwin.streams.capdoc import MEDIA, Alert, Area, to_xml
from citytwin.streams.codec import Codec
from citytwin.streams.rules import Box, Refusal
from citytwin.streams.secrets import Blanker
from citytwin.submissions import Busy, Doorway, Unavailable
from citytwin.told import events

T = TypeVar("T")
#: Seconds until a call is given up by who asked; what it brought may still be taken.
PATIENCE_S = 20.0
#: Messages that the feed lists.
_LISTED = 200
_KIND = "application/cloudevents+json"
#: Where drafts of warnings lie; the code of a run follows.
DRAFTS = "draft/"
_STATUS = {"conflict": 409, "too_large": 413}
_BLANK = Blanker(())


class NotTaken(Exception):
    """An event that a door brought was refused."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.detail)
        self.rejection = rejection


@dataclass(frozen=True, slots=True)
class Intake:
    """The way of single events into a running city."""

    codec: Codec
    runtime: Doorway
    engine: Engine
    clock: Clock

    @property
    def zone(self) -> ZoneInfo:
        """The city's time zone."""
        return ZoneInfo(self.engine.city.timezone)

    @property
    def box(self) -> Box | None:
        """The city as (lon0, lat0, lon1, lat1)."""
        return self.engine.city.box

    def wait(self, future: Future[T]) -> T:
        """What a future gives. Raises Refused when the city takes nothing now."""
        try:
            return future.result(PATIENCE_S)
        except (Busy, Unavailable) as error:
            raise refused(error) from error
        except TimeoutError as error:
            raise Refused(503, "unavailable", "The city is slow", "no answer yet; send the same again", 5) from error

    def ask(self, run: Any) -> Any:
        """What a function says in the engine's thread. Raises Refused."""
        try:
            return self.wait(self.runtime.call(run))
        except (Busy, Unavailable) as error:
            raise refused(error) from error

    def take(self, event: Mapping[str, Any]) -> Changes:
        """Bring in one event. Raises NotTaken, Refused."""
        decoded = decode_body(self.codec, json.dumps(event, ensure_ascii=False).encode("utf-8", "replace"), _KIND)
        if decoded.rejections:
            raise NotTaken(decoded.rejections[0])
        try:
            changes = self.wait(self.runtime.submit(decoded.batches))[0]
        except (Busy, Unavailable) as error:
            raise refused(error) from error
        if changes.rejected:
            raise NotTaken(changes.rejected[0])
        return changes

    def keep(self, door: str, body: bytes, rejection: Rejection) -> None:
        """Keep what was refused as a dead letter, with what may be kept of it; the same body once."""
        place = hashlib.blake2b(body, digest_size=12).hexdigest()
        words = Rejection(
            0, rejection.reason, rejection.field, _BLANK.text(rejection.detail), _BLANK.head(body), door, rejection.id
        )
        try:
            self.wait(self.runtime.refuse(door, place, [words]))
        except (Busy, Unavailable, Refused):
            return


def drafted(engine: Engine, code: str, now: int) -> Event | None:
    """The public warning that the plan of an active run proposes; None where there is none, or it was discarded."""
    plans = engine.casework.plans if engine.casework is not None else None
    run = plans.runs.get(code) if plans is not None else None
    if plans is None or run is None or not run.active or run.discarded:
        return None
    plan = plans.plans[run.plan]
    fields = plan.warning(run.level, code)
    if not fields:
        return None
    fields["expires"] = now + plan.cap["expires_ms"]
    row = engine.scopes.row(run.area)
    return Event("warning.issued", now, AUTO, f"{DRAFTS}{code}", code, row, fields=fields)


class CityDoors:
    """All doors of one city."""

    max_bytes = cap.MAX_BYTES

    def __init__(self, intake: Intake, open311: Open311, warnings: Cap, secret: bytes) -> None:
        """`secret`: the key under which codes of citizens' reports are made."""
        from citytwin.citizens import Citizens

        self.intake, self.warnings = intake, warnings
        self._citizens = Citizens(intake, open311, secret)

    def open311(self, asked: Asked) -> Reply:
        """Open311 GeoReport v2."""
        return self._citizens.answer(asked)

    def open311_error(self, path: str, status: int, detail: str) -> Reply:
        """An error in the form of Open311."""
        return self._citizens.error(path, status, detail)

    # CAP.

    def cap(self, asked: Asked) -> Reply:
        """A message of others, or messages out: `feed`, `received`, `draft/<run>`, an identifier. Raises Refused."""
        if asked.method == "POST":
            return self._take_cap(asked.body)
        if asked.path == "received":
            return self._received()
        if asked.path.startswith(DRAFTS):
            return self._draft(asked.path.removeprefix(DRAFTS))
        alerts = self._alerts()
        if asked.path == "feed":
            zone, names = self.intake.zone, self._names()
            body = capout.feed(
                alerts[-_LISTED:], names[asked.language], self._sender(), zone, self.intake.clock.now_ms()
            )
            return Reply(200, capout.ATOM_MEDIA, body)
        wanted = unquote(asked.path)
        found = next((a for a in alerts if a.identifier == wanted), None)
        if found is None:
            raise Refused(
                404, "unknown_message", "Not Found", "no message has this identifier; /api/v1/cap/feed lists all"
            )
        return Reply(200, MEDIA, to_xml(found, self.intake.zone))

    def _take_cap(self, body: bytes) -> Reply:
        intake = self.intake
        try:
            alert = cap.read(body, intake.box)
            changes = intake.take(cap.event_of(alert, intake.zone, intake.box))
        except (Refusal, NotTaken) as error:
            raise self._refused("cap", body, error) from error
        told = {
            "identifier": alert.identifier, "subject": cap.subject_of(alert), "real": alert.real,
            "duplicate": changes.duplicates > 0, "position": intake.runtime.position,
        }  # fmt: skip
        return Reply(200, "application/json", json.dumps(told, ensure_ascii=False).encode())

    def _refused(self, door: str, body: bytes, error: Refusal | NotTaken) -> Refused:
        rejection = (
            error.rejection if isinstance(error, NotTaken) else Rejection(0, error.reason, error.field, error.detail)
        )
        self.intake.keep(door, body, rejection)
        detail = f"{rejection.field}: {rejection.detail}" if rejection.field else rejection.detail
        return Refused(_STATUS.get(rejection.reason, 400), rejection.reason, "Not taken", detail)

    def _received(self) -> Reply:
        engine, now = self.intake.engine, self.intake.clock.now_ms()
        held: list[Event] = self.intake.ask(lambda: events(engine, "cap.alert"))
        items = [
            {"identifier": e.subject, "sent": e.time, **{k: v for k, v in e.fields.items() if v is not None}}
            for e in cap.in_force(held, now)
        ]
        return Reply(200, "application/json", json.dumps({"at": now, "items": items}, ensure_ascii=False).encode())

    def _sender(self) -> str:
        return self.warnings.sender or f"citytwin.{self.intake.engine.city.name}"

    def _names(self) -> dict[str, str]:
        title = getattr(self.intake.engine.city, "title", {})
        return {
            "zh": self.warnings.name_zh or f"{title.get('zh', '')}城市运行预警",
            "en": self.warnings.name_en or f"Warnings of {title.get('en', self.intake.engine.city.name)}",
        }

    def _alerts(self) -> list[Alert]:
        engine = self.intake.engine
        held = self.intake.ask(lambda: events(engine, "warning"))
        return capout.messages(held, self._sender(), self._area, self._names())

    def _draft(self, run: str) -> Reply:
        """The message that the plan of a run proposes; nothing is issued."""
        engine, now = self.intake.engine, self.intake.clock.now_ms()
        event = self.intake.ask(lambda: drafted(engine, run, now))
        if event is None:
            raise Refused(404, "unknown_case", "Not Found", "no such run is active, or its plan has no draft")
        alert = capout.draft(event, self._sender(), self._area, self._names())
        return Reply(200, MEDIA, to_xml(alert, self.intake.zone))

    def _area(self, event: Event, language: str) -> Area:
        """Where a warning holds: its scope, or the city where none is known; with the polygon that the pack has."""
        scopes, city = self.intake.engine.scopes, self.intake.engine.city
        row = max(event.scope, 0)
        while row > 0 and bool(scopes.unlocated[row]):
            row = int(scopes.parent[row])
        names = [
            (scopes.name_en[r] or scopes.name[r]) if language == "en" else scopes.name[r] for r in scopes.path(row)
        ]
        shape = city.polygon(row) if hasattr(city, "polygon") and scopes.level[row] < len(LEVELS) else None
        rings = caparea.rings_of(shape) if shape is not None else ()
        joined = "".join(reversed(names)) if language == "zh" else ", ".join(names)
        return Area(joined, rings, (), (("scope", scopes.code[row]),))

    # GB/T 28181.

    def gb28181(self, asked: Asked) -> Reply:
        """An alarm of a video platform; its Response says OK or ERROR. Raises Refused when nothing is taken now."""
        intake, body = self.intake, asked.body
        media = "application/xml; charset=gb2312"
        try:
            alarm = gb28181.read(body, intake.zone)
            intake.take(gb28181.event_of(alarm, intake.zone))
        except (Refusal, NotTaken) as error:
            told = self._refused("gb28181", body, error)
            return Reply(told.status, media, gb28181.answer(body, taken=False, why=told.detail))
        return Reply(200, media, gb28181.answer(body, taken=True))
