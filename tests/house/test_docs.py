"""The documents: links lead somewhere, both READMEs have the same shape, commands and targets exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from citytwin.twin.pack import load_city

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"```.*?```", re.S)


def headings(path: Path) -> list[tuple[int, str]]:
    """Levels and words of the headings outside code."""
    text = FENCE.sub("", path.read_text("utf-8"))
    return [(len(m[1]), m[2].strip()) for m in re.finditer(r"^(#+) (.+)$", text, re.M)]


def anchor(words: str) -> str:
    """The anchor that a heading gets on the usual forges."""
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    text = FENCE.sub("", path.read_text("utf-8"))
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, fragment = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or (fragment and anchor(fragment) not in {anchor(w) for _, w in headings(there)}):
            dead.append(target)
    assert not dead


def test_both_readmes_have_the_same_shape() -> None:
    one, other = headings(ROOT / "README.md"), headings(ROOT / "README.zh-CN.md")
    assert [level for level, _ in one] == [level for level, _ in other]
    blocks = [FENCE.findall((ROOT / n).read_text("utf-8")) for n in ("README.md", "README.zh-CN.md")]
    assert blocks[0] == blocks[1], "the commands are the same in both languages"


def test_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    for path in DOCS:
        for name in re.findall(r"(?:`|^)make ([a-z]+)", path.read_text("utf-8"), re.M):
            assert name in targets, f"{path.name}: make {name}"


def test_changelog_has_what_is_coming() -> None:
    words = [w for level, w in headings(ROOT / "CHANGELOG.md") if level == 2]
    assert words[0].startswith(("Unreleased", "0."))


def test_generated_pages_are_in_step() -> None:
    said = subprocess.run(
        [sys.executable, "scripts/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_event_of_the_readme_would_be_taken(readme: str) -> None:
    """Its device is in the pack that the demo shows, and its time is now: an old one would be refused."""
    text = (ROOT / readme).read_text("utf-8")
    subject = re.search(r'"subject": "([^"]+)"', text)
    assert subject is not None
    assert load_city("wuhan").entities.row(subject.group(1)) >= 0
    assert "$(date -Is)" in text
