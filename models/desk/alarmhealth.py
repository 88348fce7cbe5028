"""How well the alarms serve those who watch them: rate, floods, chattering, stale, the ten most frequent, priorities.

Pure functions over annunciations. Measures and limits after ANSI/ISA-18.2 and IEC 62682, which took most of them from
EEMUA 191; what is a local default is said so.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from citytwin.models.vocabulary import DAY_MS

#: The period of all rates: ten minutes.
PERIOD_MS = 10 * 60_000
#: What counts as a day's worth of alarms.
SPAN_MS = DAY_MS
#: More alarms than this in a period, for one operator, are a flood.
FLOOD = 10
#: As many annunciations of one alarm within CHATTER_MS are chattering: the usual first test, three in a minute.
CHATTER, CHATTER_MS = 3, 60_000
#: An alarm that is active for longer is stale.
STALE_MS = DAY_MS
#: How many alarms the measure of the most frequent looks at.
TOP = 10
#: Below so many alarms in a day the ten most frequent say nothing: evenly spread, ten of 200 alarms are 5 %. Local.
TOP_LEAST = 200


class Occurrence(NamedTuple):
    """One annunciation: when (ms UTC), of which alarm, with which priority (1..4)."""

    time: int
    code: str
    priority: int


def within(history: Iterable[Occurrence], begin: int, end: int) -> list[Occurrence]:
    """The annunciations in (begin, end], by time."""
    return sorted(o for o in history if begin < o.time <= end)


def rate(times: Sequence[int], now: int, operators: int = 1) -> float:
    """Annunciations of the last ten minutes for each operator; `times` sorted (ms).

    Limits: about 1 is acceptable, about 2 the most that can be managed, more than 10 a flood.
    """
    return (bisect_right(times, now) - bisect_right(times, now - PERIOD_MS)) / operators


def floods(times: Sequence[int], begin: int, end: int, operators: int = 1) -> int:
    """How many whole periods of ten minutes, from `begin` up to `end`, had more than FLOOD alarms an operator.

    A period holds what comes after its begin, up to and with its end; `times` sorted. Limit: below 1 % of the periods.
    """
    edges = [bisect_right(times, at) for at in range(begin, end + 1, PERIOD_MS)]
    return sum(b - a > FLOOD * operators for a, b in itertools.pairwise(edges))


def chattering(occurrences: Iterable[Occurrence]) -> list[str]:
    """Codes of the alarms that came CHATTER times within CHATTER_MS, sorted. Limit: none."""
    times: dict[str, list[int]] = defaultdict(list)
    for occurrence in occurrences:
        times[occurrence.code].append(occurrence.time)
    found = []
    for code, of in times.items():
        of.sort()
        if any(last - first <= CHATTER_MS for first, last in zip(of, of[CHATTER - 1 :], strict=False)):
            found.append(code)
    return sorted(found)


def stale(active_since: Mapping[str, int], now: int) -> list[str]:
    """Codes of the alarms that are active for longer than a day, sorted. Limit: fewer than 5 on any day."""
    return sorted(code for code, since in active_since.items() if now - since > STALE_MS)


def most_frequent(occurrences: Iterable[Occurrence], most: int = TOP) -> list[tuple[str, int]]:
    """The alarms that came most often, with how often, the most frequent first. Limit: 5 % of all for the first ten."""
    counted = Counter(o.code for o in occurrences)
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:most]


def priorities(occurrences: Iterable[Occurrence]) -> list[int]:
    """Numbers of annunciations of priority I to IV. Aim: about 5 % high, 15 % medium, 80 % low."""
    counted = Counter(o.priority for o in occurrences)
    return [counted[level] for level in (1, 2, 3, 4)]


@dataclass(frozen=True, slots=True)
class Health:
    """The health at one moment: numbers of annunciations in ten minutes (`recent`) and a day, and what is wrong.

    `flood`: periods of the day with a flood; `top`: annunciations of the ten most frequent alarms of the day;
    `chattering`, `stale`: numbers of alarms.
    """

    operators: int
    recent: int
    day: int
    flood: int
    top: int
    chattering: int
    stale: int

    def fields(self) -> dict[str, int]:
        """As the fields of an event `alarm.health`."""
        return asdict(self)


def health(history: Iterable[Occurrence], active_since: Mapping[str, int], now: int, operators: int = 1) -> Health:
    """All of it at a time: `history` of at least a day, `active_since` of the alarms that are active (ms)."""
    day = within(history, now - SPAN_MS, now)
    times = [o.time for o in day]
    return Health(
        operators=operators,
        recent=len(times) - bisect_left(times, now - PERIOD_MS + 1),
        day=len(day),
        flood=floods(times, now - SPAN_MS, now, operators),
        top=sum(count for _, count in most_frequent(day)),
        chattering=len(chattering(day)),
        stale=len(stale(active_since, now)),
    )


def report(
    history: Iterable[Occurrence], active_since: Mapping[str, int], now: int, operators: int = 1
) -> dict[str, Any]:
    """The health with what stands behind its numbers, as plain values: codes, and counts of priority I to IV."""
    day = within(history, now - SPAN_MS, now)
    return health(day, active_since, now, operators).fields() | {
        "rate": rate([o.time for o in day], now, operators),
        "chattering_codes": chattering(day),
        "stale_codes": stale(active_since, now),
        "most_frequent": [list(item) for item in most_frequent(day)],
        "by_priority": priorities(day),
    }
