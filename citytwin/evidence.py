"""Pictures of the scene: files by the hash of their bytes, so that what an event names can be checked for ever.

Bounds: a picture has at most MAX_BYTES, all of them together what the settings say; then new ones are refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from pathlib import Path

from citytwin.dashboards.ports import Refused

MAX_BYTES = 8 << 20
#: All pictures of a city together.
TOTAL_BYTES = 10 << 30
_NAME = re.compile(r"^[0-9a-f]{32}$")
#: How each kind of picture begins, and how WebP goes on after its length.
_BEGIN = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n", "image/webp": b"RIFF"}
KINDS = tuple(_BEGIN)


def kind_of(body: bytes) -> str | None:
    """The kind of picture that bytes are, None for anything else.

    >>> kind_of(b"GIF89a")
    """
    for kind, begin in _BEGIN.items():
        if body.startswith(begin) and (kind != "image/webp" or body[8:12] == b"WEBP"):
            return kind
    return None


class Evidence:
    """Pictures in a folder."""

    def __init__(self, folder: Path, total: int = TOTAL_BYTES) -> None:
        self.folder, self.total = folder, total
        self._lock = threading.Lock()
        self._held: int | None = None

    def put(self, body: bytes, kind: str) -> str:
        """Keep a picture; its name. Durable on return. Raises Refused for what is none, or for want of room."""
        if kind not in KINDS or kind_of(body) != kind:
            raise Refused(415, "not_a_picture", "No picture", f"send a picture as one of {', '.join(KINDS)}")
        name = hashlib.blake2b(body, digest_size=16).hexdigest()
        with self._lock:
            self._keep(name, body)
        return name

    def _keep(self, name: str, body: bytes) -> None:
        target = self.folder / name
        if target.exists():
            return
        if self._held is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._held = sum(file.stat().st_size for file in self.folder.iterdir())
        if self._held + len(body) > self.total:
            detail = f"pictures take {self.total >> 20} MB, which is the most; move old ones away"
            raise Refused(507, "no_room", "No room for pictures", detail)
        aside = target.with_suffix(".part")
        try:
            with aside.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            aside.rename(target)
            self._sync()
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise Refused(507, "no_room", "The picture could not be kept", str(error.strerror or error)) from error
        self._held += len(body)

    def _sync(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def get(self, name: str) -> tuple[bytes, str] | None:
        """A picture and its kind; None for a name that there is not."""
        if not _NAME.match(name) or not (self.folder / name).is_file():
            return None
        body = (self.folder / name).read_bytes()
        return body, kind_of(body) or "application/octet-stream"
