"""A real server on a free loopback port, over the small city."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.dashboards.sockets import DoorLimits
from tests.dashboards.fakes import FakeBoard, FakeHealth, FakeIngest, FakeReads, FakeWorkshop


@dataclass(slots=True)
class Running:
    """A running server, its board and address."""

    web: Web
    board: FakeBoard
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    board = FakeBoard()
    door = DoorLimits(clients=20, hello_s=1.5)
    web = Web(
        Parts(board, FakeReads(), FakeIngest(), FakeHealth(), door=door, static=tmp_path, workshop=FakeWorkshop())
    )
    server = ServerThread(web)
    port = server.start()
    yield Running(web, board, port)
    server.stop()
