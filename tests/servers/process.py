"""A server as a process of its own: start, ready, kill, freeze, start again; ended with the test run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STARTED: list[Server] = []  # all that may still run, for the logs of failed tests and for the end

# Kills the named processes when the pipe from the test run breaks: a run that is killed leaves no server behind.
_REAPER = """
import os, signal, sys
def born(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rsplit(b")", 1)[1].split()[19]
    except OSError:
        return b""
kept = {}
for line in sys.stdin:
    kept[int(line)] = born(int(line))
for pid, at in kept.items():
    if at == born(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
"""
_reaper: subprocess.Popen[str] | None = None


#: How much slower than ours a machine may be before a wait counts as in vain.
SLOW = 3


def reap(pid: int) -> None:
    """Have a process killed when this one ends, however it ends; also for the processes that tests start themselves."""
    global _reaper  # noqa: PLW0603
    if _reaper is None:
        _reaper = subprocess.Popen(
            [sys.executable, "-S", "-c", _REAPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
    assert _reaper.stdin is not None
    print(pid, file=_reaper.stdin, flush=True)


def until(true: Callable[[], object], seconds: float, what: str | Callable[[], str]) -> None:
    """Wait for a condition; fails with its name, or with what a function says then.

    `seconds` are those of a machine with time on its hands: a wait is no timing, so it lasts `SLOW` times as long.
    """
    end, pause = time.monotonic() + SLOW * seconds, threading.Event()
    while not true():
        late = time.monotonic() >= end
        assert not late, f"not within {SLOW * seconds:g} s: {what if isinstance(what, str) else what()}"
        pause.wait(0.05)


def free_ports(count: int) -> list[int]:
    """Free ports, below those that the system gives to clients.

    So a server that is down finds its port free again, and a client that tries it meanwhile is not joined to itself.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(range(15_000, 32_000), 2_000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports between 15000 and 32000 on 127.0.0.1: end what holds them")


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server(ABC):
    """A process with a folder of its own: `log`, and its data in `data/`. Every start uses the same data and ports."""

    patience = 60.0  # seconds until it must be ready

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.home, self.log = name, home, home / "log"
        self.frozen = False
        self._process: subprocess.Popen[bytes] | None = None
        self._begins = 0  # where the log of this start begins
        (home / "data").mkdir(parents=True, exist_ok=True)
        self.log.touch()

    @abstractmethod
    def command(self) -> list[str]:
        """What is run."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves."""

    @property
    def pid(self) -> int:
        """Its process; raises if it is down."""
        if self._process is None or not self.alive:
            raise RuntimeError(f"{self.name} is down")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def said(self, since: int | None = None) -> str:
        """Its log, from a place in bytes on; as a rule of this start."""
        with self.log.open("rb") as file:
            file.seek(self._begins if since is None else since)
            return file.read().decode("utf-8", "replace")

    def launch(self) -> None:
        """Start it without waiting; nothing if it runs."""
        if self.alive:
            return
        self._begins = self.log.stat().st_size
        with self.log.open("ab") as log:
            # a session of its own: Ctrl-C in the terminal ends the tests first, which then look after their servers
            self._process = subprocess.Popen(
                self.command(), cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        reap(self._process.pid)
        if self not in STARTED:
            STARTED.append(self)

    def wait(self) -> None:
        """Wait until it serves; fails with its last words if it does not."""
        end, pause = time.monotonic() + SLOW * self.patience, threading.Event()
        while not self.answers():
            late = time.monotonic() > end
            if late or not self.alive:
                why = f"does not serve after {SLOW * self.patience:g} s" if late else "ended at once"
                self.kill()
                raise RuntimeError(f"{self.name} {why}; its log:\n{self.said()[-3000:]}")
            pause.wait(0.05)

    def start(self) -> None:
        """Start it (again) and wait until it serves."""
        self.launch()
        self.wait()

    def kill(self) -> None:
        """SIGKILL: it is gone when this returns."""
        self._end(signal.SIGKILL, 10)

    def stop(self) -> None:
        """SIGTERM: it is gone when this returns; raises TimeoutExpired after 60 s."""
        self.thaw()
        self._end(signal.SIGTERM, 60)

    def freeze(self) -> None:
        """SIGSTOP: it lives and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT; nothing if it is not frozen."""
        if self.frozen and self.alive:
            os.kill(self.pid, signal.SIGCONT)
        self.frozen = False

    def mend(self) -> None:
        """Have it serve, whatever an earlier test did to it."""
        self.thaw()
        if not self.alive:
            self.start()

    def close(self) -> None:
        """End it for good and remove its data; the log stays."""
        self.kill()
        if self in STARTED:
            STARTED.remove(self)
        shutil.rmtree(self.home / "data", ignore_errors=True)

    def _end(self, how: signal.Signals, seconds: float) -> None:
        self.frozen = False
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(seconds)


def installed(name: str) -> Path:
    """Path of kafka, oidc (folders), influx or mosquitto (programs); scripts/servers installs what lacks."""
    done = subprocess.run([ROOT / "scripts" / "servers", name], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the tests need {name}, and scripts/servers {name} could not install it; it says why above")
    return Path(done.stdout.strip())
