"""One-liners: what is on the list means what Python means by it, and everything else is refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.indicators.api import col, count, ent, row, source_text, tally, total
from citytwin.indicators.expr import ref
from citytwin.indicators.loading import NotAnIndicator, load_text, one_liner
from citytwin.indicators.oneliners import AGGREGATES_MAX, LENGTH_MAX, BadExpression, parse

FULL = """
[indicator."gov.case.reopen_rate"]
expr = '100 * count("case.reopened") / count("case.closed")'
window = "sliding 1d/15m"
unit = "%"
theme = "social_governance"
better = "down"
levels = ["city", "district"]
bands = {yellow = 5, red = 10}
source = "local default"
name = {zh = "案件重开率", en = "Reopen rate"}
meaning = {zh = "一日内重开与结案之比", en = "Reopened cases per hundred closed ones"}
owner = "governance"
examples = [{a = 1, b = 4, gives = 25}, {a = 0, b = 0}]
"""


def test_a_table_is_an_indicator() -> None:
    (spec,) = load_text("a.toml", FULL).specs
    assert (spec.id, spec.unit, spec.levels, spec.bands["red"]) == (
        "gov.case.reopen_rate",
        "%",
        ("city", "district"),
        10,
    )
    assert spec(a=1, b=4) == 25
    assert spec(a=0, b=0) is None


def test_its_expression_is_its_source() -> None:
    (spec,) = load_text("a.toml", FULL).specs
    assert source_text(spec.formula) == '100 * count("case.reopened") / count("case.closed")'
    (other,) = load_text("a.toml", FULL.replace("100 *", "200 *")).specs
    assert spec.code_hash != other.code_hash


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('count("obs", where=(col.property == "rain.depth") & (col.value > 3))',
         count("obs", where=(col.property == "rain.depth") & (col.value > 3.0))),
        ('sum("call", col.wait_s * 2, ~col.wait_s.known() | (col.line != "x"))',
         total("call", col.wait_s * 2.0, ~col.wait_s.known() | (col.line != "x"))),
        ('tally("case", where=row.open == 1, start=row.filed_at)',
         tally("case", 1, row.open == 1.0, start=row.filed_at)),
        ('tally("obs", row.sibling("traffic.flow").value, per_unit=10)',
         tally("obs", row.sibling("traffic.flow").value, per_unit=10)),
        ('tally("device", where=ent.kind.isin(["a", "b"]), window="1h")', None),
        ('count("obs", where=ent.observes.road_class.lookup({"branch": 20}, -1) > 3)',
         count("obs", where=ref("ent", "observes.road_class").lookup({"branch": 20.0}, -1.0) > 3.0)),
        ('count("obs", where=col.value.where(col.value > 1, 0).clip(-1, 5).floor() == 0)',
         count("obs", where=col.value.where(col.value > 1.0, 0.0).clip(-1.0, 5.0).floor() == 0.0)),
        ('count("obs", where=ent.road_class == "x")', count("obs", where=ent.road_class == "x")),
    ],
)  # fmt: skip
def test_columns_mean_what_python_means(text: str, same: object) -> None:
    if same is None:
        with pytest.raises(BadExpression, match="no window"):
            parse(text)
        return
    (agg,) = parse(text).params.values()
    assert repr(agg) == repr(same)


@pytest.mark.parametrize(
    "text",
    [
        "100 * {a} / {b}",
        "{a} - -{b} + +3",
        "where({a} > {b}, {a}, 2 * {b})",
        "where(({a} > 3) & ~({b} == 4) | ({b} < 1), 1, 0)",
        "min({a}, {b}) + max({a}, 7) * abs({a} - {b})",
        "clip({a} / 3, 1, {b})",
    ],
)
def test_formulas_mean_what_numpy_means(text: str) -> None:
    formula = parse(text.format(a='count("case.filed")', b='count("case.closed")'))
    rng = np.random.default_rng(3)
    a, b = np.floor(rng.random((2, 50)) * 9)
    names = {
        "where": np.where, "min": np.minimum, "max": np.maximum, "abs": np.abs, "clip": np.clip,
        "a": a, "b": b,
    }  # fmt: skip
    with np.errstate(all="ignore"):
        wanted = eval(text.format(a="a", b="b"), {"__builtins__": {}}, names)
        np.testing.assert_array_equal(formula(**dict(zip(formula.params, (a, b), strict=True))), wanted)


def test_the_same_aggregate_is_one_parameter() -> None:
    formula = parse('count("a") + count("b") - count("a", where=None or col.x == 1)'.replace("None or ", ""))
    assert list(formula.params) == ["a", "b", "c"]
    assert list(parse('count("a") / (count("a") + 1)').params) == ["a"]


HOSTILE = [
    ("2**2**2**2", "no powers"),
    ('9**9**9 * count("a")', "no powers"),
    ('"a" * 10**9', "plain number"),
    ('count("a" * 1000000)', "a text in quotes"),
    ("9" * 1999, "too large"),
    ('1e999 * count("a")', "too large"),
    ("-" * 1990 + "1", "parts"),
    ("(" * 900 + ")" * 900, "nested"),
    ("(" * 90 + 'count("a")' + ")" * 90 + " + 1" * 60, "nested deeper"),
    ('count("a")' + ' + count("a")' * 100, "parts"),
    (" + ".join(f'count("t{i}")' for i in range(AGGREGATES_MAX + 1)), "different aggregates"),
    ('count("a")' + " " * LENGTH_MAX + "+ 1", "characters"),
    ("().__class__.__bases__[0].__subclasses__()", "methods are for columns"),
    ('count("a").__class__', "inside of aggregates"),
    ('count("a", where=col.__class__ == 1)', "do not begin with _"),
    ('count("a", where=col._name == 1)', "do not begin with _"),
    ('count("a", where=col.x.evaluate(1) == 1)', "no method evaluate"),
    ('count("a", where=col.x.__init__("b") == 1)', "no method __init__"),
    ('count("a", where=col.sibling("x").y == 1)', "the only call"),
    ('count("a", where=row.sibling("x").sibling("y").z == 1)', "the only call"),
    ('count("a", where=api.np.zeros == 1)', "columns are col"),
    ('count("a", where=col.x.y == 1)', "is no column"),
    ('count("a", where=ent.a.b.c.d.e == 1)', "columns are col"),
    ('count(f"{1}")', "text in quotes"),
    ('count("a", where=col.x == f"{().__class__}")', "format strings"),
    ('count("a", where=col.x == "{0.__class__}".format(1))', "no method format"),
    ('count("a", where=col.x % 2 == 1)', "no %"),
    ('"%d" % count("a")', "plain number|no %"),
    ('__import__("os").system("true")', "methods are for columns"),
    ('eval("1")', "there is no eval"),
    ('open("/etc/passwd")', "there is no open"),
    ("lambda: 1", "functions"),
    ("[x for x in (1,)]", "ListComp"),
    ('{"a": count("a")}', "Dict"),
    ('(x := count("a"))', "names cannot be given"),
    ('count("a") if count("b") else 1', "write where"),
    ('count("a") and count("b")', "write & and"),
    ('not count("a")', "write ~"),
    ('0 < count("a") < 3', "chained"),
    ('count("a", where=col.x == 1 & col.y == 2)', "chained"),
    ('count(*["a"])', "text in quotes"),
    ('count(**{"type": "a"})', "no argument"),
    ('count("a", type="b")', "twice"),
    ('count("a", by="subject")', "no argument by"),
    ('count("a", keep=10000000)', "no argument keep"),
    ('count("a", where="x")', "not a text"),
    ('count("a", where=col.x > "b")', "not for texts"),
    ('count("a", where="a" == "b")', "one side"),
    ('count("a", where=col.x.isin("abc"))', "takes a list"),
    ('count("a", where=col.x.lookup({**{}}, 1) > 0)', "entry by entry"),
    ('count("a", where=count("b") > 1)', "cannot stand inside"),
    ('count("a", where=col.x == "' + "y" * 300 + '")', "at most"),
    ('quantile("a", col.x, 1.5)', "between 0 and 1"),
    ('total("a", col.x, per_unit=1e12)', "per_unit"),
    ('distinct("a", 1)', "counts the values"),
    ('distinct("a", ent.user)', "counts the values"),
    ('count("a")[0]', "take a part"),
    ('count("a"); 1', "no expression"),
    ("import os", "no expression"),
    ('count("a\x00")', "no expression"),
    ('True * count("a")', "plain number"),
    ("None", "plain number"),
    ("1j", "plain number"),
    ("...", "plain number"),
    ("await x", "no expression|Await"),
    ("1", "reads nothing"),
    ("  ", "empty"),
]


@pytest.mark.parametrize(("text", "why"), HOSTILE)
def test_hostile_text_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(BadExpression, match=why) as found:
        parse(text)
    assert len(str(found.value)) < 400


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | st.lists(st.sampled_from(
    ["count", "(", ")", '"a"', ",", "where=", "col", ".", "x", "==", "1", "&", "~", "+", "-", "*", "**", "/", "[", "]",
     "{", "}", "f'", "'", " ", "lambda", ":", "__class__", "ind", "row", "sibling", "if", "else", "not", "\n", "é", "²"]
), max_size=25).map("".join))  # fmt: skip
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        formula = parse(text)
    except BadExpression:
        return
    arrays = {n: np.arange(4.0) for n in formula.params}
    with np.errstate(all="ignore"):
        assert np.broadcast_to(formula(**arrays), 4).shape == (4,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = [", "is no TOML"),
        ("a = 1", "write a table"),
        (FULL + "\n[other]\n", "other means nothing"),
        (FULL.replace('"gov.case.reopen_rate"', "gov.case"), "in quotes"),
        (FULL.replace("gov.case", "gov case"), "is no id"),
        (FULL.replace("expr =", "exp ="), "expr"),
        (FULL.replace("unit =", "units ="), "unknown field `units`"),
        (FULL.replace('unit = "%"', "unit = 3"), "Expected `str`"),
        (FULL.replace("sliding 1d/15m", "daily"), "no window"),
        (FULL.replace("sliding 1d/15m", "tumbling 99999999999999999999d"), "at most 3660 days"),
        (FULL.replace("sliding 1d/15m", "sliding 1d/1s"), "panes are too many"),
        (FULL.replace("sliding 1d/15m", "tumbling 1ms"), "panes are too many"),
        (FULL.replace("count(", "cuont("), "there is no cuont"),
        (FULL.replace("owner", "x" * 300 + " = 1\nowner"), "unknown field"),
        ("".join(FULL.replace("reopen", f"r{i}") for i in range(70)), "at most 64"),
        ("#" * 300_000, "larger than"),
    ],
)
def test_a_bad_file_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(NotAnIndicator, match=words):
        load_text("a.toml", text)


def test_a_form_is_held_to_the_same() -> None:
    assert one_liner("x.y", {"expr": 'count("case.filed")', "window": "sliding 1h/1m"})(a=3) == 3
    with pytest.raises(NotAnIndicator, match="no powers"):
        one_liner("x.y", {"expr": 'count("a") ** 9', "window": "sliding 1h/1m"})
