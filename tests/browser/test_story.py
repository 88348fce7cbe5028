"""The story of the demo by keys alone: an alarm, a dispatcher, a handler with a phone, a verifier, a closed case."""

from __future__ import annotations

import json
import re
import struct
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.city import ROOT, post
from tests.conftest import Figure
from tests.servers.process import until

PICTURES = ROOT / "build" / "story"
#: Percent of the lower explosive limit: far above that at which a rule raises an alarm of priority I and opens a case.
LEVEL = 62.0
MOST_KEYS = 6


def read(url: str) -> Any:
    """JSON of the city; asked again where it says that it is too busy now."""
    found: list[Any] = []

    def told() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                found.append(json.load(answer))
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
        return bool(found)

    until(told, 60, url)
    return found[0]


def picture() -> bytes:
    """A PNG of 64 x 48, dark at the top."""
    rows = b"".join(b"\x00" + bytes((4 * y + 40, 3 * x, 90)[c] for x in range(64) for c in range(3)) for y in range(48))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Player:
    """Somebody before a screen of their own who has keys and nothing else."""

    def __init__(self, browser: Browser, url: str, width: int, height: int, **context: Any) -> None:
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce", **context
        )
        self.page: Page = self.context.new_page()
        self.url, self.keys = url, 0
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)

    def press(self, key: str) -> None:
        """One key."""
        self.keys += 1
        self.page.keyboard.press(key)

    def write(self, text: str) -> None:
        """Many keys."""
        self.keys += len(text)
        self.page.keyboard.type(text)

    def reach(self, testid: str) -> None:
        """Tab on until something has the focus."""
        focused = "id => document.activeElement?.dataset.testid === id"
        for _ in range(60):
            if self.page.evaluate(focused, testid):
                return
            self.press("Tab")
        raise AssertionError(f"no way to {testid} by Tab")

    def push(self, testid: str) -> None:
        """Tab to a button and press it."""
        self.reach(testid)
        self.press("Enter")

    def sign_in(self, user: str, to: str) -> None:
        """By name: in the demo nobody has a password."""
        self.page.goto(f"{self.url}/sign-in?next={to}")
        expect(self.page.locator("#user")).to_be_focused()
        self.write(user)
        self.press("Enter")
        self.page.wait_for_url(f"{self.url}{to}")
        assert self.page.evaluate("fetch('/api/v1/me').then(r => r.json())")["user"] == user

    def shot(self, name: str) -> None:
        """Keep what is seen."""
        self.page.screenshot(path=PICTURES / f"{name}.png", timeout=90_000)


