"""The dispatcher's and the handler's page in a real browser, on a city where nothing happens by itself."""

from __future__ import annotations

import json
import re
import statistics
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from citytwin.models.desk.event import AUTO
from tests.browser.city import Stage, post
from tests.browser.conftest import Watched, watched
from tests.conftest import Figure, proving
from tests.servers.process import until

PLACE = {"lon": 114.31, "lat": 30.62}
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> 积水"
FLOOD = 1000 if proving() else 120


def stamp(at_ms: int) -> str:
    """A time as events write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms / 1000)) + f".{at_ms % 1000:03d}Z"


def event(type: str, subject: str, at_ms: int, **data: Any) -> dict[str, Any]:
    """A CloudEvent of the desk at one place."""
    id = f"{type}.{subject}.{at_ms}"
    when = stamp(at_ms)
    about = {"specversion": "1.0", "type": type, "source": "test/desk", "id": id, "subject": subject, "time": when}
    return {**about, **PLACE, "data": data}


def filed(code: str, now: int, left_s: int, text: str = "积水") -> list[dict[str, Any]]:
    """A case that waits to be dispatched, due in so many seconds."""
    then = now - 60_000
    return [
        event("case.reported", code, then, category="flood.waterlog", channel="12345", text=text, level=2),
        event("case.accepted", code, then + 1),
        event("case.filed", code, then + 2, due_at=stamp(now + 1000 * left_s), category="flood.waterlog"),
    ]


def team(code: str, now: int) -> dict[str, Any]:
    """A unit that could go."""
    return event("unit.state", code, now - 30_000, state="ready", kind="drainage_team", name="排水队",
                 skills="drainage pump", capacity=2)  # fmt: skip


def read(url: str) -> Any:
    """JSON of the city."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture
def desk(driver: Browser, stage: Stage) -> Iterator[tuple[Stage, Watched]]:
    """Two cases, two units, and the page of the dispatcher."""
    now = stage.clock.now_ms()
    events = [*filed("C-10241", now, 30, HOSTILE), *filed("C-10238", now, 3600), team("U7", now), team("U8", now)]
    assert post(stage.url, events)["rejected"] == []
    until(lambda: len(read(f"{stage.url}/api/v1/units")["items"]) == 2, 60, "the units are known")
    view = watched(driver, stage.url, 1440, 900)
    view.page.goto(f"{stage.url}/dispatch?lang=zh")
    expect(view.page.locator("[data-testid=queue] [data-code]")).to_have_count(2, timeout=60_000)
    yield stage, view
    view.page.close()


def test_from_load_to_a_unit_sent_by_keys(desk: tuple[Stage, Watched], figure: Figure) -> None:
    stage, view = desk
    page = view.page
    expect(page.get_by_test_id("case")).to_have_attribute("data-code", "C-10241")
    expect(page.locator("[data-testid=units] [data-unit]")).to_have_count(2)
    expect(page.locator("#desk-queue")).to_be_focused()
    page.keyboard.press("Enter")
    figure("keys from load to a unit that is sent", 1, "")
    until(lambda: read(f"{stage.url}/api/v1/cases/C-10241")["state"] == "dispatched", 30, "the case is dispatched")
    sent = read(f"{stage.url}/api/v1/cases/C-10241")["units"][0]["unit"]
    expect(page.get_by_test_id("said")).to_contain_text(f"C-10241 → {sent}")
    page.keyboard.press("d")  # a second press sends nobody else
    expect(page.get_by_test_id("said")).to_contain_text(f"已派 {sent}")
    page.keyboard.press("/")
    page.keyboard.type("记 10241 <b>到场</b>")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("timeline")).to_contain_text("<b>到场</b>")
    expect(page.get_by_test_id("bar")).to_have_value("")
    assert "img" not in page.get_by_test_id("case").evaluate("e => [...e.querySelectorAll('img')].map(x => 'img')")
    assert "owned" not in page.title()
    page.keyboard.press("l")
    expect(page.get_by_text("QUEUE", exact=True).or_(page.get_by_text("Queue", exact=True)).first).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_test_id("keys")).to_contain_text("send recommended")
    page.keyboard.press("Escape")
    expect(page.locator("#desk-queue")).to_be_focused()
    assert view.foreign == []
    assert view.complaints == []


