"""Rights worked out anew, word by word: who sees and does what. Only the table of roles is shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from citytwin.models.desk.roles import PERMISSIONS

Grants = Sequence[tuple[str, str]]
#: Parent code of each scope code, None for the city.
Parents = Mapping[str, str | None]
SECRETS = (
    "caller",
    "caller_name",
    "caller_phone",
    "callback_number",
    "contact",
    "phone",
    "reporter",
    "person",
    "deputy",
)


def may(grants: Grants, op: str, places: Sequence[str | None], parents: Parents) -> bool:
    """Whether one grant has the permission at one of the places or above it."""
    for role, scope in grants:
        if role not in PERMISSIONS.get(op, ()):
            continue
        if scope == "*":
            return True
        for place in places:
            at = place
            while at is not None:
                if at == scope:
                    return True
                at = parents[at]
    return False


def seen(grants: Grants, channel: str, row: Mapping[str, Any], parents: Parents) -> dict[str, Any] | None:
    """A row as somebody sees it; None when it is not theirs."""
    places = [row["scope"], *row.get("lent", ())]
    if not may(grants, f"read.{channel}", places, parents):
        return None
    if not may(grants, "read.personal", places, parents):
        return blank(row)
    return dict(row) if may(grants, "read.confidential", places, parents) else hushed(row)


def hushed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the secrets of its confidential parts emptied."""
    if row.get("confidential"):
        return blank(row)
    out: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            out[name] = hushed(value)
        elif isinstance(value, list):
            out[name] = [hushed(v) if isinstance(v, dict) else v for v in value]
        else:
            out[name] = value
    return out


def blank(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with every secret emptied, however deep."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        if name in SECRETS:
            out[name] = None
        elif isinstance(value, dict):
            out[name] = blank(value)
        elif isinstance(value, list):
            out[name] = [blank(v) if isinstance(v, dict) else v for v in value]
        else:
            out[name] = value
    return out
