"""The manifest of a city pack (`city.toml`): what it must and may say, checked before anything else is read."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from citytwin.geo.crs import to_cgcs2000
from citytwin.geo.scopes import LEVELS
from citytwin.models.columns import Float64
from citytwin.models.entities import KINDS

FORMAT = 1
#: Lists of tables in a manifest, with the keys that each entry must have.
LISTS: dict[str, tuple[str, ...]] = {
    "geometry": ("level", "file"),
    "entities": ("kind", "file"),
    "layers": ("name", "file"),
    "sources": ("id",),
    "rules": ("file",),
    "plans": ("file",),
}


_FORMS: dict[str, type | tuple[type, ...]] = {
    "columns": dict, "defaults": dict, "title": dict, "calendar": dict, "categories": dict, "stages": dict,
    "weekend": list, "families": list,
    "types": list, "period_s": (int, float), "file": str, "valid_from": str, "crs": str, "timezone": str, "code": str,
}  # fmt: skip


class PackError(ValueError):
    """The pack cannot be used at all: no manifest, no city scope, an unknown format."""


def parse_manifest(text: str, where: str, need_scopes: bool = True) -> dict[str, Any]:
    """The manifest as a dictionary. Raises PackError with file and key where it breaks a rule.

    >>> parse_manifest('format = 1\\nname = "x"\\n[scopes]\\nfile = "s.csv"', "city.toml")["name"]
    'x'
    """
    try:
        manifest = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"{where}: {error}") from error
    fault = _fault(manifest, need_scopes)
    if fault:
        raise PackError(f"{where}: {fault}")
    return manifest


def _fault(manifest: Mapping[str, Any], need_scopes: bool) -> str:
    if manifest.get("format", FORMAT if not need_scopes else None) != FORMAT:
        return f"format must be {FORMAT}"
    if not isinstance(manifest.get("name"), str) or not manifest["name"]:
        return "name is missing"
    scopes = manifest.get("scopes")
    if need_scopes and not (isinstance(scopes, dict) and isinstance(scopes.get("file"), str)):
        return "[scopes] needs a file"
    forms = _form_fault(manifest, "")
    if forms:
        return forms
    zone = _zone_fault(str(manifest.get("timezone", "UTC")))
    return zone or _list_fault(manifest) or _crs_fault(manifest)


def _form_fault(part: Any, key: str) -> str:
    """What has another form than its name asks for, at any depth."""
    if key in _FORMS and not isinstance(part, _FORMS[key]):
        return f"{key} has the wrong form: {str(part)[:40]!r}"
    if key == "weekend" and not all(isinstance(d, int) and 1 <= d <= 7 for d in part):
        return "weekend: days are numbers from 1, Monday, to 7"
    if key == "types" and not all(isinstance(t, str) and t for t in part):
        return "types: patterns of event types are texts, as in ['case.*']"
    if key == "period_s" and part <= 0:
        return "period_s: a period is longer than nothing"
    if key == "valid_from" and not _is_day(part):
        return f"valid_from: {part[:40]} is no ISO date"
    inner = part.items() if isinstance(part, dict) and key not in ("columns", "defaults") else ()
    items = [(key if key in LISTS else "", p) for p in part] if isinstance(part, list) and key not in _FORMS else inner
    return next(filter(None, (_form_fault(value, name) for name, value in items)), "")


def _is_day(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _zone_fault(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return f"timezone: {name} is no IANA time zone"
    return ""


def _list_fault(manifest: Mapping[str, Any]) -> str:
    for name, keys in LISTS.items():
        entries = manifest.get(name, [])
        if not isinstance(entries, list):
            return f"{name} must be a list of tables, [[{name}]]"
        for number, entry in enumerate(entries, 1):
            lacking = [k for k in keys if not isinstance(entry, dict) or not isinstance(entry.get(k), str)]
            if lacking:
                return f"[[{name}]] number {number} needs {lacking[0]}"
            if name == "geometry" and entry["level"] not in LEVELS:
                return f"[[geometry]] number {number}: level is one of {', '.join(LEVELS)}"
            if name == "entities" and entry["kind"] not in KINDS:
                return f"[[entities]] number {number}: no kind {entry['kind']}; there are {', '.join(KINDS)}"
    return ""


def _crs_fault(manifest: Mapping[str, Any]) -> str:
    entries = [manifest, *(e for name in ("geometry", "entities", "layers") for e in manifest.get(name, []))]
    probe = np.zeros(1)
    for crs in {str(e["crs"]) for e in entries if "crs" in e}:
        try:
            to_cgcs2000(probe + 114.0, probe + 30.0, crs)
        except ValueError as error:
            return f"crs: {error}"
    return ""


def to_inside(lon: Float64, lat: Float64, crs: str) -> tuple[Float64, Float64]:
    """CGCS2000 degrees of coordinates in `crs`; CRS84 is taken as one with it. Raises ValueError for an unknown one."""
    return to_cgcs2000(lon, lat, "EPSG:4326" if crs == "OGC:CRS84" else crs)


def dump(manifest: Mapping[str, Any]) -> str:
    """A manifest as TOML text; `parse_manifest` reads it back equal."""
    plain = [f"{key} = {_value(v)}" for key, v in manifest.items() if not _is_block(v)]
    for key, value in manifest.items():
        if isinstance(value, dict) and _is_block(value):
            plain += ["", f"[{key}]", *_pairs(value)]
        elif _is_block(value):
            plain += [line for entry in value for line in ("", f"[[{key}]]", *_pairs(entry))]
    return "\n".join(plain) + "\n"


def _is_block(value: Any) -> bool:
    """A table gets a header of its own unless it is a short mapping of texts, as titles are."""
    if isinstance(value, dict):
        return "file" in value or "weekend" in value
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _pairs(table: Mapping[str, Any]) -> list[str]:
    return [f"{_name(key)} = {_value(value)}" for key, value in table.items()]


def _name(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_name(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value) if isinstance(value, int | float) else _text(str(value))


def _text(value: str) -> str:
    # JSON escapes are TOML escapes, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