@pytest.fixture
def players(driver: Browser, base_url: str) -> Iterator[tuple[Player, Player, Player]]:
    """Dispatcher, handler, verifier."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    phone = {"geolocation": {"latitude": 30.60, "longitude": 114.27}, "permissions": ["geolocation"]}
    made = (
        Player(driver, base_url, 1920, 1080),
        Player(driver, base_url, 390, 844, **phone, device_scale_factor=2),
        Player(driver, base_url, 1920, 1080),
    )
    expect.set_options(timeout=30_000)  # three pages with a map each share the machine
    yield made
    expect.set_options(timeout=5_000)
    for player in made:
        player.context.close()


def leak(url: str) -> str:
    """A gas detector that is quiet reads a level that is none. Gives the code of its alarm."""
    known = {a["code"] for a in read(f"{url}/api/v1/alarms")["items"]}
    device = next(d for d in (f"GD-420102-{n:04d}" for n in range(1, 20)) if f"gas.leak@{d}" not in known)
    now = time.time_ns() // 1_000_000
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now / 1000)) + f".{now % 1000:03d}Z"
    told = {"property": "gas.ch4_lel", "value": LEVEL, "quality": "good"}
    event = {"specversion": "1.0", "type": "obs", "source": "test/story", "id": f"leak-{now}", "subject": device}
    assert post(url, [{**event, "time": stamp, "data": told}])["rejected"] == []
    return f"gas.leak@{device}"


def alarm_of(url: str, code: str) -> Any:
    """An alarm."""
    return next(a for a in read(f"{url}/api/v1/alarms")["items"] if a["code"] == code)


def case_of(url: str, code: str) -> Any:
    """A case in full."""
    return read(f"{url}/api/v1/cases/{code}")


def test_an_alarm_becomes_a_closed_case_by_keys_alone(
    players: tuple[Player, Player, Player], base_url: str, figure: Figure
) -> None:
    dispatcher, handler, verifier = players
    code = alarmed(dispatcher, base_url)
    unit = dispatched(dispatcher, base_url, code)
    figure("keys from load to the recommended unit of an alarm that is sent", dispatcher.keys, "")
    assert dispatcher.keys <= MOST_KEYS
    handled(handler, dispatcher, base_url, code, unit)
    closed(verifier, dispatcher, base_url, code)
    for player in players:
        assert player.complaints == []


def alarmed(who: Player, url: str) -> str:
    """The page stands, then a detector fires: row, count and map say so; the case is a key away. Gives its code."""
    page = who.page
    page.goto(f"{url}/dispatch?lang=zh&theme=light")
    expect(page.get_by_test_id("me")).to_contain_text("派遣员", timeout=60_000)
    expect(page.get_by_test_id("case")).to_be_visible(timeout=60_000)
    alarm = leak(url)
    row = page.locator(f"[data-testid=urgent] [data-alarm='{alarm}']")
    expect(row).to_contain_text(f"可燃气体浓度{LEVEL:.0f}%LEL", timeout=30_000)
    found = alarm_of(url, alarm)
    assert (found["priority"], found["acked"]) == (1, False)
    code = str(found["case"])
    assert case_of(url, code)["state"] == "filed"
    who.shot("01-alarm")
    who.press("j")  # the worst and newest one; again for the next, should another have come in between
    if page.get_by_test_id("case").get_attribute("data-code") != code:
        who.press("j")
    expect(page.get_by_test_id("case")).to_have_attribute("data-code", code)
    expect(page.locator("[data-testid=units] [data-unit]").first).to_be_visible()
    expect(page.get_by_test_id("case")).to_contain_text("gas.leak")
    who.shot("02-case")
    who.press("a")
    expect(row).to_have_count(0, timeout=30_000)
    acked = alarm_of(url, alarm)
    assert (acked["acked"], acked["acked_by"]) == (True, "demo")
    who.shot("03-acknowledged")
    return code


def dispatched(who: Player, url: str, code: str) -> str:
    """Enter sends whom the page recommends. Gives the unit."""
    page = who.page
    best = page.locator("[data-testid=units] [data-unit].sel").get_attribute("data-unit") or ""
    told = case_of(url, code)["candidates"]
    assert best == max((c for c in told if c["feasible"]), key=lambda c: c["score"])["unit"]
    who.press("Enter")
    until(lambda: case_of(url, code)["state"] == "dispatched", 30, "the case is dispatched")
    (sent,) = case_of(url, code)["units"]
    assert sent["unit"] == best
    expect(page.get_by_test_id("said")).to_contain_text(best)
    expect(page.get_by_test_id("timeline")).to_contain_text("派遣")
    who.shot("04-dispatched")
    return best


def handled(who: Player, dispatcher: Player, url: str, code: str, unit: str) -> None:
    """The phone: receive, en route, on scene, a photo, a note, done; the dispatcher sees each step."""
    page, desk = who.page, dispatcher.page.get_by_test_id("case")
    who.sign_in("demo-handler", f"/unit?unit={unit}")
    button = page.get_by_test_id("advance")
    expect(button).to_contain_text("接令", timeout=60_000)
    expect(page.get_by_test_id("eta")).to_contain_text(":")
    who.shot("05-phone-sent")
    seen = {"received": ("已接令", "06-phone-received"), "enroute": ("在途", "07-phone-en-route"),
            "arrived": ("到场", "08-phone-on-scene")}  # fmt: skip
    for step, (word, name) in seen.items():
        if step == "arrived":
            at = case_of(url, code)
            who.context.set_geolocation({"latitude": at["lat"], "longitude": at["lon"]})
        who.push("advance")
        told = {"received": "received", "enroute": "en_route", "arrived": "on_scene"}[step]
        until(lambda state=told: case_of(url, code)["units"][0]["state"] == state, 30, f"{step} is told")  # type: ignore[misc]
        expect(desk).to_contain_text(f"{unit} {word}")
        who.shot(name)
    with page.expect_file_chooser() as chooser:
        who.push("do-photo")
    chooser.value.set_files({"name": "leak.png", "mimeType": "image/png", "buffer": picture()})
    until(lambda: case_of(url, code)["evidence"] != [], 30, "the photo is evidence")
    who.push("do-note")
    expect(page.get_by_test_id("ask").locator("textarea")).to_be_focused()
    who.write("已关阀，浓度下降")
    who.shot("09-phone-note")
    who.reach("do-send")
    who.press("Enter")
    until(lambda: case_of(url, code)["notes"] != [], 30, "the note is there")
    who.push("advance")
    until(lambda: case_of(url, code)["state"] == "handled", 30, "the unit has done it")
    expect(page.get_by_test_id("done")).to_contain_text("核查")
    expect(dispatcher.page.get_by_test_id("timeline")).to_contain_text("已关阀")
    expect(desk.locator("[aria-current=step]")).to_contain_text("核查")
    who.shot("10-phone-done")
    dispatcher.shot("11-handled")
    command = {"op": "case.verified", "subject": code, "fields": {"passed": True}, "idem": f"own-{code}"}
    say = """c => fetch('/api/v1/commands', {
        method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(c)}).then(r => r.status)"""
    assert page.evaluate(say, command) == 403, "nobody verifies their own work"
    who.complaints[:] = [c for c in who.complaints if "403" not in c]


def closed(who: Player, dispatcher: Player, url: str, code: str) -> None:
    """Somebody else verifies it and closes it; then it is in nobody's queue."""
    page = who.page
    who.sign_in("demo-verifier", "/dispatch")
    expect(page.get_by_test_id("me")).to_contain_text("核查员", timeout=60_000)
    expect(page.locator("[data-testid=queue] [data-code]").first).to_contain_text(re.compile("待核查|待结案"))
    who.press("/")
    who.write(code)
    who.press("Enter")
    expect(page.get_by_test_id("case")).to_have_attribute("data-code", code)
    expect(page.get_by_test_id("next")).to_contain_text("核查")
    who.shot("12-verify")
    for state, name in (("verified", "13-verified"), ("closed", "14-closed")):
        who.press("Enter")
        until(lambda wanted=state: case_of(url, code)["state"] == wanted, 30, state)  # type: ignore[misc]
        expect(page.get_by_test_id("timeline")).to_contain_text({"verified": "核查", "closed": "结案"}[state])
        who.shot(name)
    for screen in (page, dispatcher.page):
        expect(screen.locator(f"[data-testid=queue] [data-code='{code}']")).to_have_count(0)
    lines = case_of(url, code)["timeline"]
    by = {e["type"]: e["actor"] for e in lines}
    assert by["case.dispatched"].endswith("demo")
    assert by["case.handled"].endswith("demo-handler")
    assert by["case.verified"].endswith("demo-verifier")
    assert [e["t"] for e in lines] == sorted(e["t"] for e in lines)
