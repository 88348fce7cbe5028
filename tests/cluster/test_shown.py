"""What a gateway shows, without brokers: final frames are true, whoever said the provisional ones before them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.cluster.shown import ShownCity
from citytwin.indicators.api import count, indicator
from citytwin.indicators.registry import Registry
from citytwin.models.frame import Frame, Quality, Values
from citytwin.streams.parts import BoardFrame
from citytwin.testing import TinyCity

META: Any = {"theme": "t", "levels": "city district", "owner": "me", "source": "local", "window": "sliding 1h/1m"}
IDS, ROWS = ("shown.one", "shown.two"), 3


def registry() -> Registry:
    """Two indicators; their values are what the frames say."""
    names = {"zh": "数", "en": "Number"}

    def counted(n=count("case.filed")):  # type: ignore[no-untyped-def]
        """Cases."""
        return n

    return Registry([indicator(id, name=names, meaning=names, **META)(counted) for id in IDS])


def values(told: dict[int, float]) -> Values:
    """Values of rows."""
    rows = np.array(sorted(told), np.int32)
    n = len(rows)
    value = np.array([told[r] for r in rows.tolist()])
    none = np.zeros(n, np.int32)
    return Values(rows, value, np.full(n, int(Quality.GOOD), np.uint8), none, none, np.zeros(n, np.bool_), value)


def frame(k: int, told: dict[str, dict[int, float]], *, final: bool = True, key: bool = False) -> BoardFrame:
    """A frame of the board."""
    made = Frame(k, 1000 * k, k, {id: values(v) for id, v in told.items() if v})
    return BoardFrame(made, key=key, final=final, missing=() if final else (0,))


def begun() -> ShownCity:
    """A city that has shown a keyframe in which all is 0."""
    shown = ShownCity(TinyCity(), registry())
    assert shown.take(frame(1, {id: dict.fromkeys(range(ROWS), 0.0) for id in IDS}, key=True)) is not None
    return shown


def test_what_another_clock_showed_too_early_is_put_right() -> None:
    shown = begun()
    early = shown.take(frame(2, {"shown.one": {0: 9.0}}, final=False))
    assert early is not None
    assert early.values["shown.one"].value.tolist() == [9.0]
    # the clock that says the final frame knows nothing of that, and nothing changed for it
    final = shown.take(frame(2, {"shown.two": {1: 5.0}}))
    assert final is not None
    assert (final.values["shown.one"].rows.tolist(), final.values["shown.one"].value.tolist()) == ([0], [0.0])
    assert final.values["shown.two"].value.tolist() == [5.0]
    assert shown.sys["provisional"] == []


some = st.dictionaries(
    st.sampled_from(IDS), st.dictionaries(st.integers(0, ROWS - 1), st.sampled_from([0.0, 1.0, 2.0, float("nan")]))
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(some, some, st.booleans()), max_size=12), st.integers(1, 3))
def test_final_frames_show_the_final_state(steps: list[tuple[Any, Any, bool]], behind: int) -> None:
    """Provisional frames say anything and run ahead; `screen` is what a page holds that follows every frame."""
    shown = begun()
    screen = {(id, r): 0.0 for id in IDS for r in range(ROWS)}
    true = dict(screen)

    def follow(found: Frame | None) -> None:
        for id, told in (found.values if found is not None else {}).items():
            screen.update({(id, r): v for r, v in zip(told.rows.tolist(), told.value.tolist(), strict=True)})

    for k, (final, early, look) in enumerate(steps, 2):
        for ahead in range(behind if look else 0):
            follow(shown.take(frame(k + ahead, early, final=False)))
        true |= {(id, r): v for id, rows in final.items() for r, v in rows.items()}
        follow(shown.take(frame(k, final)))
        if shown.k == shown.final:
            np.testing.assert_equal(screen, true)
            for (id, r), v in true.items():
                np.testing.assert_equal(shown.engine.board.lines[id].value[r], v)
