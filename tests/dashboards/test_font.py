"""The font that comes with the pages has every character that a page of the built-in city can show."""

from __future__ import annotations

import gzip
from pathlib import Path

from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parents[2]
FONT = ROOT / "dashboards" / "web" / "public" / "fonts" / "noto-sans-sc-400.woff2"


def test_no_name_shows_an_empty_box() -> None:
    known = set(TTFont(FONT).getBestCmap())
    texts = [(ROOT / "dashboards" / "web" / "src" / "zh.json").read_text("utf-8")]
    texts += [gzip.decompress(p.read_bytes()).decode() for p in (ROOT / "twin" / "cities" / "wuhan").rglob("*.gz")]
    assert len(texts) > 10
    wanted = {c for text in texts for c in text if not c.isspace()}
    assert sorted(c for c in wanted if ord(c) not in known) == []
