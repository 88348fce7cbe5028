"""Events that change the registers of the nine kinds: one type per kind and operation, attributes from the kinds."""

from __future__ import annotations

from dataclasses import replace

from citytwin.models.entities import KINDS, EntityKind
from citytwin.models.vocabulary import ALWAYS, EventType, Field, Kind

OPERATIONS = ("add", "change", "remove")

# kind: first word of its events, and the words for "appeared", "changed", "went away"
_WORDS: dict[str, tuple[str, str, str, str]] = {
    "map": ("map", "published", "changed", "superseded"),
    "address": ("address", "named", "changed", "voided"),
    "building": ("building", "completed", "changed", "demolished"),
    "grid": ("grid", "created", "changed", "voided"),
    "population": ("person", "moved_in", "changed", "moved_out"),
    "house": ("house", "registered", "changed", "demolished"),
    "organisation": ("org", "registered", "changed", "cancelled"),
    "facility": ("facility", "installed", "changed", "removed"),
    "device": ("device", "registered", "changed", "removed"),
}
_OPERATION_ZH = ("登记", "变更", "注销")


def _fields(kind: EntityKind, operation: str) -> tuple[Field, ...]:
    """Fields of one register event: all attributes and relations; only a new entity must bring the required ones."""
    if operation == "remove":
        return (Field("why", Kind.CODE),)
    relations = (Field(name, Kind.TEXT, max_bytes=64) for name in kind.relations)
    fields = (*kind.fields, *relations)
    return fields if operation == "add" else tuple(replace(f, required=False) for f in fields)


def register_types() -> list[EventType]:
    """One event type per kind and operation, with `register=(kind, operation)`, kept for ever.

    The subject is the entity's code, the place is in the envelope, the event time is the start (or end) of validity.
    """
    return [
        EventType(f"{first}.{word}", _fields(KINDS[kind], op), horizon_ms=ALWAYS, register=(kind, op))
        for kind, (first, *words) in _WORDS.items()
        for word, op in zip(words, OPERATIONS, strict=True)
    ]


#: Title of each register event in both languages.
REGISTER_TITLES: dict[str, dict[str, str]] = {
    f"{first}.{word}": {"zh": KINDS[kind].zh + zh, "en": f"{KINDS[kind].en} {word.replace('_', ' ')}"}
    for kind, (first, *words) in _WORDS.items()
    for word, zh in zip(words, _OPERATION_ZH, strict=True)
}
