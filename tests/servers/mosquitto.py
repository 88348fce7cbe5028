"""Mosquitto with two doors: one open, one with TLS and passwords. Both see the same topics."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.certificates import Authority
from tests.servers.process import Server, free_ports, installed, listens, until

USER, PASSWORD = "citytwin", "only-for-tests"
# Mosquitto acknowledges before it saves: a kill loses what came since the last save, here at most 2 s; see `saved`.
CONF = """user root
persistence true
persistence_location {data}/
autosave_interval 1
max_queued_messages 100000
per_listener_settings true
listener {plain} 127.0.0.1
allow_anonymous true
listener {tls} 127.0.0.1
allow_anonymous false
password_file {passwords}
cafile {ca}
certfile {certificate}
keyfile {key}
"""


@dataclass(frozen=True, slots=True)
class Way:
    """How a client comes in: plain values, and as what aiomqtt takes."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    authority: Authority | None = None

    @property
    def ca_file(self) -> str:
        """What the client trusts; "" without TLS."""
        return str(self.authority.file) if self.authority else ""

    def aiomqtt(self) -> dict[str, Any]:
        """Keyword arguments for aiomqtt.Client."""
        found: dict[str, Any] = {"hostname": self.host, "port": self.port}
        if self.user:
            found |= {"username": self.user, "password": self.password}
        if self.authority:
            found["tls_context"] = self.authority.trusting()
        return found


class Mosquitto(Server):
    """A broker; its doors are `plain` and `tls`."""

    def __init__(self, home: Path) -> None:
        super().__init__("mosquitto", home)
        self.authority = Authority(home / "certificates")
        pair = self.authority.issue("mosquitto")
        self._ports = free_ports(2)
        self._program = installed("mosquitto")
        passwords = home / "passwords"
        passwords.touch()
        maker = ["mosquitto_passwd", "-b", str(passwords), USER, PASSWORD]
        subprocess.run(maker, check=True, capture_output=True)
        places = {"data": home / "data", "ca": self.authority.file, "certificate": pair.certificate, "key": pair.key}
        text = CONF.format(plain=self._ports[0], tls=self._ports[1], passwords=passwords, **places)
        (home / "mosquitto.conf").write_text(text, "utf-8")

    @property
    def plain(self) -> Way:
        """The door without TLS and without names."""
        return Way("127.0.0.1", self._ports[0])

    @property
    def tls(self) -> Way:
        """The door with TLS and a password."""
        return Way("127.0.0.1", self._ports[1], USER, PASSWORD, self.authority)

    def saved(self) -> None:
        """Wait until sessions and messages of before the call are on disk, where a kill does not lose them."""
        before = self._save()
        until(lambda: self._save() != before, 20, "Mosquitto saves once a second")

    def command(self) -> list[str]:
        """The daemon, in the foreground."""
        return [str(self._program), "-c", "mosquitto.conf"]

    def answers(self) -> bool:
        """Whether both doors are open."""
        return all(listens(port) for port in self._ports)

    def _save(self) -> int:
        kept = self.home / "data" / "mosquitto.db"
        return kept.stat().st_mtime_ns if kept.exists() else 0


class ForeignMosquitto(Mosquitto):
    """A broker that is not ours: it has an open door, and cannot be killed."""

    def __init__(self, at: str) -> None:
        host, _, port = at.partition(":")
        self._way = Way(host, int(port or 1883))

    @property
    def plain(self) -> Way:
        """The door that was named."""
        return self._way

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("the broker of CITYTWIN_TEST_MQTT is not ours to touch: unset it, and the tests start one")
