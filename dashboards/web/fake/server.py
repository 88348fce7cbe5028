"""A small fake of the server for work on the page and its tests: same paths, same messages, a made-up story.

python dashboards/web/fake/server.py --port 8090
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from ground import Ground
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect
from story import TABLE, Story, indicators

STATIC = Path(__file__).resolve().parents[2] / "static"
BETTER = {r[0]: (r[5], r[7]) for r in TABLE}
LEVELS = ["city", "district", "street", "community", "grid"]
DEVICES = 900


class Fake:
    """State of the fake: ground, story, frames, log entries."""

    def __init__(self, period: float) -> None:
        self.ground = Ground()
        self.story = Story(self.ground)
        self.story.start = time.time() * 1000 - 4.0e6
        self.epoch = f"fake{int(time.time())}"
        self.period = period
        self.k = 0
        self.now = int(time.time() * 1000)
        self.born = self.now
        self.current = self.story.values(self.now)
        self.changed: dict[str, Any] = {}
        self.cases = [self.story.case(n, self.now) for n in range(214)]
        self.ticker: list[dict[str, Any]] = []
        for n in range(12):
            self.say(self.now - (12 - n) * 9000)
        self.devices = self.make_devices()
        self.history: dict[int, dict[str, Any]] = {}
        self.wake = asyncio.Condition()

    def past(self, t: int) -> dict[str, Any]:
        """Values at a time of the past, kept."""
        if t not in self.history:
            self.history[t] = self.story.values(t, True)
        return self.history[t]

    def make_devices(self) -> dict[int, dict[str, Any]]:
        """Devices near the centre, most of them online."""
        rng = np.random.default_rng(3)
        cells = np.flatnonzero((self.story.level == 4) & ~self.ground.unlocated)
        rows = rng.choice(cells, DEVICES)
        base = 100_000
        return {
            base + i: dict(lon=float(self.story.lon[r] + rng.normal(0, 0.002)), lat=float(self.story.lat[r] + rng.normal(0, 0.002)),
                           scope=int(r), type="水位计", online=bool(rng.uniform() > 0.04), code=f"WX-{i:04d}", name=f"水位计 WX-{i:04d}")
            for i, r in enumerate(rows)
        }  # fmt: skip

    def say(self, at: int) -> None:
        """One more ticker entry."""
        n = len(self.ticker)
        device = f"WX-{(n * 37) % DEVICES:04d}"
        case = f"C-{10000 + n % 214}"
        entries = [
            ("device.status", device, dict(state="online")), ("case.reported", case, dict(category="flood.waterlog", channel="12345")),
            ("case.arrived", case, {}),
        ]  # fmt: skip
        kind, subject, words = entries[n % 3]
        self.ticker.append(dict(seq=n + 1, t=at, type=kind, subject=subject, id=f"e{n}", words=words))

    def tick(self) -> None:
        """A new frame: what changed since the last one."""
        self.k += 1
        self.now = int(time.time() * 1000)
        fresh = self.story.values(self.now)
        rng = np.random.default_rng(self.k)
        mask = rng.uniform(size=len(self.story.lon)) < 0.15
        mask[self.story.level <= 1] = True
        self.changed = {}
        for i, v in fresh.items():
            old = self.current[i]
            rows = np.flatnonzero((v != old) & mask & ~np.isnan(v))
            old[rows] = v[rows]
            if len(rows):
                self.changed[i] = rows
        if self.k % 3 == 0:
            self.say(self.now)

    def columns(self, i: str, rows: Any) -> dict[str, Any]:
        """Values of an indicator as the wire has them, with the faults of the story."""
        values = self.current[i][rows]
        better, bands = BETTER[i]
        keys = [int(r) for r in rows]
        out: dict[str, Any] = {"k": keys, "v": [None if math.isnan(x) else float(x) for x in values]}
        quality: dict[str, Any] = {"nodata": [k for k, x in zip(keys, out["v"], strict=True) if x is None]}
        if i == "station_crowd":
            out["v"], quality = [None] * len(keys), {"nodata": True}
        if i == "aqi":
            quality["stale"] = True
        if i == "rain_hour_max":
            quality["partial"] = [[k, 12, 13] for k in keys if k == 0]
            none = [
                n
                for n, k in enumerate(keys)
                if self.ground.name[k] == "汉南区" or self.ground.code[k].startswith("420113")
            ]
            for n in none:
                out["v"][n] = None
            quality["nodata"] = [keys[n] for n in none]
        if i == "traffic_tti":
            quality["provisional"] = True
        out["q"] = quality
        out["b"] = banded(keys, out["v"], better, bands)
        return out

    def wanted(self, filter_: dict[str, Any]) -> tuple[Any, list[str]]:
        """Rows and indicators of a filter."""
        top = self.ground.code.index(filter_["scope"]) if filter_.get("scope") else 0
        parent, level = self.story.parent, self.story.level
        inside = np.zeros(len(parent), bool)
        inside[top] = True
        for _ in range(4):
            inside |= (parent >= 0) & inside[parent]
        inside &= ~self.ground.unlocated
        if filter_.get("level"):
            keep = inside & (level == LEVELS.index(filter_["level"]))
        else:
            keep = inside & (level <= level[top] + filter_.get("depth", 0))
        return np.flatnonzero(keep), filter_.get("ids") or [r[0] for r in TABLE]

    def dictionary(self, rows: Any) -> dict[str, Any]:
        """Scopes behind keys."""
        g = self.ground
        keys = [int(r) for r in rows]
        return dict(k=keys, code=[g.code[r] for r in keys], name=[g.name[r] for r in keys], name_en=[g.name_en[r] for r in keys],
                    parent=[int(g.parent[r]) for r in keys], level=[int(g.level[r]) for r in keys],
                    synthetic=[r for r in keys if g.synthetic[r]], unlocated=[r for r in keys if g.unlocated[r]])  # fmt: skip

    def sys(self) -> dict[str, Any]:
        """What the engine says of itself."""
        at = self.now
        names = ["water", "weather", "traffic", "hotline", "air", "gas", "power"]
        marks = {n: at - 7_000_000 if n == "air" else at - 1500 * (j + 1) for j, n in enumerate(names)}
        step = 600_000
        rates = [
            int(40 + 25 * math.sin(j / 22) + (j > 126) * (j - 126) * 9 + 6 * math.sin(j * 1.7)) for j in range(144)
        ]
        rejected = dict(bad_time=21, unknown_subject=11, out_of_range=5 + self.k // 20)
        accepted = int(1_284_000 + (at - self.born) * 0.096)
        return dict(
            accepted=accepted,
            rejected=rejected,
            watermarks=marks,
            event_rates=dict(end=(at // step + 1) * step, step=step, values=rates),
        )


def banded(keys: list[int], values: list[float | None], better: str, bands: dict[str, float]) -> dict[str, list[int]]:
    """Keys by the worst band that they are in."""
    out: dict[str, list[int]] = {}
    for k, v in zip(keys, values, strict=True):
        for name in ("red", "orange", "yellow", "blue"):
            if v is not None and name in bands and (v < bands[name] if better == "up" else v >= bands[name]):
                out.setdefault(name, []).append(k)
                break
    return out


class Client:
    """One connection: its subscriptions and what it was told."""

    def __init__(self, fake: Fake, socket: WebSocket) -> None:
        self.fake, self.socket = fake, socket
        self.subs: dict[int, dict[str, Any]] = {}

    async def say(self, *messages: dict[str, Any]) -> None:
        await self.socket.send_text(json.dumps(list(messages), ensure_ascii=False))

    async def snap(self, id_: int, mode: str = "full", keep: Any = None) -> None:
        """A snapshot and live."""
        f, sub = self.fake, self.subs[id_]
        channel, filter_ = sub["channel"], sub.get("filter", {})
        sub["seq"] = f.k
        head = dict(id=id_, channel=channel, epoch=f.epoch, seq=f.k, t=f.now, position=f.k, part=1, of=1)
        body: dict[str, Any] = {}
        if channel == "ind":
            rows, ids = f.wanted(filter_)
            body = dict(scopes=f.dictionary(rows), values={i: f.columns(i, rows) for i in ids})
        elif channel == "sys":
            body = dict(sys=f.sys())
        elif channel == "case":
            body = dict(items=[dict(seq=n + 1, **c) for n, c in enumerate(f.cases)])
        elif channel == "ticker":
            body = dict(items=f.ticker[-200:])
            sub["at"] = len(f.ticker)
        elif channel == "twin/device":
            w, s, e, n = filter_.get("bbox", (-180, -90, 180, 90))
            inside = {k: d for k, d in f.devices.items() if w <= d["lon"] <= e and s <= d["lat"] <= n}
            keys = list(inside)
            columns = {c: [inside[k][c] for k in keys] for c in ("lon", "lat", "scope", "type", "online")}
            names = dict(
                k=keys,
                code=[inside[k]["code"] for k in keys],
                name=[inside[k]["name"] for k in keys],
                name_en=["" for _ in keys],
            )
            body = dict(twin=dict(k=keys, columns=columns, names=names))
        live = dict(type="live", id=id_, channel=channel, epoch=f.epoch, seq=f.k)
        await self.say(dict(type="snap", mode=mode, **head, **body), live)

    def news(self) -> list[dict[str, Any]]:
        """What this client has not been told."""
        f = self.fake
        out: list[dict[str, Any]] = []
        for id_, sub in self.subs.items():
            head = dict(id=id_, channel=sub["channel"], seq=f.k, prev=sub["seq"])
            body: dict[str, Any] = {}
            if sub["channel"] == "ind":
                rows, ids = f.wanted(sub.get("filter", {}))
                mine = {i: np.intersect1d(f.changed[i], rows) for i in ids if i in f.changed}
                body = dict(values={i: f.columns(i, r) for i, r in mine.items() if len(r)})
            elif sub["channel"] == "sys":
                body = dict(sys=f.sys())
            elif sub["channel"] == "ticker":
                items = f.ticker[sub["at"] :]
                sub["at"] = len(f.ticker)
                if not items:
                    continue
                out.append(dict(type="log", **head, items=items))
                sub["seq"] = f.k
                continue
            else:
                continue
            sub["seq"] = f.k
            out.append(dict(type="delta", **head, t=f.now, position=f.k, **body))
        wall = int(time.time() * 1000)
        out.append(dict(type="hb", now=f.now, wall=wall, lag_ms=max(0, wall - f.now), position=f.k, seqs={}))
        return out

    async def hear(self, m: dict[str, Any]) -> None:
        """One message of the page."""
        f = self.fake
        if m["type"] == "hello":
            city = dict(name="wuhan", title=dict(zh="武汉", en="Wuhan"), timezone="Asia/Shanghai")
            await self.say(dict(type="welcome", id=0, server="fake", epoch=f.epoch, now=f.now, position=f.k, definitions="1", city=city,
                                channels=["ind", "case", "ticker", "sys", "twin/device"], limits={}))  # fmt: skip
        elif m["type"] in ("sub", "resub"):
            old = self.subs.get(m["id"], {})
            self.subs[m["id"]] = dict(channel=m.get("channel", old.get("channel")), filter=m.get("filter", {}))
            await self.snap(m["id"], "diff" if m["type"] == "resub" else "full")
        elif m["type"] == "unsub":
            self.subs.pop(m["id"], None)
            await self.say(dict(type="done", id=m["id"]))


def app(fake: Fake) -> Starlette:
    """The routes."""

    async def ws(socket: WebSocket) -> None:
        await socket.accept("citytwin.v1+json")
        client = Client(fake, socket)

        async def push() -> None:
            while True:
                async with fake.wake:
                    await fake.wake.wait()
                await client.say(*client.news())

        task = asyncio.create_task(push())
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await client.hear(json.loads(await socket.receive_text()))
        task.cancel()

    def about(_: Request) -> Response:
        return JSONResponse(
            dict(name="wuhan", title=dict(zh="武汉", en="Wuhan"), timezone="Asia/Shanghai", edition="fake")
        )

    def inds(_: Request) -> Response:
        return JSONResponse(dict(definitions="1", items=indicators()))

    def scopes(_: Request) -> Response:
        return JSONResponse(dict(scopes=fake.dictionary(range(len(fake.ground.code)))))

    def layer(request: Request) -> Response:
        return Response(fake.ground.layer(request.path_params["name"]), media_type="application/geo+json")

    def values(request: Request) -> Response:
        i, q = request.path_params["id"], request.query_params
        row = fake.ground.code.index(q["scope"])
        times = list(range(int(q["from"]), int(q["to"]), int(q["step"])))
        series = [None if i == "station_crowd" or t > fake.now else clean(fake.past(t)[i][row]) for t in times]
        return JSONResponse(dict(series=dict(t=times, v=series)))

    def dead(_: Request) -> Response:
        counts = fake.sys()["rejected"]
        return JSONResponse(dict(total=sum(counts.values()), by_reason=counts, by_source={}, newest=[]))

    def search(request: Request) -> Response:
        q = request.query_params["q"].lower()
        g = fake.ground
        found = [
            dict(what="scope", code=g.code[r], name=g.name[r])
            for r in range(len(g.code))
            if q in g.name[r].lower() or g.code[r].startswith(q)
        ]
        found = (
            found[:15]
            + [dict(what="entity", kind="device", **d) for d in fake.devices.values() if q in d["code"].lower()][:10]
        )
        return JSONResponse(dict(items=found))

    def entity(request: Request) -> Response:
        code = request.path_params["code"]
        d = next((d for d in fake.devices.values() if d["code"] == code), None)
        if d is None:
            return JSONResponse(dict(title="not found", status=404), 404)
        readings = [
            dict(property="water.depth", value=31.0, unit="cm", time=fake.now - 4000, quality="good"),
            dict(property="device.battery", value=87.0, unit="%", time=fake.now - 64000, quality="good"),
        ]
        item = dict(kind="device", code=code, name=d["name"], name_en="", lon=d["lon"], lat=d["lat"], scope=d["scope"], path=[dict(k=d["scope"])],
                    attributes=dict(model="SW-20", period_s=60, installed="2024-05-11"), readings=readings, relations=[dict(relation="observes", kind="facility", code="FAC-1", name="三阳路下穿通道")])  # fmt: skip
        return JSONResponse(dict(item=item))

    @contextlib.asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(fake.period)
                fake.tick()
                async with fake.wake:
                    fake.wake.notify_all()

        task = asyncio.create_task(beat())
        yield
        task.cancel()

    routes = [
        WebSocketRoute("/ws", ws), Route("/api/v1/city", about), Route("/api/v1/indicators", inds), Route("/api/v1/scopes", scopes),
        Route("/api/v1/layers/{name}", layer), Route("/api/v1/indicators/{id}/values", values), Route("/api/v1/search", search), Route("/api/v1/deadletters/summary", dead),
        Route("/api/v1/entities/{kind}/{code}", entity), Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]  # fmt: skip
    return Starlette(routes=routes, lifespan=life)


def clean(x: float) -> float | None:
    """None for NaN."""
    return None if math.isnan(x) else float(x)


def main() -> None:
    """Serve until interrupted."""
    args = argparse.ArgumentParser()
    args.add_argument("--port", type=int, default=8090)
    args.add_argument("--period", type=float, default=1.0)
    given = args.parse_args()
    fake = Fake(given.period)
    print(f"ready http://127.0.0.1:{given.port}/", flush=True)
    uvicorn.run(
        app(fake),
        host="127.0.0.1",
        port=given.port,
        log_level="warning",
        ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
