"""Backups of a cluster: the broker's log as segments and the folder of checkpoints, with every file's hash.

One folder is one archive that grows: a later call adds what is new, so the log outlives what the broker deletes. The
manifest is renamed into place last; a call that was cut off leaves the older backup whole, and the next one goes on.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from citytwin.streams.archive import SEGMENT, Archive, Raw
from citytwin.streams.backup import MANIFEST, BadBackup, Part, aside, copy_tree, part_of
from citytwin.streams.store import StoreError, unavailable

FORMAT = 2
LOG, ACCOUNTS = "log", "accounts"
_CHECKPOINTS = re.compile(r"checkpoints-(\d{6})")
#: Fillers that are sent together.
_FILL = 10_000
Range = tuple[int, int]


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """What a backup of a cluster holds: by topic and partition the first offset and the one after the last.

    `seal` is the hash of the rest.
    """

    format: int
    prefix: str
    cluster: str
    topics: dict[str, dict[int, Range]]
    checkpoints: str
    files: dict[str, Part]
    seal: str = ""

    def sealed(self) -> str:
        """The hash of all but the seal itself."""
        bare = msgspec.json.encode(msgspec.structs.replace(self, seal=""))
        return hashlib.blake2b(bare, digest_size=16).hexdigest()


class Source(Protocol):
    """A broker to read from; topics by their name without the prefix."""

    async def spans(self) -> Mapping[str, Mapping[int, Range]]:
        """Of every topic that is there, by partition: first offset and end."""

    def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Raw]]:
        """Committed records from `start` to before `stop`, in order, some at a time."""


class Sink(Source, Protocol):
    """A broker to write to."""

    async def put(self, topic: str, partition: int, records: Sequence[Raw]) -> None:
        """Append records in order; durable on return."""

    async def trim(self, topic: str, partition: int, first: int) -> None:
        """Delete what lies before an offset."""


def manifest_of(folder: Path) -> Manifest | None:
    """The manifest of a cluster's backup; None where there is none, or that of a data folder. Raises BadBackup."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        raw = path.read_bytes()
        number = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get("format")
        if number is not None and bytes(number) == b"1":
            return None
        found = msgspec.json.decode(raw, type=Manifest)
    except OSError as error:
        raise BadBackup(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise BadBackup(f"{path} is damaged: {error}; use another backup") from error
    if found.format != FORMAT:
        raise BadBackup(f"{folder} was made by another version (format {found.format}); restore it with that one")
    if found.seal != found.sealed():
        raise BadBackup(f"{path} is damaged: its hash is wrong; use another backup")
    return found


async def save(
    source: Source, target: Path, *, prefix: str, cluster: str, checkpoints: Path | None, accounts: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Manifest:  # fmt: skip
    """Bring the backup in `target` up to what the cluster holds now; the first call makes it.

    Checkpoints are copied before the log is read, so that none is ahead of its log. `cluster`: the broker's own id.
    Raises BadBackup, BadArchive, StoreError.
    """
    before = _begin(target, prefix, cluster)
    name = f"checkpoints-{_generation(target) + 1:06d}"
    if checkpoints is not None:
        if not checkpoints.is_dir():
            raise BadBackup(f"there is no folder {checkpoints}; set cluster.checkpoints to the one of the workers")
        copy_tree(checkpoints, target / name)
    if accounts is not None and accounts.is_dir():
        copy_tree(accounts, target / ACCOUNTS)
    archive = Archive(target / LOG)
    topics = await pull(source, archive, say)
    manifest = Manifest(
        FORMAT, prefix, cluster, topics, name if checkpoints is not None else "", _files(target, name, before)
    )
    _publish(target, manifest)
    _drop_older(target, name)
    return manifest


def _begin(target: Path, prefix: str, cluster: str) -> Manifest | None:
    before = manifest_of(target)
    if before is None:
        begun = target / LOG
        if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not begun.is_dir())):
            raise BadBackup(f"{target} is not empty and no backup of a cluster; name a new folder")
    elif (before.prefix, before.cluster) != (prefix, cluster):
        raise BadBackup(
            f"{target} is a backup of {before.prefix} on broker cluster {before.cluster}, this is {prefix} on "
            f"{cluster}; name a new folder"
        )
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        (target / LOG).mkdir(exist_ok=True)
    except OSError as error:
        raise unavailable(error, target) or BadBackup(f"{target} cannot be made: {error}") from error
    return before


