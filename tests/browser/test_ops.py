"""The page of operation in a real browser: what is wrong is read at once, in words, shape and colour."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from citytwin.models.diagnosis import diagnose
from citytwin.models.ops import (
    FramesState,
    HistoryState,
    LettersState,
    MemberState,
    OpsState,
    ShardState,
    SourceState,
    StoreState,
)
from tests.browser.city import Stage
from tests.browser.conftest import Watched, watched

SIZES = [(1280, 720), (1920, 1080), (3840, 2160)]

#: Boxes outside their column, texts that are cut without an ellipsis, texts under 12 px, a page that scrolls.
OVERFLOW = """() => {
  const bad = [];
  if (document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight) bad.push('page scrolls');
  const column = el => el.closest('.sh, .ops-l, .ops-c, .ops-r, .vd, .hd') ?? document.body;
  for (const el of document.querySelectorAll('.ops *')) {
    if (el.closest('svg, .sr') || el.parentElement.closest('.el')) continue;
    if (![...el.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const r = el.getBoundingClientRect(), c = column(el).getBoundingClientRect();
    if (!r.width || !r.height) continue;
    const say = `${el.className || el.tagName}: ${el.textContent.trim().slice(0, 24)}`;
    if (r.left < c.left - 1 || r.right > c.right + 1) bad.push('outside ' + say);
    const style = getComputedStyle(el);
    if (parseFloat(style.fontSize) < 11.9) bad.push('small ' + say);
    if (el.scrollWidth > el.clientWidth + 1 && style.display !== 'inline' && style.textOverflow !== 'ellipsis') bad.push('cut ' + say);
  }
  return bad;
}"""  # noqa: E501


def troubled() -> OpsState:
    """A cluster of 64 shards with a bit of every trouble."""
    names = ("worker-0", "worker-1", "worker-2", "worker-3")
    shards = [
        ShardState(shard=i, owner=f"{names[i % 4]}.citytwin", k=9000, lag_ms=250, events=10**6, rate=780.0,
                   bytes=48 << 20, checkpoint_k=8990, checkpoint_age_s=12.0 * i, next=4_400_123)
        for i in range(64)
    ]  # fmt: skip
    for i in (7, 21):
        shards[i].owner, shards[i].state, shards[i].lag_ms = "", "missing", 9000
    shards[30].state, shards[30].lag_ms = "late", 7400
    members = [
        MemberState(role="worker", id=f"{n}.citytwin", shards=list(range(i, 64, 4))) for i, n in enumerate(names)
    ]
    members += [MemberState(role="clock", id="clock-0"), MemberState(role="clock", id="clock-1", active=False)]
    state = OpsState(
        mode="cluster", now=1_795_000_000_000, k=9009, shards=[*shards, ShardState(shard="desk", owner="clock-0")],
        members=[*members, MemberState(role="gateway", id="gateway-0", seen_s=42.0)],
        frames=FramesState(final=9000, provisional=214, open=[9001, 9002], missing=[7, 21], waiting_s=9.4),
        sources=[
            SourceState(source="iot/gas", watermark=1, age_s=12.0, period_s=60.0),
            SourceState(source="iot/water", watermark=1, age_s=300.0, period_s=60.0, state="stale"),
            SourceState(source="hotline/12345", period_s=600.0, state="stale"),
        ],
        deadletters=LettersState(total=1234, recent=57, by_reason={"bad_time": 1200, "unknown_subject": 34}),
        log=StoreState(bytes=120 << 30, free_bytes=900 << 20),
        history=HistoryState(store="InfluxDB", written=10**7, spilled_bytes=34 << 20, error="connection refused"),
    )  # fmt: skip
    state.verdicts = diagnose(state)
    return state


def test_the_demo_is_told_as_it_is(view: Watched) -> None:
    page = view.page
    page.goto(f"{view.url}/ops?lang=zh")
    expect(page.locator("[data-testid=shards] [data-shard]")).to_have_count(1)
    with urllib.request.urlopen(f"{view.url}/api/v1/ops", timeout=30) as answer:
        told = json.load(answer)
    codes = [v["code"] for v in told["verdicts"]]
    assert not set(codes) & {"engine_stopped", "frames_still", "log_refuses", "letters_flood", "checkpoint_old"}
    expect(page.get_by_test_id("members")).to_contain_text("城市")
    expect(page.locator("[data-testid=sources] tbody tr")).to_have_count(len(told["sources"]))
    first = int(page.get_by_test_id("frames").locator("dd").first.inner_text().replace(",", ""))
    view.until(
        "k => Number(document.querySelector('[data-testid=frames] dd').textContent.replaceAll(',', '')) > k", first
    )
    assert view.foreign == []
    assert view.complaints == []


def test_a_cluster_in_trouble(driver: Browser, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.node.ops, "state", troubled)
    view = watched(driver, stage.url)
    page = view.page
    page.goto(f"{stage.url}/ops?lang=zh")
    expect(page.locator("[data-testid=shards] [data-shard]")).to_have_count(65)
    lines = page.locator("[data-testid=verdict] [data-code]")
    expect(lines).to_have_count(len(troubled().verdicts))
    expect(lines.first).to_have_attribute("data-code", "shard_no_owner")
    expect(lines.first.locator("svg.l1")).to_have_count(1)
    for shard, sign in (("7", "l1"), ("30", "l2"), ("0", "fine")):
        expect(page.locator(f"[data-shard='{shard}'] svg.{sign}")).to_have_count(1)
    expect(page.get_by_test_id("members").locator("tbody tr")).to_have_count(7)
    sources = page.get_by_test_id("sources").locator("tbody tr td:first-child").all_inner_texts()
    assert sources == ["iot/water", "hotline/12345", "iot/gas"]
    expect(page.get_by_test_id("letters")).to_contain_text("1,200")
    expect(page.get_by_test_id("history")).to_contain_text("34.0 MB")
    for words, state in (
        ("2 个分片无人处理：7、21", "无人处理"),
        ("Shards without a worker (2): 7, 21", "no worker"),
    ):
        expect(lines.first).to_contain_text(words)
        expect(page.locator("[data-shard='7']")).to_contain_text(state)
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate(OVERFLOW) == [], f"{words} at {width} x {height}"
        page.get_by_test_id("lang").click()
    assert view.complaints == []
    page.close()


def test_everything_is_reached_by_keys(driver: Browser, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.node.ops, "state", troubled)
    view = watched(driver, stage.url)
    page = view.open("?lang=en")
    page.keyboard.press("o")
    expect(page.locator("[data-testid=shards] [data-shard]")).to_have_count(65)
    assert page.evaluate("location.pathname") == "/ops"
    assert page.title() == "CityTwin · System"
    seen: set[str] = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("(e => e.dataset.shard ?? (e.className || e.tagName))(document.activeElement)"))
        if "ops-r" in seen:
            break
    assert {"vd", "ops-l", "0", "30", "desk", "ops-c", "ops-r"} <= seen
    page.locator("[data-shard='30']").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("shard-detail")).to_contain_text("4,400,123")
    assert page.locator("[data-shard='30']").get_attribute("aria-pressed") == "true"
    page.get_by_test_id("page-wall").click()
    expect(page.get_by_test_id("clock")).to_be_visible()
    assert page.evaluate("location.pathname") == "/"
    assert view.complaints == []
    page.close()


def test_a_server_that_is_away_is_told(driver: Browser, stage: Stage, tmp_path: Path) -> None:
    view = watched(driver, stage.url)
    page = view.page
    page.goto(f"{stage.url}/ops?lang=zh")
    expect(page.locator("[data-testid=shards] [data-shard]")).to_have_count(1)
    expect(page.get_by_test_id("away")).to_have_count(0)
    assert stage.node.web is not None
    stage.node.web.stop()
    expect(page.get_by_test_id("away")).to_contain_text("连接断开", timeout=20_000)
    expect(page.get_by_test_id("away")).to_contain_text("以下是")
    expect(page.locator("[data-testid=shards] [data-shard]")).to_have_count(1)
    stage.node.config.server.port = int(stage.url.rsplit(":", 1)[1])
    stage.node.serve()
    expect(page.get_by_test_id("away")).to_have_count(0, timeout=20_000)
    page.close()
