"""The built-in vocabulary: names, titles, and the rules that its tables keep."""

from __future__ import annotations

from collections import defaultdict

from citytwin.models.entities import KINDS
from citytwin.models.events import QUALITIES, TITLES, VOCABULARY
from citytwin.models.registers import OPERATIONS
from citytwin.models.vocabulary import ALWAYS, Kind


def test_every_type_and_property_has_titles_in_both_languages() -> None:
    words = VOCABULARY()
    for name in [*words.types, *words.properties]:
        assert TITLES[name]["zh"], name
        assert TITLES[name]["en"], name
    assert set(TITLES) == {*words.types, *words.properties}


def test_vocabularies_do_not_share_state() -> None:
    first, second = VOCABULARY(), VOCABULARY()
    del first.types["obs"]
    assert "obs" in second.types


def test_keys_name_the_subject_or_a_field() -> None:
    for kind in VOCABULARY().types.values():
        names = [f.name for f in kind.fields]
        assert len(names) == len(set(names)), kind.name
        assert set(kind.key) <= {"subject", *names}, kind.name


def test_fields_of_one_name_have_one_kind_within_a_family() -> None:
    kinds: dict[tuple[str, str], set[tuple[Kind, int]]] = defaultdict(set)
    for kind in VOCABULARY().types.values():
        for field in kind.fields:
            if kind.family:
                kinds[kind.family, field.name].add((field.kind, field.per_unit))
    assert all(len(v) == 1 for v in kinds.values())


def test_cases_and_registers_are_kept_for_ever_with_actor_and_reason() -> None:
    for kind in VOCABULARY().types.values():
        if kind.family == "case" or kind.register:
            assert kind.horizon_ms == ALWAYS, kind.name
        if kind.family == "case" and kind.name != "case.history":
            assert {"actor", "reason"} <= {f.name for f in kind.fields}, kind.name


def test_nine_kinds_have_three_register_events_each() -> None:
    seen = {t.register for t in VOCABULARY().types.values() if t.register}
    assert len({kind for kind, _ in seen}) == 9
    assert seen == {(kind, op) for kind, _ in seen for op in OPERATIONS}


def test_people_are_secrets() -> None:
    types = VOCABULARY().types
    assert types["citycode.use"].field("user").kind is Kind.SECRET
    for name in ("call.offered", "call.answered", "call.abandoned", "call.closed"):
        assert types[name].field("caller").kind is Kind.SECRET


def test_a_reading_without_a_flag_is_good() -> None:
    quality = VOCABULARY().types["obs"].field("quality")
    assert quality.choices == QUALITIES
    assert quality.default == "good"


def test_properties_have_a_resolution_and_a_range_that_int64_holds() -> None:
    for prop in VOCABULARY().properties.values():
        assert prop.per_unit >= 1
        assert prop.lo < prop.hi
        assert max(abs(prop.lo), abs(prop.hi)) * prop.per_unit < 2**53


def test_register_events_bring_the_attributes_and_relations_of_their_kind() -> None:
    types = VOCABULARY().types
    added = types["device.registered"]
    assert {"period_s", "in_service", "facility", "name"} <= {f.name for f in added.fields}
    assert added.field("device_kind").required
    assert not types["device.changed"].field("device_kind").required
    assert [f.name for f in types["device.removed"].fields] == ["why"]
    assert {t.register[0] for t in types.values() if t.register} == set(KINDS)