def _generation(target: Path) -> int:
    return max((int(m[1]) for p in target.iterdir() if (m := _CHECKPOINTS.fullmatch(p.name))), default=0)


async def pull(source: Source, archive: Archive, say: Callable[[str], None]) -> dict[str, dict[int, Range]]:
    """Add to the archive what the broker holds beyond it; what it covers now. Raises BadArchive, BadBackup."""
    covered: dict[str, dict[int, Range]] = {}
    for topic, spans in (await source.spans()).items():
        total, covered[topic] = 0, {}
        for partition, (first, end) in sorted(spans.items()):
            total += await _pull_one(source, archive, topic, partition, first, end)
            covered[topic][partition] = _span(archive, topic, partition) or (first, end)
        say(f"{topic}: {total} records of {len(spans)} partitions")
    return covered


async def _pull_one(source: Source, archive: Archive, topic: str, partition: int, first: int, end: int) -> int:
    have = archive.segments(topic, partition)
    at = have[-1].next if have else first
    await _same_log(source, archive, topic, partition, first, end)
    held: list[Raw] = []
    size = total = 0
    async for records in source.read(topic, partition, at, end):
        held += records
        size += sum(r.size for r in records)
        if size >= SEGMENT:
            archive.append(topic, partition, at, held[-1].offset + 1, held)
            at, total = held[-1].offset + 1, total + len(held)
            held, size = [], 0
    if end > at:
        archive.append(topic, partition, at, end, held)
    return total + len(held)


async def _same_log(source: Source, archive: Archive, topic: str, partition: int, first: int, end: int) -> None:
    """Refuse where the broker's log is not the one that the archive has the beginning of."""
    have = archive.segments(topic, partition)
    if not have:
        return
    at, where = have[-1].next, f"{topic} partition {partition}"
    if first > at:
        raise BadBackup(
            f"{where}: records {at} to {first - 1} were deleted before they were archived; begin a new backup in "
            "another folder, keep this one beside it, and archive more often than the topic's retention"
        )
    if end < at:
        raise BadBackup(f"{where} ends at {end}, the backup at {at}: this is another log; name a new folder")
    last = max(s.last for s in have)
    if first <= last:
        async for records in source.read(topic, partition, last, last + 1):
            if [*records] != [archive.record(topic, partition, last)]:
                raise BadBackup(f"{where}: record {last} is not the one of the backup: another log; name a new folder")


def _span(archive: Archive, topic: str, partition: int) -> Range | None:
    found = archive.segments(topic, partition)
    return (found[0].start, found[-1].next) if found else None


def _files(target: Path, checkpoints: str, before: Manifest | None) -> dict[str, Part]:
    """Size and hash of each file; segments never change, so those that the last manifest knows are not read again."""
    known = before.files if before is not None else {}
    found = {}
    for path in sorted(p for p in target.rglob("*") if p.is_file()):
        name = str(path.relative_to(target))
        top = name.split("/", 1)[0]
        if aside(path) or top not in (LOG, ACCOUNTS, checkpoints):
            continue
        old = known.get(name) if top == LOG else None
        found[name] = old if old is not None and old.size == path.stat().st_size else part_of(path)
    return found


def _publish(target: Path, manifest: Manifest) -> None:
    path, part = target / MANIFEST, target / f"{MANIFEST}.part"
    manifest.seal = manifest.sealed()
    try:
        with part.open("wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(manifest)))
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, path)
    except OSError as error:
        raise unavailable(error, path) or StoreError(f"{path} cannot be written: {error}") from error


def _drop_older(target: Path, name: str) -> None:
    for path in target.iterdir():
        if _CHECKPOINTS.fullmatch(path.name) and path.name != name:
            shutil.rmtree(path, ignore_errors=True)


def check(source: Path) -> Manifest:
    """Compare every file of a cluster's backup with its manifest, and that no segment is missing. Raises BadBackup."""
    manifest = manifest_of(source)
    if manifest is None:
        raise BadBackup(f"{source} is no backup of a cluster")
    for name, part in manifest.files.items():
        path = source / name
        if not path.is_file():
            raise BadBackup(f"{path} is missing; use another backup")
        if part_of(path) != part:
            raise BadBackup(f"{path} is not what was saved; use another backup")
    archive = Archive(source / LOG)
    for topic, spans in manifest.topics.items():
        for partition, (first, end) in spans.items():
            start, stop = _span(archive, topic, partition) or (first, first)
            if start != first or stop < end:
                raise BadBackup(f"{source}: {topic} partition {partition} has not all of {first} to {end - 1}")
    return manifest


