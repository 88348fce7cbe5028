"""The Python client: values, entities and live frames of a running city, for notebooks and scripts.

from citytwin.client import connect

with connect("http://127.0.0.1:8080") as city:
    print(city.values("aqi", level="district").to_frame())
    for update in city.watch("aqi", scope="420100"):
        print(update.at, update["aqi"])
"""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import websockets.exceptions
from websockets.sync.client import connect as ws_connect
from websockets.typing import Subprotocol

#: Close codes after which coming again makes no sense.
FATAL = {4400, 4401, 4403, 4409}
_LEVELS = ("city", "district", "street", "community", "grid")


class CityError(RuntimeError):
    """The city refused; `status` is the HTTP status or close code, the message says why."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{detail} ({status})")
        self.status, self.detail = status, detail


@dataclass(frozen=True, slots=True)
class Row:
    """One value at one scope; `value` None = no data; `fresh` of `expected` inputs when quality is partial."""

    indicator: str
    code: str
    name: str
    level: str
    value: float | None
    quality: str
    band: str
    closed: float | None
    fresh: int | None = None
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Rows(Sequence[Row]):
    """Values of one moment: `at` ms UTC, log `position`; a sequence of `Row`."""

    at: int
    position: int
    rows: tuple[Row, ...] = field(default_factory=tuple)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        """A row by number, or the rows of an indicator by its id."""
        return tuple(r for r in self.rows if r.indicator == key) if isinstance(key, str) else self.rows[key]

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row per scope; needs pandas."""
        import pandas as pd

        frame = pd.DataFrame(
            [{n: getattr(r, n) for n in Row.__slots__} for r in self.rows], columns=list(Row.__slots__)
        )
        frame.attrs.update(at=self.at, position=self.position)
        return frame


def unfold(indicator: str, columns: Mapping[str, Any], scopes: Mapping[int, tuple[str, str, int]]) -> list[Row]:
    """Rows of the wire's columns; `scopes` gives code, name and level behind each key."""
    q = columns.get("q") or {}
    flags = {name: None if keys is True else set(keys or ()) for name, keys in q.items() if name != "partial"}
    partial = {k: (n, m) for k, n, m in q.get("partial", ())}
    bands = {k: band for band, keys in (columns.get("b") or {}).items() for k in keys}
    closed = columns.get("c") or [None] * len(columns["k"])
    out = []
    for k, v, c in zip(columns["k"], columns["v"], closed, strict=True):
        quality = next(
            (n for n, keys in flags.items() if keys is None or k in keys), "partial" if k in partial else "good"
        )
        code, name, level = scopes[k]
        out.append(
            Row(indicator, code, name, _LEVELS[level], v, quality, bands.get(k, ""), c, *partial.get(k, (None, None)))
        )
    return out


def _scopes(columns: Mapping[str, Any]) -> dict[int, tuple[str, str, int]]:
    parts = (columns[n] for n in ("k", "code", "name", "level"))
    return {k: (code, name, level) for k, code, name, level in zip(*parts, strict=True)}


