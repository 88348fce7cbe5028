"""From the text of a plugin file to its indicators: Python is run as a module of its own, TOML is only read.

The text comes from the log or from a file that was checked; the same text gives the same definitions in every process.
"""

from __future__ import annotations

import hashlib
import linecache
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from citytwin.indicators.api import Indicator, Spec, describe_class, indicator
from citytwin.indicators.oneliners import BadExpression, parse

#: Bounds of one file: bytes of its text and indicators in it.
FILE_BYTES, FILE_INDICATORS = 256 << 10, 64
#: Bounds of a window: its length in days and its panes.
WINDOW_DAYS, WINDOW_PANES = 3660, 10_000
_NAME = re.compile(r"[\w\-. ]{1,100}")
_ID = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_ID_BYTES = 100
_WHERE_TOML = '[indicator."gov.case.reopen_rate"]'

Short = Annotated[str, Meta(max_length=200)]
Long = Annotated[str, Meta(max_length=2000)]


class NotAnIndicator(Exception):
    """The file could not be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Plugin:
    """A file of indicators: its name, text, the hash of the text (16 hex digits) and what it declares."""

    file: str
    text: str
    version: str
    specs: tuple[Spec, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of its indicators, in the order of the file."""
        return tuple(s.id for s in self.specs)


def version_of(text: str) -> str:
    """Hash of a text (16 hex digits)."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def load_text(file: str, text: str) -> Plugin:
    """The plugin of a text; `file` is the name that messages and tracebacks show. Raises NotAnIndicator."""
    if not _NAME.fullmatch(file):
        raise NotAnIndicator(f"{file!r:.120}: is no name for a file of indicators; use letters, digits, - and _")
    if len(text.encode()) > FILE_BYTES:
        raise NotAnIndicator(f"{file}: larger than {FILE_BYTES >> 10} KiB; an indicator needs a few lines")
    if file.endswith(".toml"):
        specs = list(_from_toml(file, text))
    elif file.endswith(".py"):
        specs = _from_python(file, text)
    else:
        raise NotAnIndicator(f"{file}: is neither Python nor TOML; its name must end in .py or .toml")
    if not specs:
        raise NotAnIndicator(f"{file}: declares no indicator; {_advice(file)}")
    if len(specs) > FILE_INDICATORS:
        raise NotAnIndicator(f"{file}: declares {len(specs)} indicators; at most {FILE_INDICATORS} a file")
    for problem in (*_wrong_ids(specs), *(p for s in specs for p in _wide(s))):
        raise NotAnIndicator(f"{file}: {problem}")
    return Plugin(file, text, version_of(text), tuple(specs))


def _advice(file: str) -> str:
    if file.endswith(".toml"):
        return f"write a table {_WHERE_TOML}"
    return "decorate a function with @indicator(...)"


def _wrong_ids(specs: list[Spec]) -> Iterator[str]:
    seen = set()
    for spec in specs:
        id = str(spec.id)
        if not _ID.fullmatch(id) or len(id) > _ID_BYTES:
            yield f"{id!r:.120} is no id; write small letters, digits, _ and dots, as in gov.case.reopen_rate"
        elif id in seen:
            yield f"the indicator {id} is declared twice; rename one of them"
        seen.add(id)


def _wide(spec: Spec) -> Iterator[str]:
    """Windows beyond the bounds: each pane that something falls into takes memory at every scope."""
    for window in (spec.window, *(a.window for a in spec.params.values() if a.window)):
        if window.length_ms > WINDOW_DAYS * 86_400_000:
            yield f"{spec.id}: a window has at most {WINDOW_DAYS} days"
        elif window.panes > WINDOW_PANES or (window.length_ms and window.pane_ms < 1000):
            yield f"{spec.id}: {window.panes:.4g} panes are too many; take longer ones, as in sliding 30d/1h"


# Python


def _from_python(file: str, text: str) -> list[Spec]:
    module = _module(file, text)
    try:
        # not the flags of this file: no future import of ours may change the author's code
        exec(compile(text, module.__file__ or file, "exec", dont_inherit=True), vars(module))
        return _declared(module)
    except NotAnIndicator:
        raise
    except (Exception, SystemExit) as error:  # the author's code may raise anything
        line = _line_of(error, module.__file__ or "")
        place = f" in line {line}" if line else ""
        said = error.msg if isinstance(error, SyntaxError) else error
        raise NotAnIndicator(f"{file}: {type(error).__name__} while it was loaded{place}: {said}") from error


def _module(file: str, text: str) -> ModuleType:
    """An empty module under a name and path of this very text, so that `inspect` finds the source that counts."""
    version = version_of(text)
    name = f"citytwin_plugin_{re.sub(r'[^0-9a-zA-Z]', '_', file)}_{version}"
    module = ModuleType(name)
    module.__file__ = f"<plugin {version} {file}>"
    sys.modules[name] = module
    linecache.cache[module.__file__] = (len(text), None, text.splitlines(keepends=True), module.__file__)
    return module


def forget(plugin: Plugin) -> None:
    """Let go of the module of a plugin that is no longer in force."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None) if name.startswith("citytwin_plugin_") else None
        if path == f"<plugin {plugin.version} {plugin.file}>":
            linecache.cache.pop(path, None)
            del sys.modules[name]


