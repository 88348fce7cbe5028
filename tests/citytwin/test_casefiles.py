"""Files that follow their cases equal those that are folded anew; a case has a bound on its events."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from citytwin.casefiles import KEPT_MAX, CaseFiles
from citytwin.engine import Engine
from citytwin.indicators.registry import Registry
from citytwin.models import lifecycle
from citytwin.models.desk.casebody import CaseFile
from tests.conftest import Figure, proving
from tests.indicators.oracle_law import HOUR, MINUTE
from tests.indicators.town import batches
from tests.models.desk.casework import LAW, START
from tests.twin.casebook import CITY, file_in
from tests.twin.test_case_files import events_of_walk, raw

Raw = dict[str, Any]


def city() -> Engine:
    """An engine that speaks of cases only."""
    return Engine(CITY, Registry([]))


def feed(engine: Engine, *events: Raw) -> list[str]:
    """Feed events one by one; the reasons of those that are refused."""
    return [r.reason for e in events for b in batches([e]) for r in engine.feed(b, 1).rejected]


def plain(file: CaseFile | None) -> dict[str, Any]:
    """All that a file holds, NaN as text."""
    assert file is not None
    return {f.name: repr(getattr(file, f.name)) for f in dataclasses.fields(file)}


def late(event: Raw, chance: random.Random) -> Raw:
    """What comes instead of an event: itself, dated back, or a correction of it."""
    kind = chance.random()
    if kind < 0.1:
        return event | {"id": f"{event['id']}c", "corrects": event["id"], "revision": 1, "time": event["time"] - MINUTE}
    if kind < 0.2:
        return event | {"id": f"{event['id']}r", "corrects": event["id"], "revision": 1, "retracted": True}
    return event | {"id": f"{event['id']}b", "time": event["time"] - 5 * HOUR} if kind < 0.3 else event


@pytest.mark.parametrize("seed", range(300 if proving() else 12))
def test_a_file_that_follows_equals_one_that_is_folded_anew(seed: int) -> None:
    engine, chance = city(), random.Random(seed)
    assert engine.cases is not None
    files = CaseFiles(engine.cases, LAW, lambda: "1")
    walks = {code: events_of_walk(code, chance) for code in ("K1", "K2")}
    story = sorted((e for events in walks.values() for e in events), key=lambda e: e["time"])
    for event in story:
        more = late(event, chance)
        assert not feed(engine, event, *([] if more is event else [more]))
        if chance.random() < 0.7:  # what comes meanwhile is taken in together
            code = chance.choice(sorted(walks))
            if engine.cases.rev(code):
                assert plain(files.file(code)) == plain(file_in(engine.cases, code))
    for code in walks:
        assert plain(files.file(code)) == plain(file_in(engine.cases, code))


def test_a_case_that_goes_on_in_order_is_folded_once(figure: Figure) -> None:
    engine = city()
    assert engine.cases is not None
    files = CaseFiles(engine.cases, LAW, lambda: "1")
    feed(engine, raw("reported", START, "r"))
    notes = [raw("noted", START + k, f"n{k}") | {"text": "a word"} for k in range(1, 300)]
    for note in notes:
        feed(engine, note)
        assert files.file("K1") is not None
    assert files.folds == 1
    feed(engine, notes[100] | {"id": "c", "corrects": "n101", "revision": 1, "text": "another"})
    found = files.file("K1")
    assert files.folds == 2
    assert found is not None
    assert [e.text for e in found.notes].count("another") == 1
    figure("times that a case of 300 events in order was folded from its beginning", 1, "times")


def test_another_calendar_folds_anew_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, edition = city(), ["1"]
    assert engine.cases is not None
    assert KEPT_MAX > 1000
    monkeypatch.setattr("citytwin.casefiles.KEPT_MAX", 2)
    files = CaseFiles(engine.cases, LAW, lambda: edition[0])
    for code in ("K1", "K2", "K3", "K3", "K2"):
        feed(engine, raw("reported", START, code, code))
        files.file(code)
    assert files.folds == 3
    files.file("K1")
    assert files.folds == 4
    edition[0] = "2"
    files.file("K1")
    assert files.folds == 5
    assert files.file("K9") is None


def test_a_full_case_takes_no_more_words_and_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("WORDS_MAX", 6), ("EVENTS_MAX", 9)):
        for module in ("citytwin.twin.cases", "citytwin.intake"):
            monkeypatch.setattr(f"{module}.{name}", most)
    engine = city()
    assert engine.cases is not None
    feed(engine, raw("reported", START, "r"), raw("accepted", START + 1, "a"))
    notes = [raw("noted", START + 2 + k, f"n{k}") for k in range(9)]
    (batch,) = batches(notes)
    changes = engine.feed(batch, 1)
    assert (changes.accepted, [r.reason for r in changes.rejected]) == (4, ["full"] * 5)
    assert engine.feed(batch, 1).duplicates == 4, "what came before is known all the same"
    assert feed(engine, raw("noted", START + 2, "n", "K2")) == []
    assert feed(engine, raw("filed", START + 20, "f") | {"due_at": START + HOUR}) == []
    assert feed(engine, raw("voided", START + 21, "v")) == []
    engine.cases.settle()
    assert engine.cases.count_by_state()["voided"] == 1
    assert feed(engine, raw("reported", START + 22, "x")) == []
    assert feed(engine, raw("reported", START + 23, "y")) == ["full"]
    assert engine.cases.rev("K1") == 9
    assert "case.noted" in lifecycle.WORDS
    assert not {"case.received", "case.dispatched", "case.closed"} & lifecycle.WORDS
