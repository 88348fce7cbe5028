"""Whether an audit trail is whole: every row follows from the one before, sealed files are as sealed, anchors fit."""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from citytwin.anchors import Anchor
from citytwin.audit import FILE, GENESIS, Head, Row, link


@dataclass(slots=True)
class Found:
    """What was looked at, and what is wrong with it."""

    rows: int = 0
    files: int = 0
    anchors: int = 0
    head: Head = field(default_factory=lambda: Head(0, GENESIS))
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Walk:
    found: Found
    anchors: dict[int, set[str]]
    digests: dict[str, str] = field(default_factory=dict)
    seals: dict[str, str] = field(default_factory=dict)

    def row(self, where: str, seq: int | None, body: str, told: bytes) -> None:
        """Take the next row; a break is told, and what follows is held against what it says itself."""
        found, head = self.found, self.found.head
        try:
            row = msgspec.json.decode(body, type=Row)
        except msgspec.DecodeError:
            found.problems.append(f"{where}: row {head.seq + 1} cannot be read")
            row = Row(head.seq + 1, 0, "", "", "")
        if row.seq != head.seq + 1 or seq not in (None, row.seq):
            found.problems.append(f"{where}: row {head.seq + 1} is expected, {seq or row.seq} is there")
        if link(head.hash, body) != told:
            found.problems.append(f"{where}: row {row.seq} was changed, or one before it went")
        known = self.anchors.pop(row.seq, set())
        if known - {told.hex()}:
            found.problems.append(f"{where}: row {row.seq} is not the one that was anchored: the chain was rewritten")
        if row.action == "audit.sealed":
            self.seals[row.subject] = str(row.detail.get("digest", ""))
        found.head, found.rows = Head(row.seq, told), found.rows + 1


def verify(folder: Path, anchors: Path | None = None) -> Found:
    """Look at every row of the trail of a folder, and hold it against a file of anchors where one is given."""
    found = Found()
    walk = _Walk(found, _anchors(anchors, found) if anchors is not None else {})
    try:
        _all(folder, walk)
    except sqlite3.Error as error:
        found.problems.append(f"{folder / FILE} cannot be read: {error}")
    for seq in sorted(walk.anchors):
        found.problems.append(f"row {seq} was anchored and is not there: the tail of the trail was cut")
    return found


def _anchors(path: Path, found: Found) -> dict[int, set[str]]:
    told: dict[int, set[str]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            anchor = msgspec.json.decode(line, type=Anchor)
        except msgspec.DecodeError:
            found.problems.append(f"{path}: line {number} is no anchor")
            continue
        found.anchors += 1
        if anchor.seq:
            told.setdefault(anchor.seq, set()).add(anchor.hash)
    return told


def _all(folder: Path, walk: _Walk) -> None:
    found, path = walk.found, folder / FILE
    if not path.is_file():
        found.problems.append(f"{path} is not there")
        return
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        found_marks = db.execute("SELECT name, seq, hash FROM marks")
        marks = {name: Head(_whole(seq), _blob(hash)) for name, seq, hash in found_marks}
        base = marks.get("base", Head(0, GENESIS))
        for file in sorted(folder.glob("audit-*.ndjson.gz")):
            # one that begins after the base was left by a crash; its rows are still in the database
            first = file.name.removeprefix("audit-").removesuffix(".ndjson.gz")
            if first.isdigit() and int(first) <= base.seq:
                found.files += 1
                _sealed(file, walk)
        if found.head != base:
            found.problems.append(f"rows up to {base.seq} were sealed, and the sealed files end with {found.head.seq}")
            found.head = base
        for seq, body, hash in db.execute("SELECT seq, body, hash FROM rows ORDER BY seq"):
            walk.row(FILE, _whole(seq), str(body), _blob(hash))
    finally:
        db.close()
    if found.head != marks.get("head", Head(0, GENESIS)):
        found.problems.append(f"{FILE}: the trail does not end where it says: the tail was cut or changed")
    for name in sorted(set(walk.digests) | set(walk.seals)):
        if walk.digests.get(name) != walk.seals.get(name):
            found.problems.append(f"{name} is not the file that was sealed")


def _whole(value: object) -> int:
    """A number of the database; -1 for what a changed byte made into something else."""
    return value if isinstance(value, int) else -1


def _blob(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _sealed(file: Path, walk: _Walk) -> None:
    packed = file.read_bytes()
    walk.digests[file.name] = hashlib.blake2b(packed, digest_size=32).hexdigest()
    try:
        for hash, body in _lines(packed):
            walk.row(file.name, None, body, hash)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        walk.found.problems.append(f"{file.name} cannot be read: {error}")


def _lines(packed: bytes) -> Iterator[tuple[bytes, str]]:
    # not splitlines: texts may hold other ends of lines
    for line in gzip.decompress(packed).decode().removesuffix("\n").split("\n"):
        hash, _, body = line.partition(" ")
        yield bytes.fromhex(hash), body


def newest(folder: Path, limit: int, who: str = "", action: str = "") -> list[str]:
    """JSON texts of the newest rows that are not sealed, oldest first; "" stands for any."""
    db = sqlite3.connect(f"{(folder / FILE).absolute().as_uri()}?mode=ro", uri=True)
    try:
        found = db.execute(
            "SELECT body FROM rows WHERE ?1 IN ('', json_extract(body, '$.who')) "
            "AND ?2 IN ('', json_extract(body, '$.action')) ORDER BY seq DESC LIMIT ?3",
            (who, action, limit),
        ).fetchall()
    finally:
        db.close()
    return [str(body) for (body,) in reversed(found)]
