"""From settings to webhooks: targets with their secrets, where events lie, which of them the state refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from citytwin import desking
from citytwin.clock import Clock
from citytwin.config import Config, ConfigError
from citytwin.engine import Engine
from citytwin.intake import Refusals, check_subjects
from citytwin.models.batch import EventBatch
from citytwin.models.vocabulary import HOUR_MS
from citytwin.runtime import Runtime
from citytwin.streams.deadletters import DeadLetters
from citytwin.streams.hooks import Target
from citytwin.streams.hookstore import HookStore
from citytwin.streams.log import SqliteLog
from citytwin.webhooks import Pace, Source, Webhooks

FILE = "webhooks.db"


def targets(config: Config) -> list[Target]:
    """Targets of the settings. Raises ConfigError."""
    found: list[Target] = []
    for wanted in config.webhooks.targets:
        try:
            secret = Path(wanted.secret_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"webhooks.targets: the secret of {wanted.name} cannot be read: {error}") from error
        given = tuple(wanted.types), secret, tuple(wanted.scopes), wanted.private, wanted.texts
        target = Target(wanted.name, wanted.url, *given)
        if problem := target.problem():
            raise ConfigError(f"webhooks.targets: {problem}")
        if target.name in {t.name for t in found}:
            raise ConfigError(f"webhooks.targets: {target.name} is named twice")
        found.append(target)
    return found


def store(config: Config, folder: Path) -> HookStore:
    """The queue of a data folder. Raises StoreError."""
    return HookStore(folder / FILE, most=config.webhooks.queue)


def webhooks(
    config: Config,
    kept: HookStore,
    runtime: Runtime,
    engine: Engine,
    log: SqliteLog,
    letters: DeadLetters,
    clock: Clock,
) -> Webhooks:
    """The webhooks of a running city, not started. Raises ConfigError."""
    given = config.webhooks

    def where(batch: EventBatch) -> Sequence[Sequence[str]]:
        return runtime.call(lambda: places(engine, batch)).result()

    source = Source(log, engine.vocabulary, lambda p: letters.rows_of("log", p), where, targets(config))
    return Webhooks(kept, source, Pace(given.tries, given.timeout_s, round(given.max_age_hours * HOUR_MS)), clock)


def places(engine: Engine, batch: EventBatch) -> list[list[str]]:
    """Codes of the scopes that each row lies in, the city last; empty where none is known. In the engine's thread.

    A move of a case that tells no place belongs where its case does.
    """
    kind = engine.vocabulary.types[batch.type]
    refusals = Refusals(batch, np.ones(len(batch), np.bool_))
    _, entity = check_subjects(batch, kind, engine.entities, refusals)
    rows = engine.places.resolve(batch, entity, refusals).tolist()
    for i, row in enumerate(rows):
        if row < 0:
            rows[i] = desking.place_of(engine, batch.subject[i])[0]
    return [[engine.scopes.code[r] for r in engine.scopes.path(row)] if row >= 0 else [] for row in rows]
