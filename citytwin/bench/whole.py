"""The measured way of job W: bytes, decode, durable log, engine, frame, wire; CPU time of one core by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from citytwin.bench.job import START_MS
from citytwin.bench.measures import registry
from citytwin.bench.town import BOX, BenchCity
from citytwin.dashboards.encode import Bands, columns
from citytwin.engine import Engine
from citytwin.models.frame import Frame
from citytwin.streams.codec import Codec
from citytwin.streams.decoded import Decoded
from citytwin.streams.log import Events, SqliteLog, Tick
from citytwin.streams.mapping import Mapping

STAGES = ("decode", "log", "feed", "tick", "wire")
_SECRET = b"bench"
_encoder = msgspec.json.Encoder()
Decode = Callable[[bytes], Decoded]


@dataclass(slots=True)
class Clock:
    """CPU seconds of this process by stage, and the wall seconds of all of it."""

    cpu: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    wall: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside to a stage."""
        began = time.process_time()
        yield
        self.cpu[name] += time.process_time() - began

    @property
    def total(self) -> float:
        """CPU seconds of all stages."""
        return sum(self.cpu.values())


@dataclass(slots=True)
class Result:
    """What one run did: rows that came in, were accepted, were refused; values and bytes that went out."""

    rows: int = 0
    accepted: int = 0
    refused: int = 0
    values: int = 0
    wire_bytes: int = 0
    clock: Clock = field(default_factory=Clock)
    tick_ms: list[float] = field(default_factory=list)


def decoder(form: str, city: BenchCity) -> Decode:
    """The door of a format."""
    codec = Codec(city.vocabulary, _SECRET, BOX)
    if form == "ndjson":
        return Mapping.shipped("job_w", codec.rules).decode
    kind = {"cloudevents": "application/cloudevents-batch+json", "arrow": "application/vnd.apache.arrow.stream"}[form]
    return lambda body: codec.decode(body, kind)


def wire(frame: Frame, bands: Bands) -> bytes:
    """The frame's values as the message that all clients of one subscription share."""
    told = {id: columns(v.rows.astype(np.int64), v, bands, slice(None)) for id, v in frame.values.items()}
    return _encoder.encode(told)


def run(bodies: Iterable[bytes], decode: Decode, engine: Engine, log: SqliteLog, first: int = 0) -> Result:
    """Take every body in, a tick after each; the first body is that of second `first`."""
    out, clock, bands = Result(), Clock(), Bands()
    out.clock = clock
    began = time.perf_counter()
    for second, body in enumerate(bodies, first):
        with clock.stage("decode"):
            done = decode(body)
        with clock.stage("log"):
            positions = log.append([Events(b) for b in done.batches])
        with clock.stage("feed"):
            for batch, position in zip(done.batches, positions, strict=True):
                changes = engine.feed(batch, position)
                out.accepted += changes.accepted
                out.refused += len(changes.rejected)
        now = START_MS + (second + 1) * 1000
        with clock.stage("log"):
            position = log.append([Tick(now)])[0]
        ticked = time.perf_counter()
        with clock.stage("tick"):
            frame = engine.tick(now, position)
        out.tick_ms.append((time.perf_counter() - ticked) * 1000)
        with clock.stage("wire"):
            out.wire_bytes += len(wire(frame, bands))
        out.rows += done.total
        out.refused += len(done.rejections)
        out.values += sum(len(v.rows) for v in frame.values.values())
    clock.wall = time.perf_counter() - began
    return out


def measure(form: str, bodies: Iterable[bytes], city: BenchCity, folder: Path) -> tuple[Result, Engine]:
    """One run of a format on a new engine and a new log."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bench-{form}.log"
    for old in folder.glob(path.name + "*"):
        old.unlink()
    engine = Engine(city, registry())
    with SqliteLog(path) as log:
        result = run(bodies, decoder(form, city), engine, log)
    for old in folder.glob(path.name + "*"):
        old.unlink()
    return result, engine
