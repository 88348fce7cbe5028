"""The state of operation: the read, the gauges with bounded labels, and the dashboard that draws them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import msgspec
import pytest
from fontTools.ttLib import TTFont
from prometheus_client.parser import text_string_to_metric_families

from citytwin.dashboards import describe
from citytwin.dashboards.ops import LABELS_MAX, OTHERS, gauges
from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.metrics import Metrics
from citytwin.models.diagnosis import RULES
from citytwin.models.ops import (
    FramesState,
    LettersState,
    MemberState,
    OpsState,
    ShardState,
    SourceState,
    StoreState,
    Verdict,
)
from tests.dashboards.fakes import FakeBoard, FakeHealth, FakeIngest, FakeReads

ROOT = Path(__file__).resolve().parents[2]
FONT = ROOT / "dashboards" / "web" / "public" / "fonts" / "noto-sans-sc-400.woff2"
BOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))


def cluster() -> OpsState:
    """Two shards and the desk, of which one has no worker."""
    return OpsState(
        mode="cluster", now=1_000_000, k=40,
        shards=[
            ShardState(shard=0, owner="w1", k=40, lag_records=3, lag_ms=250, events=900, rate=9.5, bytes=7, next=44,
                       checkpoint_k=20, checkpoint_age_s=12.5),
            ShardState(shard=1, k=31, lag_ms=9000, state="missing"),
            ShardState(shard="desk", owner="w1", k=40),
        ],
        members=[
            MemberState(role="worker", id="w1", seen_s=0.5, shards=[0, "desk"]),
            MemberState(role="clock", id="c1"), MemberState(role="clock", id="c2", active=False),
        ],
        frames=FramesState(final=31, provisional=9, open=[32, 33], missing=[1], waiting_s=4.5),
        sources=[SourceState(source="iot/a", watermark=990_000, age_s=10.0, period_s=60), SourceState(source="iot/b")],
        deadletters=LettersState(total=5, by_reason={"bad_time": 4, "unknown_type": 1}),
        log=StoreState(bytes=10, free_bytes=20),
        verdicts=[Verdict(level="alarm", code="x", zh="坏", en="bad")],
    )  # fmt: skip


class FakeOps:
    """A state that the test sets."""

    def __init__(self, state: OpsState) -> None:
        self.given = state

    def state(self) -> OpsState:
        return self.given


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    parts = Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), static=tmp_path, ops=FakeOps(cluster()))
    thread = ServerThread(Web(parts))
    yield f"http://127.0.0.1:{thread.start()}"
    thread.stop()


def samples(text: str) -> dict[str, float]:
    """`name{label}` to its value."""
    found = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {s.name + "".join(f"{{{v}}}" for v in s.labels.values()): s.value for s in found}


def test_the_state_is_as_described(url: str) -> None:
    answer = httpx.get(f"{url}/api/v1/ops")
    document = describe.openapi("test", FakeIngest.content_types)
    schema = {"$ref": "#/components/schemas/OpsState", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer.json())
    assert msgspec.json.decode(answer.content, type=OpsState) == cluster()
    found = answer.json()
    assert [s["shard"] for s in found["shards"]] == [0, 1, "desk"]
    assert found["shards"][1]["checkpoint_age_s"] is None
    assert httpx.get(f"{url}/api/v1/ops?at=5").status_code == 400


def test_without_a_part_that_knows_it_there_is_none(tmp_path: Path) -> None:
    thread = ServerThread(Web(Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), static=tmp_path)))
    url = f"http://127.0.0.1:{thread.start()}"
    try:
        assert httpx.get(url + "/api/v1/ops").json()["detail"].endswith("ask a gateway or the city")
        assert "own_metric 1.0" in httpx.get(url + "/metrics").text
        assert "make pages" in httpx.get(url + "/ops").text
    finally:
        thread.stop()


def test_the_gauges_say_the_same(url: str) -> None:
    text = httpx.get(f"{url}/metrics").text
    assert "own_metric 1.0" in text
    found = samples(text)
    wanted = {
        "citytwin_shard_lag_records{0}": 3, "citytwin_shard_lag_seconds{1}": 9, "citytwin_shard_events{0}": 900,
        "citytwin_shard_checkpoint_age_seconds{0}": 12.5, "citytwin_shard_bytes{0}": 7, "citytwin_shard_rate{0}": 9.5,
        "citytwin_shard_owned{0}": 1, "citytwin_shard_owned{1}": 0, "citytwin_shard_owned{desk}": 1,
        "citytwin_members{worker}": 1, "citytwin_members{clock}": 1, "citytwin_frames_provisional_total": 9,
        "citytwin_frames_final": 31, "citytwin_frames_waiting_seconds": 4.5, "citytwin_deadletters{bad_time}": 4,
        "citytwin_source_age_seconds{iot/a}": 10, "citytwin_log_free_bytes": 20, "citytwin_verdicts{alarm}": 1,
    }  # fmt: skip
    assert {name: found.get(name) for name in wanted} == wanted
    assert "citytwin_source_age_seconds{iot/b}" not in found
    assert "citytwin_shard_checkpoint_age_seconds{1}" not in found


def test_every_gauge_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    names = {name.partition("{")[0] for name in samples(gauges(cluster()).decode())}
    assert [n for n in sorted(names) if f"`{n}`" not in text] == []


def test_the_words_of_verdicts_have_glyphs() -> None:
    known = set(TTFont(FONT).getBestCmap())
    wanted = {c for rule in RULES for c in rule.zh + rule.do_zh if not c.isspace()}
    assert sorted(c for c in wanted if ord(c) not in known) == []


def test_labels_are_bounded() -> None:
    many = [SourceState(source=f"s{i}", watermark=1, age_s=float(i)) for i in range(LABELS_MAX + 50)]
    found = samples(gauges(OpsState(mode="single", now=1, sources=many)).decode())
    ages = {name: v for name, v in found.items() if name.startswith("citytwin_source_age")}
    assert len(ages) == LABELS_MAX + 1
    assert ages[f"citytwin_source_age_seconds{{{OTHERS}}}"] == LABELS_MAX + 49


def _expressions(thing: Any) -> Iterator[str]:
    if isinstance(thing, dict):
        if isinstance(thing.get("expr"), str):
            yield thing["expr"]
        yield from (e for v in thing.values() for e in _expressions(v))
    elif isinstance(thing, list):
        yield from (e for v in thing for e in _expressions(v))


@pytest.mark.parametrize("path", BOARDS, ids=lambda p: p.name)
def test_the_dashboard_asks_for_metrics_that_exist(path: Path, url: str) -> None:
    board = json.loads(path.read_text("utf-8"))
    asked = {name for e in _expressions(board) for name in re.findall(r"citytwin_\w+", e)}
    assert len(asked) > 15
    text = httpx.get(f"{url}/metrics").text + Metrics().text().decode()
    there = {s.name for family in text_string_to_metric_families(text) for s in family.samples}
    # a counter with labels has no sample before its first event
    there |= {f.name + "_total" for f in text_string_to_metric_families(text) if f.type == "counter"}
    assert sorted(asked - there) == []
    panels = [p for p in board["panels"] if p["type"] != "row"]
    assert all(p["title"] and p["targets"] for p in panels)
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])


def test_there_is_a_dashboard() -> None:
    assert [p.name for p in BOARDS] == ["citytwin.json"]
