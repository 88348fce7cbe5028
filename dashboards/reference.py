"""The reference pages of the indicators in force: `/reference` and `/reference/<id>`, plain HTML without a script."""

from __future__ import annotations

import html
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from citytwin.dashboards.ports import Board
from citytwin.dashboards.problems import Trouble
from citytwin.indicators import reference
from citytwin.indicators.api import Spec
from citytwin.models.vocabulary import EventType

_STYLE = """
body{font:15px/1.55 "PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif;color:#1d2733;background:#f6f8fa;
max-width:72rem;margin:0 auto;padding:1.5rem}
h1{font-size:1.6rem;margin:.3rem 0 1rem}h2{font-size:1.05rem;margin:1.6rem 0 .5rem;color:#3a4b5e}
a{color:#0b5cad}pre{background:#fff;border:1px solid #d7dee6;padding:1rem;overflow-x:auto}
pre{font-size:13px;line-height:1.45}
.table{overflow-x:auto}table{border-collapse:collapse;background:#fff;width:100%}
th,td{border:1px solid #d7dee6;padding:.35rem .6rem;text-align:left;vertical-align:top}th{background:#eef2f6}
nav{margin-bottom:.5rem}
"""


def document(title: str, body: str, nav: str) -> str:
    """A whole page."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><style>{_STYLE}</style>'
        f"<body><nav>{nav}</nav><main>{body}</main></body></html>"
    )


class Reference:
    """Handlers of the reference pages."""

    def __init__(self, board: Board, types: Mapping[str, EventType]) -> None:
        self.board, self.types = board, types

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/reference", self.index, methods=["GET"]),
            Route("/reference/{id}.md", self.text, methods=["GET"]),
            Route("/reference/{id}", self.page, methods=["GET"]),
        ]

    def _page(self, request: Request) -> reference.Page:
        id, specs = request.path_params["id"], list(self.board.specs())
        spec = next((s for s in specs if s.id == id), None)
        if spec is None:
            raise Trouble(404, "unknown_indicator", f"there is no indicator {id}; /reference lists all")
        return reference.page(spec, specs, self.types)

    async def index(self, _: Request) -> Response:
        """All indicators by theme."""
        specs = list(self.board.specs())
        body = [f"<h1>Indicators 指标</h1><p>{len(specs)}</p>"]
        for theme, members in reference.contents(specs).items():
            body.append(f"<h2>{html.escape(theme)}</h2><div class=table><table><tbody>")
            body += map(_row, members)
            body.append("</tbody></table></div>")
        return HTMLResponse(document("Indicators", "".join(body), '<a href="/lab">/lab</a>'))

    async def page(self, request: Request) -> Response:
        """One indicator."""
        found = self._page(request)
        nav = f'<a href="/reference">Indicators</a> · <a href="/lab?id={html.escape(found.id)}">/lab</a>'
        return HTMLResponse(document(found.title, reference.hypertext(found), nav))

    async def text(self, request: Request) -> Response:
        """One indicator as Markdown."""
        return PlainTextResponse(reference.markdown(self._page(request)), media_type="text/markdown")


def _row(spec: Spec) -> str:
    cells = (spec.name.get("zh", ""), spec.name.get("en", ""), spec.unit, spec.window_text or "instant", spec.status)
    said = "".join(f"<td>{html.escape(c)}</td>" for c in cells)
    return f'<tr><td><a href="/reference/{html.escape(spec.id)}">{html.escape(spec.id)}</a></td>{said}</tr>'
