"""A broker in memory with offsets, marks of transactions and retention, for the tests of backups."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from citytwin.streams.archive import Raw

Range = tuple[int, int]


class MemoryBroker:
    """Topics of partitions; `end` runs over offsets that hold no record, `first` over what was deleted."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self.records: dict[str, list[list[Raw]]] = {t: [[] for _ in range(n)] for t, n in partitions.items()}
        self.first = {(t, p): 0 for t, n in partitions.items() for p in range(n)}
        self.end = dict(self.first)
        self.puts = 0
        self.fail_at = -1

    def say(self, topic: str, partition: int, value: bytes, *, marks: int = 0) -> None:
        """Append a record; after it come `marks` offsets without one."""
        at = self.end[topic, partition]
        self.records[topic][partition].append(Raw(at, 1_000 + at, b"k", value, (("v", b"1"),)))
        self.end[topic, partition] = at + 1 + marks

    def forget(self, topic: str, partition: int, first: int) -> None:
        """Delete what lies before an offset."""
        self.first[topic, partition] = first
        self.records[topic][partition] = [r for r in self.records[topic][partition] if r.offset >= first]

    async def spans(self) -> dict[str, dict[int, Range]]:
        """Of every topic, by partition: first offset and end."""
        return {
            t: {p: (self.first[t, p], self.end[t, p]) for p in range(len(parts))} for t, parts in self.records.items()
        }

    async def read(self, topic: str, partition: int, start: int, stop: int) -> AsyncIterator[Sequence[Raw]]:
        """Records from `start` to before `stop`, seven at a time."""
        found = [r for r in self.records[topic][partition] if start <= r.offset < stop]
        for at in range(0, len(found), 7):
            yield found[at : at + 7]

    async def put(self, topic: str, partition: int, records: Sequence[Raw]) -> None:
        """Append; the broker gives the offsets."""
        self.puts += 1
        if self.puts == self.fail_at:
            raise OSError(5, "the broker is gone")
        for record in records:
            at = self.end[topic, partition]
            self.records[topic][partition].append(record._replace(offset=at))
            self.end[topic, partition] = at + 1

    async def trim(self, topic: str, partition: int, first: int) -> None:
        """Delete what lies before an offset."""
        self.forget(topic, partition, first)
