"""Webhooks: events of the log told to other systems, at least once, on threads that nobody waits for.

One thread reads the log behind the engine and queues what targets want; each target has a thread that sends. The engine
only says how far it is (`upto`). What the state refused is not told: the dead letters know it by its place in the log.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from citytwin.clock import Clock, SystemClock
from citytwin.models.batch import EventBatch
from citytwin.models.vocabulary import Vocabulary
from citytwin.posting import Answered, NotPosted, post
from citytwin.streams.hooks import (
    KEY,
    SIGNATURE,
    Breaker,
    Target,
    bodies_of,
    delay_ms,
    key_of,
    sign,
    source_of,
    types_wanted,
)
from citytwin.streams.hookstore import Delivery, Fresh, HookStore
from citytwin.streams.log import Events, Log, LogGap
from citytwin.streams.store import StoreError, StoreUnavailable

_log = logging.getLogger(__name__)
#: Deliveries that are queued in one transaction.
_TOGETHER = 1000
#: How often targets that were added or removed by another process are looked at.
_LOOK_S = 1.0
#: How often the store is told how far the log was read where nothing of it is told.
_NOTE_MS = 10_000
#: How often the counts are told.
_COUNT_MS = 5_000
MAX_TARGETS = 64
#: Codes of the scopes that each row of a batch lies in, from the city down; empty where nothing is known.
Where = Callable[[EventBatch], Sequence[Sequence[str]]]
#: Rows of the log record at a position that the state refused.
RefusedAt = Callable[[int], set[int]]


@dataclass(frozen=True, slots=True)
class Pace:
    """Tries of a delivery until it is a dead letter, seconds of one, and the oldest event that is told (ms)."""

    tries: int = 15
    timeout_s: float = 10.0
    max_age_ms: int = 86_400_000


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from: the log, the words they are in, which rows were refused, and where they lie."""

    log: Log
    vocabulary: Vocabulary
    refused: RefusedAt = lambda _: set()
    where: Where = lambda batch: [()] * len(batch)
    #: Targets of the settings; they stand before added ones of the same name.
    fixed: Sequence[Target] = field(default_factory=tuple)


