"""Backup and restore of a cluster over Kafka: the topics of a prefix as the source and the sink of an archive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from citytwin import topics
from citytwin.config import Config
from citytwin.streams import clusterbackup, kafka
from citytwin.streams.archive import Raw
from citytwin.streams.backup import BadBackup
from citytwin.streams.kafka import Cluster, Place

#: Records that are asked for at a time.
_TAKE = 2_000
#: What a record without a value has as its key: Kafka wants one of the two.
_FILLER = b""
Say = Callable[[str], None]


class Topics:
    """The topics of a prefix, by their names without it."""

    def __init__(self, cluster: Cluster, prefix: str, writer: kafka.Writer | None = None) -> None:
        self.cluster, self.prefix, self._writer = cluster, prefix, writer

    async def spans(self) -> dict[str, dict[int, tuple[int, int]]]:
        """Of every topic that is there, by partition: first offset, and where the committed records end."""
        about = await kafka.describe(self.cluster, f"{self.prefix}.")
        found: dict[str, dict[int, tuple[int, int]]] = {}
        for name, topic in sorted(about.topics.items()):
            places = [Place(name, p) for p in range(topic.partitions)]
            async with kafka.Reader.of(
                self.cluster, name, range(topic.partitions), kafka.LATEST, committed_only=True
            ) as reader:
                first, end = await reader.start_offsets(places), await reader.end_offsets(places)
            found[name.removeprefix(f"{self.prefix}.")] = {p.partition: (first[p], end[p]) for p in places}
        return found

    async def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Raw]]:
        """Committed records from `start` to before `stop`."""
        if start >= stop:
            return
        place = Place(f"{self.prefix}.{topic}", partition)
        async with kafka.Reader(self.cluster, {place: start}, committed_only=True) as reader:
            # The last offsets may hold marks of transactions only; the position passes over them.
            while await reader.position(place) < stop:
                found = (await reader.take(_TAKE)).get(place, [])
                records = [_raw(m) for m in found if m.offset < stop]
                if records:
                    yield records

    async def put(self, topic: str, partition: int, records: Sequence[Raw]) -> None:
        """Append records; each must get the offset that it had. Raises BadBackup, BrokerError."""
        assert self._writer is not None
        name = f"{self.prefix}.{topic}"
        sent = [
            await self._writer.send(
                name, partition, r.value, _FILLER if r.key is r.value is None else r.key, dict(r.headers), r.time
            )
            for r in records
        ]
        for record, offset in zip(records, sent, strict=True):
            got = await offset
            if got != record.offset:
                raise BadBackup(
                    f"{name} partition {partition}: record {record.offset} was given offset {got}, so somebody else "
                    "writes there; stop bridges, workers and clocks, delete the topics, and restore again"
                )

    async def trim(self, topic: str, partition: int, first: int) -> None:
        """Delete what lies before an offset."""
        await kafka.trim(self.cluster, {Place(f"{self.prefix}.{topic}", partition): first})


def _raw(message: kafka.Message) -> Raw:
    headers = tuple((str(k), bytes(v)) for k, v in message.headers)
    return Raw(message.offset, message.timestamp, message.key, message.value, headers)


async def backup(
    cluster: Cluster, prefix: str, target: Path, *, checkpoints: Path | None, accounts: Path | None = None,
    say: Say = lambda _: None,
) -> clusterbackup.Manifest:  # fmt: skip
    """Bring the archive in `target` up to what the cluster holds. Raises BadBackup, BrokerError, StoreError."""
    about = await kafka.describe(cluster)
    if not any(name.startswith(f"{prefix}.") for name in about.topics):
        raise BadBackup(f"the broker has no topics {prefix}.*; look at kafka.prefix and kafka.bootstrap")
    return await clusterbackup.save(
        Topics(cluster, prefix), target, prefix=prefix, cluster=about.cluster_id, checkpoints=checkpoints,
        accounts=accounts, say=say,
    )  # fmt: skip


async def restore_log(
    cluster: Cluster, prefix: str, source: Path, manifest: clusterbackup.Manifest, say: Say = lambda _: None
) -> int:
    """Write an archived log into the empty topics of a prefix; the number of records. Raises BadBackup, BrokerError."""
    async with kafka.Writer(cluster, linger_ms=5) as writer:
        return await clusterbackup.push(source, manifest, Topics(cluster, prefix, writer), say)


def backup_cluster(config: Config, target: Path, say: Say) -> str:
    """Back up the cluster of the settings; a line about it. Raises BadBackup, BrokerError, StoreError."""
    made = asyncio.run(
        backup(
            topics.cluster(config), config.kafka.prefix, target, checkpoints=_folder(config.cluster.checkpoints),
            accounts=Path(config.data.dir) / clusterbackup.ACCOUNTS, say=say,
        )
    )  # fmt: skip
    size = sum(part.size for part in made.files.values()) / 2**20
    count = sum(name.startswith(f"{made.checkpoints}/") for name in made.files) if made.checkpoints else 0
    return f"{target}: {made.prefix}, {len(made.topics)} topics, {count} files of checkpoints, {size:.1f} MB"


def restore_cluster(config: Config, source: Path, only: str | None, say: Say) -> str:
    """Check a backup, then bring back log and checkpoints; a line about it. Raises as `restore_log`."""
    manifest = clusterbackup.check(source)
    say("every file is as it was saved")
    files = records = 0
    folder, wanted = _folder(config.cluster.checkpoints), only != "log" and bool(manifest.checkpoints)
    if wanted and folder is None:
        raise BadBackup("cluster.checkpoints is not set: name the folder of the checkpoints, or use --only log")
    if only != "checkpoints":
        records = asyncio.run(restore_log(topics.cluster(config), config.kafka.prefix, source, manifest, say))
    if wanted and folder is not None:
        files = clusterbackup.bring_back(source, manifest, folder, Path(config.data.dir) / clusterbackup.ACCOUNTS)
    return f"{records} records and {files} files are back, each where it was"


def _folder(name: str) -> Path | None:
    return Path(name) if name else None
