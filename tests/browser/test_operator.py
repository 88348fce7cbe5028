# ruff: noqa: E501  scripts that run in the page stay on their lines
"""The operator page in a real browser: what a person at the wall sees and does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import FakeServer, Watched, watched

PROVE = os.environ.get("CITYTWIN_PROVE") == "1"
SIZES = [(1280, 720), (1920, 1080), (2560, 1440), (3840, 2160), (5760, 2160)]

#: Boxes that stick out of the page, and texts that are cut without an ellipsis.
OVERFLOW = """() => {
  const bad = [];
  const w = innerWidth, h = innerHeight;
  if (document.documentElement.scrollWidth > w || document.documentElement.scrollHeight > h) bad.push('page scrolls');
  const clipped = el => { for (let p = el.parentElement; p; p = p.parentElement) { const o = getComputedStyle(p); if (o.overflowX === 'hidden' || o.overflowY === 'hidden') { const r = p.getBoundingClientRect(); return r; } } return null; };
  for (const el of document.querySelectorAll('.wall *')) {
    if (el.closest('.tk, svg, .sr, .maplibregl-map, .ph') || el.parentElement.closest('.el')) continue;
    const own = [...el.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own) continue;
    const r = el.getBoundingClientRect();
    if (!r.width || !r.height) continue;
    const say = `${el.className || el.tagName}: ${el.textContent.trim().slice(0, 24)}`;
    if (r.left < -1 || r.top < -1 || r.right > w + 1 || r.bottom > h + 1) bad.push('outside ' + say);
    const size = parseFloat(getComputedStyle(el).fontSize);
    if (size < 0.745 * parseFloat(getComputedStyle(document.documentElement).fontSize)) bad.push('small ' + say);
    const style = getComputedStyle(el);
    if (el.scrollWidth > el.clientWidth + 1 && style.display !== 'inline' && style.overflowX === 'visible' && style.whiteSpace === 'nowrap') {
      const c = clipped(el); if (c && r.left + el.scrollWidth > c.right + 1) bad.push('cut ' + say);
    }
  }
  return bad;
}"""


def test_quiet_and_moving(view: Watched) -> None:
    page = view.open()
    before = page.evaluate("[...document.querySelectorAll('[data-testid=value]')].map(e => e.textContent)")
    seq = page.evaluate("window.__citytwin.seq")
    page.wait_for_function(
        "old => JSON.stringify([...document.querySelectorAll('[data-testid=value]')].map(e => e.textContent)) !== old",
        arg=str(before).replace("'", '"'), timeout=30_000,
    )  # fmt: skip
    page.wait_for_function("seq => window.__citytwin.seq > seq + 2", arg=seq, timeout=30_000)
    page.wait_for_timeout(60_000 if PROVE else 3_000)
    assert view.foreign == []
    assert view.complaints == []
    assert page.evaluate("window.__citytwin.tally.gaps") == 0


def test_every_number_says_what_it_is(view: Watched) -> None:
    page = view.open("?lang=zh")
    rows = page.locator(".row[data-indicator]")
    expect(rows.first).to_be_visible()
    for text in rows.locator(".sb").all_inner_texts():
        assert text.strip(), "a value without as-of"
    assert page.evaluate("[...document.querySelectorAll('.row .v')].every(e => e.textContent.trim())")


def test_language_and_theme_without_reload(view: Watched) -> None:
    page = view.open("?lang=zh&theme=dark")
    expect(page.locator("h1")).to_contain_text("城市运行体征")
    page.evaluate("window.kept = 1")
    frames = page.evaluate("window.__citytwin.frames")
    page.get_by_test_id("lang").click()
    expect(page.locator("h1")).to_contain_text("City vital signs")
    assert page.evaluate("document.documentElement.lang") == "en"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("t")
    page.wait_for_function("old => getComputedStyle(document.body).backgroundColor !== old", arg=ground)
    page.wait_for_function("n => window.__citytwin.frames > n", arg=frames)
    assert page.evaluate("window.kept") == 1
    assert page.evaluate("window.__citytwin.tally.reconnects") == 0
    assert view.complaints == []


def test_card_colours_the_map_and_opens_its_detail(view: Watched) -> None:
    page = view.open("?lang=en")
    row = page.locator(".row[data-indicator]").last
    wanted = row.get_attribute("data-indicator")
    row.click()
    expect(page.get_by_test_id("popover")).to_be_visible()
    assert page.evaluate("window.__citytwin.chosen") == wanted
    expect(page.get_by_test_id("popover")).to_contain_text("Why this number")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("popover")).to_have_count(0)


def test_click_on_the_map_opens_a_popover(view: Watched) -> None:
    page = view.open("?lang=en")
    box = page.get_by_test_id("map").bounding_box()
    assert box is not None
    page.wait_for_function("document.querySelectorAll('.inset path').length > 0", timeout=60_000)
    for step in range(40):
        page.mouse.click(box["x"] + box["width"] * (0.6 + 0.01 * (step % 10)), box["y"] + box["height"] * 0.5)
        page.wait_for_timeout(500)
        if page.evaluate("window.__citytwin.picked !== null"):
            break
    expect(page.get_by_test_id("popover")).to_be_visible()
    assert view.complaints == []


def test_drill_down_and_up(view: Watched) -> None:
    page = view.open("?lang=en")
    place = page.get_by_test_id("strip").locator("button").first
    row = place.get_attribute("data-row")
    place.click()
    page.wait_for_function("r => window.__citytwin.focus === Number(r)", arg=row)
    page.wait_for_function("document.querySelectorAll('[data-testid=strip] button').length > 0")
    page.get_by_test_id("strip").locator("button").first.click()
    page.wait_for_function("r => window.__citytwin.focus !== Number(r)", arg=row)
    assert page.locator(".bc button").count() == 2
    page.keyboard.press("u")
    page.wait_for_function("r => window.__citytwin.focus === Number(r)", arg=row)
    page.locator(".bc button").first.click()
    page.wait_for_function("window.__citytwin.focus === 0")
    assert view.complaints == []


def test_search_and_keys(view: Watched) -> None:
    page = view.open("?lang=zh")
    page.keyboard.press("?")
    expect(page.get_by_test_id("keys")).to_contain_text("搜索")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("武昌")
    expect(page.get_by_test_id("search").locator(".hit").first).to_contain_text("武昌", timeout=15_000)
    page.keyboard.press("Enter")
    page.wait_for_function("window.__citytwin.focus > 0")
    expect(page.get_by_test_id("search")).to_have_count(0)


def test_keyboard_reaches_everything_and_focus_shows(view: Watched) -> None:
    page = view.open()
    seen: set[str] = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        tag, outline = page.evaluate(
            "(() => { const e = document.activeElement; return [e.closest('header,.cl,.ct,.cr')?.className ?? '',"
            " getComputedStyle(e).outlineStyle + getComputedStyle(e).outlineWidth] })()"
        )
        seen.add(tag)
        if tag:
            assert outline.startswith("solid") or outline.startswith("auto"), (tag, outline)
    assert {"hd", "col cl", "ct"} <= seen


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_nothing_overflows(driver: Browser, base_url: str, size: tuple[int, int], lang: str) -> None:
    view = watched(driver, base_url, *size)
    page = view.open(f"?lang={lang}")
    assert page.evaluate(OVERFLOW) == []
    page.close()


def test_banner_on_loss_and_resume(driver: Browser, mortal: FakeServer) -> None:
    view = watched(driver, mortal.url)
    page = view.open("?lang=zh")
    mortal.stop()
    expect(page.get_by_test_id("banner")).to_contain_text("连接中断 · 最后数据", timeout=3_000)
    clock = page.get_by_test_id("clock").inner_text()
    page.wait_for_timeout(1_500)
    assert page.get_by_test_id("clock").inner_text() == clock, "a clock that runs on without data lies"
    assert page.locator("[data-testid=value]").count() > 0
    mortal.start()
    back = time.monotonic()
    expect(page.get_by_test_id("banner")).to_have_count(0, timeout=10_000)
    assert time.monotonic() - back < 10
    seq = page.evaluate("window.__citytwin.seq")
    page.wait_for_function("s => window.__citytwin.seq !== s", arg=seq, timeout=20_000)
    page.close()


def test_quality_is_on_the_wall(driver: Browser, mortal: FakeServer) -> None:
    view = watched(driver, mortal.url)
    page = view.open("?lang=en&indicator=rain_hour_max")
    page.keyboard.press("i")
    sheet = page.get_by_role("dialog")
    stale = sheet.locator("[data-indicator=aqi]")
    expect(stale).to_contain_text("Stale")
    assert "stale" in (stale.get_attribute("class") or "")
    nothing = sheet.locator("[data-indicator=station_crowd]")
    expect(nothing).to_contain_text("No data")
    expect(nothing.locator("[data-testid=value]")).to_have_text("—")
    assert nothing.locator(".hatch").count() == 1
    expect(sheet.locator("[data-indicator=rain_hour_max]")).to_contain_text("Partial 12/13")
    expect(sheet.locator("[data-indicator=traffic_tti]")).to_contain_text("Provisional")
    page.keyboard.press("Escape")
    assert page.get_by_test_id("strip").locator(".hatch").count() == 1
    page.close()


def test_event_to_pixel(view: Watched, figure: Callable[[str, float, str], None]) -> None:
    page = view.open()
    page.wait_for_timeout(8_000)
    page.evaluate("window.mark = window.__citytwin.stamps.length")
    page.wait_for_function("window.__citytwin.stamps.length >= window.mark + 8", timeout=60_000)
    ms = sorted(page.evaluate("window.__citytwin.stamps.slice(window.mark).map(s => s.ms)"))
    figure("frame to pixel p50", ms[len(ms) // 2], "ms")
    p95 = ms[int(0.95 * (len(ms) - 1))]
    figure("frame to pixel p95", p95, "ms")
    assert p95 <= 1_000, ms
