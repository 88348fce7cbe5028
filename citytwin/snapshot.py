"""State of an engine as arrays and plain values, and back: a snapshot only shortens the replay of the log."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from citytwin import pending, swap
from citytwin.engine import Engine
from citytwin.facts import Stats
from citytwin.geo.scopes import ScopeTree
from citytwin.indicators.loading import NotAnIndicator, load_text
from citytwin.indicators.registry import Registry
from citytwin.indicators.rules.book import rules_hash
from citytwin.intake import CityLike
from citytwin.models.hashing import Allocate
from citytwin.models.shards import Ownership
from citytwin.models.vocabulary import Vocabulary
from citytwin.twin.entities import Entities
from citytwin.units import split_state


class Snapshot(NamedTuple):
    """State as of log `position`: arrays by name and what is JSON."""

    position: int
    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]


_SEP = "\t"
#: What is kept of a plugin beside its text and its state.
_ANNEX = ("filled_from", "checked_at", "broken")


class DefinitionsChanged(Exception):
    """The snapshot was taken under other indicators, vocabulary or city pack: replay the log instead."""


def definitions(city: CityLike, registry: Registry) -> dict[str, str]:
    """What must be equal for a snapshot to be of use: hashes of pack, indicators, vocabulary, and rules if any."""
    found = {"city": city.edition, "indicators": registry.hash(), "vocabulary": vocabulary_hash(city.vocabulary)}
    rules = getattr(city, "rules", ())
    return found | {"rules": rules_hash(rules)} if rules else found


def vocabulary_hash(vocabulary: Vocabulary) -> str:
    """Hash of all types and properties."""
    text = repr((list(vocabulary.types.values()), list(vocabulary.properties.values())))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _parts(engine: Engine) -> dict[str, Any]:
    parts: dict[str, Any] = {f"ledger.{n}": ledger for n, ledger in engine.ledgers.items()}
    parts |= {f"table.{n}": table for n, table in engine.newest.items()}
    if engine.cases is not None:
        parts["cases"] = engine.cases
    parts |= {f"journeys.{n}": table for n, table in engine.journeys.items()}
    parts |= {f"plugin.{f}": a.aggregates for f, a in engine.annexes.by_file.items()}
    return parts | {
        "chains": engine.revisions.chains,
        "aggregates": engine.aggregates,
        "board": engine.board,
        "trend": engine.trend,
    }


def take(engine: Engine, *, hashed: bool = True) -> Snapshot:
    """Copies of everything, between two steps: after a tick or a feed, what waits for the next tick included.

    `hashed`: with the hashes of state and frame, which `restore` then compares; they take most of the time.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, part in _parts(engine).items():
        arrays |= {f"{name}{_SEP}{k}": v for k, v in part.state().items()}
    arrays[f"seen{_SEP}"] = engine.last_seen.data.copy()
    arrays |= {f"pending{_SEP}{k}": v for k, v in pending.rows(engine).items()}
    plain: dict[str, Any] = {}
    for name, part in (("scopes", engine.scopes), ("entities", engine.entities)):
        own, rest = split_state(part.state(), f"{name}{_SEP}")
        arrays |= own
        plain |= rest
    names = {
        n: {f: list(names.known) for f, names in (*ledger.names.items(), ("source", ledger.sources))}
        for n, ledger in engine.ledgers.items()
    }
    clock = {"now": engine.now, "position": engine.position, "k": engine.k, "last_drop": engine.last_drop}
    stats = {**{s: getattr(engine.stats, s) for s in Stats.__slots__}, "rejected": dict(engine.stats.rejected)}
    meta = {
        "definitions": definitions(engine.city, engine.base), "clock": clock, "names": names, "plain": plain,
        "watermarks": dict(engine.watermarks.times), "stats": stats,
        "states": engine.state_hash() if hashed else "", "frames": engine.frame_hash() if hashed else "",
        "pending": pending.plain(engine), "pulse": engine.pulse.state(),
        "told_cases": engine.told_cases, "desk": engine.desk.state() if engine.desk is not None else None,
        "rules": engine.rules.state() if engine.rules is not None else None, "desk_told": engine.told.next,
        "plugins": [
            {"file": f, "text": a.plugin.text, **{n: getattr(a, n) for n in _ANNEX}}
            for f, a in engine.annexes.by_file.items()
        ],
    }  # fmt: skip
    return Snapshot(engine.position, arrays, meta)


