"""Reference pages: all that a declaration says is on its page, in both forms, and nothing of it can break the page."""

from __future__ import annotations

import dataclasses
import html
import re

import pytest

from citytwin.indicators import reference
from citytwin.indicators.api import Spec, source_text
from citytwin.indicators.lineage import aggregate_text
from citytwin.indicators.registry import builtin
from citytwin.models.events import VOCABULARY

SPECS, TYPES = list(builtin()), VOCABULARY().types


def flat(text: str) -> str:
    """Without what line breaks and the escapes of tables change."""
    return " ".join(text.replace("\\|", "|").split())


def bare(text: str) -> str:
    """HTML without its tags and escapes."""
    return html.unescape(re.sub(r"<[^>]+>", " ", text))


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.id)
def test_a_page_says_all_that_the_declaration_says(spec: Spec) -> None:
    page = reference.page(spec, SPECS, TYPES)
    wanted = [
        spec.id, spec.theme, spec.unit, spec.owner, spec.source, spec.window_text or "instant", *spec.levels,
        *spec.name.values(), *spec.meaning.values(), (spec.formula or spec.cls).__doc__ or "?",
        *(reference.number_text(v) for e in spec.examples for v in e.values()),
        *(reference.number_text(edge) for t in spec.thresholds for edge in t.bands.values()),
        *(words for t in spec.thresholds for words in (t.edition, t.source, reference.status_text(t.status))),
        *(aggregate_text(a, spec.window) for a in spec.params.values()),
        *(a.table for a in spec.params.values() if a.kind == "ind"),
    ]  # fmt: skip
    code = flat(source_text(spec.cls or spec.formula))
    for text in (flat(reference.markdown(page)), flat(bare(reference.hypertext(page)))):
        missing = [w for w in (*wanted, code) if flat(w) not in text]
        assert not missing


def test_the_index_leads_to_every_page() -> None:
    text = reference.index(SPECS)
    assert all(f"({s.id}.md)" in text for s in SPECS)


def test_hostile_words_stay_words() -> None:
    bad = dataclasses.replace(SPECS[0], owner="<script>x</script> | a", name={"zh": "<b>", "en": "a\n\n# b"})
    page = reference.page(bad, SPECS, TYPES)
    assert "<script>" not in reference.hypertext(page)
    row = next(line for line in reference.markdown(page).splitlines() if line.startswith("| owner"))
    assert row == r"| owner | <script>x</script> \| a |"


@pytest.mark.parametrize(("value", "text"), [(None, "no data"), (float("nan"), "no data"), (75.82, "75.82"), (3, "3")])
def test_numbers_are_short_and_exact(value: object, text: str) -> None:
    assert reference.number_text(value) == text
