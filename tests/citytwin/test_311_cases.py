"""4,969 real service requests of New York led through all stages of a case, the desk attending; pandas counts the same.

The file tells when a request was made and closed, and where; what lies between is made from that by plain rules: sent
out at once, handled half way, every seventh of the closed handled again, due after eight hours, every third found by a
patrol.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from citytwin import desking
from citytwin.engine import Engine
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded
from citytwin.twin.pack import load_city
from tests.conftest import Figure, proving
from tests.indicators.oracle_law import DAY, HOUR

FILE = Path(__file__).parents[1] / "data" / "service_requests_311.csv.gz"
#: New York counts days of its standard time.
ORIGIN = 5 * HOUR
BEGUN = ("reported", "accepted", "filed", "dispatched", "received")
ENDED = ("handled", "verified", "closed")
IDS = (
    "case_backlog", "case_overdue_open", "case_filing_rate", "case_closing_rate", "case_on_time_closing_rate",
    "case_rework_rate", "case_handling_time_p90", "proactive_discovery_rate", "case_accepted_rate_10k",
)  # fmt: skip


@pytest.fixture(scope="module")
def requests() -> pd.DataFrame:
    """Times in ms UTC, a closing time of NaN for what is open."""
    table = pd.read_csv(FILE, dtype=str, keep_default_na=False)
    out = pd.DataFrame({"code": table["Unique Key"], "borough": table["Borough"].replace("Unspecified", "")})
    for name, column in (("made", "Created Date"), ("closed", "Closed Date")):
        naive = pd.to_datetime(table[column], format="%m/%d/%Y %H:%M")
        zoned = naive.dt.tz_localize("America/New_York", ambiguous=True, nonexistent="shift_forward")
        out[name] = (zoned - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(milliseconds=1)
    out["handled"] = ((out["made"] + out["closed"]) / 2).round()
    out["due"] = out["made"] + 8 * HOUR
    out["again"] = out["closed"].notna() & (out.index % 7 == 0)
    out["found"] = out.index % 3 == 0
    return out


def batch(rows: pd.DataFrame, step: int, move: str, time: str, **fields: Any) -> EventBatch:
    """One move of many cases; ids tell the order of what happens at the same time."""
    return EventBatch.of(
        f"case.{move}", rows[time].to_numpy(np.int64), [f"{step:02d}-{code}" for code in rows["code"]],
        ["311"] * len(rows), list(rows["code"]), scope=list(rows["borough"]), fields=fields,
    )  # fmt: skip


def story(rows: pd.DataFrame) -> list[EventBatch]:
    """All moves of all cases."""
    due = {"due_at": rows["due"].to_numpy(np.int64)}
    channel = {"channel": Coded.of(["patrol" if found else "311" for found in rows["found"]])}
    told: dict[str, dict[str, Any]] = {"filed": due, "reported": channel}
    out = [batch(rows, step, move, "made", **told.get(move, {})) for step, move in enumerate(BEGUN)]
    again = rows[rows["again"]]
    failed = {"passed": np.zeros(len(again), np.int8)}
    for step, move in enumerate(("handled", "verified", "dispatched", "received"), 5):
        out.append(batch(again, step, move, "handled", **(failed if move == "verified" else {})))
    ended = rows[rows["closed"].notna()]
    passed = {"passed": np.ones(len(ended), np.int8)}
    for step, move in enumerate(ENDED, 9):
        time = "handled" if move == "handled" else "closed"
        out.append(batch(ended, step, move, time, **(passed if move == "verified" else {})))
    return out


@pytest.fixture(scope="module", params=[True, False] if proving() else [True])
def city(request: pytest.FixtureRequest, requests: pd.DataFrame) -> Engine:
    """The desk of New York after all of it told backwards (or in order), a tick after the last event."""
    engine = Engine(load_city("new_york"), Registry([builtin()[id] for id in IDS]))
    desking.attend(engine)
    moves = story(requests)
    for each in reversed(moves) if request.param else moves:
        assert not engine.feed(each, 1).rejected
    engine.tick(int(np.nanmax(requests[["made", "closed"]].to_numpy())) + 1, 2)
    return engine


def counted(rows: pd.DataFrame, now: int) -> dict[str, float]:
    """All case indicators of one place; NaN where there is nothing to count."""

    def share(part: pd.Series, of: pd.Series) -> float:
        return round(100 * (part & of).sum() / of.sum(), 2) if of.any() else float("nan")

    def inside(time: pd.Series) -> pd.Series:
        return (time >= (now - ORIGIN) // (30 * DAY) * 30 * DAY + ORIGIN) & (time <= now)

    closed = rows["closed"].notna()
    hours = (rows["handled"] - rows["made"].where(~rows["again"], rows["handled"])) / HOUR
    lately = (rows["handled"] >= ((now - ORIGIN) // HOUR - 30 * 24 + 1) * HOUR + ORIGIN) & (rows["handled"] <= now)
    taken, due = inside(rows["made"]), inside(rows["due"])
    return {
        "case_backlog": (~closed).sum(), "case_overdue_open": (~closed & (rows["due"] < now)).sum(),
        "case_filing_rate": share(taken, taken), "case_closing_rate": share(closed, due),
        "case_on_time_closing_rate": share(rows["closed"] <= rows["due"], due),
        "case_rework_rate": share(rows["again"], inside(rows["closed"])),
        "case_handling_time_p90": hours[lately].quantile(0.9, interpolation="lower"),
        "proactive_discovery_rate": share(rows["found"], taken), "case_accepted_rate_10k": float("nan"),
    }  # fmt: skip


def test_all_case_indicators_equal_pandas(city: Engine, requests: pd.DataFrame, figure: Figure) -> None:
    places = {"NYC": requests, **{b: rows for b, rows in requests.groupby("borough") if b}}
    assert len(places) == 6
    assert city.casework is not None
    assert len(city.casework.files) == int(requests["closed"].isna().sum()) == 277
    compared = 0
    for code, rows in places.items():
        at = city.scopes.row(code)
        for id, wanted in counted(rows, city.now).items():
            if at not in city.scopes.at_level(0) and "district" not in builtin()[id].levels:
                continue
            found = float(city.board.lines[id].value[at])
            slack = 0.01 * wanted + 0.005 if id == "case_handling_time_p90" else 0
            assert (np.isnan(found) and np.isnan(wanted)) or abs(found - wanted) <= slack, (id, code, found, wanted)
            compared += not np.isnan(wanted)
    figure("values of case indicators of the 311 file equal to pandas", compared, "values")
    assert compared == 8 * len(places)
