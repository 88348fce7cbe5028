"""The scan finds exactly the values of plain rows, and leaves every other row alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.streams import convert, scan
from citytwin.streams.cloudevents import SpanCells
from citytwin.streams.nesting import depth
from citytwin.streams.scan import Keys, Spans

KEYS = Keys.of(("a", "bc", "data", "ab"), nested=("data",))


def values(spans: Spans, row: int) -> dict[str, str]:
    """Raw text of every value that a row has."""
    found = {}
    for k, name in enumerate(spans.keys.names):
        if spans.kind[k, row] != scan.ABSENT:
            found[name] = spans.buf[spans.start[k, row] : spans.stop[k, row]].tobytes().decode()
    return found


def lines(*rows: str) -> tuple[Spans, list[int]]:
    spans, line = scan.scan_lines("\n".join(rows).encode(), KEYS)
    return spans, line.tolist()


def test_keys_in_any_order_and_any_white_space() -> None:
    spans, line = lines('{"a":1,"bc":"武汉"}', "", '\t{ "bc" : -2.5e3 ,"ab":null , "a": true }\r', "{}")
    assert (spans.slow.tolist(), line) == ([False] * 3, [0, 2, 3])
    assert [values(spans, i) for i in range(3)] == [
        {"a": "1", "bc": "武汉"},
        {"a": "true", "bc": "-2.5e3", "ab": "null"},
        {},
    ]
    assert spans.kind[:, 1].tolist() == [scan.TRUE, scan.REAL, scan.ABSENT, scan.NULL]


@pytest.mark.parametrize(
    "row",
    [
        '{"a":1,"a":2}', '{"new":1}', '{"a":"x\\n"}', '{"a":"x', '{"a":01}', '{"a":1.}', '{"a":-}',
        '{"a":+1}', '{"a":.5}',
        '{"a":NaN}', '{"a":tru}', '{"a":nulll}', '{"a":{}}', '{"a":[1]}', '{"a":1,}', '{"a" 1}', '{a:1}',
        '{"a":1}}', '{"a":1} x',
        '{"a":1', '[1]', '7', '{"data":{"x":"', '{"data":[1}', '{"a":"\t"}', '{"a":1e}', '{"a":1e+}',
        "{", '{"', '{"a"', '{"a":',
    ],
)  # fmt: skip
def test_rows_that_are_not_plain_are_slow_and_stay_alone(row: str) -> None:
    spans, _ = lines('{"a":1}', row, '{"a":2}')
    assert spans.slow.tolist() == [False, True, False]
    assert values(spans, 2) == {"a": "2"}
    cut = [spans.buf[a:b].tobytes().decode() for a, b in zip(spans.row_start, spans.row_stop, strict=True)]
    assert cut[1] == row


def test_nested_objects_are_scanned_by_their_own_keys() -> None:
    rows = ['{"data":{"x":1,"y":"}"}}', '{"data":{"z":1}}', '{"data":7}', '{"a":1}', '{"data": {"y":"a"} }']
    spans, _ = lines(*rows)
    inner = scan.scan_nested(spans, "data", slice(None), Keys.of(("x", "y")))
    assert inner.slow.tolist() == [False, True, True, True, False]
    assert (values(inner, 0), values(inner, 4)) == ({"x": "1", "y": "}"}, {"y": "a"})


def test_arrays_are_cut_into_elements() -> None:
    body = b' [ {"a":1} ,{"what":[{"x":"],}"}]}, 7 ,{"a":"\\""}, {"bc":2}] '
    spans, ending = scan.scan_array(body, KEYS, 10)
    assert (ending, spans.slow.tolist()) == (scan.CLOSED, [False, True, True, True, False])
    cut = [body[a:b].strip() for a, b in zip(spans.row_start, spans.row_stop, strict=True)]
    assert cut == [b'{"a":1}', b'{"what":[{"x":"],}"}]}', b"7", b'{"a":"\\""}', b'{"bc":2}']


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        (b"[]", scan.CLOSED), (b"[", scan.CUT_OFF), (b'[{"a":1},', scan.CUT_OFF), (b'[{"a":1', scan.CUT_OFF),
        (b"[]]", scan.TRAILING), (b'[{"a":1}]{', scan.TRAILING), (b"[}]", scan.NO_COMMA), (b"[1,2,3,4]", scan.TOO_MANY),
    ],
)  # fmt: skip
def test_how_an_array_ends(body: bytes, ending: int) -> None:
    assert scan.scan_array(body, KEYS, 3)[1] == ending


def test_depth_counts_brackets_outside_strings() -> None:
    assert depth(b'{"a":[[{"b":"[[[[\\"[["}]]}') == 4
    assert depth(b"]]]") == 0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "bc", "data", "ab", "new"]), _JSON), max_size=6))
def test_spans_hold_the_text_of_each_value(objects: list[dict[str, object]]) -> None:
    spans, ending = scan.scan_array(json.dumps(objects, ensure_ascii=False).encode(), KEYS, 100)
    assert (ending, len(spans.slow)) == (scan.CLOSED, len(objects))
    for i, told in enumerate(objects):
        if spans.slow[i]:
            continue
        raw = {
            k: v if spans.kind[spans.keys.names.index(k), i] == scan.STRING else json.loads(v)
            for k, v in values(spans, i).items()
        }
        assert raw == told


def test_codes_of_many_names_survive_the_growth_of_the_table() -> None:
    names = [f"name-{i % 3000}" for i in range(9000)]
    spans, _ = lines(*(f'{{"a":"{n}"}}' for n in names))
    column, state = convert.codes(spans.buf, *spans.column("a", slice(None)))
    assert column.tolist() == names
    assert len(column.names) == 3000
    assert np.all(state == convert.HERE)


def test_long_numbers_are_bit_exact() -> None:
    told = ["0.1", "114.30512345678901", "9007199254740993", "1e22", "1e23", "123456789012345678e-5", "5e-324", "-0.0"]
    spans, _ = lines(*(f'{{"a":{n}}}' for n in told))
    numbers, _ = SpanCells(spans.buf, *spans.column("a", slice(None))).floats()
    assert (numbers + 0.0).tobytes() == (np.array([float(n) for n in told]) + 0.0).tobytes()
