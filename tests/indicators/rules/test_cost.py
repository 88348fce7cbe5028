"""What rules cost: a feed of readings that none of them is about, beside the feed without rules."""

from __future__ import annotations

import time

import numpy as np

from citytwin.engine import Engine
from citytwin.indicators.registry import Registry
from citytwin.indicators.rules.atoms import KEY_ATOMS_MAX
from citytwin.indicators.rules.part import NoBoard
from citytwin.models.desk.ruletoml import parse_rules
from citytwin.testing import START_MS, TinyCity, random_events
from citytwin.twin.pack import CITIES
from tests.conftest import Figure, proving
from tests.indicators.rules.street import Street, rule

ROUNDS, ROWS = 30 if proving() else 4, 10_000
_RULES = "\n".join(p.read_text("utf-8") for p in sorted((CITIES / "wuhan" / "rules").glob("*.toml")))


def test_readings_that_match_no_rule_cost_little(figure: Figure) -> None:
    spent: dict[bool, list[float]] = {True: [], False: []}
    engines: dict[bool, Engine] = {}
    for with_rules in (False, True):
        city = TinyCity()
        if with_rules:
            city.rules = parse_rules(_RULES)  # type: ignore[attr-defined]
        engines[with_rules] = Engine(city, Registry(()))
        rng = np.random.default_rng(3)
        kind = city.vocabulary.types["obs"]
        for i in range(ROUNDS):
            batch = random_events(city, kind, ROWS, rng, properties=("noise.laeq",), prefix=f"b{i}-")
            began = time.process_time()
            assert engines[with_rules].feed(batch, i).accepted == ROWS
            spent[with_rules].append(time.process_time() - began)
    rules = engines[True].rules
    assert rules is not None
    assert len(rules.subjects) == 0
    assert rules.tick(START_MS, NoBoard()) == []
    figure("feed of 10,000 readings without rules", 1e3 * min(spent[False]), "ms")
    figure("feed of 10,000 readings that match no rule", 1e3 * min(spent[True]), "ms")


def test_beyond_their_bounds_parts_forget_the_oldest() -> None:
    s = Street(rule(f'kind = "count"\ntype = "alarm.sos"\nwithin = "1h"\nleast = {KEY_ATOMS_MAX}'))
    s.say("alarm.sos", *({"min": i / 100, "who": "a"} for i in range(KEY_ATOMS_MAX + 50)))
    s.tick(20)
    assert s.engine.rules is not None
    assert s.engine.rules.dropped == 50
    (part,) = s.engine.rules.works["r/1"].part.leaves()
    assert part.own_state()["atoms"][0]["a"][0][2] == "e000051"
    assert len(s.drafts) == 1
    assert len(s.drafts[0].fields["evidence"].encode()) < 16_384
