"""The served reference pages: an index, a page for each indicator, Markdown beside it, a sentence for a wrong id."""

from __future__ import annotations

import httpx

from tests.dashboards.conftest import Running


def test_index_page_and_markdown(running: Running) -> None:
    index = httpx.get(f"{running.url}/reference")
    assert index.headers["content-type"].startswith("text/html")
    for spec in running.board.specs():
        assert f'href="/reference/{spec.id}"' in index.text
        page = httpx.get(f"{running.url}/reference/{spec.id}")
        text = httpx.get(f"{running.url}/reference/{spec.id}.md")
        assert (page.status_code, text.status_code) == (200, 200)
        assert f"<h1>{spec.name['en']}" in page.text
        assert text.text.startswith(f"# {spec.name['en']}")
        assert "script" not in page.text.replace("description", "")


def test_an_unknown_indicator_is_told(running: Running) -> None:
    answer = httpx.get(f"{running.url}/reference/nothing")
    assert answer.status_code == 404
    assert "/reference lists all" in answer.text
