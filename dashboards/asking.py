"""What is asked for: query parameters of addresses, checked, as the troubles that they are."""

from __future__ import annotations

import datetime
import math

from starlette.requests import Request

from citytwin.dashboards.ports import Board
from citytwin.dashboards.problems import Trouble
from citytwin.dashboards.protocol import Filter
from citytwin.dashboards.select import BadFilter, Selection
from citytwin.geo.scopes import LEVELS, ScopeTree
from citytwin.indicators.api import Spec
from citytwin.models.columns import Bool

Box = tuple[float, float, float, float]


def asked(request: Request, *names: str) -> dict[str, str]:
    """The query parameters. Raises Trouble for one that the address does not have."""
    unknown = sorted(set(request.query_params) - set(names))
    if unknown:
        has = f"it has: {', '.join(names)}" if names else "it has none"
        past = "; reads answer for now only" if "at" in unknown else ""
        raise Trouble(400, "parameter", f"there is no parameter {', '.join(unknown)} here; {has}{past}")
    return {k: v for k, v in request.query_params.items() if v != ""}


def whole(q: dict[str, str], name: str, default: int, lo: int, hi: int) -> int:
    """A whole number between bounds. Raises Trouble."""
    try:
        value = int(q.get(name, default))
    except ValueError:
        value = lo - 1
    if not lo <= value <= hi:
        raise Trouble(400, "parameter", f"{name} is a whole number from {lo} to {hi}")
    return value


def millis(text: str, name: str) -> int:
    """A time as ms, from ms or RFC 3339 with offset. Raises Trouble."""
    if text.lstrip("-").isdigit() and len(text) < 16:
        return int(text)
    try:
        when: datetime.datetime | None = datetime.datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise Trouble(400, "parameter", f"{name} is milliseconds or a time such as 2026-11-22T22:00:00Z")
    return int(when.timestamp() * 1000)


def box(q: dict[str, str]) -> Box | None:
    """A bbox of west, south, east, north. Raises Trouble."""
    if "bbox" not in q:
        return None
    try:
        west, south, east, north = (float(v) for v in q["bbox"].split(","))
    except ValueError:
        west = south = east = north = math.nan
    if not (-360 <= west <= east <= 360 and -90 <= south <= north <= 90):
        raise Trouble(400, "parameter", "bbox is west,south,east,north in degrees")
    return west, south, east, north


def row_of(tree: ScopeTree, code: str) -> int:
    """The row of a scope. Raises Trouble for an unknown code."""
    row = tree.row(code)
    if row < 0:
        raise Trouble(404, "unknown_scope", f"no scope has the code {code}")
    return row


def spec_of(board: Board, request: Request) -> Spec:
    """The indicator of an address. Raises Trouble for an unknown one."""
    id = request.path_params["id"]
    spec = next((s for s in board.specs() if s.id == id), None)
    if spec is None:
        raise Trouble(404, "unknown_indicator", f"there is no indicator {id}")
    return spec


def chosen(q: dict[str, str], tree: ScopeTree) -> Bool:
    """Mask of the scopes that `scope`, `level` or `depth` choose (bool[n]). Raises Trouble."""
    depth = whole(q, "depth", 0, 0, 4) if "depth" in q else None
    if q.get("level") not in (None, *LEVELS):
        raise Trouble(400, "parameter", f"level is one of {', '.join(LEVELS)}")
    try:
        return Selection("ind", Filter(q.get("scope"), depth, q.get("level")), tree).scopes()  # type: ignore[arg-type]
    except BadFilter as bad:
        raise Trouble(404 if bad.reason == "unknown_scope" else 400, bad.reason, bad.detail) from bad
