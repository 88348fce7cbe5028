"""What docs/doors.md says: its lines work against a city without a token, its check of a signature is right."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from citytwin.app import Node
from citytwin.config import Config, Engine, Server
from citytwin.history_config import History
from citytwin.indicators.registry import Registry
from citytwin.streams.hooks import sign
from citytwin.testing import TinyCity

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "doors.md").read_text("utf-8")
BLOCKS = [b for b in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.S) if "curl" in b]


def run(block: str, url: str, folder: Path) -> list[str]:
    """What each call of a block answers."""
    script = block.replace("http://127.0.0.1:8080", url).replace("/tmp/", f"{folder}/")
    marked = re.sub(r"\n(?=curl )", "\necho; echo =====\n", "\n" + script)
    done = subprocess.run(["bash", "-ec", marked], capture_output=True, timeout=60, check=True)
    return [part.strip() for part in done.stdout.decode().split("=====") if part.strip()]


@contextmanager
def city(folder: Path) -> Iterator[tuple[Node, str]]:
    """A small city without a token, and its address."""
    config = Config(server=Server(port=0), engine=Engine(tick_ms=100, health=False), history=History(parquet=False))
    load: Any = TinyCity
    with Node(config, folder=folder, load=load, registry=lambda: Registry([])) as node:
        url = node.serve()
        node.start()
        node.first_frame.wait()
        yield node, url


def test_the_calls_of_the_document_work_also_after_a_restart(tmp_path: Path) -> None:
    assert shutil.which("curl")
    with city(tmp_path / "data") as (_, url):
        services, service, report, requests = run(BLOCKS[0], url, tmp_path)
        assert "井盖缺损" in services
        assert "Code of the component" in service
        assert json.loads(report)[0]["service_request_id"].startswith("O311-")
        assert etree.fromstring(requests.encode()).tag == "service_requests", requests
        taken, received = map(json.loads, run(BLOCKS[1], url, tmp_path))
        assert taken["real"] is True
        assert [i["identifier"] for i in received["items"]] == [taken["identifier"]]
        assert "<feed" in run(BLOCKS[2], url, tmp_path)[0]
        assert "<Result>OK</Result>" in run(BLOCKS[3], url, tmp_path)[0]
    assert len(BLOCKS) == 4
    with city(tmp_path / "data") as (node, url):
        before = node.engine.stats.accepted
        assert run(BLOCKS[0], url, tmp_path)[2] == report, "the same key is the same report for ever"
        assert node.engine.stats.accepted == before


def test_the_check_of_the_document_is_right() -> None:
    code = re.search(r"```python\n(.*?)```", DOCUMENT, re.S)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    genuine: Callable[[str, str, bytes], bool] = names["genuine"]
    stamp = int(time.time())
    assert genuine("secret", sign("secret", stamp, b"body"), b"body")
    assert not genuine("secret", sign("secret", stamp, b"body"), b"other")
    assert not genuine("secret", sign("secret", stamp - 400, b"body"), b"body")
    assert not genuine("other", sign("secret", stamp, b"body"), b"body")


@pytest.mark.parametrize("name", ["tries", "timeout_s", "queue", "max_age_hours"])
def test_the_defaults_of_the_document_are_those_of_the_settings(name: str) -> None:
    told = re.search(rf"^{name} = (\S+)$", DOCUMENT, re.M)
    assert told is not None
    assert float(told[1]) == getattr(Config().webhooks, name)
