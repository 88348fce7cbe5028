"""InfluxDB 1.8.10, which speaks the v2 API too: open over HTTP, or with accounts over TLS."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.certificates import Authority
from tests.servers.process import Server, free_ports, installed

USER, PASSWORD = "citytwin", "only-for-tests"
CONF = """reporting-disabled = true
bind-address = "127.0.0.1:{backup}"
[meta]
dir = "{data}/meta"
[data]
dir = "{data}/data"
wal-dir = "{data}/wal"
[http]
bind-address = "127.0.0.1:{port}"
flux-enabled = true
log-enabled = false
auth-enabled = {secured}
https-enabled = {secured}
https-certificate = "{both}"
[monitor]
store-enabled = false
"""


class Influx(Server):
    """A server; `url`, `token` (of the v2 API; organisation "-"), `ca_file` are what a client needs."""

    patience = 120.0

    def __init__(self, home: Path, secured: bool = False) -> None:
        super().__init__("influx-tls" if secured else "influx", home)
        self.authority = Authority(home / "certificates") if secured else None
        both = self.authority.issue("influx").both if self.authority else ""
        self.port, backup = free_ports(2)
        self._program = installed("influx")
        kind = {"secured": str(secured).lower(), "both": both}
        text = CONF.format(data=home / "data", port=self.port, backup=backup, **kind)
        (home / "influx.conf").write_text(text, "utf-8")

    @property
    def url(self) -> str:
        """Address of the API."""
        return f"{'https' if self.authority else 'http'}://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """user:password, as the v2 API takes it; ":" where nobody is asked."""
        return f"{USER}:{PASSWORD}" if self.authority else ":"

    @property
    def ca_file(self) -> str:
        """What the client trusts; "" without TLS."""
        return str(self.authority.file) if self.authority else ""

    def command(self) -> list[str]:
        """The daemon."""
        return [str(self._program), "-config", "influx.conf"]

    def answers(self) -> bool:
        """Whether it answers a ping."""
        try:
            self._call("GET", "/ping").close()
        except OSError:
            return False
        return True

    def start(self) -> None:
        """Start it (again); a secured one has its account then."""
        super().start()
        if self.authority:
            self.query(f"CREATE USER {USER} WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES")

    def query(self, statement: str, database: str = "") -> list[dict[str, Any]]:
        """Ask in InfluxQL, as the account; gives the series of the answer."""
        asked = urllib.parse.urlencode({"q": statement, "db": database})
        try:
            with self._call("POST", f"/query?{asked}") as answer:
                found = json.load(answer)["results"][0]
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise RuntimeError(f"{self.name}: {refusal.read().decode()}") from None
        if "error" in found:
            raise RuntimeError(f"{self.name}: {found['error']}")
        series: list[dict[str, Any]] = found.get("series", [])
        return series

    def create(self, database: str) -> str:
        """Make a database; gives the name of its bucket in the v2 API."""
        self.query(f'CREATE DATABASE "{database}"')
        return f"{database}/autogen"

    def _call(self, method: str, path: str) -> Any:
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"Token {self.token}"}
        )
        context = self.authority.trusting() if self.authority else None
        return urllib.request.urlopen(request, timeout=30, context=context)


class ForeignInflux(Influx):
    """An InfluxDB that is not ours, without an account or with one in its address: it cannot be killed."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.name, self.authority = "influx", None
        self._token = f"{parts.username or ''}:{parts.password or ''}"
        self._url = f"{parts.scheme}://{parts.hostname}:{parts.port or 8086}"

    @property
    def url(self) -> str:
        """The address that was named."""
        return self._url

    @property
    def token(self) -> str:
        """The account that was named."""
        return self._token

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(
            "the InfluxDB of CITYTWIN_TEST_INFLUX is not ours to touch: unset it, and the tests start one"
        )
