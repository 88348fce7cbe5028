# ruff: noqa: E501  scripts that run in the page stay on their lines
"""The lab page in a real browser: what a modeler sees, finds, and learns about a number; the same drawer on the wall."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.city import Stage
from tests.browser.conftest import Watched, watched

#: An answer may be asked for again while the city is busy.
WAIT_MS = 60_000
SIZES = [(1280, 720), (1366, 768), (1920, 1080), (3840, 2160)]

#: Boxes that stick out of their column sideways, texts that are cut without an ellipsis, texts under 12 px.
OVERFLOW = """() => {
  const bad = [];
  if (document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight) bad.push('page scrolls');
  const column = el => el.closest('.rows, .sheet2, .live2, .why .body, .hd') ?? document.body;
  const scrolls = el => el.closest('.xs') !== null;
  for (const el of document.querySelectorAll('.lab *')) {
    if (el.closest('svg, .sr, .maplibregl-map, .uplot, option') || el.parentElement.closest('.el') || scrolls(el)) continue;
    if (![...el.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const r = el.getBoundingClientRect(), c = column(el).getBoundingClientRect();
    if (!r.width || !r.height) continue;
    const say = `${el.className || el.tagName}: ${el.textContent.trim().slice(0, 24)}`;
    if (r.left < c.left - 1 || r.right > c.right + 1) bad.push('outside ' + say);
    if (parseFloat(getComputedStyle(el).fontSize) < 11.9) bad.push('small ' + say);
    const style = getComputedStyle(el);
    if (el.scrollWidth > el.clientWidth + 1 && style.display !== 'inline' && style.textOverflow !== 'ellipsis') bad.push('cut ' + say);
  }
  return bad;
}"""


#: An indicator of a file; FACTOR is what a test edits.
PLUGIN = """from citytwin.indicators.api import indicator, twin

@indicator(
    "demo.people", theme="local", unit="count", better="none", levels="city district", decimals=0, status="L", owner="test",
    name={"zh": "登记人口", "en": "Registered people"}, meaning={"zh": "网格登记人口之和", "en": "Sum of the people of the grids"},
    examples=[{"people": 3, "gives": 3.0 * FACTOR}, {"people": 0, "gives": 0.0}],
)
def people(people=twin("grid.population")):
    return FACTOR * people
"""


def read(url: str, path: str) -> Any:
    """JSON of the city under test."""
    with urllib.request.urlopen(f"{url}{path}", timeout=30) as answer:
        return json.load(answer)


def grave(view: Watched) -> list[str]:
    """What the page complained of, but for a busy city that asked for patience (503): the page asks again."""
    return [c for c in view.complaints if not c.startswith("503 ") and "status of 503" not in c]


def line(page: Page, id: str) -> Locator:
    """An indicator in the list."""
    return page.locator(f"[data-testid=lab-list] [data-indicator='{id}']")


def ask(view: Watched, id: str, lang: str = "en") -> Page:
    """The lab page at an indicator with the drawer open and answered."""
    page = view.open(f"lab?id={id}&lang={lang}")
    page.get_by_test_id("why-open").click()
    expect(page.get_by_test_id("why-value")).to_be_visible(timeout=WAIT_MS)
    return page


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_indicator_is_listed(view: Watched, lang: str) -> None:
    items = read(view.url, "/api/v1/indicators")["items"]
    page = view.open(f"lab?lang={lang}")
    lines = page.locator("[data-testid=lab-list] [data-indicator]")
    expect(lines).to_have_count(len(items))
    expect(page.get_by_test_id("lab-tally")).to_contain_text(str(len(items)))
    assert {e.get_attribute("data-indicator") for e in lines.all()} == {i["id"] for i in items}
    names = page.locator("[data-testid=lab-list] .nm").all_inner_texts()
    assert sorted(names) == sorted(i["name"][lang] for i in items)
    heads = page.locator("[data-testid=lab-list] section > h2 b").all_inner_texts()
    assert len(heads) == len({i["theme"] for i in items})
    assert not [h for h in heads if re.fullmatch(r"[a-z_]+", h)], "a theme without a name"
    page.wait_for_timeout(6_000)  # one more look at the workshop
    assert view.foreign == []
    assert grave(view) == []


def test_states_are_told_in_words(view: Watched) -> None:
    """Where each comes from, its check, and a threshold that is only a default of ours."""
    items = {i["id"]: i for i in read(view.url, "/api/v1/indicators")["items"]}
    known = {s["id"] for s in read(view.url, "/api/v1/lab")["items"]}
    assert set(items) <= known
    local = next(i for i in items.values() if i["bands"] and {x["status"] for x in i["thresholds"]} == {"L"})
    standard = next(i for i in items.values() if i["bands"] and {x["status"] for x in i["thresholds"]} == {"V"})
    page = view.open("lab?lang=zh")
    expect(line(page, local["id"])).to_contain_text("本地默认")
    expect(line(page, local["id"])).to_contain_text("内置")
    expect(line(page, standard["id"])).not_to_contain_text("本地默认")


@pytest.mark.parametrize(
    ("typed", "lang"), [("汉口", "en"), ("river lev", "zh"), ("RIVER_LEVEL", "zh"), ("气象防汛 水位", "en")]
)
def test_search_in_both_languages(view: Watched, typed: str, lang: str) -> None:
    page = view.open(f"lab?id=traffic_tti&lang={lang}")
    page.keyboard.press("/")
    page.keyboard.type(typed)
    lines = page.locator("[data-testid=lab-list] [data-indicator]")
    expect(line(page, "river_level")).to_be_visible()
    assert lines.count() < 10
    line(page, "river_level").click()
    view.until("window.__citytwin.chosen === 'river_level'")
    assert "id=river_level" in page.url
    page.get_by_role("searchbox").fill("nothing is called like this")
    expect(lines).to_have_count(0)
    expect(page.get_by_test_id("lab-list")).to_contain_text("没有找到" if lang == "zh" else "Nothing found")


def test_keyboard_alone(view: Watched) -> None:
    page = view.open("lab?id=traffic_tti&lang=en")
    page.keyboard.press("j")
    view.until("window.__citytwin.chosen !== 'traffic_tti'")
    page.keyboard.press("k")
    view.until("window.__citytwin.chosen === 'traffic_tti'")
    page.keyboard.press("/")
    page.keyboard.type("aqi")
    page.keyboard.press("Enter")
    view.until("window.__citytwin.chosen.startsWith('aqi')")
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    expect(page.get_by_test_id("why")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("why")).to_have_count(0)


def test_a_definition_is_whole(view: Watched) -> None:
    item = next(i for i in read(view.url, "/api/v1/indicators")["items"] if i["id"] == "water_pressure_compliance")
    page = view.open("lab?id=water_pressure_compliance&lang=en")
    sheet = page.get_by_test_id("lab-sheet")
    for text in (
        item["name"]["en"],
        item["name"]["zh"],
        item["id"],
        item["meaning"]["en"],
        "def water_pressure",
        item["hash"],
        item["owner"],
        item["source"],
    ):
        expect(sheet).to_contain_text(text)
    expect(page.get_by_test_id("examples").locator("tbody tr")).to_have_count(len(item["examples"]))
    expect(page.get_by_test_id("parameters").locator("tbody tr")).to_have_count(len(item["parameters"]))
    expect(page.get_by_test_id("thresholds").locator("tbody tr")).to_have_count(len(item["thresholds"]))
    for parameter in item["parameters"]:
        expect(page.get_by_test_id("parameters")).to_contain_text(parameter["text"])
    graph = page.get_by_test_id("lineage")
    assert graph.locator(".nd").count() >= 2 + len(item["parameters"])
    expect(graph).to_contain_text("obs")
    expect(page.get_by_test_id("lab-machine")).to_contain_text("µs")
    expect(page.get_by_test_id("lab-values").locator("button")).to_have_count(13)


def test_lineage_leads_on(view: Watched) -> None:
    page = view.open("lab?id=traffic_tti&lang=en")
    reader = page.get_by_test_id("lineage").locator("button.nd").first
    expect(reader).to_be_visible()
    wanted = reader.get_attribute("title")
    reader.click()
    view.until("id => window.__citytwin.chosen === id", wanted)
    expect(page.get_by_test_id("lab-sheet")).to_contain_text(str(wanted))


def test_why_shows_the_events(view: Watched) -> None:
    found = read(view.url, "/api/v1/indicators/traffic_tti/explain?limit=50")
    page = ask(view, "traffic_tti")
    drawer, rows = page.get_by_test_id("why"), page.get_by_test_id("why-events").locator("tbody tr")
    assert found["events_total"] > 50
    expect(rows).to_have_count(50)
    for parameter in found["parameters"]:
        expect(page.get_by_test_id("why-parts")).to_contain_text(parameter["name"])
    expect(drawer).to_contain_text("def traffic_tti")
    expect(page.get_by_test_id("why-quality")).to_contain_text("of")
    page.get_by_test_id("why-more").click()
    view.until("document.querySelectorAll('[data-testid=why-events] tbody tr').length > 50")
    page.get_by_test_id("why-place").select_option(index=1)
    view.until("new URLSearchParams(location.search).get('why') !== '420100'")
    expect(page.get_by_test_id("why-value")).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    assert grave(view) == []
    assert view.foreign == []


def test_why_goes_down_to_the_parts_and_back(view: Watched) -> None:
    page = ask(view, "traffic_tpi")
    part = page.get_by_test_id("why-parts").locator("button").first
    name = part.locator("b").inner_text()
    part.click()
    expect(page.locator(".why .who b")).to_have_text(name)
    expect(page.get_by_test_id("why-value")).to_be_visible(timeout=WAIT_MS)
    page.locator(".why .trail button").first.click()
    expect(page.locator(".why .who b")).to_have_text("Traffic performance index")
    expect(page.locator(".why .trail")).to_have_count(0)
    assert grave(view) == []


def test_a_link_opens_the_same_answer(view: Watched) -> None:
    page = ask(view, "traffic_tti", "zh")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=view.url)
    page.get_by_test_id("why-copy").click()
    expect(page.get_by_test_id("why-copy")).to_have_text("已复制")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == f"{view.url}/lab?id=traffic_tti&why=420100"
    page.goto(link)
    expect(page.get_by_test_id("why-value")).to_be_visible(timeout=WAIT_MS)


def test_why_on_the_wall(view: Watched) -> None:
    page = view.open("?lang=zh&indicator=traffic_tti")
    page.locator(".row[data-indicator]").last.click()
    page.get_by_test_id("popover").get_by_test_id("why-open").click()
    drawer = page.get_by_test_id("why")
    expect(drawer).to_contain_text("为什么是这个数")
    expect(page.get_by_test_id("why-value")).to_be_visible(timeout=WAIT_MS)
    expect(drawer).to_contain_text("级别与依据")
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    expect(page.get_by_test_id("popover")).to_be_visible()
    assert grave(view) == []


def test_from_page_to_page_without_reload(view: Watched) -> None:
    page = view.open("?lang=en&indicator=river_level")
    page.evaluate("window.kept = 1")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_test_id("page-lab").click()
    expect(page.get_by_test_id("lab-name")).to_contain_text("Hankou")
    page.wait_for_selector("[data-testid=legend]")
    assert page.evaluate(ground) != dark, "the lab is light unless somebody chose otherwise"
    assert page.url.endswith("/lab?id=river_level")
    page.get_by_test_id("lang").click()
    expect(page.locator("h1")).to_contain_text("指标工坊")
    page.go_back()
    page.wait_for_selector("[data-testid=strip]")
    view.until(f"old => {ground} === old", dark)
    page.get_by_test_id("page-lab").click()
    page.wait_for_selector("[data-testid=lab-sheet]")
    frames = page.evaluate("window.__citytwin.frames")
    view.until("n => window.__citytwin.frames > n", frames)
    assert page.evaluate("window.kept") == 1
    assert page.evaluate("window.__citytwin.tally.reconnects") == 0
    assert grave(view) == []


def test_an_unknown_id_is_said(view: Watched) -> None:
    page = view.open("lab?id=no_such_thing&lang=en")
    expect(page.get_by_test_id("toasts")).to_contain_text("There is no indicator no_such_thing")
    expect(page.get_by_test_id("lab-name")).to_be_visible()
    assert grave(view) == []


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_nothing_overflows(driver: Browser, base_url: str, size: tuple[int, int], lang: str) -> None:
    view = watched(driver, base_url, *size)
    page = view.open(f"lab?lang={lang}&id=traffic_tti")
    for id in ("traffic_tti", "city_health_index", "aqi"):
        line(page, id).click()
        expect(page.locator(".hh .id")).to_have_text(id)
        page.wait_for_timeout(500)
        assert page.evaluate(OVERFLOW) == [], id
    page.get_by_test_id("why-open").click()
    expect(page.get_by_test_id("why-value")).to_be_visible(timeout=WAIT_MS)
    assert page.evaluate(OVERFLOW) == []
    page.close()


def test_a_saved_file_is_seen(driver: Browser, built: None, tmp_path: Path) -> None:
    """A new file appears, an edit shows what it changed, a bad save is refused with its reason and the old one stays."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    stage = Stage(tmp_path / "city", plugins=str(plugins))
    view = watched(driver, stage.url, 1366, 768)
    page = view.open("lab?lang=en&id=river_level")
    view.until("document.querySelector('[data-testid=lab-machine]').textContent.includes('µs')")
    toasts, file = page.get_by_test_id("toasts"), plugins / "people.py"
    file.write_text(PLUGIN.replace("FACTOR", "1"), "utf-8")
    expect(toasts).to_contain_text("Added Registered people", timeout=WAIT_MS)
    toasts.get_by_role("button", name="Show").click()
    expect(page.get_by_test_id("lab-name")).to_contain_text("登记人口")
    expect(line(page, "demo.people")).to_contain_text("file")
    expect(line(page, "demo.people")).to_contain_text("ok")
    file.write_text(PLUGIN.replace("FACTOR", "2"), "utf-8")
    expect(toasts).to_contain_text("Reloaded Registered people", timeout=WAIT_MS)
    changes = page.get_by_test_id("before-after").locator("tbody tr")
    expect(changes).to_have_count(14)
    expect(changes.first.locator("td").nth(2)).not_to_have_text("—", timeout=WAIT_MS)  # told with the tick after it
    before, after = (int(t.replace(",", "")) for t in changes.first.locator("td").all_inner_texts()[1:3])
    assert after == 2 * before > 0
    expect(page.get_by_test_id("lab-sheet")).to_contain_text("return 2 * people")
    file.write_text(PLUGIN.replace("FACTOR", "2").replace('"gives": 0.0', '"gives": 7.0'), "utf-8")
    expect(toasts).to_contain_text("Refused Registered people", timeout=WAIT_MS)
    expect(page.get_by_test_id("lab-trouble")).to_contain_text("The last edit was refused")
    expect(page.get_by_test_id("lab-trouble")).to_contain_text("7")
    expect(page.get_by_test_id("lab-now")).to_contain_text(f"{after:,}")
    file.unlink()
    expect(toasts).to_contain_text("Removed", timeout=WAIT_MS)
    expect(line(page, "demo.people")).to_have_count(0)
    assert grave(view) == []
    page.close()
    stage.close()