class City:
    """A connection to a city; use it as a context manager or call `close`."""

    def __init__(self, url: str, token: str | None = None, timeout: float = 10.0) -> None:
        self.url, self.token, self.timeout = url.rstrip("/"), token, timeout
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{url!r} is no address; write it as http://127.0.0.1:8080")
        self._secure, self._netloc, self._base = parts.scheme == "https", parts.netloc, parts.path
        self._http: http.client.HTTPConnection | None = None

    def __enter__(self) -> City:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        if self._http is not None:
            self._http.close()
            self._http = None

    # -- reads -----------------------------------------------------------------------------------------------------

    def _request(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        headers = {"Accept": "application/json", "Content-Type": kind}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        for again in (True, False):
            make = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._http = self._http or make(self._netloc, timeout=self.timeout)
            try:
                self._http.request(method, self._base + path, body, headers)
                answer = self._http.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, ConnectionError):
                self.close()
                if not again or method != "GET":
                    raise
        data = json.loads(text) if text else {}
        if answer.status >= 400:
            raise CityError(answer.status, str(data.get("detail", answer.reason)))
        return data

    def get(self, path: str, **query: Any) -> Any:
        """The answer of any read below /api/v1, as plain Python; a query that is None is left away."""
        given = {k.rstrip("_"): v for k, v in query.items() if v is not None}
        return self._request("GET", f"/api/v1/{path}" + (f"?{urlencode(given)}" if given else ""))

    def indicators(self) -> list[dict[str, Any]]:
        """Definitions of all indicators in force."""
        return list(self.get("indicators")["items"])

    def values(
        self, indicator: str, scope: str | None = None, level: str | None = None, depth: int | None = None
    ) -> Rows:
        """Newest values of an indicator: at a scope, at all scopes of a level inside it, or `depth` levels below it."""
        answer = self.get(f"indicators/{quote(indicator)}/values", scope=scope, level=level, depth=depth)
        rows = unfold(indicator, answer["values"], _scopes(answer["scopes"]))
        return Rows(answer["at"], answer["position"], tuple(rows))

    def series(
        self, indicator: str, scope: str | None = None, start: int | str | None = None, stop: int | str | None = None
    ) -> list[tuple[int, float | None]]:
        """(ms, value) over time at a scope; by default the last 24 hours."""
        query = {"scope": scope, "from": start if start is not None else None, "to": stop}
        if start is None and stop is None:
            query["to"] = int(self.get("indicators")["at"]) + 1
        points = self.get(f"indicators/{quote(indicator)}/values", **query)["series"]
        return list(zip(points["t"], points["v"], strict=True))

    def scopes(self, level: str | None = None, parent: str | None = None) -> list[dict[str, Any]]:
        """Scopes as dictionaries of k, code, name, name_en, parent (k), level."""
        columns = self.get("scopes", level=level, parent=parent)["scopes"]
        names = ("k", "code", "name", "name_en", "parent", "level")
        return [dict(zip(names, row, strict=True)) for row in zip(*(columns[n] for n in names), strict=True)]

    def entities(
        self, kind: str, scope: str | None = None, bbox: tuple[float, float, float, float] | None = None
    ) -> Iterator[dict[str, Any]]:
        """All entities of a kind, page after page."""
        after: str | None = None
        area = ",".join(map(str, bbox)) if bbox else None
        while after != "":
            page = self.get(f"entities/{quote(kind)}", scope=scope, bbox=area, limit=1000, after=after)
            yield from page["items"]
            after = page["next"]

    def entity(self, kind: str, code: str) -> dict[str, Any]:
        """One entity with attributes, readings and relations."""
        return dict(self.get(f"entities/{quote(kind)}/{quote(code)}")["item"])

    def cases(self, scope: str | None = None, open: bool | None = None) -> Iterator[dict[str, Any]]:
        """All cases, page after page; `open` True or False for those only."""
        after: str | None = None
        only = None if open is None else str(open).lower()
        while after != "":
            page = self.get("cases", scope=scope, open=only, limit=1000, after=after)
            yield from page["items"]
            after = page["next"]

    def search(self, text: str) -> list[dict[str, Any]]:
        """Places, entities and indicators by code or name."""
        return list(self.get("search", q=text)["items"])

    def ingest(self, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Send CloudEvents; what became of them, once the log has them."""
        body = json.dumps(list(events)).encode()
        return dict(self._request("POST", "/ingest", body, "application/cloudevents-batch+json"))

    # -- live --------------------------------------------------------------------------------------------------------

    def watch(
        self, *indicators: str, scope: str | None = None, level: str | None = None, depth: int | None = None,
        max_hz: float = 5.0,
    ) -> Iterator[Rows]:  # fmt: skip
        """The newest values, then what changed, for ever; after a cut it goes on where it was."""
        asked = {"ids": list(indicators) or None, "scope": scope, "level": level, "depth": depth}
        scopes: dict[int, tuple[str, str, int]] = {}
        held: list[Row] = []
        for m in self.stream("ind", {k: v for k, v in asked.items() if v is not None}, max_hz):
            scopes.update(_scopes(m["scopes"]) if m.get("scopes") else {})
            held += [r for name, c in (m.get("values") or {}).items() for r in unfold(name, c, scopes)]
            if m["type"] == "delta" or m.get("part") == m.get("of"):
                yield Rows(m["t"], m["position"], tuple(held))
                held = []

    def follow(self, channel: str, scope: str | None = None) -> Iterator[dict[str, Any]]:
        """Entries of `ticker` or `case`: first what is there, then every new one, once and in order.

        After a restart of the server what is there comes again.
        """
        epoch, last = "", 0
        for m in self.stream(channel, {"scope": scope} if scope else {}):
            if m.get("epoch", epoch) != epoch:
                epoch, last = m["epoch"], 0
            yield from (i for i in m.get("items") or () if i["seq"] > last)
            last = max(last, m["seq"])

    def stream(
        self, channel: str, filter: Mapping[str, Any] | None = None, max_hz: float = 5.0
    ) -> Iterator[dict[str, Any]]:
        """Messages `snap`, `delta` and `log` of one subscription as they come; resumes by itself after a cut."""
        ask: dict[str, Any] = {
            "type": "sub",
            "id": 1,
            "channel": channel,
            "filter": dict(filter or {}),
            "max_hz": max_hz,
        }
        tries = 0
        while True:
            try:
                for message in self._messages(ask):
                    tries = 0
                    yield message
            except websockets.exceptions.ConnectionClosed as cut:
                code = cut.rcvd.code if cut.rcvd else 1006
                if code in FATAL:
                    raise CityError(code, cut.rcvd.reason if cut.rcvd else "closed") from cut
            except (OSError, websockets.exceptions.InvalidHandshake):
                if "resume" not in ask:
                    raise
            tries += 1
            time.sleep(min(10.0, 0.2 * 2 ** min(tries, 6)) * (0.5 + random.random() / 2))

    def _messages(self, ask: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Messages of one connection; keeps the place to resume from in `ask`, once the client took the message."""
        scheme = "wss" if self._secure else "ws"
        address = f"{scheme}://{self._netloc}{self._base}/ws"
        protocols = [Subprotocol("citytwin.v1+json")]
        with ws_connect(
            address, subprotocols=protocols, max_size=None, proxy=None, compression=None, open_timeout=self.timeout
        ) as socket:
            socket.send(json.dumps({"type": "hello", "id": 0, **({"token": self.token} if self.token else {})}))
            socket.send(json.dumps(ask))
            for text in socket:
                for message in json.loads(text):
                    if message["type"] == "error":
                        raise CityError(message["code"], message["detail"])
                    if message["type"] in ("snap", "delta", "log"):
                        yield message
                    place = _place(message, ask.get("resume"))
                    if place is not None:
                        ask["resume"] = place


def _place(message: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Where to resume after this message; a snapshot counts once it is complete."""
    if message["type"] == "live":
        return {"epoch": message["epoch"], "seq": message["seq"]}
    if message["type"] in ("delta", "log") and before is not None:
        return {"epoch": before["epoch"], "seq": message["seq"]}
    return None


def connect(url: str = "http://127.0.0.1:8080", token: str | None = None, timeout: float = 10.0) -> City:
    """A client of the city at this address. Raises CityError or OSError when nobody answers."""
    city = City(url, token, timeout)
    try:
        city.get("city")
    except BaseException:
        city.close()
        raise
    return city
