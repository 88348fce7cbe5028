"""Rules from TOML: what is good is read whole, what is bad is told with file, line, rule, field and what to do."""

from __future__ import annotations

import pytest

from citytwin.models.desk.rules import KINDS, RuleError, RuleSet
from citytwin.models.desk.ruletoml import RULES_MAX, parse_rules

GOOD = """
[[rule]]
id = "flood"
version = 2
valid_from = 2026-01-01T00:00:00+08:00
theme = "weather_flood"
title = { zh = "积水", en = "Flood" }
text = { zh = "{place} {value}", en = "{place} {value}" }
priority = 2
confidence = 0.8
source = "a test"
status = "L"
off = "5m"
case = { category = "flood.waterlog", level = 3 }

[rule.when]
kind = "threshold"
label = { zh = "深", en = "Depth" }
type = "obs"
where = 'col.property == "waterlog.depth"'
above = 27
clear = 25
hold = "3m"
"""


def test_a_good_rule() -> None:
    (rule,) = parse_rules(GOOD)
    assert (rule.key, rule.priority, rule.notice, rule.off_ms, rule.late_ms) == ("flood/2", 2, False, 300_000, 600_000)
    assert (rule.valid_from, rule.in_force(rule.valid_from - 1)) == (1_767_196_800_000, False)
    assert (rule.when.above, rule.when.clear, rule.when.hold_ms, rule.when.by) == (27.0, 25.0, 180_000, "subject")
    assert rule.case is not None
    assert rule.case.level == 3
    (notice,) = parse_rules(GOOD.replace("priority = 2", 'priority = "notice"'))
    assert (notice.priority, notice.notice) == (4, True)
    assert parse_rules(GOOD + GOOD.replace('"flood"', '"other"'))[1].id == "other"


@pytest.mark.parametrize(
    ("old", "new", "field", "word"),
    [
        ('id = "flood"', 'id = "A flood"', "id", "lower-case"),
        ('id = "flood"', "id = 3", "id", "text"),
        ("version = 2", "version = 0", "version", "whole number"),
        ("version = 2", "version = true", "version", "whole number"),
        ("version = 2", "", "version", "whole number"),
        ("2026-01-01T00:00:00+08:00", "2026-01-01", "valid_from", "offset"),
        ("2026-01-01T00:00:00+08:00", "2026-01-01T00:00:00", "valid_from", "offset"),
        ("2026-01-01T00:00:00+08:00", '"soon"', "valid_from", "none"),
        ("version = 2", "version = 2\nvalid_to = 2025-01-01T00:00:00Z", "valid_to", "after"),
        ("priority = 2", "priority = 5", "priority", "notice"),
        ("priority = 2", 'priority = "high"', "priority", "notice"),
        ("confidence = 0.8", "confidence = 1.1", "confidence", "from 0 to 1"),
        ("confidence = 0.8", "confidence = nan", "confidence", "from 0 to 1"),
        ('status = "L"', 'status = "X"', "status", "one of"),
        ('zh = "积水", ', "", "title", "both languages"),
        ('zh = "{place} {value}"', 'zh = "{name}"', "text", "{name}"),
        ('off = "5m"', 'off = "5 minutes"', "off", "duration"),
        ('off = "5m"', 'off = "25h"', "off", "24h"),
        ('off = "5m"', "colour = 1", "colour", "no such field"),
        ("level = 3", "level = 9", "case.level", "from 0 to 4"),
        ('category = "flood.waterlog", ', "", "case.category", "text"),
        ('kind = "threshold"', 'kind = "magic"', "when.kind", "one of"),
        ('kind = "threshold"', 'kind = "rate"', "when.clear", "no such field"),
        ("above = 27", "", "when.above", "above or below"),
        ("above = 27", "above = 27\nbelow = 1", "when.above", "one of them"),
        ("clear = 25", "clear = 28", "when.clear", "good side"),
        ("above = 27", 'above = "27"', "when.above", "number"),
        ('type = "obs"', "", "when.type", "indicator"),
        ('type = "obs"', 'type = "obs"\nindicator = "x"', "when.type", "one of them"),
        ('type = "obs"', 'indicator = "x"', "when.by", "at scopes"),
        ('hold = "3m"', 'band = "red"', "when.band", "bands are"),
        ('hold = "3m"', "metres = 200", "when", "first"),
        ('hold = "3m"', 'by = "grid"', "when.by", "equal"),
        ('label = { zh = "深", en = "Depth" }', "", "when.label", "both languages"),
        ("[rule.when]", "[rule.then]", "then", "no such field"),
    ],
)
def test_what_is_wrong_is_told(old: str, new: str, field: str, word: str) -> None:
    assert old in GOOD
    with pytest.raises(RuleError) as caught:
        parse_rules(f"# a comment\n{GOOD.replace(old, new, 1)}", "mine.toml")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.field) == ("mine.toml", 3, field)
    assert word in problem.what
    assert str(problem).startswith("mine.toml:3: rule ")