def bring_back(source: Path, manifest: Manifest, checkpoints: Path, accounts: Path | None = None) -> int:
    """Copy the checkpoints into their folder, which may hold nothing else; how many files. Raises BadBackup."""
    ways = [(manifest.checkpoints, checkpoints), *([(ACCOUNTS, accounts)] if accounts is not None else [])]
    found = [(top, to, n) for top, to in ways if top for n in manifest.files if n.startswith(f"{top}/")]
    wanted = {to / Path(name).relative_to(top): name for top, to, name in found}
    for to in {to for _, to, _ in found}:
        # what an earlier try brought back is no hindrance
        if any(p not in wanted or part_of(p) != manifest.files[wanted[p]] for p in to.rglob("*") if p.is_file()):
            raise BadBackup(f"{to} is not empty; nothing is overwritten: move it away, or name another folder")
    for path, name in wanted.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, path)
        except OSError as error:
            raise unavailable(error, path) or BadBackup(f"{path} cannot be written: {error}") from error
        if part_of(path) != manifest.files[name]:
            raise BadBackup(f"{path} was not copied faithfully; the disk may be damaged")
    return len(found)


async def push(source: Path, manifest: Manifest, sink: Sink, say: Callable[[str], None] = lambda _: None) -> int:
    """Write the archived log into topics that are there and empty, or hold its beginning; the number of records.

    Each record gets the offset that it had, so that checkpoints stay true: an offset without a record, and every one
    before the archive's first, is filled with a record without a value, which readers pass over. Raises BadBackup.
    """
    archive, there, total = Archive(source / LOG), await sink.spans(), 0
    for topic, spans in manifest.topics.items():
        if sorted(there.get(topic, ())) != sorted(spans):
            raise BadBackup(
                f"{manifest.prefix}.{topic} must have {len(spans)} partitions, there are {len(there.get(topic, ()))}; "
                "make the topics with `citytwin topics create` and the same number of shards"
            )
    for topic, spans in manifest.topics.items():
        count = 0
        for partition, span in sorted(spans.items()):
            count += await _push_one(archive, sink, topic, partition, span, there[topic][partition])
        say(f"{topic}: {count} records of {len(spans)} partitions")
        total += count
    return total


async def _push_one(archive: Archive, sink: Sink, topic: str, partition: int, span: Range, there: Range) -> int:
    at = there[1]
    await _same_beginning(archive, sink, topic, partition, span, there)
    held: list[Raw] = []
    count = size = 0
    for record in archive.read(topic, partition, at):
        if record.offset >= span[1]:
            break
        at = await _fill(sink, topic, partition, at, record.offset, held)
        held.append(record)
        count, size, at = count + 1, size + record.size, record.offset + 1
        if size >= SEGMENT:
            await sink.put(topic, partition, held)
            held, size = [], 0
    at = await _fill(sink, topic, partition, at, span[1], held)
    if held:
        await sink.put(topic, partition, held)
    if span[0] > there[0]:
        await sink.trim(topic, partition, span[0])
    return count


async def _fill(sink: Sink, topic: str, partition: int, at: int, until: int, held: list[Raw]) -> int:
    """Records without a value from `at` to before `until`; many are sent at once with what is held."""
    while at < until:
        most = min(until, at + _FILL)
        held += [Raw(o, 0, None, None) for o in range(at, most)]
        at = most
        if len(held) >= _FILL:
            await sink.put(topic, partition, held)
            held.clear()
    return at


async def _same_beginning(archive: Archive, sink: Sink, topic: str, partition: int, span: Range, there: Range) -> None:
    """Refuse topics that hold something else; a restore that was cut off is gone on with."""
    first, end = there
    if end == 0:
        return
    where, hint = f"{topic} partition {partition}", "restore into new topics (another kafka.prefix, or delete these)"
    if end > span[1]:
        raise BadBackup(f"{where} holds {end} records, the backup ends at {span[1]}; {hint}")
    seen = end <= span[0] or first > end - 1
    async for records in sink.read(topic, partition, end - 1, end):
        for found in records:
            kept = archive.record(topic, partition, end - 1)
            if found.value != (None if kept is None else kept.value):
                raise BadBackup(f"{where}: record {end - 1} is not the one of the backup; {hint}")
            seen = True
    if not seen:
        raise BadBackup(f"{where}: record {end - 1} is not the one of the backup; {hint}")
