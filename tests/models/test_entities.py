"""Rules of the nine kinds: good rows pass, each broken rule is told with row, field and reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin.models.batch import REASONS
from citytwin.models.codes import mod_11_2_check, uscc_check
from citytwin.models.columns import MISSING, Coded, Strings
from citytwin.models.entities import KIND_NUMBER, KINDS, all_fields, all_relations, validate
from citytwin.models.entity_labels import ATTRIBUTE_NAMES
from citytwin.models.entity_rules import KEYS
from citytwin.models.vocabulary import Field, Kind

ORG = "91420102MA0000001"
GOOD: dict[str, list[str]] = {
    "map": ["roads@2024"],
    "address": ["420102", "420102001", "420102001004", "42010200100400010001", "NY-5th-Ave-350"],
    "building": ["42010200100400017", "42010200100400017" + mod_11_2_check("42010200100400017"), "bldg-7"],
    "grid": ["420102001004001", "01020342010200100400", "BK-0101"],
    "population": ["0123456789abcdef0123456789abcdef"],
    "house": ["42010200100400017010203", "house-9"],
    "organisation": [ORG + uscc_check(ORG)],
    "facility": ["4201020103000001", "metro:zhongnanlu"],
    "device": ["42010200001320000001", "WP-420102-0001"],
}
BAD: dict[str, list[str]] = {
    "map": ["", "a b"],
    "address": ["99", "42010", "420102001004" + "1" * 29],
    "building": ["42010200100400000", "4201020010040001"],
    "grid": ["420102001004000", "990102001004001"],
    "population": ["11010519491231002X", "0123456789ABCDEF0123456789ABCDEF"],
    "house": ["4201020010040001701020", "42010200100400000010203"],
    "organisation": [ORG + "?", "my company"],
    "facility": ["4201029903000001", ""],
    "device": ["42010200000000000001", "摄像机"],
}


def required(kind: str, n: int) -> dict[str, Any]:
    """The attributes that a kind must have."""
    return {f.name: Coded.of([f.choices[0] if f.choices else "x"] * n) for f in KINDS[kind].fields if f.required}


@pytest.mark.parametrize("kind", list(KINDS))
def test_codes_follow_the_scheme_of_their_kind(kind: str) -> None:
    codes = [*GOOD[kind], *BAD[kind]]
    found = validate(kind, Strings.of(codes), required(kind, len(codes)))
    assert [p[0] for p in found] == list(range(len(GOOD[kind]), len(codes)))
    for row, name, reason, detail in found:
        assert name == "code"
        assert reason == ("bad_code" if codes[row] else "missing")
        assert detail


def test_a_city_may_bring_its_own_scheme() -> None:
    codes = Strings.of(["12345"])
    assert validate("organisation", codes, {})[0][2] == "bad_code"
    assert validate("organisation", codes, {}, key=KEYS["map"]) == []


@pytest.mark.parametrize(
    ("kind", "columns", "want"),
    [
        ("device", {}, ("device_kind", "missing")),
        ("device", {"device_kind": Coded.of([None])}, ("device_kind", "missing")),
        ("device", {"period_s": np.array([0.0])}, ("period_s", "invalid_entity")),
        ("device", {"period_s": np.array([-5.0])}, ("period_s", "out_of_range")),
        ("device", {"period_s": np.array([np.inf])}, ("period_s", "out_of_range")),
        ("device", {"nominal_value": np.array([np.inf])}, ("nominal_value", "bad_number")),
        ("device", {"period_s": Strings.of(["60"])}, ("period_s", "wrong_type")),
        ("device", {"zone_class": Coded.of(["5"])}, ("zone_class", "bad_code")),
        ("device", {"storeys": np.array([3])}, ("storeys", "unknown_field")),
        ("device", {"observes": Strings.of(["A"])}, ("observes", "invalid_entity")),
        ("device", {"facility": np.array([3])}, ("facility", "wrong_type")),
        ("device", {"name": Strings.of(["x" * 257])}, ("name", "too_large")),
        ("device", {"warning_level": np.array([27.3]), "guarantee_level": np.array([27.0])},
         ("guarantee_level", "invalid_entity")),
        ("device", {"calibrated": np.array([9]), "calibration_due": np.array([8])},
         ("calibration_due", "invalid_entity")),
        ("house", {"area_m2": np.array([0], np.int64)}, ("area_m2", "invalid_entity")),
        ("house", {"floor_no": np.array([999])}, ("floor_no", "out_of_range")),
        ("house", {"owner_hash": Strings.of(["Wang"])}, ("owner_hash", "bad_code")),
        ("house", {"estate_unit": Strings.of(["420102"])}, ("estate_unit", "bad_code")),
        ("grid", {"area_m2": np.array([0.0])}, ("area_m2", "invalid_entity")),
        ("address", {"alias_of": Strings.of(["B"]), "primary": np.array([1], np.int8)}, ("primary", "invalid_entity")),
    ],
)  # fmt: skip
def test_broken_rules_are_told(kind: str, columns: dict[str, Any], want: tuple[str, str]) -> None:
    every = columns if want == ("device_kind", "missing") else required(kind, 1) | columns
    found = [p for p in validate(kind, Strings.of(["A"]), every, key=KEYS["map"]) if (p[1], p[2]) == want]
    assert len(found) == 1
    assert found[0][0] == 0
    assert want[1] in REASONS


def test_missing_values_and_good_ones_break_nothing() -> None:
    columns: dict[str, Any] = {
        "device_kind": Coded.of(["gauge", "gauge"]),
        "period_s": np.array([MISSING, 60_000], np.int64),
        "in_service": np.array([-1, 1], np.int8),
        "warning_level": np.array([np.nan, 27.3]),
        "guarantee_level": np.array([20.0, 29.73]),
        "calibrated": np.array([MISSING, 5], np.int64),
        "observes": Strings.of(["", "B"]),
        "facility": Coded.of([None, "F"]),
    }
    assert validate("device", Strings.of(["A", "C"]), columns) == []


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from(list(KINDS)))
def test_any_columns_give_problems_and_never_an_exception(data: st.DataObject, kind: str) -> None:
    n = data.draw(st.integers(0, 4))
    forms: dict[str, st.SearchStrategy[Any]] = {
        "text": st.lists(st.text(max_size=30), min_size=n, max_size=n).map(Strings.of),
        "code": st.lists(st.none() | st.text(max_size=5), min_size=n, max_size=n).map(Coded.of),
        "int": st.lists(st.integers(MISSING, 2**63 - 1), min_size=n, max_size=n).map(lambda v: np.array(v, np.int64)),
        "real": st.lists(st.floats(), min_size=n, max_size=n).map(lambda v: np.array(v, np.float64)),
        "flag": st.lists(st.integers(-1, 1), min_size=n, max_size=n).map(lambda v: np.array(v, np.int8)),
    }
    names = [f.name for f in KINDS[kind].fields] + list(KINDS[kind].relations)
    picked = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=6))
    columns = {name: data.draw(forms[data.draw(st.sampled_from(list(forms)))]) for name in picked}
    codes = data.draw(forms["text"])
    found = validate(kind, codes, columns)
    assert [p[0] for p in found] == sorted(p[0] for p in found)
    assert all(0 <= row < n and reason in REASONS and detail for row, _, reason, detail in found)


def test_kinds_have_names_numbers_and_distinct_attributes() -> None:
    assert list(KIND_NUMBER.values()) == list(range(9))
    names = set(all_fields()) | set(all_relations())
    assert names == set(ATTRIBUTE_NAMES)
    assert all(set(v) == {"zh", "en"} and all(v.values()) for v in ATTRIBUTE_NAMES.values())
    assert all(k.zh and k.en and k.key in KEYS for k in KINDS.values())
    assert all(target in KINDS or target == "" for target in all_relations().values())
    assert KINDS["device"].field("period_s") == Field("period_s", Kind.NUMBER, "s", 1000, 0, 31_622_400)
    assert KINDS["device"].field("storeys") is None