HEAD = GOOD.split("kind =", maxsplit=1)[0] + 'label = { zh = "深", en = "Depth" }\n'


@pytest.mark.parametrize(
    ("when", "field", "word"),
    [
        ('kind = "sequence"\nfirst = { type = "a" }\nwithin = "1m"', "when.then", "needs it"),
        ('kind = "sequence"\nfirst = 3\nthen = { type = "a" }\nwithin = "1m"', "when.first", "table"),
        ('kind = "sequence"\nfirst = { type = "a" }\nthen = { kind = "a" }\nwithin = "1m"', "when.then.kind", "no"),
        ('kind = "absence"\nwithin = "1m"', "when.type", "which events"),
        ('kind = "absence"\nfirst = { type = "a" }\nwithin = "1m"', "when.then", "follow"),
        ('kind = "absence"\nthen = { type = "a" }\nwithin = "1m"', "when.then", "after which"),
        ('kind = "absence"\ntype = "a"\nwithin = "0s"', "when.within", "longer than nothing"),
        ('kind = "near"\nfirst = { type = "a" }\nthen = { type = "b" }\nwithin = "5m"', "when.metres", "needs it"),
        ('kind = "near"\nfirst = { type = "a" }\nthen = { type = "b" }\nwithin = "5m"\nmetres = 1e6', "when.metres",
         "5000"),
        ('kind = "count"\ntype = "a"\nwithin = "20h"\nleast = 0', "when.least", "whole number"),
        ('kind = "rate"\ntype = "a"\nwithin = "20h"\nfresh = "10h"\nabove = 1', "when.within", "24h"),
        ('kind = "anomaly"\ntype = "a"\nmodel = "ewma"\ntarget = 1', "when.sigma", "needs it"),
        ('kind = "anomaly"\ntype = "a"\nmodel = "ewma"\ntarget = 1\nsigma = 0', "when.sigma", "above 0"),
        ('kind = "anomaly"\ntype = "a"\nmodel = "cusum"\ntarget = 1\nslack = 1\nlimit = 1\nweight = 2', "when.weight",
         "at most 1"),
        ('kind = "fact"\nwhere = "ent.a"', "when", "no alarm"),
        ('kind = "all"\nparts = []', "when.parts", "at least one"),
        ('kind = "any"\nparts = [{ kind = "fact", where = "x" }]', "when.parts[1].label", "both languages"),
        ('kind = "all"\nparts = [{ kind = "all", parts = [{ kind = "all", parts = [{ kind = "all", parts = [{ kind = '
         '"all", parts = [{ kind = "fact" }]}]}]}]}]', "when.parts[1].parts[1].parts[1].parts[1].parts", "deep"),
    ],
)  # fmt: skip
def test_what_kinds_need(when: str, field: str, word: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rules(HEAD + when)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert word in problem.what


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("[[rule]]\nid = ", 2, "no TOML"),
        ("a = 1", 1, "tables only"),
        ("rule = 3", 1, "double brackets"),
        ("[rule]\nid = 'x'", 1, "double brackets"),
        ("x = " + "[" * 100_000, 1, "no TOML"),
        ("[[rule]]\n" * (RULES_MAX + 1), 1, "at most"),
    ],
)
def test_files_that_are_none(text: str, line: int, word: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse_rules(text)
    assert caught.value.problems[0].line == line
    assert word in str(caught.value)


def test_every_fault_is_told_at_once() -> None:
    bad = GOOD.replace("version = 2", "version = 0") + GOOD.replace("priority = 2", "priority = 0")
    with pytest.raises(RuleError) as caught:
        parse_rules(bad)
    assert [(p.line, p.field) for p in caught.value.problems] == [(2, "version"), (25, "priority")]


def test_versions_do_not_overlap() -> None:
    held = RuleSet(parse_rules(GOOD))
    for text, field in ((GOOD, "version"), (GOOD.replace("version = 2", "version = 3"), "valid_from")):
        with pytest.raises(RuleError) as caught:
            held.add(parse_rules(text))
        assert caught.value.problems[0].field == field
    assert len(held.rules) == 1


def test_each_kind_says_what_it_means() -> None:
    assert all(len(text) > 10 for text in KINDS.values())