def test_what_was_typed_stays_when_it_could_not_be_sent(desk: tuple[Stage, Watched]) -> None:
    stage, view = desk
    page = view.page
    page.route("**/api/v1/commands", lambda route: route.abort())
    page.keyboard.press("/")
    page.keyboard.type("记 10238 三阳路")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("said")).to_contain_text("没有发出去")
    expect(page.get_by_test_id("bar")).to_have_value("记 10238 三阳路")
    page.unroute("**/api/v1/commands")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("bar")).to_have_value("")
    notes = [e for e in read(f"{stage.url}/api/v1/cases/C-10238")["timeline"] if e["type"] == "case.noted"]
    assert [e["text"] for e in notes] == ["三阳路"]


def keyed(page: Page, key: str) -> float:
    """Press a key in the page: ms until what it did is painted. The map is left in peace before it."""
    page.wait_for_timeout(700)
    paint = """key => new Promise(done => {
        const from = performance.now();
        dispatchEvent(new KeyboardEvent('keydown', {key}));
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - from)));
    })"""
    return float(page.evaluate(paint, key))


#: Notes when the frame came that told of an alarm of the rule (ms, the machine's clock).
TOLD = """{
    const Real = WebSocket;
    window.WebSocket = class extends Real {
        constructor(...given) {
            super(...given);
            this.addEventListener('message', e => { if (e.data.includes('"gas.leak@')) window.told ??= Date.now(); });
        }
    };
}"""
#: Looks at each frame, and notes when something of an alarm of priority I was seen first (ms, the machine's clock).
WATCH = """code => {
    const seen = window.seen = {};
    const note = (what, is) => { if (is && !(what in seen)) seen[what] = Date.now(); };
    const look = () => {
        note('row', document.querySelector(`[data-testid=urgent] [data-alarm="${code}"]`));
        note('header', document.querySelector('[data-testid=counts] [role=img] i').textContent !== '0');
        note('sound', window.__citytwin.heard.some(h => h.priority === 1));
        requestAnimationFrame(look);
    };
    look();
    const map = async () => {  // what the map's worker holds is laid out
        const data = await window.__citytwin.map.getSource('desk-spots').getData();
        note('map', data.features.some(f => f.properties.id.startsWith('R')));
        if (!('map' in seen)) setTimeout(map, 20);
    };
    map();
}"""


def test_an_alarm_of_priority_one_is_seen_and_heard_soon_after_its_tick(
    desk: tuple[Stage, Watched], figure: Figure
) -> None:
    stage, view = desk
    view.page.add_init_script(TOLD)
    view.page.reload()
    expect(view.page.get_by_test_id("case")).to_be_visible(timeout=60_000)
    view.page.keyboard.press("g")  # the first press lets the page sound
    expect(view.page.get_by_test_id("sound")).to_have_attribute("data-state", "on")
    view.until("window.__citytwin.map?.getSource('desk-spots')")
    device = next(iter(stage.devices("gas.ch4_lel")))
    code = f"gas.leak@{device}"
    view.page.evaluate(WATCH, code)
    stage.send([device], "gas.ch4_lel", 62.0)
    view.until("['row', 'header', 'sound', 'map'].every(what => what in window.seen)")
    seen = view.page.evaluate("({frame: window.told, ...window.seen})")
    fired = next(a["since"] for a in read(f"{stage.url}/api/v1/alarms")["items"] if a["code"] == code)
    for what, at in seen.items():
        figure(f"from the tick that fired an alarm of priority I to its {what}", at - fired, "ms")
    assert max(seen.values()) - fired < 10_000  # a second on a machine that does nothing else; see the figures


