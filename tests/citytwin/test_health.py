"""The platform's own health as events: bounded, never below zero, every event of the door counted once."""

from __future__ import annotations

import pytest

from citytwin.health import LAG_EVERY, SAMPLES, Health, thinned
from citytwin.models.batch import Changes


def test_the_intake_is_told_once_with_everything_since_the_last_time() -> None:
    health = Health()
    health.published(1000, 1, 0, 0)
    for _ in range(3):
        health.fed(900, [Changes(10, 2, 1, 0), Changes(0, 5, 0, 0)])
    batches = [b for k in range(LAG_EVERY) for b in health.published(1000 + k, 2 + k, 7, -3)]
    (intake,) = [b for b in batches if b.type == "platform.intake"]
    assert {k: v.tolist() for k, v in intake.fields.items()} == {"events": [51], "late": [3], "duplicates": [21]}
    (lag,) = [b for b in batches if b.type == "platform.lag"]
    assert [lag.fields[k].tolist() for k in ("partition", "records", "lag_ms")] == [["ingest"], [7], [0]]


@pytest.mark.parametrize("n", [0, 1, SAMPLES, 5000])
def test_pushes_are_thinned_and_never_of_the_future(n: int) -> None:
    pairs = [(1000 + i % 7, 1000 + i % 7 + i % 50) for i in range(n)]
    told = Health().pushed(pairs, 1010, 4)
    assert len(told) == (n > 0)
    for batch in told:
        assert len(batch) == min(n, SAMPLES)
        queued, sent = batch.fields["queued_ts"], batch.fields["sent_ts"]
        assert (sent >= queued).all()  # type: ignore[operator]
        assert sent.max() <= 1010  # type: ignore[union-attr]


def test_thinning_keeps_the_first_and_the_last() -> None:
    assert thinned(range(1000))[:: SAMPLES - 1] == [0, 999]
