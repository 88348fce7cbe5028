"""Which shard an event goes to: what belongs to one row of state never goes to two."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Strings
from citytwin.models.shards import DESK, route, shards_of
from tests.indicators.town import TYPES, batches

SHARDS = 8


def routed(type: str, subjects: list[str], **fields: object) -> list[int]:
    rows = [
        {"type": type, "time": 1, "id": f"i{n}", "source": "s", "subject": subject, **fields}
        for n, subject in enumerate(subjects)
    ]
    (batch,) = batches(rows)
    return route(batch, TYPES[type], SHARDS).tolist()  # type: ignore[no-any-return]


def test_readings_without_a_subject_are_one_subject() -> None:
    found = routed("obs", [""] * 40, property="traffic.speed", value=1.0)
    assert set(found) == {int(shards_of(Strings.of([""]), SHARDS)[0])}


def test_what_is_only_counted_goes_by_its_id_where_it_has_no_subject() -> None:
    assert len(set(routed("citycode.use", [""] * 200, user="u", service="bus"))) == SHARDS


def test_a_correction_follows_what_it_corrects() -> None:
    first = {"type": "citycode.use", "time": 1, "source": "s", "subject": "", "user": "u", "service": "bus"}
    (batch,) = batches([{**first, "id": f"i{n}"} for n in range(50)])
    (again,) = batches([{**first, "id": f"j{n}", "corrects": f"i{n}", "scope": "C1"} for n in range(50)])
    kind = TYPES["citycode.use"]
    np.testing.assert_array_equal(route(batch, kind, SHARDS), route(again, kind, SHARDS))


def test_cases_are_the_desk_s() -> None:
    assert set(routed("case.reported", ["K1", "K2", ""])) == {DESK}
