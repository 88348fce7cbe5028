"""A page to sign in at for those that have no form of their own: plain HTML, which needs no script."""

from __future__ import annotations

import html
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from citytwin.dashboards.access import set_cookie
from citytwin.dashboards.bodies import body_of
from citytwin.dashboards.problems import Trouble
from citytwin.dashboards.session import BODY_MAX, Credentials, SessionDoor

PATH = "/sign-in"
# The policy of our other pages sends no referrer, and with it browsers send `Origin: null` along with a form.
_PAGE = """<!doctype html><html lang="zh"><meta charset="utf-8"><title>CityTwin</title>
<meta name="viewport" content="width=device-width"><meta name="referrer" content="same-origin">
<link rel="icon" href="data:,"><style>
body{{font:16px/1.6 "PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;background:#0f1722;color:#dbe4ee}}
body{{display:grid;
place-items:center;min-height:100vh;margin:0}}form{{display:grid;gap:.7rem;width:20rem}}
input,button{{font:inherit;padding:.5rem .7rem;border-radius:4px;border:1px solid #3a4b5e;background:#16212f}}
input,button{{color:inherit}}
button{{background:#0b5cad;border-color:#0b5cad;cursor:pointer}}a{{color:#7db7ef}}p{{margin:0}}</style>
<form method="post"><h1>登录 Sign in</h1><p role="alert">{said}</p><input type="hidden" name="next" value="{next}">
<label for="user">用户名 User</label><input id="user" name="user" autocomplete="username" required autofocus>
<label for="password">密码 Password</label>
<input id="password" name="password" type="password" autocomplete="current-password">
<button>登录 Sign in</button>{provider}</form></html>"""
_PROVIDER = '<p><a href="/login">统一身份认证 Single sign-on</a></p>'
_WORDS = {
    401: "用户名或密码不正确。User or password is wrong.",
    429: "尝试次数过多，请稍后再试。Too many attempts; wait a few minutes.",
}


class SignInPage:
    """Handlers of the page."""

    def __init__(self, door: SessionDoor, provider: bool) -> None:
        """`provider`: whether one can sign in at /login, too."""
        self.door, self.provider = door, provider

    def routes(self) -> list[Route]:
        """Its address."""
        return [Route(PATH, self.show, methods=["GET"]), Route(PATH, self.take, methods=["POST"])]

    async def show(self, request: Request) -> Response:
        """The empty form."""
        return self._page(200, "", request.query_params.get("next", "/"))

    async def take(self, request: Request) -> Response:
        """Sign in and go on to the page that one came from."""
        if request.headers.get("origin") is None:
            raise Trouble(403, "origin", "this form is for browsers; programs use /api/v1/session")
        form = parse_qs(
            (await body_of(request, BODY_MAX, "user and password")).decode("utf-8", "replace"), max_num_fields=10
        )
        user, password, to = (form.get(name, [""])[0] for name in ("user", "password", "next"))
        try:
            found = await self.door.begin(request, Credentials(user, password))
        except Trouble as trouble:
            if trouble.status not in _WORDS:
                raise
            return self._page(trouble.status, _WORDS[trouble.status], to)
        answer = RedirectResponse(local(to), 303)
        answer.headers["Set-Cookie"] = set_cookie(found.token, found.seconds, request.url.scheme)
        return answer

    def _page(self, status: int, said: str, to: str) -> Response:
        page = _PAGE.format(said=said, next=html.escape(local(to)), provider=_PROVIDER if self.provider else "")
        return HTMLResponse(page, status, {"Cache-Control": "no-store"})


def local(path: str) -> str:
    """The path, when it is one of this server; else the first page.

    >>> local("/ops?x=1"), local("//evil.example"), local("https://evil.example"), local("/\\\\\\\\evil.example")
    ('/ops?x=1', '/', '/', '/')
    """
    plain = path.startswith("/") and not path.startswith("//") and path.isprintable() and "\\" not in path
    return path if plain and path.isascii() else "/"
