"""Documents of Open311 as bytes: XML, which every server must speak, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from citytwin.streams.markup import add, clean, written
from citytwin.streams.open311 import Document

MEDIA = {"xml": "text/xml; charset=utf-8", "json": "application/json"}


def encoded(document: Document, form: str) -> bytes:
    """A document as `xml` or `json`."""
    return _xml(document) if form == "xml" else _json(document)


def _json(document: Document) -> bytes:
    items: Any = [_plain(i) for i in document.items]
    return json.dumps(items if document.item else items[0], ensure_ascii=False).encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return clean(value) if isinstance(value, str) else value


def _xml(document: Document) -> bytes:
    root = ET.Element(document.root)
    for item in document.items:
        _fill(add(root, document.item) if document.item else root, item)
    return written(root)


def _fill(at: ET.Element, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _fill(add(at, name), value)
        elif isinstance(value, list):
            inside = add(at, name)
            for one in value:
                _fill(add(inside, name.removesuffix("s")), one)
        else:
            add(at, name, str(value).lower() if isinstance(value, bool) else value)
