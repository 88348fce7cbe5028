"""Codes against python-stdnum, against samples of the standards, and with every single place turned wrong."""

from __future__ import annotations

import numpy as np
import pytest
import stdnum.cn.ric
import stdnum.cn.uscc
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.exceptions import InvalidComponent, ValidationError
from stdnum.iso7064 import mod_11_2

from citytwin.models import codes as c
from citytwin.models.codes import Fault, fault_of
from citytwin.models.columns import Strings

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def test_samples_of_the_standards() -> None:
    assert fault_of("uscc", "91350100M000100Y43") is Fault.NONE
    assert fault_of("uscc", "91310115MA1H8R7C6D") is Fault.CHECK
    assert fault_of("citizen", "11010519491231002X") is Fault.NONE
    # The second sample of GB 11643: its area no longer exists, the number stays valid.
    assert fault_of("citizen", "440524188001010014") is Fault.NONE
    with pytest.raises(InvalidComponent):
        stdnum.cn.ric.validate("440524188001010014")


def test_a_sum_of_zero_has_the_check_character_zero() -> None:
    rng = np.random.default_rng(1)
    zeros = 0
    for _ in range(300):
        body = "91420100" + "".join(rng.choice(list(ALPHABET), 9))
        check = c.uscc_check(body)
        zeros += check == "0"
        assert stdnum.cn.uscc.calc_check_digit(body) == check
        assert fault_of("uscc", body + check) is Fault.NONE
    assert zeros > 0


@settings(max_examples=200, deadline=None)
@given(st.text(ALPHABET, min_size=9, max_size=9), st.integers(0, 17), st.sampled_from(ALPHABET))
def test_uscc_equals_stdnum(body: str, place: int, other: str) -> None:
    code = "91420100" + body
    code += c.uscc_check(code)
    assert stdnum.cn.uscc.is_valid(code)
    turned = code[:place] + other + code[place + 1 :]
    fault = fault_of("uscc", turned)
    # The oracle knows no provinces; everything else must agree.
    if fault is not Fault.AREA:
        assert (fault is Fault.NONE) == stdnum.cn.uscc.is_valid(turned)
    if turned != code:
        assert fault is not Fault.NONE


@settings(max_examples=200, deadline=None)
@given(st.integers(18000101, 20301231), st.integers(0, 999), st.integers(0, 17), st.sampled_from("0123456789X"))
def test_citizen_numbers_equal_stdnum(birth: int, sequence: int, place: int, other: str) -> None:
    body = f"420102{birth}{sequence:03d}"
    check = c.mod_11_2_check(body)
    assert mod_11_2.calc_check_digit(body) == check
    for code in (body + check, (body + check)[:place] + other + (body + check)[place + 1 :]):
        try:
            stdnum.cn.ric.validate(code)
            valid = True
        except InvalidComponent:
            valid = fault_of("citizen", code) not in (Fault.DATE, Fault.AREA)  # its lists of areas are dated
        except ValidationError:
            valid = False
        assert (fault_of("citizen", code) is Fault.NONE) == valid


@pytest.mark.parametrize(
    ("birth", "real"),
    [("20000229", True), ("19000229", False), ("20240230", False), ("20230431", False), ("20231301", False),
     ("20230001", False), ("20230100", False), ("17991231", False), ("20231231", True)],
)  # fmt: skip
def test_birth_dates_must_exist(birth: str, real: bool) -> None:
    body = f"420102{birth}001"
    fault = fault_of("citizen", body + c.mod_11_2_check(body))
    assert fault is (Fault.NONE if real else Fault.DATE)


