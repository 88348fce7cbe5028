"""The generator of job W: the same seeded readings as NDJSON, CloudEvents batches and Arrow streams, kept in files.

A file holds one body per simulated second, back to back; beside it lie the ends of the bodies. Names carry a hash of
all that decides the content, so a changed generator makes new files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from citytwin.bench.measures import EVENT, KINDS
from citytwin.bench.town import BOX, START_MS, device_codes, homes
from citytwin.models.columns import Bool, Float64, Int64

FORMATS = ("ndjson", "cloudevents", "arrow")
SECONDS = 600
_VERSION = 4
_FIXED, _LATE, _BAD = 0.8, 0.05, 0.005
#: What is wrong with a flawed reading.
_FLAWS: tuple[Callable[[dict[str, object]], dict[str, object]], ...] = (
    lambda _: {"v1": 1e9},
    lambda row: {"lon": row["lat"], "lat": row["lon"]},
    lambda _: {"type": "unheard-of"},
    lambda _: {"q": "broken"},
    lambda _: {"id": ""},
)
_QUALITY = ("good", "suspect", "bad")


@dataclass(frozen=True, slots=True)
class Job:
    """How much of it: events, devices, simulated seconds, seed."""

    events: int = 1_000_000
    devices: int = 50_000
    seconds: int = SECONDS
    seed: int = 7


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """All readings as columns of n rows in order of arrival; `flaw` 0 = valid, else the kind of flaw."""

    second: Int64
    ids: list[str]
    device: Int64
    kind: Int64
    time: Int64
    lon: Float64
    lat: Float64
    v1: Float64
    v2: Float64
    quality: Int64
    flaw: Int64


def _ids(n: int, rng: np.random.Generator) -> list[str]:
    raw = rng.bytes(16 * n).hex()
    cuts = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    return ["urn:uuid:" + "-".join(raw[32 * i + a : 32 * i + b] for a, b in cuts) for i in range(n)]


def readings(job: Job) -> Readings:
    """The readings of a job, the same for the same arguments."""
    n, rng = job.events, np.random.default_rng([job.seed, 4])
    second = np.arange(n, dtype=np.int64) * job.seconds // n
    device = rng.integers(0, job.devices, n)
    late = np.where(rng.random(n) < _LATE, rng.integers(0, 30_000, n), 0)
    time = START_MS + second * 1000 + rng.integers(0, 1000, n) - late
    lon, lat = (home[device] for home in homes(job.devices, job.seed))
    moving: Bool = device >= int(job.devices * _FIXED)
    for column in (lon, lat):
        column[moving] = np.round(column[moving] + rng.uniform(-0.019, 0.019, int(moving.sum())), 6)
    quality = rng.choice(3, n, p=(0.9, 0.07, 0.03))
    flaw = np.where(rng.random(n) < _BAD, rng.integers(1, len(_FLAWS) + 1, n), 0)
    v1 = np.round(rng.gamma(4.0, 10.0, n), 2)
    v2 = np.round(rng.normal(20.0, 8.0, n), 2)
    kind = device % len(KINDS)
    return Readings(second, _ids(n, rng), device, kind, time, lon, lat, v1, v2, quality, flaw)


def _plain(r: Readings) -> Iterator[tuple[int, dict[str, object]]]:
    """Second and values of each reading; a flawed one has a wrong value."""
    columns = (
        r.second.tolist(), r.ids, [KINDS[k] for k in r.kind.tolist()], device_codes(r.device), r.time.tolist(),
        r.lon.tolist(), r.lat.tolist(), r.v1.tolist(), r.v2.tolist(), [_QUALITY[q] for q in r.quality.tolist()],
        r.flaw.tolist(),
    )  # fmt: skip
    names = ("id", "type", "device", "t", "lon", "lat", "v1", "v2", "q")
    for second, *values, flaw in zip(*columns, strict=True):
        row: dict[str, object] = dict(zip(names, values, strict=True))
        if flaw:
            row |= _FLAWS[flaw - 1](row)
        yield second, row


def _line(row: dict[str, object]) -> bytes:
    """A line of 195 bytes or so; one without an id is cut off in the middle instead."""
    text = json.dumps(row, separators=(",", ":"))
    return (text if row["id"] else text[:90]).encode() + b"\n"


def _cloudevent(row: dict[str, object]) -> bytes:
    t = int(str(row["t"]))
    stamp = str(np.datetime64(t, "ms")) + "Z"
    data = {"kind": row["type"], "v1": row["v1"], "v2": row["v2"], "q": row["q"]}
    event = {
        "specversion": "1.0", "id": row["id"], "source": "bench", "type": EVENT, "subject": row["device"],
        "time": stamp, "datacontenttype": "application/json", "lon": row["lon"], "lat": row["lat"], "data": data,
    }  # fmt: skip
    return json.dumps(event, separators=(",", ":")).encode()


def _arrow(rows: list[dict[str, object]]) -> bytes:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    names = {"type": "kind", "device": "subject", "t": "time"}
    arrays = {names.get(n, n): pa.array(c) for n, c in columns.items()}
    arrays["kind"], arrays["q"] = arrays["kind"].dictionary_encode(), arrays["q"].dictionary_encode()
    arrays["source"] = pa.array(["bench"] * len(rows)).dictionary_encode()
    schema = pa.schema([(n, a.type) for n, a in arrays.items()], metadata={"type": EVENT})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(list(arrays.values()), schema=schema))
    raw: bytes = sink.getvalue().to_pybytes()
    return raw


def _body(form: str, rows: list[dict[str, object]]) -> bytes:
    if form == "ndjson":
        return b"".join(map(_line, rows))
    if form == "cloudevents":
        return b"[" + b",".join(map(_cloudevent, rows)) + b"]"
    return _arrow(rows)


def _seconds(job: Job) -> Iterator[list[dict[str, object]]]:
    held: list[dict[str, object]] = []
    at = 0
    for second, row in _plain(readings(job)):
        if second != at:
            yield held
            held, at = [], second
        held.append(row)
    yield held


def paths(job: Job, folder: Path) -> dict[str, Path]:
    """The file of each format."""
    mark = hashlib.blake2b(repr((_VERSION, job, BOX, KINDS)).encode(), digest_size=6).hexdigest()
    return {form: folder / f"w-{job.events}-{job.devices}-{mark}.{form}" for form in FORMATS}


def prepare(job: Job, folder: Path, forms: Sequence[str] = FORMATS) -> dict[str, Path]:
    """Write the files of these formats that are not there yet."""
    found = {form: path for form, path in paths(job, folder).items() if form in forms}
    if all(p.with_suffix(p.suffix + ".ends.npy").exists() for p in found.values()):
        return found
    folder.mkdir(parents=True, exist_ok=True)
    files = {form: path.open("wb") for form, path in found.items()}
    ends: dict[str, list[int]] = {form: [] for form in found}
    for rows in _seconds(job):
        for form, file in files.items():
            file.write(_body(form, rows))
            ends[form].append(file.tell())
    for form, file in files.items():
        file.close()
        np.save(found[form].with_suffix(found[form].suffix + ".ends.npy"), np.array(ends[form]))
    return found


def bodies(path: Path) -> Iterator[bytes]:
    """The body of each simulated second."""
    ends = np.load(path.with_suffix(path.suffix + ".ends.npy")).tolist()
    with path.open("rb") as file:
        at = 0
        for end in ends:
            yield file.read(end - at)
            at = end


__all__ = ["FORMATS", "START_MS", "Job", "Readings", "bodies", "paths", "prepare", "readings"]
