"""The table of categories: what it must have, what typing finds, what a pack may add, how faults are told."""

from __future__ import annotations

import re

import pytest

from citytwin.indicators.themes.risk import URGENT
from citytwin.models.desk.calendar import Limit, WorkCalendar
from citytwin.models.desk.categories import KINDS, OTHER, RESPONSIBLE, Categories, builtin, extended, parse
from citytwin.models.desk.holidays import china
from citytwin.models.desk.table import TableError, own
from citytwin.models.desk.units import SKILLS
from citytwin.streams.simulator.incidents import CATEGORIES
from tests.conftest import Figure

HEAD = (
    "code,kind,class_code,class_zh,class_en,zh,en,limit_a,limit_b,limit_c,skill,responsible,"
    "filing_zh,filing_en,closing_zh,closing_en,level,aliases\n"
)
ROW = (
    "market.fair,market,E1,市场监管,Market,市集占道,Street fair,1h,4wh,2wd,order,market,"
    "占道,Blocks,撤除,Gone,3,Fair/Market day\n"
)


def test_the_table_is_whole(figure: Figure) -> None:
    table = list(builtin())
    figure("categories", len(table), "")
    assert {c.kind for c in table} == set(KINDS)
    assert {c.responsible for c in table} == set(RESPONSIBLE)
    assert {s for c in table for s in c.skills} <= set(SKILLS)
    classes = {c.class_title["en"] for c in table if c.kind == "component"}
    assert classes == {"Public utility", "Traffic", "Appearance and sanitation", "Green", "Other"}
    classes = {c.class_title["en"] for c in table if c.kind == "event"}
    assert classes == {
        "Appearance and sanitation", "Advertising", "Construction", "Emergency", "Street order", "Other",
    }  # fmt: skip
    for c in table:
        assert c.status == "L", "no published limit was checked yet"
        assert all(re.search(r"[\u4e00-\u9fff]", t["zh"]) for t in (c.title, c.class_title, c.filing, c.closing))
        assert all(re.fullmatch(r"[ -~]+", t["en"]) for t in (c.title, c.class_title, c.filing, c.closing))
        assert len(c.initials) == len(c.title["zh"])


def test_limits_grow_from_a_to_c() -> None:
    work = WorkCalendar(china())
    start = 1_795_500_000_000
    for c in builtin():
        a, b, z = (work.due(start, c.limits[g]) for g in "ABC")
        assert a <= b <= z, c.code


def test_what_the_city_speaks_of_is_in_the_table() -> None:
    """The simulator's categories with their limits, those that indicators count, those of the 311 file."""
    for spoken in CATEGORIES:
        known = builtin().get(spoken.name)
        assert known is not None, spoken.name
        unit = "clock_hours" if spoken.urgent else "working_hours"
        assert known.limits["C"] == Limit(spoken.limit, unit), spoken.name
    assert all(builtin().get(code) for code in URGENT)
    named = {"Animal-Abuse": "animal.abuse", "Dead Animal": "sanitation.dead_animal", "Pet Shop": "animal.keeping"}
    assert {name: builtin().resolve(name).code for name in named} == named


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("gas_leak", "gas_leak"), ("井盖", "facility.manhole"), ("jg", "facility.manhole"),
        ("JGQS", "facility.manhole"),
        ("waterlog", "flood.waterlog"), ("积水", "flood.waterlog"), ("dljs", "flood.waterlog"),
        ("street l", "facility.streetlight"), ("light", "facility.streetlight"), ("parking", "street.parking"),
        ("dead animal", "sanitation.dead_animal"), ("  Gas   Leak ", "gas_leak"), ("smell of gas", "gas_leak"),
    ],
)  # fmt: skip
def test_typing_finds(typed: str, first: str) -> None:
    assert builtin().search(typed)[0].code == first


def test_a_search_is_bounded_and_never_raises() -> None:
    assert builtin().search("") == builtin().search("   ") == builtin().search("zzzz") == []
    assert len(builtin().search("e", 3)) == 3
    assert builtin().search("e", 0) == builtin().search("e", -1) == []
    assert [c.code for c in builtin().search("a")] == [c.code for c in builtin().search("a")]


def test_what_nobody_declared_is_other() -> None:
    assert builtin().get("alien.landing") is None
    assert builtin().resolve("alien.landing").code == builtin().resolve("").code == OTHER


def test_a_pack_adds_and_replaces() -> None:
    other = ROW.replace("market.fair", "gas_leak").replace("Fair/Market day", "")
    table = extended(HEAD + ROW + other, "pack.csv")
    assert len(table) == len(builtin()) + 1
    fair = table.resolve("Market day")
    assert (fair.code, fair.level, fair.limits["B"].text) == ("market.fair", 3, "4wh")
    assert table.resolve("gas_leak").title["en"] == "Street fair"
    plain = fair.plain()
    assert plain["limits"] == {"A": "1h", "B": "4wh", "C": "2wd"}
    assert plain["title"] == {"zh": "市集占道", "en": "Street fair"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + ROW.replace(",1h,", ",1 hour,"), "t.csv:2: limit_a: '1 hour' is no limit; write 30min"),
        (HEAD + ROW + ROW, "t.csv:3: code: market.fair stands in line 2 already"),
        (HEAD + ROW.replace(",market,E1", ",bazaar,E1"), "t.csv:2: kind: 'bazaar' is none of component"),
        (HEAD + ROW.replace(",3,", ",5,"), "t.csv:2: level: '5' is no level; 1 (I, the worst) to 4"),
        (HEAD + ROW.replace("Street fair", ""), "t.csv:2: en: is empty"),
        (HEAD + "a,b\n", "t.csv:2: : the row has 2 fields, the head 18"),
        (HEAD.replace("skill", "skil") + ROW, "t.csv:1: skill: the column is missing; the table needs code"),
        (HEAD.replace("level", "lvl") + ROW, "t.csv:1: lvl: no such column; there are code"),
        (HEAD + '"' + ROW, "t.csv:"),
    ],
)
def test_faults_say_file_line_field_and_what_is_right(text: str, said: str) -> None:
    with pytest.raises(TableError, match=re.escape(said)):
        parse(text, "t.csv")


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(TableError) as told:
        parse(HEAD + ROW.replace(",1h,4wh,", ",x,y,") + ROW.replace("2wd", "1.5wd"), "t.csv")
    assert [line.split(": ")[0:2] for line in str(told.value).splitlines()] == [
        ["t.csv:2", "limit_a"], ["t.csv:2", "limit_b"], ["t.csv:3", "limit_c"],
    ]  # fmt: skip


def test_a_table_without_a_fallback_is_refused() -> None:
    with pytest.raises(ValueError, match=r"other\.event"):
        Categories(parse(HEAD + ROW, "t.csv"))
    assert own("categories.csv").startswith("code,kind,")