def _line_of(error: BaseException, path: str) -> int:
    """The line of the author's file at which it went wrong, 0 if it did elsewhere."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or 0
    at, found = error.__traceback__, 0
    while at is not None:
        if at.tb_frame.f_code.co_filename == path:
            found = at.tb_lineno
        at = at.tb_next
    return found


def _declared(module: ModuleType) -> list[Spec]:
    """Function and class forms at the top level, in the order of the file."""
    found: list[Spec] = []
    for value in vars(module).values():
        if isinstance(value, Spec) and value not in found:
            found.append(value)
        elif isinstance(value, type) and issubclass(value, Indicator) and value.__module__ == module.__name__:
            if not isinstance(getattr(value, "id", None), str):
                if any(issubclass(v, value) and v is not value for v in vars(module).values() if isinstance(v, type)):
                    continue  # what others in the file share
                raise NotAnIndicator(f'the class {value.__name__} has no id; write id = "my.indicator" in it')
            found.append(describe_class(value))
    return found


# TOML


class _OneLiner(msgspec.Struct, forbid_unknown_fields=True):
    """The table of one indicator."""

    expr: str
    window: Short = "instant"
    unit: Short = ""
    theme: Short = "local"
    better: Short = "up"
    levels: Short | list[Short] = "city district"
    decimals: Annotated[int, Meta(ge=0, le=9)] = 2
    name: dict[Short, Short] = {}
    meaning: dict[Short, Long] = {}
    bands: dict[Short, float] = {}
    source: Long = ""
    status: Short = "L"
    owner: Short = ""
    feeds: Annotated[list[tuple[Short, Short]], Meta(max_length=16)] = []
    examples: Annotated[list[dict[Short, float]], Meta(max_length=50)] = []


def _from_toml(file: str, text: str) -> Iterator[Spec]:
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise NotAnIndicator(f"{file}: is no TOML: {error}") from error
    tables = tree.get("indicator")
    other = sorted(set(tree) - {"indicator"})
    if other or not isinstance(tables, dict):
        named = f"; {', '.join(other)} means nothing here" if other else ""
        raise NotAnIndicator(f"{file}: {_advice(file)}{named}")
    if len(tables) > FILE_INDICATORS:
        raise NotAnIndicator(f"{file}: declares {len(tables)} indicators; at most {FILE_INDICATORS} a file")
    for id, table in tables.items():
        if isinstance(table, dict) and table and all(isinstance(v, dict) and "zh" not in v for v in table.values()):
            raise NotAnIndicator(f"{file}: write an id with dots in quotes: {_WHERE_TOML}")
        yield one_liner(id, table, file)


def one_liner(id: str, table: Mapping[str, Any], file: str = "expr") -> Spec:
    """The indicator of a TOML table or a web form. Raises NotAnIndicator."""
    try:
        line = msgspec.convert(table, _OneLiner)
    except msgspec.ValidationError as error:
        known = ", ".join(_OneLiner.__struct_fields__)
        raise NotAnIndicator(f"{file}: {id}: {error}; a one-liner has {known}") from error
    facts: dict[str, Any] = {n: getattr(line, n) for n in _OneLiner.__struct_fields__ if n != "expr"}
    facts["levels"] = line.levels if isinstance(line.levels, str) else " ".join(line.levels)
    facts["examples"] = [{"gives": None, **e} for e in line.examples]
    try:
        spec = indicator(id, **facts)(parse(line.expr))
    except BadExpression as error:
        raise NotAnIndicator(f"{file}: {id}: expr: {error}") from error
    except (ValueError, TypeError) as error:
        raise NotAnIndicator(f"{file}: {id}: {error}") from error
    for problem in (*_wrong_ids([spec]), *_wide(spec)):
        raise NotAnIndicator(f"{file}: {problem}")
    return spec
