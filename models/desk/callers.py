"""How a caller's number is written before it becomes a keyed hash: the same number is the same caller."""

from __future__ import annotations

import re

#: Signs that people put between the digits of a number.
_BETWEEN = re.compile(r"[\s()（）.\-‐-―]+")
_NUMBER = re.compile(r"(?:\+86|0086|86)?(1[3-9]\d{9})|\+?(\d{5,20})")


def plain_number(text: str) -> str:
    """A telephone number by its digits, a mobile one without the country's code; any other text only stripped.

    >>> plain_number(" +86 138-0000 0000"), plain_number("(027) 8555-0101"), plain_number("wang@example.com")
    ('13800000000', '02785550101', 'wang@example.com')
    """
    found = _NUMBER.fullmatch(_BETWEEN.sub("", text))
    return text.strip() if found is None else str(found[1] or found[2])
