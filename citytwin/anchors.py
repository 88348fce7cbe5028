"""Anchors: the head of the audit trail, put by the hour where its keeper cannot change it: a file and a webhook."""

from __future__ import annotations

import logging
import os
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from citytwin.audit import Audit

_log = logging.getLogger(__name__)
_TIMEOUT_S = 10.0
_AGAIN_S = 60.0
#: Anchors that may wait for the webhook; the oldest go, for a newer one vouches for more.
_WAITING = 168


class Anchor(msgspec.Struct):
    """The head of the trail at a time: `t` ms UTC, number of the row, its hash in hex."""

    t: int
    seq: int
    hash: str


def post(url: str, body: bytes) -> None:
    """Send an anchor as JSON. Raises OSError."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        answer.read(1024)


class Anchors:
    """Puts anchors in a thread of its own; trouble is logged and tried again, nobody waits for it."""

    def __init__(
        self, audit: Audit, file: Path | None, url: str = "", *, every_s: float = 3600.0,
        send: Callable[[str, bytes], None] = post, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:  # fmt: skip
        self.audit, self.file, self.url, self.every_s = audit, file, url, every_s
        self._send, self._now = send, now_ms
        self._unsent: deque[bytes] = deque(maxlen=_WAITING)
        self._stop = threading.Event()
        self._last = -1
        self._thread = threading.Thread(target=self._run, name="citytwin-anchors", daemon=True)

    def start(self) -> None:
        """Begin: the first anchor is put at once."""
        self._thread.start()

    def close(self) -> None:
        """Put a last anchor into the file, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_TIMEOUT_S + 5)
        self.audit.flush(_TIMEOUT_S)  # what is on its way belongs below the last one
        self.put()

    def put(self) -> None:
        """Put an anchor, if there is anything new since the last one."""
        head = self.audit.head()
        if head.seq == self._last:
            return
        line = msgspec.json.encode(Anchor(self._now(), head.seq, head.hash.hex()))
        try:
            self._write(line)
            self._last = head.seq
        except OSError as error:
            _log.error("the head of the audit trail cannot be put into %s: %s", self.file, error)
        if self.url:
            self._unsent.append(line)

    def _write(self, line: bytes) -> None:
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as out:
            out.write(line + b"\n")
            out.flush()
            os.fsync(out.fileno())

    def send(self) -> None:
        """Send what waits for the webhook, oldest first, until one fails."""
        while self._unsent:
            try:
                self._send(self.url, self._unsent[0])
            except (OSError, urllib.error.URLError, ValueError) as error:
                _log.warning("the webhook for anchors did not take one (%s); it is tried again", error)
                return
            self._unsent.popleft()

    def _run(self) -> None:
        due = 0.0
        while True:
            if time.monotonic() >= due:
                self.put()
                due = time.monotonic() + self.every_s
            self.send()
            if self._stop.wait(min(self.every_s, _AGAIN_S if self._unsent else due - time.monotonic())):
                return
