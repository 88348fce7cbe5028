"""Which alarm of a group came first: the one that may have caused the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citytwin.models.desk.alarms import Alarm
from citytwin.models.desk.grouping import WINDOW_MS


@dataclass(slots=True)
class _Episode:
    """The first alarm of a group with its time, the newest time, and the alarms that do not rest."""

    first: str
    begun: int
    last: int
    members: dict[str, None] = field(default_factory=dict)


class FirstOut:
    """The newest episode of each group that has alarms: it begins when none has, or after a gap of the window."""

    def __init__(self) -> None:
        self._episodes: dict[str, _Episode] = {}
        self._of: dict[str, str] = {}

    def join(self, alarm: Alarm) -> list[str]:
        """A new occurrence of an alarm: mark it if it is the first; codes that are no longer the first."""
        if self._of.get(alarm.code) != alarm.group:
            self._forget(alarm.code)
        episode = self._episodes.get(alarm.group)
        self._of[alarm.code] = alarm.group
        if episode is None or alarm.since - episode.last > WINDOW_MS:
            members = episode.members if episode is not None else {}
            members[alarm.code] = None
            self._episodes[alarm.group] = _Episode(alarm.code, alarm.since, alarm.since, members)
            alarm.first_out = True
            return []
        episode.members[alarm.code] = None
        episode.last = max(episode.last, alarm.since)
        alarm.first_out = alarm.code == episode.first or episode.begun - WINDOW_MS <= alarm.since < episode.begun
        if not alarm.first_out or alarm.code == episode.first:
            return []
        before, episode.first, episode.begun = episode.first, alarm.code, alarm.since
        return [before]

    def leave(self, alarm: Alarm) -> None:
        """An alarm rests; a group without any begins anew with the next one."""
        alarm.first_out = False
        self._forget(alarm.code)

    def _forget(self, code: str) -> None:
        group = self._of.pop(code, None)
        if group is not None:
            members = self._episodes[group].members
            del members[code]
            if not members:
                del self._episodes[group]

    def state(self) -> dict[str, Any]:
        """Plain values for a snapshot."""
        return {group: [e.first, e.begun, e.last, sorted(e.members)] for group, e in sorted(self._episodes.items())}

    def load(self, state: Mapping[str, Any]) -> None:
        """Come back to a state."""
        self._episodes = {
            group: _Episode(first, begun, last, dict.fromkeys(codes))
            for group, (first, begun, last, codes) in state.items()
        }
        self._of = {code: group for group, episode in self._episodes.items() for code in episode.members}
