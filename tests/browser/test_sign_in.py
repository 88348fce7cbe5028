"""The page to sign in at, in a real browser: a form without a script, a cookie that no script sees."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.dashboards.test_people import PASSWORD, served


def test_one_signs_in_and_is_where_one_came_from(driver: Browser, tmp_path: Path) -> None:
    with served(tmp_path, token="geheim") as city:
        city.accounts.add("anna", PASSWORD)
        city.accounts.grant("anna", "operator")
        context = driver.new_context()
        page = context.new_page()
        page.goto(f"{city.url}/sign-in?next=/docs")
        page.keyboard.type("anna")
        page.keyboard.press("Tab")
        page.keyboard.type("wrong password")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("User or password is wrong")
        expect(page.locator("#user")).to_be_focused()
        page.keyboard.type("anna")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{city.url}/docs")
        assert page.evaluate("document.cookie") == ""
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        me = "fetch('/api/v1/me').then(r => r.json())"
        assert page.evaluate(me)["user"] == "anna"
        heard = """() => new Promise(done => {
            const ws = new WebSocket(`ws://${location.host}/ws`, 'citytwin.v1+json');
            ws.onopen = () => ws.send('{"type":"hello","id":0}');
            ws.onmessage = e => done(JSON.parse(e.data)[0].type);
            ws.onclose = e => done(e.code);
        })"""
        assert page.evaluate(heard) == "welcome", "the cookie opens the WebSocket, too"
        assert page.evaluate("fetch('/api/v1/session', {method: 'DELETE'}).then(r => r.status)") == 204
        assert page.evaluate(heard) == 4401
        context.close()
