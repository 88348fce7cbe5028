"""A pack's own categories, stages and plans over the built-in ones, and what is told of faulty ones."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from citytwin.models.desk import categories, limits, plantoml
from citytwin.models.desk.table import own
from citytwin.twin.desk.tables import desk_tables
from citytwin.twin.pack import load_city
from citytwin.twin.pack_files import PackFiles
from citytwin.twin.pack_manifest import PackError, parse_manifest

MANIFEST = """
[categories]
file = "c.csv"
[stages]
file = "s.csv"
[[plans]]
file = "p.toml"
"""
PLAN = (Path(plantoml.__file__).parent / "plans" / "crowd.toml").read_text("utf-8")


def written(folder: Path, table: str, stages: str, plan: str) -> PackFiles:
    """A folder with the three files."""
    for name, text in (("c.csv", table), ("s.csv", stages), ("p.toml", plan)):
        (folder / name).write_text(text, "utf-8")
    return PackFiles(folder)


def test_a_pack_that_says_nothing_has_what_is_built_in() -> None:
    city = load_city("new_york")
    tables = desk_tables(city.files, city.manifest)
    assert [c.code for c in tables.categories] == [c.code for c in categories.builtin()]
    assert tables.stages == limits.builtin()
    assert tables.plans == plantoml.builtin()


def test_its_own_rows_come_over_them(tmp_path: Path) -> None:
    lines = own("categories.csv").splitlines()
    mine = "\n".join([lines[0], lines[1].replace("井盖缺损", "井盖问题").replace("2h,4h,8h", "1h,2h,3h")])
    stages = "\n".join(own("stages.csv").splitlines()[:2]).replace("1wh,2min", "2wh,1min")
    files = written(tmp_path, mine, stages, PLAN.replace("version = 1", "version = 7"))
    tables = desk_tables(files, tomllib.loads(MANIFEST))
    assert files.problems == []
    assert tables.categories.resolve("facility.manhole").limits["C"].text == "3h"
    assert len(tables.categories) == len(categories.builtin())
    assert tables.stages["acceptance"].limits[1].text == "1min"
    assert tables.stages["closing"] == limits.builtin()["closing"]
    assert tables.plans["crowd"].version == 7
    assert set(tables.plans) == set(plantoml.builtin())


def test_faults_are_problems_of_the_pack_and_leave_what_is_built_in(tmp_path: Path) -> None:
    head = own("categories.csv").splitlines()[0]
    row = own("categories.csv").splitlines()[1].replace("component", "thing", 1)
    files = written(tmp_path, f"{head}\n{row}\n", "stage\n", PLAN.replace('place = "district"', 'place = "planet"'))
    tables = desk_tables(files, tomllib.loads(MANIFEST))
    assert [(p.file, p.line, p.field) for p in files.problems] == [
        ("c.csv", 2, "kind"), ("s.csv", 1, "zh"), ("p.toml", 0, "place"),
    ]  # fmt: skip
    assert all(len(p.reason) > 15 for p in files.problems)
    assert tables.plans == plantoml.builtin()
    assert len(tables.categories) == len(categories.builtin())
    (tmp_path / "p.toml").write_text("[[", "utf-8")
    (tmp_path / "c.csv").unlink()
    desk_tables(files, tomllib.loads(MANIFEST))
    assert {p.file for p in files.problems[3:]} == {"c.csv", "s.csv", "p.toml"}


@pytest.mark.parametrize("bad", ["plans = 3", '[[plans]]\nname = "x"', "categories = 3", "[stages]\nfile = 3"])
def test_a_manifest_of_another_form_is_refused(bad: str) -> None:
    with pytest.raises(PackError):
        parse_manifest(f'format = 1\nname = "x"\n{bad}\n[scopes]\nfile = "s.csv"\n', "city.toml")
