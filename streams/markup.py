"""XML of others, read without danger: no DTD, no entity, no processing; bounded in bytes, elements and depth.

Expat is fed decoded text, so that its own tables of encodings play no part: GB2312 and GBK are read as GB18030, their
superset (GB 18030-2022), UTF-8 and UTF-16 as they are. What is written holds no character that XML 1.0 forbids.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET
from xml.parsers import expat

from citytwin.streams.rules import Refusal

MAX_ELEMENTS = 20_000
MAX_DEPTH = 16
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_PROLOG = re.compile(r"^\s*<\?xml[^>]*\?>")
_CODECS = {
    "utf-8": "utf-8-sig", "utf8": "utf-8-sig", "us-ascii": "utf-8-sig", "ascii": "utf-8-sig", "utf-16": "utf-16",
    "gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "gb_2312-80": "gb18030", "cp936": "gb18030",
}  # fmt: skip
# what XML 1.0 section 2.2 forbids, and surrogates
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read(body: bytes, most: int) -> ET.Element:
    """The root element. Raises Refusal: too_large, not_utf8 (a wrong encoding), not_xml."""
    if len(body) > most:
        raise Refusal("too_large", "", f"the document has {len(body)} bytes, at most {most} are taken")
    tree = _Tree()
    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = tree.start, tree.end
    parser.CharacterDataHandler = tree.builder.data
    parser.StartDoctypeDeclHandler = tree.doctype
    parser.EntityDeclHandler = tree.doctype
    try:
        parser.Parse(_text(body).encode("utf-8"), True)
        return tree.builder.close()
    except expat.ExpatError as error:
        raise Refusal(
            "not_xml", "", f"line {error.lineno}, column {error.offset}: {expat.ErrorString(error.code)}"
        ) from None


class _Tree:
    """Builds the tree, and stops at what may not be there."""

    def __init__(self) -> None:
        self.builder = ET.TreeBuilder()
        self.depth = self.count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        self.depth, self.count = self.depth + 1, self.count + 1
        if self.depth > MAX_DEPTH or self.count > MAX_ELEMENTS:
            raise Refusal("too_large", "", f"at most {MAX_ELEMENTS} elements, {MAX_DEPTH} levels deep, are taken")
        self.builder.start(f"{{{name}" if "}" in name else name, attributes)

    def end(self, name: str) -> None:
        """An element ends."""
        self.depth -= 1
        self.builder.end(f"{{{name}" if "}" in name else name)

    def doctype(self, *_: object) -> None:
        """A DTD or an entity is declared."""
        raise Refusal("not_xml", "", "a document type or an entity is declared; send the document without any")


def _text(body: bytes) -> str:
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        codec = "utf-16"
    else:
        found = _DECLARED.match(body[:400].removeprefix(b"\xef\xbb\xbf"))
        name = found[1].decode("ascii").lower() if found else "utf-8"
        if name not in _CODECS:
            raise Refusal("not_utf8", "", f"the encoding {name} is not read; send UTF-8, or GB18030 where declared")
        codec = _CODECS[name]
    try:
        text = body.decode(codec)
    except UnicodeDecodeError as error:
        raise Refusal("not_utf8", "", f"byte {error.start} of the document is not of its encoding") from None
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise Refusal("not_xml", "", "the document holds a character that XML forbids")
    return _PROLOG.sub("", text, count=1)


def clean(text: str) -> str:
    """The text without what XML 1.0 cannot hold.

    >>> clean("a\\x00b")
    'ab'
    """
    return _FORBIDDEN.sub("", text)


def add(parent: ET.Element, name: str, text: object = None) -> ET.Element:
    """A child with text; None leaves it empty."""
    child = ET.SubElement(parent, name)
    if text is not None:
        child.text = clean(str(text))
    return child


def written(root: ET.Element, encoding: str = "utf-8") -> bytes:
    """The document with its declaration; characters that the encoding lacks become references."""
    body = ET.tostring(root, encoding="unicode", short_empty_elements=True)
    head = f'<?xml version="1.0" encoding="{encoding.upper()}"?>\n'
    return (head + body).encode(_CODECS.get(encoding.lower(), encoding).removesuffix("-sig"), "xmlcharrefreplace")