@pytest.mark.parametrize(
    ("scheme", "code", "fault"),
    [
        ("uscc", "", Fault.LENGTH),
        ("uscc", "91350100M000100Y4", Fault.LENGTH),
        ("uscc", "91350100M000100I43", Fault.ALPHABET),
        ("uscc", "9135010OM000100Y43", Fault.ALPHABET),
        ("uscc", "91990100M000100Y43", Fault.AREA),
        ("citizen", "11010519491231002x", Fault.ALPHABET),
        ("citizen", "1101051949123100A2", Fault.ALPHABET),
        ("citizen", "01010519491231002X", Fault.AREA),
        ("area", "420100", Fault.NONE),
        ("area", "42", Fault.NONE),
        ("area", "420102001", Fault.NONE),
        ("area", "420102001004", Fault.NONE),
        ("area", "42010", Fault.LENGTH),
        ("area", "990100", Fault.AREA),
        ("grid", "420102001004001", Fault.NONE),
        ("grid", "420102001004000", Fault.SEQUENCE),
        ("grid", "42010200100401", Fault.NONE),
        ("grid", "42010200100400", Fault.SEQUENCE),
        ("grid", "01020342010200100400", Fault.NONE),
        ("grid", "01020399010200100400", Fault.AREA),
        ("grid", "4201020010040011", Fault.LENGTH),
        ("unit15", "42010200100401", Fault.LENGTH),
        ("component", "4201020103000001", Fault.NONE),
        ("component", "4201020003000001", Fault.TYPE),
        ("component", "4201020703000001", Fault.TYPE),
        ("component", "4201020103000000", Fault.SEQUENCE),
        ("building", "42010200100400001", Fault.NONE),
        ("building", "42010200100400000", Fault.SEQUENCE),
        ("building", "4201020010040000", Fault.LENGTH),
        ("video_device", "42010200001320000001", Fault.NONE),
        ("video_device", "42010200000010000001", Fault.TYPE),
        ("video_device", "4201020000000101", Fault.NONE),
        ("video_device", "4201020000132000000A", Fault.ALPHABET),
        ("estate_unit", "420102001001GB00001F00010001", Fault.NONE),
        ("estate_unit", "420102001001XB00001F00010001", Fault.TYPE),
        ("estate_unit", "420102001001GB00001A00010001", Fault.TYPE),
        ("estate_unit", "420102001001G100001F00010001", Fault.ALPHABET),
        ("own_id", "cam:north-1.a@2", Fault.NONE),
        ("own_id", "x" * 65, Fault.LENGTH),
        ("own_id", "水位", Fault.ALPHABET),
    ],
)
def test_faults_have_a_reason(scheme: str, code: str, fault: Fault) -> None:
    assert fault_of(scheme, code) is fault
    assert set(c.FAULT_TEXT[fault]) == {"zh", "en"}


def test_building_codes_may_carry_a_check_character() -> None:
    body = "42010200100400017"
    good = body + c.mod_11_2_check(body)
    assert fault_of("building", good) is Fault.NONE
    for wrong in "0123456789X":
        assert (fault_of("building", body + wrong) is Fault.NONE) == (body + wrong == good)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=20) | st.sampled_from(["91350100M000100Y43", "11010519491231002X"]), max_size=20))
def test_a_column_is_checked_as_its_codes_are(texts: list[str]) -> None:
    column = Strings.of(["padding", *texts]).take(np.arange(1, len(texts) + 1))
    for name, scheme in c.SCHEMES.items():
        assert scheme(column).tolist() == [int(fault_of(name, t)) for t in texts], name
    assert c.check_uscc(column).tolist() == [t == "91350100M000100Y43" for t in texts]
    assert c.check_citizen(column).tolist() == [t == "11010519491231002X" for t in texts]


def test_grid_schemes_make_and_read_codes() -> None:
    unit = c.GRID_SCHEMES["unit15"]
    assert unit.make("420102001004", 7) == "420102001004007"
    assert (unit.community("420102001004007"), unit.sequence("420102001004007")) == ("420102001004", 7)
    whole = c.GRID_SCHEMES["community20"]
    code = whole.make("420102001004", 0, "010203")
    assert (code, whole.community(code), whole.sequence(code)) == ("01020342010200100400", "420102001004", 0)
    for sequence in (0, 1000):
        with pytest.raises(ValueError, match="does not fit"):
            unit.make("420102001004", sequence)


def test_check_characters_need_a_whole_body() -> None:
    for body in ("", "9142010012345678I", "91420100"):
        with pytest.raises(ValueError, match="17"):
            c.uscc_check(body)
        with pytest.raises(ValueError, match="17"):
            c.mod_11_2_check(body)
