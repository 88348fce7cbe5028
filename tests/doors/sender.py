"""A sender of webhooks that may be killed between sending and marking.

python -m tests.doors.sender FOLDER URL SECRET COUNT [die]
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded
from citytwin.models.events import VOCABULARY
from citytwin.streams.hooks import Target
from citytwin.streams.hookstore import Delivery, HookStore
from citytwin.streams.log import Events, SqliteLog
from citytwin.webhooks import Pace, Source, Webhooks

NOW_MS = 1_760_000_000_000


class Dies(HookStore):
    """A store whose process ends, as by kill -9, when it is told that the third delivery was taken."""

    dies = False
    marked = 0

    def done(self, delivery: Delivery) -> None:
        """Mark one, or die."""
        self.marked += 1
        if self.dies and self.marked == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        super().done(delivery)


class Fixed:
    """A clock that stands, so that events of a test are never too old."""

    def now_ms(self) -> int:
        """Always the same."""
        return NOW_MS

    def wait(self, condition: threading.Condition, until_ms: int) -> None:
        """Wait on the held condition; nobody here asks for that."""
        condition.wait(until_ms / 1000)


def closed(first: int, count: int) -> EventBatch:
    """So many cases that are closed."""
    names = [f"e{i}" for i in range(first, first + count)]
    fields = {"actor": Coded.of(["wang"] * count)}
    return EventBatch.of("case.closed", [NOW_MS] * count, names, "x", [f"C-{n}" for n in names], fields=fields)


def main(folder: Path, url: str, secret: str, count: int, dies: bool) -> None:
    """Write the events at the first start; send until all are sent."""
    with SqliteLog(folder / "log.db") as log, Dies(folder / "hooks.db") as store:
        store.dies = dies
        store.add(Target("t", url, ("case.*",), secret, private=True))
        if not log.end:
            store.take_in((), 0, NOW_MS)
            log.append([Events(closed(i, 1)) for i in range(count)])
        hooks = Webhooks(store, Source(log, VOCABULARY()), Pace(), Fixed(), lambda: 0.5)
        hooks.start(log.end)
        done = threading.Event()
        while store.position < log.end or store.counts("t")["waiting"]:
            done.wait(0.05)
        hooks.stop()
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), "die" in sys.argv[5:])
