"""What the text of a plugin says it uses: clocks, chance, network, files, threads are not for indicators.

This is no fence: Python can do anything by other ways. It tells an author at once what a replay would get wrong.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_CLOCK = "an indicator has no clock of its own; take the time from the event (col.time) or from ctx.now"
_CHANCE = "an indicator must say the same whenever it is asked; use no random numbers"
_OUTSIDE = "an indicator reads events, registers and other indicators only; bring what you need in as events"
_FILES = "the log keeps the text of this file only; write the table into it"
_THREADS = "the engine works one tick at a time; do the work in the formula"
_MODULES = {
    **dict.fromkeys(("time", "timeit", "sched"), _CLOCK),
    **dict.fromkeys(("random", "secrets", "uuid"), _CHANCE),
    **dict.fromkeys(("socket", "ssl", "http", "urllib", "requests", "httpx", "aiohttp", "ftplib", "smtplib"), _OUTSIDE),
    **dict.fromkeys(("sqlite3", "os", "subprocess", "ctypes", "signal"), _OUTSIDE),
    **dict.fromkeys(("pathlib", "io", "shutil", "tempfile", "glob"), _FILES),
    **dict.fromkeys(("threading", "multiprocessing", "asyncio", "concurrent"), _THREADS),
}
_NOW = frozenset({"now", "utcnow", "today"})


def impure(text: str) -> Iterator[str]:
    """Sentences about what a Python text uses and should not, with the line. SyntaxError for no Python."""
    for node in ast.walk(ast.parse(text)):
        for name in _imported(node):
            if name.split(".")[0] in _MODULES:
                yield f"line {node.lineno}: imports {name}: {_MODULES[name.split('.')[0]]}"  # type: ignore[attr-defined]
        if isinstance(node, ast.Attribute) and node.attr in _NOW and "date" in ast.dump(node.value):
            yield f"line {node.lineno}: asks for the time now: {_CLOCK}"
        if isinstance(node, ast.Attribute) and node.attr == "random" and isinstance(node.value, ast.Name):
            yield f"line {node.lineno}: uses {node.value.id}.random: {_CHANCE}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "input"):
            yield f"line {node.lineno}: calls {node.func.id}(): {_FILES}"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [a.name for a in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return []