def restore(
    city: CityLike, registry: Registry, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any], *,
    allocate: Allocate = np.empty, texts: Mapping[str, str] | None = None, own: Ownership | None = None,
) -> Engine:  # fmt: skip
    """The engine that `take` copied; `city` is the pack as loaded, its registers are replaced by the snapshot's.

    Plugins that were in force come from the snapshot; one that cannot be loaded any more is left out, and told in
    `engine.troubles`. `texts`: plugins by file that are to be in force instead; others than those of the snapshot are
    counted in from what it holds. `own`: of a city in shards. Raises DefinitionsChanged, and ValueError when the
    restored state does not have the hash it was saved with.
    """
    if meta["definitions"] != definitions(city, registry):
        raise DefinitionsChanged("pack, vocabulary or indicators are not those of the snapshot")
    grouped: dict[str, dict[str, Any]] = {}
    for key, value in (*arrays.items(), *meta["plain"].items()):
        part, _, name = key.partition(_SEP)
        grouped.setdefault(part, {})[name] = value
    city.scopes = ScopeTree.from_state(grouped["scopes"])
    city.entities = Entities.from_state(grouped["entities"], allocate)
    engine = Engine(city, registry, allocate=allocate, own=own)
    kept = [k for k in meta["plugins"] if texts is None or texts.get(k["file"]) == k["text"]]
    for known in kept:
        _put_back(engine, known)
    for name, ledger in engine.ledgers.items():
        for column, known in meta["names"][name].items():
            names = ledger.sources if column == "source" else ledger.names[column]
            names.known = {text: i for i, text in enumerate(known)}
    for name, part in _parts(engine).items():
        part.load(grouped.get(name, {}))
    engine.last_seen.load(grouped["seen"][""])
    engine.revisions.rebuild()
    engine.revisions.load()
    for name, value in meta["clock"].items():
        setattr(engine, name, value)
    engine.board.now = engine.now
    engine.watermarks.times = dict(meta["watermarks"])
    engine.pulse.load(meta["pulse"])
    engine.stats = Stats(**meta["stats"])
    engine.told_cases = meta.get("told_cases")
    if engine.desk is not None and meta.get("desk"):
        engine.desk.load(meta["desk"])
    if engine.rules is not None and meta.get("rules"):
        engine.rules.load(meta["rules"])
    engine.told.next = tuple(meta.get("desk_told", engine.told.next))
    pending.load_rows(engine, grouped.get("pending", {}))
    pending.load_plain(engine, meta["pending"])
    if engine.k == 0:
        engine.board.untouched()
    whole = not engine.troubles and len(kept) == len(meta["plugins"])
    if meta["states"] and (engine.state_hash() != meta["states"] or (whole and engine.frame_hash() != meta["frames"])):
        raise ValueError("the restored state has another hash than the one saved; use an older snapshot")
    for file, text in (texts or {}).items():
        if file not in engine.annexes.by_file:
            engine.define(swap.PLUGIN, {"file": file, "text": text}, engine.position)
    return engine


def _put_back(engine: Engine, kept: Mapping[str, Any]) -> None:
    """Put a plugin in force again, without counting anything in: its state comes with the snapshot."""
    try:
        plugin = load_text(kept["file"], kept["text"])
        swap.check(engine, plugin)
        annex = swap.build(engine, plugin)
        swap.install(engine, annex)
    except (NotAnIndicator, swap.PluginError, KeyError, ValueError, TypeError) as error:
        engine.troubles[kept["file"]] = f"could not be put in force again: {error.args[0] if error.args else error}"
        return
    for name in _ANNEX:
        setattr(annex, name, kept[name])
