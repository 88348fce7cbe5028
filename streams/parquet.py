"""History as Parquet files by the hour, which pandas, DuckDB and pyarrow can read while they are written.

`date=YYYY-MM-DD/hour=HH/part-000001.parquet` (UTC), each file written aside, synced and renamed, so a crash leaves no
half one. Small files of an hour that is over become one, sorted, in a folder beside, which then changes places with the
hour's in one step of the file system. Of two rows of the same series and time the one in the later file counts.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from citytwin.models.columns import Bool, Coded, Int64
from citytwin.streams.history import (
    BEAT,
    HOUR_MS,
    LEVEL_NAMES,
    LOOK_BACK_MS,
    HistoryError,
    Points,
    Rows,
    Standing,
    between,
    held,
)
from citytwin.streams.store import unavailable

_log = logging.getLogger(__name__)
_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("ms", tz="UTC")),
        ("indicator", _TEXT),
        ("scope", _TEXT),
        ("level", _TEXT),
        ("value", pa.float64()),
        ("quality", pa.uint8()),
    ]
)
_PART = re.compile(r"part-(\d{6})\.parquet")
#: Rows of a group in a file; sorted by series, so that a read of one takes few of them.
_GROUP = 32_768
_DAY_MS = 24 * HOUR_MS


class ParquetStore:
    """The embedded history. While no file can be written `rows_max` rows wait in memory; beyond them the oldest go."""

    name = "parquet"

    def __init__(
        self, folder: Path, *, flush_ms: int = 60_000, flush_rows: int = 200_000, rows_max: int = 4_000_000,
        keep_days: float = 0.0, beat_ms: int = 10_000, now_ms: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        """Open or make the folder; files come every `flush_ms` or `flush_rows`. `keep_days` 0 = for ever.

        Raises HistoryError.
        """
        self.folder, self._aside = folder, folder.with_name(folder.name + ".merge")
        self._flush_ms, self._flush_rows, self._rows_max = flush_ms, flush_rows, rows_max
        self._keep_ms, self._beat_ms = round(keep_days * _DAY_MS), beat_ms
        self._now = now_ms or (lambda: time.time_ns() // 1_000_000)
        self.standing = Standing()
        self._lock = threading.Lock()
        self._held: list[Rows] = []
        self._since = 0.0
        self._newest = 0
        #: Hours (their beginnings, ms) that may have more than one file.
        self._loose: set[int] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._clean()
        except OSError as error:
            raise HistoryError(f"the history folder {folder} cannot be used: {error.strerror}") from error

    def _clean(self) -> None:
        """Take away what a crash left: files that were not renamed, a folder that was put aside."""
        shutil.rmtree(self._aside, ignore_errors=True)
        for left in self.folder.glob("date=*/hour=*/.*.tmp"):
            left.unlink(missing_ok=True)
        for hour, path in self._hours():
            self._newest = max(self._newest, hour)
            if len(_parts(path)) > 1:
                self._loose.add(hour)

    # Writing.

    def write(self, rows: Rows) -> None:
        """Hold rows until the next file is due."""
        if not len(rows):
            return
        with self._lock:
            if not self._held:
                self._since = time.monotonic()
            self._held.append(rows)
            self.standing.waiting += len(rows)
        if self.standing.waiting >= self._flush_rows and not self.standing.trouble:
            self.flush()

    def work(self) -> None:
        """Write a file when it is time, merge hours that are over, end days that are too old."""
        if self._held and time.monotonic() - self._since >= self._flush_ms / 1000:
            self.flush()
        try:
            self._merge_next()
            self._expire()
        except (OSError, pa.ArrowException) as error:
            self._fail(error)

    def flush(self) -> None:
        """Write what is held into a file for each hour; what cannot be written is held on."""
        with self._lock:
            if not self._held:
                return
            rows = Rows.concat(self._held)
            hours = rows.time // HOUR_MS * HOUR_MS
            left: list[Rows] = []
            for hour in np.unique(hours).tolist():
                part = rows.take(np.flatnonzero(hours == hour))
                try:
                    self._write_part(hour, part)
                except (OSError, pa.ArrowException) as error:
                    self._fail(error)
                    left.append(part)
            self._held, self._since = left, time.monotonic()
            self.standing.waiting = sum(map(len, left))
            if not left:
                self.standing.trouble = ""
            self._bound()

    def _write_part(self, hour: int, rows: Rows) -> None:
        path = self._path(hour)
        path.mkdir(parents=True, exist_ok=True)
        before = _parts(path)
        number = int(_PART.fullmatch(before[-1].name)[1]) + 1 if before else 1  # type: ignore[index]
        _write_file(_newest_only(_table(rows)), path / f"part-{number:06d}.parquet")
        self.standing.written += len(rows)
        self._newest = max(self._newest, hour)
        if before:
            self._loose.add(hour)

    def _bound(self) -> None:
        while self.standing.waiting > self._rows_max and self._held:
            gone = len(self._held.pop(0))
            self.standing.waiting -= gone
            self.standing.dropped += gone

    def _fail(self, error: Exception) -> None:
        self.standing.errors += 1
        plain = unavailable(error, self.folder)
        self.standing.trouble = str(plain or f"the history under {self.folder} cannot be written: {error}")

    # Upkeep.

    def _merge_next(self) -> None:
        """One file for one hour that is over; the next at the next call."""
        # a source whose clock is ahead ends no hour
        over = [h for h in self._loose if h < self._newest and h + HOUR_MS <= self._now()]
        if not over:
            return
        hour = min(over)
        self._loose.discard(hour)  # one that cannot be merged waits for the next start, the others do not
        path = self._path(hour)
        parts = _parts(path)
        if len(parts) > 1:
            shutil.rmtree(self._aside, ignore_errors=True)
            self._aside.mkdir()
            table = pa.concat_tables([pq.read_table(p, schema=SCHEMA, partitioning=None) for p in parts])
            _write_file(_newest_only(table), self._aside / parts[-1].name)
            with self._lock:
                _change_places(self._aside, path)
            shutil.rmtree(self._aside, ignore_errors=True)

    def _expire(self) -> None:
        if not self._keep_ms:
            return
        # The newest row may be of a source whose clock is ahead: then this machine's clock counts.
        before = min(self._newest + HOUR_MS, self._now()) - self._keep_ms
        for path in sorted(self.folder.glob("date=*"))[:-1]:
            day = _ms(path.name.removeprefix("date="))
            if day is None or day + _DAY_MS > before:
                break
            with self._lock:
                shutil.rmtree(path, ignore_errors=True)
            self._loose = {h for h in self._loose if h >= day + _DAY_MS}

    # Reading.

    def read(self, indicator: str, scope: str, start: int, stop: int, step: int) -> Points:
        """The series start <= time < stop; see History."""
        since = start - LOOK_BACK_MS if step else start
        points, beats = (between(p, since, stop) for p in self._series(indicator, scope, since, stop, beats=bool(step)))
        return held(points, beats, start, stop, step, self._beat_ms) if step else points

    def _series(self, indicator: str, scope: str, since: int, stop: int, *, beats: bool) -> tuple[Points, Points]:
        wanted: list[tuple[str, str | None]] = [(indicator, scope), *([(BEAT, None)] if beats else [])]
        with self._lock:
            files = [p for _, path in self._hours(since, stop) for p in _parts(path)]
            found = [_read_file(p, wanted) for p in files]
            found += [[_chosen(r, *w) for w in wanted] for r in self._held]
        series, pulse = (_in_order([f[i] for f in found if i < len(f)]) for i in (0, 1))
        return series, pulse

    def _hours(self, since: int | None = None, stop: int | None = None) -> Iterator[tuple[int, Path]]:
        """Folders of hours that overlap since .. stop, oldest first."""
        low = -_DAY_MS if since is None else since
        for day in sorted(self.folder.glob("date=*")):
            begin = _ms(day.name.removeprefix("date="))
            if begin is None or begin + _DAY_MS <= low or (stop is not None and begin >= stop):
                continue
            for path in sorted(day.glob("hour=[0-9][0-9]")):
                hour = begin + int(path.name.removeprefix("hour=")) * HOUR_MS
                if hour + HOUR_MS > low and (stop is None or hour < stop):
                    yield hour, path

    def _path(self, hour: int) -> Path:
        when = datetime.fromtimestamp(hour / 1000, UTC)
        return self.folder / f"date={when:%Y-%m-%d}" / f"hour={when:%H}"

    def close(self) -> None:
        """Write what is held."""
        self.flush()


def _table(rows: Rows) -> pa.Table:
    level = pa.DictionaryArray.from_arrays(pa.array(rows.level.astype(np.int32)), pa.array(LEVEL_NAMES))
    columns = [
        pa.array(rows.time).cast(SCHEMA.field("time").type), _coded(rows.indicator), _coded(rows.scope), level,
        pa.array(rows.value), pa.array(rows.quality),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _coded(column: Coded) -> pa.DictionaryArray:
    used, codes = np.unique(column.codes, return_inverse=True)
    names = pa.array([column.names[i] for i in used.tolist()], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names)


def _newest_only(table: pa.Table) -> pa.Table:
    """Sorted by series and time; of rows of the same series and time only the last."""
    table = table.unify_dictionaries().combine_chunks()
    time = np.asarray(table.column("time").cast(pa.int64()))
    keys = [_ranks(table.column("indicator")), _ranks(table.column("scope")), time]
    order = np.lexsort(keys[::-1])  # stable: what came later stays behind
    last = np.ones(len(order), np.bool_)
    last[:-1] = np.any([k[order][1:] != k[order][:-1] for k in keys], axis=0)
    return table.take(pa.array(order[last]))


def _ranks(column: pa.ChunkedArray) -> Int64:
    """Places of a column's texts in their order."""
    array = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], _TEXT)
    names = array.dictionary.to_pylist()
    place = np.empty(len(names), np.int64)
    place[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    ranks: Int64 = place[np.asarray(array.indices)]
    return ranks


def _write_file(table: pa.Table, path: Path) -> None:
    """Aside, synced, renamed, the folder synced: after a crash it is there whole or not at all."""
    aside = path.with_name(f".{path.name}.tmp")
    try:
        with aside.open("wb") as out:
            pq.write_table(table, out, row_group_size=_GROUP, compression="zstd", write_statistics=True)
            out.flush()
            os.fsync(out.fileno())
        aside.rename(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _change_places(new: Path, old: Path) -> None:
    """Exchange two folders in one step; where the system cannot, the new file comes first and then the old ones go."""
    libc = ctypes.CDLL(None, use_errno=True)
    exchange = getattr(libc, "renameat2", None)
    here = -100  # AT_FDCWD; the flag 2 is RENAME_EXCHANGE
    if exchange is not None and exchange(here, os.fsencode(new), here, os.fsencode(old), 2) == 0:
        _sync(old.parent)
        return
    names = [p.name for p in _parts(old)]
    (new / names[-1]).replace(old / names[-1])
    for name in names[:-1]:
        (old / name).unlink(missing_ok=True)
    _sync(old)


def _parts(path: Path) -> list[Path]:
    """Finished files of an hour, oldest first."""
    return sorted(p for p in path.glob("part-*.parquet") if _PART.fullmatch(p.name))


def _read_file(path: Path, wanted: list[tuple[str, str | None]]) -> list[Points]:
    """Points of each wanted indicator and scope (None: any). Raises HistoryError."""
    try:
        return _read_groups(path, wanted)
    except (OSError, pa.ArrowException) as error:
        raise HistoryError(f"{path} cannot be read ({error}); move it away, the log still has its hour") from error


def _read_groups(path: Path, wanted: list[tuple[str, str | None]]) -> list[Points]:
    """Only groups that can hold one of the wanted are read: files are sorted by series."""
    with pq.ParquetFile(path, read_dictionary=["indicator", "scope"]) as file:
        at, facts = SCHEMA.get_field_index("indicator"), file.metadata
        groups = []
        for number in range(facts.num_row_groups):
            span = facts.row_group(number).column(at).statistics
            if span is None or not span.has_min_max or any(span.min <= w <= span.max for w, _ in wanted):
                groups.append(number)
        if not groups:
            return [Points.none() for _ in wanted]
        table = file.read_row_groups(groups, ["time", "indicator", "scope", "value", "quality"], use_threads=False)
    time = np.asarray(table.column("time").cast(pa.int64()), np.int64)
    value, quality = np.asarray(table.column("value"), np.float64), np.asarray(table.column("quality"), np.uint8)
    out = []
    for indicator, scope in wanted:
        mask = _equals(table.column("indicator"), indicator)
        if scope is not None:
            mask &= _equals(table.column("scope"), scope)
        out.append(Points(time, value, quality).take(mask))
    return out


def _equals(column: pa.ChunkedArray, name: str) -> Bool:
    parts = [np.zeros(0, np.bool_)]
    for chunk in column.chunks:
        code = chunk.dictionary.index(name).as_py()
        parts.append(np.asarray(chunk.indices) == code if code >= 0 else np.zeros(len(chunk), np.bool_))
    return np.concatenate(parts)


def _chosen(rows: Rows, indicator: str, scope: str | None) -> Points:
    mask = rows.indicator.equals(indicator)
    if scope is not None:
        mask = mask & rows.scope.equals(scope)
    return Points(rows.time[mask], rows.value[mask], rows.quality[mask])


def _in_order(parts: list[Points]) -> Points:
    """By time; of several at one time the one that was written last."""
    if not parts:
        return Points.none()
    whole = Points(*(np.concatenate(c) for c in zip(*parts, strict=True)))
    whole = whole.take(np.argsort(whole.time, kind="stable"))
    last = np.ones(len(whole.time), np.bool_)
    np.not_equal(whole.time[1:], whole.time[:-1], out=last[:-1])
    return whole.take(last)


def _ms(date: str) -> int | None:
    try:
        return round(datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:  # a folder of somebody else
        return None