class Webhooks:
    """Reads, queues and sends from `start` to `stop`."""

    def __init__(
        self, store: HookStore, source: Source, pace: Pace | None = None, clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self.store, self.source, self.pace = store, source, pace or Pace()
        self.clock, self.chance = clock or SystemClock(), chance
        #: Gets the counts of each target now and then, on the thread that reads.
        self.on_counts: Callable[[str, Mapping[str, int]], None] | None = None
        self._counted_ms = 0
        self.senders: dict[str, Sender] = {}
        #: Positions: what the engine has, what was read, what the store knows to be read and since when (ms).
        self._upto = self.position = 0
        self._noted_ms = 0
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="citytwin-webhooks", daemon=True)

    def start(self, position: int) -> None:
        """Begin; `position`: the last one in the engine's state. The first time ever nothing before it is told."""
        self._upto = position
        self.position = self.store.position
        if not 0 <= self.position <= position:  # the first time, or after a backup whose log ends earlier
            self.position = position
            try:
                self._queue((), position)
            except StoreUnavailable as error:
                _log.warning("webhooks cannot note where they begin: %s", error)
        self._thread.start()

    def upto(self, position: int) -> None:
        """Say that the engine has this position and that refusals before it are kept; never waits."""
        self._upto = position
        self._wake.set()

    def stop(self) -> None:
        """End all threads; what waits is sent after the next start. A second call does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(30)
        if self._thread.ident is None:
            return
        try:
            if self.position > self.store.position:
                self._queue((), self.position)
        except StoreUnavailable as error:
            _log.warning("the end of the webhooks is not noted: %s", error)
        for sender in self.senders.values():
            sender.end()
        for sender in self.senders.values():
            sender.stop()

    def targets(self) -> list[Target]:
        """Targets in force."""
        fixed = list(self.source.fixed)
        names = {t.name for t in fixed}
        return [*fixed, *(t for t in self.store.targets() if t.name not in names)][:MAX_TARGETS]

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except StoreUnavailable as error:
                _log.warning("webhooks wait: %s", error)
            except Exception:
                _log.exception("webhooks failed in a turn; they go on")
            self._wake.wait(_LOOK_S)
            self._wake.clear()

    def _turn(self) -> None:
        targets = self.targets()
        self._sync(targets)
        upto = self._upto
        if targets:
            self._read(targets, upto)
        else:
            self._pass(upto)
        self._tell_counts(targets)

    def _tell_counts(self, targets: Sequence[Target]) -> None:
        now = self.clock.now_ms()
        if self.on_counts is None or now - self._counted_ms < _COUNT_MS:
            return
        self._counted_ms = now
        for target in targets:
            self.on_counts(target.name, self.store.counts(target.name))

    def _sync(self, targets: Sequence[Target]) -> None:
        wanted = {t.name: t for t in targets}
        for name in [n for n, s in self.senders.items() if wanted.get(n) != s.target]:
            self.senders.pop(name).end()
        for name in [n for n in wanted if n not in self.senders]:
            self.senders[name] = Sender(self, wanted[name])
            self.senders[name].start()

    def _read(self, targets: Sequence[Target], upto: int) -> None:
        start = self.position + 1
        if start > upto:
            return
        kinds = types_wanted(targets, list(self.source.vocabulary.types.values()))
        fresh: list[Fresh] = []
        done = start - 1
        try:
            for position, record in self.source.log.read(start, upto + 1):
                if isinstance(record, Events) and record.batch.type in kinds:
                    fresh += self._fresh(record.batch, position, targets)
                done = position
                if len(fresh) >= _TOGETHER:
                    self._queue(fresh, done)
                    fresh = []
                if self._stop.is_set():
                    break
        except LogGap as error:
            _log.warning("webhooks: %s; what lies between was not told", error)
            self.store.note("", "lost", max(0, self.source.log.first - start))
            done = max(done, self.source.log.first - 1)
        if fresh:
            self._queue(fresh, done)
        else:
            self._pass(done)

    def _pass(self, position: int) -> None:
        """Go on in the log where nothing is to be told; the disk hears of it now and then."""
        self.position = max(self.position, position)
        if self.clock.now_ms() - self._noted_ms >= _NOTE_MS:
            self._queue((), self.position)

    def _queue(self, fresh: Sequence[Fresh], position: int) -> None:
        self._noted_ms = self.clock.now_ms()
        went = self.store.take_in(fresh, position, self._noted_ms)
        self.position = position
        for name, count in went.items():
            _log.warning("webhook %s: %d went, the oldest; at most %d may wait", name, count, self.store.most)
        for name in {f.target for f in fresh}:
            if name in self.senders:
                self.senders[name].wake()

    def _fresh(self, batch: EventBatch, position: int, targets: Sequence[Target]) -> Iterator[Fresh]:
        """What is to be told of one record."""
        refused, oldest = self.source.refused(position), self.clock.now_ms() - self.pace.max_age_ms
        rows = [i for i, t in enumerate(batch.time.tolist()) if i not in refused and t >= oldest]
        mine = [t for t in targets if t.wants(batch.type)]
        places = self.source.where(batch) if rows and any(t.scopes for t in mine) else ()
        for target in mine:
            bodies = bodies_of(batch, self.source.vocabulary, rows, target)
            for i, body in zip(rows, bodies, strict=True):
                if not target.scopes or set(target.scopes) & set(places[i]):
                    yield Fresh(target.name, key_of(source_of(batch, i, target), batch.id[i]), batch.type, body)

    def state(self) -> list[Mapping[str, object]]:
        """Targets with their counts, for metrics and lists."""
        return [{"name": t.name, "url": t.url, **self.store.counts(t.name)} for t in self.targets()]


class Sender:
    """The thread of one target."""

    def __init__(self, hooks: Webhooks, target: Target) -> None:
        self.hooks, self.target, self.breaker = hooks, target, Breaker()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"citytwin-webhook-{target.name}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new."""
        self._wake.set()

    def end(self) -> None:
        """Send nothing more after the call that is under way."""
        self._stop.set()
        self._wake.set()

    def stop(self) -> None:
        """End, and wait for it; a call that is under way has its time."""
        self.end()
        self._thread.join(self.hooks.pace.timeout_s + 5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                wait_s = self._turn()
            except StoreError as error:
                _log.warning("webhook %s waits: %s", self.target.name, error)
                wait_s = _LOOK_S
            except Exception:
                _log.exception("the webhook %s failed in a turn; it goes on", self.target.name)
                wait_s = _LOOK_S
            if wait_s > 0:
                self._wake.wait(wait_s)
                self._wake.clear()

    def _turn(self) -> float:
        """Send what is due, one delivery; seconds until there may be more."""
        now, store = self.hooks.clock.now_ms(), self.hooks.store
        if self.breaker.waits(now):
            return min(_LOOK_S, (self.breaker.open_until - now) / 1000)
        delivery = store.next(self.target.name, now)
        if delivery is None:
            return _LOOK_S
        self._settle(delivery, *self._try(delivery))
        return 0.0

    def _try(self, delivery: Delivery) -> tuple[Answered | None, str]:
        """One try: the answer, or none and why."""
        stamp = self.hooks.clock.now_ms() // 1000
        headers = {
            "Content-Type": "application/cloudevents+json", "User-Agent": "citytwin-webhook", KEY: delivery.key,
            SIGNATURE: sign(self.target.secret, stamp, delivery.body),
        }  # fmt: skip
        try:
            answer = post(
                self.target.url, delivery.body, headers, self.hooks.pace.timeout_s, private=self.target.private
            )
        except NotPosted as error:
            return None, str(error)
        moved = "; redirects are not followed" if 300 <= answer.status < 400 else ""
        return answer, f"the target answered {answer.status}{moved}"

    def _settle(self, delivery: Delivery, answer: Answered | None, why: str) -> None:
        """Mark what became of a try, and let the breaker know how the target is."""
        hooks, now = self.hooks, self.hooks.clock.now_ms()
        status = answer.status if answer is not None else 0
        ill = status in (0, 429) or status >= 500
        self.breaker = self.breaker.after(now, hooks.chance(), well=not ill)
        if 200 <= status < 300:
            hooks.store.done(delivery)
            return
        tries = delivery.tries + 1
        if status == 410 or tries >= hooks.pace.tries:
            hooks.store.failed(delivery, None, why)
            return
        asked = answer.retry_after * 1000 if answer is not None else 0
        hooks.store.failed(delivery, now + max(asked, delay_ms(tries, hooks.chance())), why)
