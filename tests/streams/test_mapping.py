"""Foreign layouts: real files, local times, units, several events of one row, and the columnar path against the law."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.batch import REASONS, EventBatch
from citytwin.models.columns import Coded, Strings
from citytwin.models.events import VOCABULARY
from citytwin.streams.decoded import BadBody, Decoded
from citytwin.streams.mapping import Mapping, MappingError
from citytwin.streams.rules import Rules

RULES = Rules(VOCABULARY(), b"secret")
WUHAN = Rules(VOCABULARY(), b"secret", (113.6, 29.9, 115.1, 31.4))
DATA = Path(__file__).parent.parent / "data"
GAUGE = """
format = "csv"
timezone = "Asia/Shanghai"
times = ["%Y/%m/%d %H:%M"]
nulls = ["", "-"]
[[events]]
type = "obs"
id = "{n}"
source = "gauge"
time = "{t}"
skip_null = ["value"]
[events.fields]
property = "river.level"
value = { column = "cm", factor = 0.01 }
quality = { column = "q", map = { ok = "good", "?" = "suspect" } }
"""


def flat(decoded: Decoded) -> list[tuple[Any, ...]]:
    """Every event taken, by position, with all its values."""
    rows: list[tuple[Any, ...]] = []
    for batch, index in zip(decoded.batches, decoded.index, strict=True):
        columns = [_listed(getattr(batch, n)) for n in EventBatch.__slots__ if n not in ("type", "fields")]
        columns += [_listed(c) for c in batch.fields.values()]
        rows += [(i, batch.type, *values) for i, *values in zip(index.tolist(), *columns, strict=True)]
    return sorted(rows)


def _listed(column: Any) -> list[Any]:
    if isinstance(column, Strings | Coded):
        return column.tolist()
    return ["nan" if math.isnan(v) else v for v in column.tolist()]


def test_the_air_quality_file_becomes_readings() -> None:
    done = Mapping.shipped("air_quality", WUHAN).decode((DATA / "air_quality_20190718.csv").read_bytes())
    assert (done.total, done.rejections, [b.type for b in done.batches]) == (50, [], ["obs"])
    batch = done.batches[0]
    assert len(batch) == 50 * 6 - 7  # seven measurements are empty
    first = batch.take(done.index[0] == 1)
    named = dict(zip(_listed(first.fields["property"]), _listed(first.fields["value"]), strict=True))
    assert named == {
        "air.pm25": 300, "air.pm10": 480, "air.no2": 260, "air.so2": 160, "air.co": 140, "air.o3": 980,
    }  # fmt: skip
    assert first.time.tolist() == [1563422400000] * 6  # 12:00 in Beijing is 04:00 UTC
    assert first.subject[0] == "1325A"
    assert (first.lon[0], first.lat[0]) == (114.3672, 30.5719)


def test_units_zones_nulls_and_maps() -> None:
    body = "\ufeffn,t,cm,q,more\n1,2026/1/2 8:00,1234.5,ok,x\n2,2026/1/2 8:05,-,ok,x\n3,2026/1/2 8:10,7,?,x\n"
    done = Mapping.load(GAUGE, RULES).decode(body.encode())
    assert (done.total, done.rejections) == (3, [])
    assert done.index[0].tolist() == [1, 3]
    assert _listed(done.batches[0].fields["value"]) == [12345, 70]
    assert done.batches[0].time.tolist() == [1767312000000, 1767312600000]
    assert _listed(done.batches[0].fields["quality"]) == ["good", "suspect"]


def test_bad_rows_are_told_by_line_and_column() -> None:
    rows = [
        b"n,t,cm,q", b"1,2026/1/2 8:00,1,ok", b"2,yesterday,1,ok", b"3,2026/1/2 8:00,deep,ok", b"4,2026/1/2 8:00,1,so",
        b"5,2026/1/2 8:00,9999999,ok", b"6,2026/1/2 8:00,1", b"\xff,2026/1/2 8:00,1,ok", b",2026/1/2 8:00,1,ok",
        b'9,"2026/1', b'/2 8:00",1,ok', b"10,2026/1/2 8:00,2,ok",
    ]  # fmt: skip
    done = Mapping.load(GAUGE, RULES).decode(b"\n".join(rows))
    assert done.index[0].tolist() == [1, 11]
    assert [(r.index, r.reason, r.field) for r in done.rejections] == [
        (2, "bad_time", "t"), (3, "wrong_type", "cm"), (4, "bad_code", "q"), (5, "out_of_range", "cm"),
        (6, "wrong_type", ""), (7, "not_utf8", ""), (8, "missing", "n"), (9, "bad_time", "t"),
    ]  # fmt: skip
    assert done.total == 10


def test_a_file_without_the_columns_is_refused() -> None:
    with pytest.raises(BadBody, match="cm, q"):
        Mapping.load(GAUGE, RULES).decode(b"n,t\n1,2\n")
    with pytest.raises(BadBody, match="empty"):
        Mapping.load(GAUGE, RULES).decode(b"")


@pytest.mark.parametrize(
    ("old", "new"),
    [('"csv"', '"xml"'), ('"obs"', '"nope"'), ("property =", "what ="), ("nulls", "nuls"), ("[[events]]", "[[event")],
)
def test_a_wrong_description_is_told(old: str, new: str) -> None:
    with pytest.raises(MappingError):
        Mapping.load(GAUGE.replace(old, new), RULES)


_REQUESTS = """Unique Key,Created Date,Closed Date,Agency,Complaint Type,Status,Due Date,Borough,Latitude,Longitude
1,3/9/2025 1:30,3/9/2025 3:30,NYPD,Noise,Closed,,BROOKLYN,40.65651334,-73.88182509
2,11/2/2025 1:30,11/2/2025 2:30,NYPD,Noise,Closed,,Unspecified,,
3,3/9/2025 2:30,,DSNY,Bins,In Progress,,QUEENS,,
"""


def test_service_requests_are_cases_in_true_time() -> None:
    batch = Mapping.shipped("service_requests_311", RULES).decode(_REQUESTS.encode()).batches[0]
    created, closed = (np.asarray(batch.fields[n]) for n in ("created_at", "closed_at"))
    # the clock skips 02:00-03:00 on 9 March and repeats 01:00-02:00 on 2 November, where the first 1:30 is meant
    assert (closed - created)[:2].tolist() == [3_600_000, 7_200_000]
    assert created[2] == 1741505400000  # 02:30 does not exist; it is 03:30 in summer time
    assert batch.time.tolist() == [closed[0], closed[1], created[2]]
    assert batch.scope.tolist() == ["BROOKLYN", "", "QUEENS"]
    assert _listed(batch.fields["status"]) == ["Closed", "Closed", "In Progress"]
    assert np.isnan(batch.lon).tolist() == [False, True, True]
    assert batch.subject.tolist() == ["1", "2", "3"]


_W = {
    "id": "a", "type": "air", "device": "d", "t": 1767225600000, "lon": 114.3, "lat": 30.5, "v1": 1.25, "v2": 2,
    "q": "good",
}  # fmt: skip
_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.text(max_size=5),
    st.just({}),
    st.just([1]),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.dictionaries(st.sampled_from([*_W, "new"]), _ODD, max_size=2), st.sets(st.sampled_from(list(_W)))),
        min_size=1,
        max_size=8,
    )
)
def test_the_columnar_path_of_a_mapping_equals_the_law(rows: list[tuple[dict[str, Any], set[str]]]) -> None:
    mapping = Mapping.shipped("job_w", WUHAN)
    lines = [
        {k: v for k, v in {**_W, **new}.items() if k in new or len(drop) > 3 or k not in drop} for new, drop in rows
    ]
    body = "\n".join(map(json.dumps, lines)).encode()
    fast, slow = mapping.decode(body), mapping.decode_slowly(body)
    assert mapping._fast is not None
    assert flat(fast) == flat(slow)
    assert fast.rejections == slow.rejections
    assert (fast.total, {r.reason for r in fast.rejections} <= set(REASONS)) == (len(rows), True)


def test_job_w_lines_take_the_columnar_path() -> None:
    mapping = Mapping.shipped("job_w", WUHAN)
    assert mapping._fast is not None
    done, rest = mapping._fast.decode((json.dumps(_W) + "\n").encode() * 20, 0)
    assert (done.taken, rest) == (20, [])
    batch = done.batches[0]
    assert (batch.type, batch.time[0], batch.subject[0]) == ("bench.reading", 1767225600000, "d")
    assert {n: _listed(c)[0] for n, c in batch.fields.items()} == {"kind": "air", "v1": 125, "v2": 200, "q": "good"}


def test_places_are_turned_from_their_datum() -> None:
    head = 'format = "ndjson"\ncrs = "gcj02"\n[[events]]\ntype = "vehicle.pos"\n'
    mapping = Mapping.load(head + 'id = "{id}"\nsource = "bus"\ntime = "{t}"\nlon = "{lon}"\nlat = "{lat}"\n', WUHAN)
    row = {"id": "1", "t": "2026-01-01T00:00:00Z", "lon": 114.305, "lat": 30.593}
    body = (json.dumps(row) + "\n").encode() * 6
    fast, slow = mapping.decode(body), mapping.decode_slowly(body)
    assert flat(fast) == flat(slow)
    assert 0.003 < row["lon"] - fast.batches[0].lon[0] < 0.008


def test_files_are_read_in_chunks_with_their_lines(tmp_path: Path) -> None:
    rows = [json.dumps({**_W, "id": f"e{i}"}) for i in range(25)]
    rows[7], rows[20] = "oops", '{"id": "' + "x" * 400_000 + '"}'
    path = tmp_path / "w.ndjson"
    path.write_text("\n".join(rows))
    parts = list(Mapping.shipped("job_w", WUHAN).read(path, 10))
    assert [p.total for p in parts] == [10, 10, 5]
    assert [i for p in parts for i in p.index[0].tolist()] == [i for i in range(25) if i not in (7, 20)]
    assert [(r.index, r.reason) for p in parts for r in p.rejections] == [(7, "not_json"), (20, "too_large")]
    table = tmp_path / "air.csv"
    table.write_bytes((DATA / "air_quality_20190718.csv").read_bytes())
    chunks = list(Mapping.shipped("air_quality", WUHAN).read(table, 20))
    assert [p.total for p in chunks] == [20, 20, 10]
    whole = Mapping.shipped("air_quality", WUHAN).decode(table.read_bytes())
    assert [row for p in chunks for row in flat(p)] == flat(whole)
