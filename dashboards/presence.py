"""Who looks at which case: told to those who look at the same one, if both may see it. No socket, no clock.

A connection looks at one case at most, so all of it is bounded by the number of connections; it goes with the socket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from citytwin.dashboards.protocol import Onlooker, Presence

#: So many others are named; of more the number is told, as far as the first `COUNTED` connections go.
NAMED, COUNTED = 20, 500
#: A connection is told of others at most so often, ms: somebody who types fast does not keep everybody's line busy.
EVERY_MS = 250.0


@dataclass(slots=True, eq=False)
class _Look:
    """What one connection looks at; whether it may see that, and the names of people there; what it last heard."""

    user: str
    name: str
    case: str
    typing: bool
    sees: bool = False
    names: bool = False
    due: bool = False
    next_at: float = 0.0
    told: tuple[tuple[Onlooker, ...], int] = ((), 0)


class Looking:
    """All that are looked at. `sees(key, case)`: whether a connection may see a case now, and people's names there."""

    def __init__(self, sees: Callable[[int, str], tuple[bool, bool]]) -> None:
        self._sees = sees
        self._looks: dict[int, _Look] = {}
        self._at: dict[str, dict[int, None]] = {}
        #: Connections that have something to hear since they were last asked for.
        self._stirred: set[int] = set()

    def look(self, key: int, who: tuple[str, str], case: str, typing: bool) -> None:
        """A connection of `who` (user, name) looks at this case now, and at no other; "" at none."""
        mine = self._looks.get(key)
        if mine is None or mine.case != case:
            self.leave(key)
            if not case:
                return
            mine = self._looks[key] = _Look(*who, case, typing, next_at=mine.next_at if mine is not None else 0.0)
            self._at.setdefault(case, {})[key] = None
        elif mine.typing == typing:
            return
        mine.typing = typing
        self.changed(key)

    def leave(self, key: int) -> None:
        """A connection looks at nothing any more, or has ended."""
        mine = self._looks.pop(key, None)
        self._stirred.discard(key)
        if mine is None:
            return
        there = self._at[mine.case]
        del there[key]
        if not there:
            del self._at[mine.case]
        self._stir(mine.case)

    def touch(self, case: str) -> None:
        """Something was said of a case: others may see it now, or nobody, for it is over."""
        for key in self._at.get(case, ()):
            self._judge(key)
        self._stir(case)

    def changed(self, key: int) -> None:
        """What a connection does or may see is otherwise now."""
        if key in self._looks:
            self._judge(key)
            self._stir(self._looks[key].case)

    def _judge(self, key: int) -> None:
        mine = self._looks[key]
        mine.sees, mine.names = self._sees(key, mine.case)

    def _stir(self, case: str) -> None:
        for key in self._at.get(case, ()):
            self._looks[key].due = True
            self._stirred.add(key)

    def stirred(self) -> set[int]:
        """Connections that may have something to hear since the last call."""
        found, self._stirred = self._stirred, set()
        return found

    def wait(self, key: int, at: float) -> float | None:
        """Milliseconds until it is to be seen whether a connection is told of others; None: there is nothing new."""
        mine = self._looks.get(key)
        return None if mine is None or not mine.due else max(0.0, mine.next_at - at)

    def news(self, key: int, at: float) -> Presence | None:
        """Who else looks at the same, where it is time and that is not as last told.

        The same person at another window is nobody else.
        """
        mine = self._looks.get(key)
        if mine is None or self.wait(key, at) != 0.0:
            return None
        mine.due, mine.next_at = False, at + EVERY_MS
        found = self._others(mine) if mine.sees else {}
        named = tuple(found[user] for user in sorted(found)[:NAMED])
        told, mine.told = mine.told, (named, len(found) - len(named))
        return None if told == mine.told else Presence(mine.case, list(named), mine.told[1])

    def _others(self, mine: _Look) -> dict[str, Onlooker]:
        """Others by user; one who types at one of several windows types."""
        found: dict[str, Onlooker] = {}
        for look in map(self._looks.__getitem__, islice(self._at[mine.case], COUNTED)):
            if look.sees and look.user != mine.user:
                typing = look.typing or (look.user in found and found[look.user].typing)
                found[look.user] = Onlooker(look.user, look.name if mine.names else "", typing)
        return found
