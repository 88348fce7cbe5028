"""Alarms as few rows: those of one group that come soon after each other are one row, and floods merge upwards.

The group of an alarm is a path from coarse to fine, such as `flood/420102/420102007` or `flood Wuchang`: theme,
district, street; its parts are parted by a slash or a blank. When more rows would be needed than an operator can read,
groups merge into their parent path, the mildest first, and at last the rest becomes `others`; no alarm is ever left
out. The same rows give the same groups, whatever their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

#: An alarm within this time after the newest of its group belongs to it (ms). A local default.
WINDOW_MS = 10 * 60_000
#: Most rows of groups that are shown.
MOST = 20
#: Path of what is left when nothing else can be merged, and its title.
OTHERS = "others"
OTHERS_TITLE = {"zh": "其他", "en": "Others"}
SEPARATOR = "/"

Row = Mapping[str, Any]


class _Key(NamedTuple):
    """A group: its path, and when its episode began (_MERGED: all episodes)."""

    path: str
    begun: int

    @property
    def depth(self) -> int:
        return 1 + len(_PARTED.findall(self.path)) + (self.begun != _MERGED)

    @property
    def parent(self) -> _Key:
        return _Key(self.path if self.begun != _MERGED else _PARTED.split(self.path[::-1], 1)[1][::-1], _MERGED)


_PARTED = re.compile(f"[{SEPARATOR} ]+")
_MERGED = -1
_REST = _Key(OTHERS, _MERGED)
_Groups = dict[_Key, list[Row]]


def default_group(rule: str, codes: Sequence[str]) -> str:
    """The group of an alarm whose rule names none: the rule, and the scopes above it from coarse to fine.

    >>> default_group("flood.depth", ["420102", "420102007"])
    'flood.depth/420102/420102007'
    """
    return SEPARATOR.join((rule or "alarm", *codes))


def groups(rows: Iterable[Row], most: int = MOST, window_ms: int = WINDOW_MS) -> list[dict[str, Any]]:
    """At most `most` rows of groups, worst and newest first; `rows` as of GET /alarms, each is in one group.

    A group has `group` (path), `title` (of its first alarm), `priority` (the worst), `since` (the first), `last`,
    `first_out` (code of the alarm that began it), `count`, `unacked`, `by_priority` (numbers of I to IV), `members`
    (codes, by time). `most` is at least 1.
    """
    found = _episodes(rows, window_ms)
    while len(found) > most and max(key.depth for key in found) > 1:
        _merge_deepest(found, most)
    if len(found) > most:
        order = sorted(found, key=lambda key: _rank(key, found[key]))
        rest = [row for key in order[most - 1 :] for row in found.pop(key)]
        found[_REST] = found.get(_REST, []) + rest
    made = [_row(key, members) for key, members in found.items()]
    return sorted(made, key=lambda g: (g["priority"], g["unacked"] == 0, -g["last"], g["group"], g["since"]))


def _when(row: Row) -> tuple[int, str]:
    """Order of alarms: by time, then by code."""
    return row["since"] or 0, row["code"]


def _episodes(rows: Iterable[Row], window_ms: int) -> _Groups:
    """Rows by group and episode: a gap longer than the window begins a new one."""
    newest: dict[str, tuple[_Key, int]] = {}
    found: _Groups = {}
    for row in sorted(rows, key=_when):
        name, time = row["group"].strip(f"{SEPARATOR} ") or OTHERS, _when(row)[0]
        key, last = newest.get(name, (_REST, time))
        if name not in newest or time - last > window_ms:
            key = _Key(name, time)
        newest[name] = key, time
        found.setdefault(key, []).append(row)
    return found


def _rank(key: _Key, members: Sequence[Row]) -> tuple[Any, ...]:
    """Order of importance: worst priority, unacknowledged, many, early; the path decides between equals."""
    worst = min(row["priority"] for row in members)
    unacked = sum(not row["acked"] for row in members)
    return worst, -unacked, -len(members), _when(members[0]), key


def _merge_deepest(found: _Groups, most: int) -> None:
    """Merge the groups with the longest paths into their parents, the mildest first, until they are few enough."""
    depth = max(key.depth for key in found)
    families: dict[_Key, list[_Key]] = {}
    for key in found:
        if key.depth == depth:
            families.setdefault(key.parent, []).append(key)
    large = [parent for parent, children in families.items() if len(children) + (parent in found) > 1]
    ranks = {parent: min(_rank(child, found[child]) for child in families[parent]) for parent in large}
    for parent in sorted(large, key=lambda p: ranks[p], reverse=True):
        _merge(found, parent, families.pop(parent))
        if len(found) <= most:
            return
    for parent, children in families.items():
        _merge(found, parent, children)


def _merge(found: _Groups, parent: _Key, children: Sequence[_Key]) -> None:
    members = found.pop(parent, []) + [row for child in children for row in found.pop(child)]
    found[parent] = sorted(members, key=_when)


def _row(key: _Key, members: Sequence[Row]) -> dict[str, Any]:
    """What is shown of a group."""
    inside = sorted(members, key=_when)
    first = next((row for row in inside if row["first_out"]), inside[0])
    return {
        "group": key.path,
        "title": dict(OTHERS_TITLE if key == _REST else first["title"]),
        "priority": min(row["priority"] for row in inside),
        "since": _when(inside[0])[0],
        "last": _when(inside[-1])[0],
        "first_out": first["code"],
        "count": len(inside),
        "unacked": sum(not row["acked"] for row in inside),
        "by_priority": [sum(row["priority"] == level for row in inside) for level in (1, 2, 3, 4)],
        "members": [row["code"] for row in inside],
    }
