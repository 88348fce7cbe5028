"""What fires does not depend on batches, on order between two ticks, on lateness once all is there, or on a restart."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from citytwin import snapshot
from citytwin.indicators.registry import Registry
from tests.conftest import proving
from tests.indicators.rules.street import Street, rule

MINUTES, EXAMPLES = 16, 400 if proving() else 4
DEPTH = 'type = "obs"\nwhere = \'col.property == "waterlog.depth"\'\n'
_WHENS = {
    "threshold": f'kind = "threshold"\n{DEPTH}above = 20\nclear = 10\nhold = "2m"\nfresh = "8m"',
    "rate": f'kind = "rate"\n{DEPTH}above = 5\nwithin = "5m"',
    "cusum": f'kind = "anomaly"\n{DEPTH}model = "cusum"\ntarget = 15\nslack = 2\nlimit = 15\nfresh = "6m"',
    "ewma": f'kind = "anomaly"\n{DEPTH}model = "ewma"\ntarget = 15\nsigma = 3\nfresh = "6m"',
    "robust": f'kind = "anomaly"\n{DEPTH}model = "robust_z"\nwidth = 2\nhistory = 6\nfloor = 1\nfresh = "6m"',
    "silence": f'kind = "absence"\n{DEPTH}within = "6m"',
    "absence": 'kind = "absence"\nfirst = { type = "alarm.sos" }\nthen = { type = "alarm.contacted" }\nwithin = "4m"',
    "follows": 'kind = "sequence"\nfirst = { type = "alarm.sos" }\nthen = { type = "alarm.contacted" }\nwithin = "4m"\n'
    'stay = "3m"',
    "near": 'kind = "near"\nfirst = { type = "alarm.sos" }\nthen = { type = "call.offered" }\nwithin = "4m"\n'
    'metres = 150\nstay = "3m"',
    "count": 'kind = "count"\ntype = "call.offered"\nwithin = "5m"\nleast = 3',
    "crowd": 'kind = "count"\ntype = "call.offered"\nwithin = "5m"\nleast = 3\nmetres = 150',
}


def _rules() -> str:
    scoped = {"near", "count", "crowd"}
    made = [rule(w, 'at = "grid"' if n in scoped else "").replace('"r"', f'"{n}"') for n, w in _WHENS.items()]
    both = f'kind = "all"\n[[rule.when.parts]]\nlabel = {{ zh = "a", en = "a" }}\n{_WHENS["threshold"]}\n'
    both += f'[[rule.when.parts]]\nlabel = {{ zh = "b", en = "b" }}\nby = "grid"\n{_WHENS["count"]}\n'
    return "\n".join([*made, rule(both).replace('"r"', '"both"')])


RULES = _rules()
Row = tuple[str, Mapping[str, Any]]


def history(rng: random.Random, n: int) -> list[Row]:
    """Events of some minutes: depths, calls for help and answers, calls; two may share a time."""
    rows = list[Row]()
    for i in range(n):
        kind = rng.choice(["obs", "obs", "alarm.sos", "alarm.contacted", "call.offered"])
        row: dict[str, Any] = {"min": rng.randrange(0, MINUTES * 4) / 4, "id": f"e{i:03d}"}
        row |= {"lat": rng.randrange(0, 400, 50)} if kind != "obs" else {}
        row |= {"who": f"D{rng.randrange(3):02d}"} if kind != "call.offered" else {}
        row |= {"property": "waterlog.depth", "value": rng.choice([5, 9, 15, 19, 22, 30])} if kind == "obs" else {}
        rows.append((kind, row))
    return rows


def histories() -> st.SearchStrategy[list[Row]]:
    """Histories of 20 to 90 events."""
    return st.builds(lambda seed, n: history(random.Random(seed), n), st.integers(0, 2**32), st.integers(20, 90))


def batches(rows: Sequence[Row], rng: random.Random) -> list[list[Row]]:
    """The rows in any order, in batches of one type of any size."""
    order, out = rng.sample(list(rows), len(rows)), list[list[Row]]()
    for row in order:
        if out and out[-1][0][0] == row[0] and rng.random() < 0.6:
            out[-1].append(row)
        else:
            out.append([row])
    return out


def play(rows: Sequence[Row], seed: int, *, late: int = 0, restart: int = -1) -> tuple[list[str], set[str]]:
    """Feed each event before a tick of its minute or up to `late` minutes later; drafts, and what is up at the end."""
    rng, street = random.Random(seed), Street(RULES)
    told = [(int(-(-row[1]["min"] // 1)) + (rng.randrange(late + 1) if late else 0), row) for row in rows]
    for minute in range(MINUTES + late + 1):
        for batch in batches([row for when, row in told if when == minute], rng):
            street.say(batch[0][0], *(row for _, row in batch))
            if minute == restart:
                again(street)
        street.tick(minute)
    assert street.engine.rules is not None
    return list(map(repr, street.drafts)), {
        f"{key}@{code}" for key, work in street.engine.rules.works.items() for code in work.up
    }


def again(street: Street) -> None:
    """Stop, and begin anew from a snapshot that was written as JSON."""
    taken = snapshot.take(street.engine)
    fresh = Street(RULES)
    meta = json.loads(json.dumps(taken.meta, default=list))
    street.engine = snapshot.restore(fresh.city, Registry(()), taken.arrays, meta)
    street.city = fresh.city


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories(), st.integers(0, 2**32))
def test_order_and_batches_between_two_ticks_change_nothing(rows: list[Row], seed: int) -> None:
    assert play(rows, seed) == play(rows, seed + 1)


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories(), st.integers(0, 2**32))
def test_late_events_count_where_they_belong(rows: list[Row], seed: int) -> None:
    assert play(rows, seed, late=4)[1] == play(rows, seed + 1, late=4)[1]


@settings(max_examples=EXAMPLES, deadline=None)
@given(histories(), st.integers(0, 2**32), st.integers(1, MINUTES))
def test_a_restart_in_the_midst_changes_nothing(rows: list[Row], seed: int, minute: int) -> None:
    assert play(rows, seed, restart=minute) == play(rows, seed)


def test_every_rule_of_these_fires_now_and_then() -> None:
    rng = random.Random(7)
    said = [d for seed in range(6) for d in play(history(rng, 80), seed)[0]]
    fired = {
        name
        for name in (*_WHENS, "both")
        if any(d.startswith("Draft(type='alarm.raised'") and f"subject='{name}@" in d for d in said)
    }
    assert fired == {*_WHENS, "both"}
