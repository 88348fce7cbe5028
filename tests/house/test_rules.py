"""The house rules, held on every file that git knows."""

from __future__ import annotations

import ast
import gc
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from citytwin.models.batch import REASONS

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE, LONGEST_TEST, LONGEST_FUNCTION = 400, 600, 60
ROOMS = ("citytwin", "geo", "models", "twin", "indicators", "streams", "dashboards", "scripts", "tests")
TEXT = frozenset({".py", ".md", ".toml", ".ts", ".tsx", ".css", ".html", ".sh", ".yaml", ".yml", ".json", ".in", ""})


@cache
def tracked() -> tuple[Path, ...]:
    """Files that git knows, links left out."""
    said = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / name for name in said.split("\0") if name)
    return tuple(p for p in paths if p.is_file() and not p.is_symlink())


@cache
def modules() -> tuple[tuple[Path, str, ast.Module], ...]:
    """Every Python file with its text and tree."""
    known = (p for p in tracked() if p.suffix == ".py")
    texts = ((p, p.read_text("utf-8")) for p in known)
    gc.disable()  # it would walk the trees again and again, and there is no garbage among them
    found = tuple((p.relative_to(ROOT), text, ast.parse(text)) for p, text in texts)
    gc.freeze()
    gc.enable()
    return found


def test_files_are_short() -> None:
    long = {
        str(p): text.count("\n")
        for p, text, _ in modules()
        if text.count("\n") > (LONGEST_TEST if p.parts[0] == "tests" else LONGEST_FILE)
    }
    assert not long, "two things in one file?"


def test_functions_are_short() -> None:
    long = [
        f"{p}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1}"
        for p, _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert not long


def test_public_names_have_docstrings() -> None:
    # methods of a class with bases may carry on the docstring of the base; those of a Protocol speak through its own
    bare = [
        f"{p}:{node.lineno} {node.name}"
        for p, _, tree in modules()
        if p.parts[0] != "tests"
        for body in (tree.body, *(n.body for n in tree.body if isinstance(n, ast.ClassDef) and not n.bases))
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not bare


def test_nothing_is_swallowed() -> None:
    broad = [
        f"{p}:{node.lineno}"
        for p, _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
        and all(isinstance(b, ast.Pass | ast.Continue) for b in node.body)
    ]
    assert not broad


# Written in two halves, so that this file keeps its own rules.
UNFINISHED = "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3))


@pytest.mark.parametrize(
    ("pattern", "where", "why"),
    [
        (rf"\b({UNFINISHED})\b|NotImplemented" + "Error", "all", "unfinished"),
        (r"pytest\.sk" + r"ip\b|mark\.sk" + r"ip|mark\.xf" + "ail", "tests", "a test that does not test"),
        (r"\btime\.sl" + r"eep\(", "tests", "wait for the condition instead"),
    ],
)
def test_words_that_do_not_belong(pattern: str, where: str, why: str) -> None:
    found = [
        f"{p}:{i} {line.strip()[:90]}"
        for p, text, _ in modules()
        if where == "all" or p.parts[0] == where
        for i, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, why


def test_no_path_of_a_machine() -> None:
    homes = re.compile("/(" + "|".join(("wo" + "rk", "ho" + "me", "Us" + "ers")) + r")/[a-z]")
    found = [
        f"{p.relative_to(ROOT)}: {hit[0]}"
        for p in tracked()
        if p.suffix in TEXT and p.stat().st_size < 1_000_000
        for hit in [homes.search(p.read_text("utf-8", "replace"))]
        if hit
    ]
    assert not found


def test_no_file_is_huge() -> None:
    big = {str(p.relative_to(ROOT)): p.stat().st_size for p in tracked() if p.stat().st_size > 1_500_000}
    assert not big


def test_the_core_reads_no_clock() -> None:
    found = [
        f"{p}:{node.lineno}"
        for p, _, tree in modules()
        if p.parts[0] in ("geo", "models", "twin", "indicators") or p.name == "engine.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        if name.split(".")[0] in ("time", "random", "asyncio", "socket")
    ]
    assert not found


def test_rooms_are_imported_absolutely() -> None:
    rooms = {"geo", "models", "twin", "indicators", "streams", "dashboards"}
    found = [
        f"{p}:{node.lineno}"
        for p, _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] in rooms)
    ]
    assert not found, "write `from citytwin.<room>...`"


def test_links_into_the_rooms_are_relative() -> None:
    for room in ("geo", "models", "twin", "indicators", "streams", "dashboards"):
        link = ROOT / "citytwin" / room
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{room}"


def test_every_module_of_a_room_is_tested() -> None:
    rooms = ("geo", "models", "twin", "indicators", "streams", "dashboards")
    silent = [room for room in rooms if not list((ROOT / "tests" / room).glob("test_*.py"))]
    assert not silent


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_is_documented(reason: str) -> None:
    text = (ROOT / "docs" / "reasons.md").read_text("utf-8")
    assert f"`{reason}`" in text
