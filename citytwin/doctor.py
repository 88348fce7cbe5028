"""What can be wrong with an installation and its data, each finding with what to do about it."""

from __future__ import annotations

import http.client
import importlib.metadata
import os
import re
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from citytwin import neighbours
from citytwin.config import Config, ConfigError, check_exposure
from citytwin.neighbours import Finding
from citytwin.staffing import known
from citytwin.streams.log import SqliteLog, StoreInUse
from citytwin.streams.snapshots import Snapshots, read
from citytwin.streams.store import Ownership, StoreError

_LOW_BYTES = 2 << 30
#: A disk that takes longer to make a write safe slows the door down.
_SLOW_S = 0.05
#: A clock before this build's year is not set.
_EARLIEST_S = 1_735_689_600


def examine(config: Config, *, quick: bool = False, given: Collection[str] = ()) -> Iterator[Finding]:
    """All findings; reads the whole log unless `quick`. Changes nothing but files that it makes and removes.

    `given`: names of the settings that are no defaults; what they do not name beyond this machine is not looked at.
    """
    folder = Path(config.data.dir).absolute()
    yield from python()
    yield clock(time.time())
    yield exposure(config)
    yield from space(folder)
    yield sync(folder)
    owner = in_use(folder)
    yield owner
    yield port(config, running=owner.level == "note")
    yield log(folder, quick=quick)
    yield from snapshots(folder)
    yield pack(config.city.pack)
    yield pages()
    yield from neighbours.examine(config, given)


def python() -> Iterator[Finding]:
    """Version of Python and of the packages that CityTwin needs."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok", "python", version)
    missing = []
    for line in importlib.metadata.requires("citytwin") or []:
        name = re.split(r"[\s<>=!~;\[]", line, maxsplit=1)[0]
        if "extra ==" in line:
            continue
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("wrong", "packages", f"{', '.join(missing)} missing; run `pip install citytwin` again")
    else:
        yield Finding("ok", "packages", "all there")


def clock(now_s: float) -> Finding:
    """Whether the machine's clock can be right."""
    if now_s < _EARLIEST_S:
        return Finding("wrong", "clock", "it shows a year before 2025; set it, events of today would be of the future")
    return Finding("ok", "clock", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s)))


def exposure(config: Config) -> Finding:
    """Whether others can reach the port and nobody is asked who they are."""
    try:
        people = known(config, Path(config.data.dir))
        check_exposure(config.server, known=people)
    except (ConfigError, OSError, sqlite3.Error) as error:
        return Finding("wrong", "access", str(error))
    told = (("accounts", people), ("a token", config.server.token))
    said = ", ".join(f"{'with' if there else 'without'} {what}" for what, there in told)
    return Finding("ok", "access", f"{config.server.host}, {said}")


def space(folder: Path) -> Iterator[Finding]:
    """Whether the data folder can be written, and how much room there is."""
    at = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=at, prefix=".citytwin-"):
            yield Finding("ok", "data", f"{folder} can be written")
    except OSError as error:
        text = f"{at} cannot be written ({error.strerror}); change its owner or name another folder with --data"
        yield Finding("wrong", "data", text)
    free = shutil.disk_usage(at).free
    if free < _LOW_BYTES:
        text = f"{free / 2**30:.1f} GB free; make room or set log.keep_days, a full disk answers events with 503"
        yield Finding("wrong", "space", text)
    else:
        yield Finding("ok", "space", f"{free / 2**30:.0f} GB free")


def sync(folder: Path) -> Finding:
    """How long the disk takes until what was written is safe: every answer to a source waits for that."""
    at = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=at, prefix=".citytwin-") as file:
            took = sorted(_synced(file) for _ in range(5))[2]
    except OSError as error:
        return Finding("wrong", "disk", f"{at} cannot be written ({error.strerror}); name another folder with --data")
    text = f"a write of 4 KiB is safe after {took * 1000:.1f} ms"
    if took > _SLOW_S:
        return Finding("note", "disk", f"{text}; that is slow, answers to sources wait for it: take a faster disk")
    return Finding("ok", "disk", text)


def _synced(file: IO[bytes]) -> float:
    started = time.perf_counter()
    file.write(bytes(4096))
    file.flush()
    os.fsync(file.fileno())
    return time.perf_counter() - started


def in_use(folder: Path) -> Finding:
    """Whether a city runs on the folder."""
    if not (folder / "log.lock").exists():
        return Finding("ok", "running", "no city runs on the data folder")
    try:
        Ownership(folder / "log.lock").release()
    except StoreInUse as error:
        return Finding("note", "running", str(error).split(";")[0])
    except StoreError as error:
        return Finding("wrong", "running", str(error))
    return Finding("ok", "running", "no city runs on the data folder")


def port(config: Config, *, running: bool) -> Finding:
    """Whether the port is free, where no city is running that has it."""
    server = config.server
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as error:
            if running:
                return Finding("note", "port", f"{server.port} is taken, by the running city as it seems")
            if _is_ours(server.host, server.port):
                return Finding("note", "port", f"{server.port} is taken by a city or gateway that runs")
            text = f"{server.host}:{server.port} cannot be used ({error.strerror}); name another one with --port"
            return Finding("wrong", "port", text)
    return Finding("ok", "port", f"{server.host}:{server.port} is free")


def _is_ours(host: str, port: int) -> bool:
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(local, port, timeout=2)
    try:
        connection.request("GET", "/version")
        return b'"citytwin"' in connection.getresponse().read(1000)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def log(folder: Path, *, quick: bool) -> Finding:
    """Whether every record of the log can be read."""
    path = folder / "log.db"
    if not path.exists():
        return Finding("note", "log", "there is none yet; it is made at the first start")
    try:
        with SqliteLog(path, read_only=True) as found:
            count = found.end - found.first + 1 if quick else found.verify()
            text = f"{count} records, {found.first} to {found.end}, {found.size() / 2**20:.1f} MB"
            return Finding("ok", "log", text + ("" if quick else ", all checked"))
    except StoreError as error:
        return Finding("wrong", "log", str(error))


def snapshots(folder: Path) -> Iterator[Finding]:
    """Whether each snapshot can be read; a damaged one only makes the next start slower."""
    store = Snapshots(folder / "snapshots")
    good = 0
    for position in store.positions():
        try:
            read(store.path(position))
            good += 1
        except StoreError as error:
            yield Finding("note", "snapshot", f"{error}; delete it, an older one or the log takes its place")
    yield Finding("ok" if good else "note", "snapshot", f"{good} can be read")


def pack(name: str) -> Finding:
    """Whether the city pack loads, and rows that it leaves out."""
    from citytwin.twin.pack import PackError, load_city

    try:
        city = load_city(name)
    except (PackError, OSError) as error:
        return Finding("wrong", "city", str(error))
    text = f"{name}: {len(city.scopes)} scopes, {city.entities.n} entities"
    if city.problems:
        return Finding("note", "city", f"{text}; {len(city.problems)} rows left out, the first: {city.problems[0]}")
    return Finding("ok", "city", text)


def pages() -> Finding:
    """Whether the pages are built."""
    import citytwin.dashboards

    folder = Path(citytwin.dashboards.__file__).parent / "static"
    if not (folder / "index.html").is_file():
        return Finding("wrong", "pages", "they are not built; run `make pages`, or install the wheel, which has them")
    return Finding("ok", "pages", f"{sum(1 for p in folder.rglob('*') if p.is_file())} files")