def test_a_flood_of_alarms_is_few_rows_and_the_keys_stay_quick(desk: tuple[Stage, Watched], figure: Figure) -> None:
    stage, view = desk
    now = stage.clock.now_ms()
    alarms = [
        event("alarm.raised", f"flood@X{i}", now, rule="flood", priority=1 + i % 4, value=42, text_zh=f"积水 {i}",
              text_en=f"water {i}", group=f"flood/{i % 31}/{i % 7}")
        for i in range(FLOOD)
    ]  # fmt: skip
    assert post(stage.url, alarms)["rejected"] == []
    page = view.page
    # the desk may raise one of its own beside them, about the flood
    all_shown = re.compile(rf"未确认 ({FLOOD}|{FLOOD + 1})\b")
    expect(page.get_by_test_id("unacked")).to_have_text(all_shown, timeout=60_000)
    expect(page.locator("[data-testid=urgent] [data-alarm]")).to_have_count(2)
    expect(page.get_by_test_id("case")).to_have_attribute("data-code", "C-10241")
    painted = [keyed(page, key) for key in ("ArrowDown", "ArrowUp") * 5]
    figure(f"key to paint with {FLOOD} alarms, the median of {len(painted)} keys", statistics.median(painted), "ms")
    expect(page.get_by_test_id("case")).to_have_attribute("data-code", "C-10241")
    page.keyboard.press("w")
    rows = page.locator("[data-testid=alarms] [data-alarm]")
    assert rows.count() <= 20
    figure(f"groups shown of {FLOOD} alarms", rows.count(), "")
    expect(page.get_by_test_id("alarms")).to_contain_text(all_shown)
    worst = rows.first.get_by_role("button").first
    expect(worst).to_contain_text("确认")
    worst.click()
    until(lambda: sum(a["acked"] for a in read(f"{stage.url}/api/v1/alarms")["items"]) > 0, 30, "one is acknowledged")
    # the first press let the page sound; silence acknowledges nothing
    expect(page.get_by_test_id("sound")).to_have_attribute("data-state", "on")
    page.keyboard.press("s")
    expect(page.get_by_test_id("sound")).to_have_attribute("data-state", "muted")
    expect(page.get_by_test_id("unacked")).to_have_class("od")


def test_the_handler_presses_without_a_network_and_it_is_sent_in_order(
    desk: tuple[Stage, Watched], driver: Browser
) -> None:
    stage, view = desk
    view.page.keyboard.press("Enter")
    until(lambda: read(f"{stage.url}/api/v1/cases/C-10241")["state"] == "dispatched", 30, "the case is dispatched")
    unit = read(f"{stage.url}/api/v1/cases/C-10241")["units"][0]["unit"]
    phone = watched(driver, stage.url, 390, 844)
    page = phone.page
    page.goto(f"{stage.url}/unit?unit={unit}&lang=zh")
    button = page.get_by_test_id("advance")
    expect(button).to_contain_text("接令", timeout=60_000)
    box = button.bounding_box()
    assert box is not None
    assert box["height"] >= 92
    page.route("**/api/v1/commands", lambda route: route.abort())
    for word in ("出发", "到达现场", "处置完成"):
        button.click()
        expect(button).to_contain_text(word)
    expect(page.get_by_test_id("waiting")).to_contain_text("待发送 3")
    page.reload()
    expect(page.get_by_test_id("waiting")).to_contain_text("待发送 3")
    page.unroute("**/api/v1/commands")
    # it may have been sent by itself before anybody presses
    page.evaluate("document.querySelector('[data-testid=waiting]')?.click()")
    until(lambda: read(f"{stage.url}/api/v1/cases/C-10241")["state"] == "arrived", 30, "what was pressed has come")
    lines = read(f"{stage.url}/api/v1/cases/C-10241")["timeline"]
    told = [e["type"] for e in lines if e["actor"] != AUTO]  # reminders come by the clock, in between
    assert told[-3:] == ["case.received", "case.enroute", "case.arrived"]
    button.click()
    until(lambda: read(f"{stage.url}/api/v1/cases/C-10241")["state"] == "handled", 30, "the unit has done it")
    assert phone.foreign == []
    page.close()
