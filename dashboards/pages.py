"""The built pages; without them a plain page that says how to build them."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

BARE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>CityTwin</title>
<link rel="icon" href="data:,"><style>body{font:16px/1.6 sans-serif;max-width:40em;margin:4em auto}</style>
<h1>CityTwin</h1><p>The server runs, but the pages are not built. Run <code>make pages</code> in the checkout,
or install a wheel, which has them.</p>
<p lang="zh">服务已启动，但页面尚未构建。请在源码目录执行 <code>make pages</code>。</p>
<p><a href="/docs">The interface</a></p></html>"""


class Files(StaticFiles):
    """Static files; names with a hash in them may be kept for ever."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file with the right cache header."""
        response = FileResponse(full_path, status_code, stat_result=stat_result)
        hashed = "/assets/" in str(full_path)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        if self.is_not_modified(response.headers, Headers(scope=scope)):
            return Response(status_code=304, headers={"ETag": response.headers["etag"]})
        return response


#: Addresses of the one document beside `/`: what is shown there, the document itself decides.
PAGES = tuple(f"/{name}{end}" for name in ("dispatch", "lab", "ops", "unit") for end in ("", "/"))


def routes(static: Path) -> list[BaseRoute]:
    """The pages at `/` and `PAGES`; the plain page where none are built."""
    files = Files(directory=static, html=True, check_dir=False)

    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    async def bare(_: Request) -> Response:
        return HTMLResponse(BARE)

    if (static / "index.html").is_file():
        return [*(Route(path, page) for path in PAGES), Mount("/", files)]
    return [Route(path, bare) for path in ("/", *PAGES)]
