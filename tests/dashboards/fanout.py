"""Fan-out: one 2 KB delta to many loopback clients, server CPU per message and delivery time. Not a test; run it:

python -m tests.dashboards.fanout [clients] [hz] [seconds]
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.models.frame import Frame
from tests.dashboards.fakes import FakeBoard, FakeHealth, FakeIngest, FakeReads, values


async def listen(port: int, clients: int, seconds: float) -> None:
    """Many clients in one process; prints count, bytes and delivery percentiles as JSON."""
    late: list[float] = []
    size = 0

    async def one(ws: ClientConnection) -> None:
        nonlocal size
        while True:
            text = await ws.recv(decode=False)
            if b'"type":"delta"' in text[:40]:
                at = text.index(b'"t":')
                late.append(time.time() * 1000 - int(text[at + 4 : at + 17]))
                size += len(text)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            ws = await connect(
                f"ws://127.0.0.1:{port}/ws", subprotocols=[Subprotocol("citytwin.v1+json")], compression=None,
                proxy=None,
            )  # fmt: skip
            await ws.send('{"type":"hello","id":0}')
            await ws.send('{"type":"sub","id":1,"channel":"ind","filter":{"depth":4},"max_hz":20}')
            group.create_task(one(ws))
        print("ready", flush=True)
        await asyncio.sleep(seconds)
        p50, p99 = np.percentile(late, [50, 99])
        told = {"n": len(late), "bytes": size // max(1, len(late)), "p50_ms": round(p50, 1), "p99_ms": round(p99, 1)}
        print(json.dumps(told), flush=True)
        sys.exit(0)


def main(clients: int = 1000, hz: float = 5.0, seconds: float = 8.0) -> None:
    """Serve, start the clients in another process, publish, print the figures."""
    board = FakeBoard()
    rows = [board.scopes.add(f"D0Z{i}", f"新{i}", 1) for i in range(100)]
    web = Web(Parts(board, FakeReads(), FakeIngest(), FakeHealth()))
    server = ServerThread(web)
    port = server.start()
    wall = seconds + 2
    child = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, "listen", str(port), str(clients), str(wall)], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    rng, begun, pause = np.random.default_rng(1), time.process_time(), threading.Event()
    for i in range(int(seconds * hz)):
        fresh = {"calls": values(rows, list(rng.random(100).round(6) * 1000))}
        web.gateway.publish(Frame(i, int(time.time() * 1000), i, fresh))
        pause.wait(1 / hz)
    used = time.process_time() - begun
    told = json.loads(child.stdout.readline())
    server.stop()
    print({"clients": clients, "hz": hz, "cpu_us_per_message": round(used * 1e6 / told["n"], 1), **told})


if __name__ == "__main__":
    if sys.argv[1:2] == ["listen"]:
        asyncio.run(listen(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
    else:
        main(*(int(a) for a in sys.argv[1:2]), *(float(a) for a in sys.argv[2:4]))
