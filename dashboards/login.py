"""Signing in at a provider of identities: /login sends there, /callback comes back with a session."""

from __future__ import annotations

import asyncio
import hmac

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from citytwin.dashboards.access import set_cookie
from citytwin.dashboards.people import SignOn
from citytwin.dashboards.problems import Trouble

#: Holds the state in the browser that began; it must come along from the provider's site, so it is Lax.
STATE = "citytwin_login"
# A redirect from a foreign site would not carry the strict cookie that it sets; a page of ours that goes on does.
_ON = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/"><a href="/">CityTwin</a>'


class Login:
    """Handlers of the two addresses."""

    def __init__(self, sign_on: SignOn) -> None:
        self.sign_on = sign_on

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/login", self.begin, methods=["GET"]),
            Route("/callback", self.finish, methods=["GET"]),
        ]

    async def begin(self, request: Request) -> Response:
        """Send the browser to the provider."""
        address, state = await asyncio.to_thread(self.sign_on.begin)
        answer = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
        secure = request.url.scheme == "https"
        answer.set_cookie(STATE, state, max_age=600, path="/callback", httponly=True, samesite="lax", secure=secure)
        return answer

    async def finish(self, request: Request) -> Response:
        """Take the code that the provider gave to the browser that began."""
        state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
        kept = request.cookies.get(STATE, "")
        if not state or not code or not hmac.compare_digest(kept.encode(), state.encode()):
            raise Trouble(400, "sign_in", "this sign-in was not begun in this browser, or was refused; begin at /login")
        found = await asyncio.to_thread(self.sign_on.finish, state, code)
        answer = HTMLResponse(_ON, 200, {"Cache-Control": "no-store"})
        answer.delete_cookie(STATE, path="/callback")
        answer.headers.append("Set-Cookie", set_cookie(found.token, found.seconds, request.url.scheme))
        return answer
