"""Repeat callers at the door: found by number however it is written, shown to who may see them, and written down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from citytwin.verification import newest
from tests.citytwin.test_desk_door import City, opened
from tests.dashboards.test_people import PASSWORD, served

NUMBER = "138 0000-0000"


def test_the_same_number_is_the_same_caller(city: City) -> None:
    first = opened(city, caller=NUMBER)
    second = opened(city, caller="+86 13800000000", confidential=True)
    opened(city, caller="13900000000")
    city.done("case.voided", second)
    for written in ("13800000000", NUMBER, "(+86)138 0000 0000"):
        status, answer = city.ask("/callers", {"caller": written})
        assert status == 200
        assert [c["code"] for c in answer["items"]] == [second, first], "the newest first, also what is over"
    row = answer["items"][1]
    assert (row["state"], row["title"]["en"], row["open"]) == ("filed", city.case(first)["title"]["en"], True)
    assert "caller" not in row, "not even the hash"
    assert city.ask("/callers", {"caller": "13700000000"}) == (200, {"items": []})


def test_who_asks_is_written_down_and_the_number_nowhere(city: City) -> None:
    code = opened(city, caller=NUMBER)
    city.ask("/callers", {"caller": NUMBER})
    city.ask("/callers", {"caller": "13700000000"})
    trail = city.node.people.audit
    trail.flush()
    rows = [json.loads(body) for body in newest(trail.folder, 99)]
    read = [(r["who"], r.get("subject"), r["detail"]["rows"]) for r in rows if r["action"] == "read.personal"]
    assert read == [("local", code, 1), ("local", None, 0)]
    told = json.dumps(rows) + "".join(
        path.read_bytes().decode("latin-1") for path in city.folder.rglob("*") if path.is_file()
    )
    assert "13800000000" not in told
    assert NUMBER not in told


@pytest.mark.parametrize("body", [{}, {"caller": "1"}, {"caller": 5}, {"number": "13800000000"}, b"13800000000", b""])
def test_what_is_no_number_is_refused_without_its_words(city: City, body: Any) -> None:
    status, answer = city.ask("/callers", body)
    assert (status, answer["detail"]) == (400, 'send {"caller": "..."}')


class Known:
    """A desk that knows the cases of one caller; D0 is scope row 1, D1 row 4."""

    CASES = (
        {"code": "K1", "scope": 1, "caller": "h"}, {"code": "K2", "scope": 4, "caller": "h"},
        {"code": "K3", "scope": 1, "caller": "h", "confidential": True},
        {"code": "K4", "scope": 4, "lent": [1], "caller": "h"},
    )  # fmt: skip

    def callers(self, number: str) -> Sequence[Mapping[str, Any]]:
        return self.CASES


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        (["acceptance_clerk"], ["K1", "K3", "K4"]), (["dispatcher"], ["K1", "K4"]), (["operator"], None),
        (["evaluator"], None), (["operator", "evaluator"], ["K1", "K3", "K4"]), (["gateway"], None),
    ],
)  # fmt: skip
def test_one_sees_cases_whose_caller_one_may_know(tmp_path: Path, roles: list[str], found: list[str] | None) -> None:
    with served(tmp_path, desk=Known()) as town:  # type: ignore[arg-type]
        town.accounts.add("anna", PASSWORD)
        for role in roles:
            town.accounts.grant("anna", role, "D0")
        answer = town.http.post(f"{town.url}/api/v1/callers", json={"caller": NUMBER}, headers=town.cookie())
        assert answer.status_code == (403 if found is None else 200)
        if found is not None:
            assert [c["code"] for c in answer.json()["items"]] == found
            read = [row for row in town.trail.rows if row[1] == "read.personal"]
            noted = [(subject, detail["rows"]) for _, _, subject, detail in read]
            assert noted == [(",".join(found), len(found))]
        assert town.http.post(f"{town.url}/api/v1/callers", json={"caller": NUMBER}).status_code == 401
