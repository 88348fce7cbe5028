"""No personal number stays in what is kept, however it is written; other numbers stay readable."""

from __future__ import annotations

import pytest

from citytwin.streams.secrets import HEAD_BYTES, Blanker, keyed_hash

BLANKER = Blanker(["phone", "id_number"])


@pytest.mark.parametrize(
    "number",
    ["13812345678", "138 1234 5678", "138-1234-5678", "+86 13812345678", "027-87654321", "02787654321",
     "420106199001011234", "42010619900101123X", "42010619900101123x", "420106900101123", "420106 19900101 1234"],
)  # fmt: skip
@pytest.mark.parametrize("around", ['{{"x":"{}"}}', "call {}.", "1.5 {}", "电话{}", '{{"x":"a{}b"}}'])
def test_numbers_of_people_are_blanked(number: str, around: str) -> None:
    told = BLANKER.text(around.format(number))
    assert not any(part in told for part in (number, number[-4:], number[:7]))


@pytest.mark.parametrize(
    "text", ["114.30512345678901", "1767225600000", "2026-01-02T03:04:05.125+08:00", "e-0000000017", "30.593 114.305"]
)
def test_other_numbers_stay(text: str) -> None:
    assert BLANKER.text(text) == text


@pytest.mark.parametrize(
    "raw",
    [b'{"phone": "abc"}', b'{"PHONE":"abc', b'{"phone" : abc}', b'{"\\u0070hone":"abc"}', b'{"phone":"\\"abc"}',
     b'{"phone":["abc"]}', b'{"id_number":{"a":"abc"}}'],
)  # fmt: skip
def test_values_of_secret_fields_are_blanked(raw: bytes) -> None:
    assert b"abc" not in BLANKER.head(raw)


def test_a_number_on_the_edge_of_the_head_does_not_show() -> None:
    for shift in range(12):
        head = BLANKER.head(b"x" * (HEAD_BYTES - shift) + b" 13812345678")
        assert len(head) <= HEAD_BYTES
        assert b"138" not in head


def test_the_hash_is_keyed_and_of_32_digits() -> None:
    assert keyed_hash(b"a", "1") != keyed_hash(b"b", "1")
    assert len(keyed_hash(b"a", "武汉")) == 32
