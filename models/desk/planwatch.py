"""Which level a plan is called for at: raised at once, lowered only after the lower limit was not reached for a time.

Unknown values (None) change nothing and hold nothing: no level begins on them, and the time below a lower limit begins
anew after them, for nobody knows what happened meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citytwin.models.columns import MISSING
from citytwin.models.desk.plans import Plan
from citytwin.models.desk.triggers import Alarm, Value


@dataclass(slots=True)
class Watch:
    """Where a plan stands at one scope: the level it is called for (0 none) and since when (ms).

    `held`: since when the beginning of each level has held; `below`: since when the lower limit has not.
    """

    level: int = 0
    since: int = MISSING
    held: dict[int, int] = field(default_factory=dict)
    below: int = MISSING

    @property
    def idle(self) -> bool:
        """Whether it stands at no level and waits for nothing: then only other values can change it."""
        return not self.level and not self.held and self.below == MISSING

    def step(self, plan: Plan, now: int, value: Value, alarm: Alarm) -> bool:
        """Take in what holds now; whether the level changed. `now` must not go back."""
        reached = self._reached(plan, now, value, alarm)
        if reached and (self.level == 0 or reached < self.level):
            return self._change(reached, now)
        row = plan.at(self.level)
        if row is None:
            return False
        if row.keep.holds(value, alarm) is not False or (reached and reached <= self.level):
            self.below = MISSING
            return False
        if self.below == MISSING:
            self.below = now
        if now - self.below < row.lower_ms:
            return False
        lower = (r.level for r in plan.levels if r.level > self.level and r.keep.holds(value, alarm) is not False)
        return self._change(next(lower, 0), now)

    def _reached(self, plan: Plan, now: int, value: Value, alarm: Alarm) -> int:
        """The worst level whose beginning has held for its time, 0 for none."""
        found = 0
        for row in reversed(plan.levels):
            holds = row.begin.holds(value, alarm)
            if holds is None:
                continue
            if not holds:
                self.held.pop(row.level, None)
            elif now - self.held.setdefault(row.level, now) >= row.hold_ms:
                found = row.level
        return found

    def _change(self, level: int, now: int) -> bool:
        self.level, self.since, self.below = level, now, MISSING
        return True

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        held = {str(level): since for level, since in sorted(self.held.items())}
        return {"level": self.level, "since": self.since, "held": held, "below": self.below}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Watch:
        """From plain values."""
        held = {int(level): since for level, since in plain["held"].items()}
        return cls(plain["level"], plain["since"], held, plain["below"])
