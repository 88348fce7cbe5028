"""What must not be stored plain: keyed hashes of personal numbers, and blanks over them in what dead letters keep."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable

#: How much of a refused event a dead letter may keep, in bytes.
HEAD_BYTES = 512
_LOOK_BYTES = 8 * HEAD_BYTES
_ESCAPED = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
# every number below lies in such a run; a search for runs is ten times as fast as one for numbers
_RUN = re.compile(rb"[0-9][0-9 -]{8,}[0-9Xx]?")
# a mobile number (grouped or not, with or without +86), a landline with its area code, a citizen number of 18 or 15;
# never the digits after a decimal point
_NUMBERS = re.compile(
    rb"(?<![0-9])(?<![0-9]\.)(?:\+?86[- ]?)?1[3-9][0-9](?:[- ]?[0-9]{4}){2}(?![0-9])"
    rb"|(?<![0-9])(?<![0-9]\.)0[1-9][0-9]{1,2}[- ]?[0-9]{7,8}(?![0-9])"
    rb"|(?<![0-9])(?<![0-9]\.)[1-9][0-9]{5}[- ]?(?:18|19|20)?[0-9]{2}[- ]?[0-9]{4}[- ]?[0-9]{2,3}[0-9Xx]?(?![0-9Xx])"
)


def keyed_hash(secret: bytes, value: str) -> str:
    """First 32 hex digits of HMAC-SHA-256 of the value's UTF-8 bytes under the city's secret.

    >>> keyed_hash(b"key", "13800000000") == keyed_hash(b"key", "13800000000")
    True
    """
    return hmac.digest(secret, value.encode("utf-8"), "sha256").hex()[:32]


class Blanker:
    """Blanks the values of secret fields, and what looks like a telephone or citizen number, in raw text."""

    def __init__(self, fields: Iterable[str]) -> None:
        self.fields = frozenset(fields)
        self._names = tuple(f.lower().encode() for f in self.fields)
        names = b"|".join(sorted(re.escape(f.encode()) for f in self.fields)) or rb"(?!)"
        value = rb'(?:"(?:[^"\\]|\\.)*"?|\[[^\]]*\]?|\{[^}]*\}?|[^,}\]\s]*)'
        self._fields = re.compile(rb'("(?:' + names + rb')"\s*:\s*)' + value, re.DOTALL | re.IGNORECASE)

    def head(self, raw: bytes) -> bytes:
        """The first bytes of an event as they may be kept (at most `HEAD_BYTES`)."""
        return self.blank(raw[:_LOOK_BYTES])[:HEAD_BYTES]

    def blank(self, raw: bytes) -> bytes:
        """The text with secrets blanked; escapes of ASCII are resolved first, so that none hides behind them."""
        plain = _ESCAPED.sub(_resolve, raw) if b"\\u" in raw else raw
        low = plain.lower()
        if any(name in low for name in self._names):
            plain = self._fields.sub(rb'\1"***"', plain)
        return _RUN.sub(_hidden, plain)

    def text(self, value: str) -> str:
        """A sentence or an id with the numbers in it blanked."""
        return _RUN.sub(_hidden, value.encode("utf-8", "replace")).decode("utf-8", "replace")


def _hidden(match: re.Match[bytes]) -> bytes:
    """A run of digits with the numbers in it blanked, seen with the two characters before it."""
    first = match.start()
    before = match.string[max(0, first - 2) : first]
    return _NUMBERS.sub(b"***", before + match.group(0))[len(before) :]


def _resolve(match: re.Match[bytes]) -> bytes:
    char = bytes([int(match.group(1), 16)])
    return match.group(0) if char in b'"\\\x7f' else char
