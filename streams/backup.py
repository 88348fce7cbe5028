"""Copies of a data folder, taken while it is in use, and the way back, with every file's hash compared."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from pathlib import Path

import msgspec

from citytwin.streams.log import SqliteLog
from citytwin.streams.snapshots import Snapshots
from citytwin.streams.store import StoreError, connect, unavailable

MANIFEST = "backup.json"
#: Small files that belong to the state; what is not there is not copied.
_PLAIN = ("privacy.key", "demo.json")
_STORES = ("accounts.db", "audit/audit.db", "deadletters.db", "webhooks.db", "log.db")
#: Sealed files of the audit trail, which are copied after its store: more of them than it knows do no harm.
_SEALED = "audit/audit-*.ndjson.gz"
#: Folders of files that never change: values over time, and accounts where there are some.
_TREES = ("history", "accounts")
#: Passes over a folder in which files come and go.
_PASSES = 20


class BadBackup(StoreError):
    """A backup is incomplete or damaged, or would overwrite something."""


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """One file of a backup: bytes and blake2b-32 in hex."""

    size: int
    blake2b: str


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What a backup holds: `position` is the log's last, `snapshot` the newest that lies below it (0: none)."""

    format: int
    position: int
    snapshot: int
    files: dict[str, Part]


def backup(source: Path, target: Path) -> Manifest:
    """Copy the data folder `source`, in use or not, to the new folder `target`; whole or not at all.

    Raises BadBackup, StoreUnavailable.
    """
    if not (source / "log.db").is_file():
        raise BadBackup(f"{source} holds no log; name the data folder with --data")
    if target.exists():
        _vacant(target)
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        _vacant(part)
        manifest = _fill(source, part)
        part.rename(target)
    except OSError as error:
        raise unavailable(error, target) or BadBackup(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _fill(source: Path, target: Path) -> Manifest:
    """History and snapshots first, then dead letters, the log last: so nothing in the copy is ahead of its log."""
    try:
        for name in _TREES:
            if (source / name).is_dir():
                copy_tree(source / name, target / name)
        newest = _copy_snapshots(source, target)
        for name in _PLAIN:
            if (source / name).is_file():
                shutil.copyfile(source / name, target / name)
                (target / name).chmod(0o600)
        for name in _STORES:
            if (source / name).is_file():
                (target / name).parent.mkdir(exist_ok=True)
                _copy_store(source / name, target / name)
                shutil.copymode(source / name, target / name)
        for path in source.glob(_SEALED):
            shutil.copyfile(path, target / path.relative_to(source))
    except (OSError, sqlite3.Error) as error:
        raise unavailable(error, target) or BadBackup(f"{source} cannot be copied to {target}: {error}") from error
    with SqliteLog(target / "log.db", read_only=True) as log:
        position = log.end
    files = {str(p.relative_to(target)): part_of(p) for p in sorted(target.rglob("*")) if p.is_file()}
    manifest = Manifest(1, position, newest, files)
    (target / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    return manifest


def _vacant(target: Path) -> None:
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise BadBackup(f"{target} is not empty; nothing is overwritten, name a new folder")
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unavailable(error, target) or BadBackup(f"{target} cannot be made: {error}") from error


def _copy_snapshots(source: Path, target: Path) -> int:
    """Copy the newest snapshot that can be read; an older one takes over where it vanishes meanwhile."""
    folder, copies = Snapshots(source / "snapshots"), Snapshots(target / "snapshots")
    for position in folder.positions():
        copies.folder.mkdir(exist_ok=True)
        try:
            shutil.copyfile(folder.path(position), copies.path(position))
        except FileNotFoundError:
            continue
        if copies.newest() is not None:
            return position
        copies.path(position).unlink()
    return 0


def _copy_store(source: Path, target: Path) -> None:
    db, copy = connect(source, read_only=True), sqlite3.connect(target)
    try:
        db.backup(copy)
        target.chmod(0o600)
    finally:
        copy.close()
        db.close()


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder whose files are written aside and renamed; where some vanish meanwhile, look again.

    Raises BadBackup, StoreUnavailable.
    """
    try:
        for _ in range(_PASSES):
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            if _copied(source, target):
                return
    except OSError as error:
        raise unavailable(error, target) or BadBackup(f"{source} cannot be copied to {target}: {error}") from error
    raise BadBackup(f"the files in {source} changed in each of {_PASSES} passes; try again when less is going on")


def _copied(source: Path, target: Path) -> bool:
    for path in sorted(p for p in source.rglob("*") if p.is_file() and not aside(p)):
        to = target / path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(path, to)
        except FileNotFoundError:
            return False
    return True


def aside(path: Path) -> bool:
    """Whether a file is only on its way to its name, or a lock."""
    return path.suffix in (".part", ".tmp", ".lock") or path.name.startswith(".")


def part_of(path: Path) -> Part:
    """Size and hash of a file."""
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return Part(path.stat().st_size, digest.hexdigest())


def verify(source: Path) -> Manifest:
    """Compare every file of a backup with the manifest and check every record of its log. Raises BadBackup."""
    try:
        manifest = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Manifest)
    except OSError as error:
        raise BadBackup(f"{source} is no backup: {MANIFEST} cannot be read ({error.strerror})") from error
    except msgspec.MsgspecError as error:
        raise BadBackup(f"{source / MANIFEST} is damaged: {error}") from error
    if manifest.format != 1:
        raise BadBackup(f"{source} was made by another version (format {manifest.format}); restore it with that one")
    for name, part in manifest.files.items():
        path = source / name
        if not path.is_file():
            raise BadBackup(f"{path} is missing; use another backup")
        if part_of(path) != part:
            raise BadBackup(f"{path} is not what was saved; use another backup")
    return manifest


def restore(source: Path, target: Path) -> Manifest:
    """Bring a backup back into the empty folder `target`; every copied byte and record is checked.

    Raises BadBackup, CorruptLog, StoreUnavailable.
    """
    manifest = verify(source)
    _vacant(target)
    try:
        for name, part in manifest.files.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, path)
            if part_of(path) != part:
                raise BadBackup(f"{path} was not copied faithfully; the disk may be damaged")
    except OSError as error:
        raise unavailable(error, target) or BadBackup(f"{source} cannot be copied to {target}: {error}") from error
    with SqliteLog(target / "log.db") as log:
        log.verify()
        if log.end != manifest.position:
            raise BadBackup(f"{target} ends at position {log.end}, the backup says {manifest.position}")
    return manifest
