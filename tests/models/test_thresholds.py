"""Editions by event time."""

from __future__ import annotations

import numpy as np
import pytest

from citytwin.models.thresholds import Edition, Editions, step_class

ROWS = [Edition("a", 10, 20, "", "V", 1), Edition("b", 20, 30, "", "L", 2), Edition("c", 40, 50, "", "L", 3)]


def test_an_edition_holds_from_its_first_to_before_its_last_moment() -> None:
    editions = Editions(ROWS)
    times = [9, 10, 19, 20, 29, 30, 40, 49, 50]
    names = [e.name if (e := editions.at(t)) else None for t in times]
    assert names == [None, "a", "a", "b", "b", None, "c", "c", None]
    index = editions.index(np.array(times))
    assert index.tolist() == [-1, 0, 0, 1, 1, -1, 2, 2, -1]


def test_overlaps_and_empty_spans_are_refused() -> None:
    with pytest.raises(ValueError, match="begins before"):
        Editions([ROWS[1], ROWS[0]])
    with pytest.raises(ValueError, match="before it ends"):
        Editions([Edition("x", 5, 5, "", "V", 0)])


def test_step_class_counts_reached_edges() -> None:
    assert [step_class(v, (25.0, 27.3, 29.73)) for v in (24.99, 25.0, 27.3, 30)] == [0, 1, 2, 3]
