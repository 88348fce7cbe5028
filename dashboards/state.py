"""The state of the wire: mirrors of everything that was published, with a sequence number a channel."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from citytwin.dashboards import encode
from citytwin.dashboards.mirror import Facts, Indicators, Ring, Twins
from citytwin.dashboards.ports import Board
from citytwin.dashboards.protocol import DESK_CHANNELS
from citytwin.dashboards.select import Selection
from citytwin.indicators.api import Spec
from citytwin.models import frame as frames
from citytwin.models.frame import Values


class State:
    """Folds frames; every part of it is of the newest frame, so that one push stems from one position.

    `told`: given where several servers show one city, so that a client may go on at another one: sequences are then the
    positions of frames, and log channels go on from the numbers that it has by channel.
    """

    def __init__(self, board: Board, epoch: str, told: Mapping[str, int] | None = None) -> None:
        self.epoch, self.numbered = epoch, told is not None
        self.tree = board.scopes
        self.now, self.position = board.now, board.position
        self.counts: Counter[str] = Counter()
        self.definitions = ""
        self.ind_head = self._after(0)
        self.tables: dict[str, Indicators] = {}
        self.twins: dict[str, Twins] = {kind: Twins() for kind in board.kinds()}
        self.facts = Facts()
        self.rings = {name: Ring(self.tree, open={}) for name in ("case", *DESK_CHANNELS)}
        self.rings["ticker"] = Ring(self.tree)
        self.grown: list[tuple[int, int]] = [(0, len(self.tree))]
        self.bands: dict[str, encode.Bands] = {}
        self.redefine(board.specs())
        for name, table in self.tables.items():
            table.put(board.current(name), self.ind_head)
        self.rings["case"].put(board.cases(), board.now)
        self.rings["ticker"].put(board.ticker(), board.now)
        for name in DESK_CHANNELS:
            self.rings[name].put(board.desk(name), board.now)
        for name, head in (told or {}).items():
            self.rings[name].renumber(head)

    def _after(self, head: int) -> int:
        """The sequence that follows a channel's head."""
        return max(head + 1, self.position) if self.numbered else head + 1

    def redefine(self, specs: Sequence[Spec]) -> None:
        """Take over the indicators in force; those that went are shown no more."""
        self.tables = {s.id: self.tables.get(s.id) or Indicators() for s in specs}
        self._specs = list(specs)
        self.bands = {s.id: encode.Bands(s.better, s.bands_at(self.now)) for s in specs}
        self._edges = [t.valid_from for s in specs for t in s.thresholds if t.valid_from > self.now]
        said = sorted((s.id, s.code_hash, s.unit, tuple(sorted(s.bands_at(self.now).items()))) for s in specs)
        self.definitions = hashlib.blake2b(repr(said).encode(), digest_size=8).hexdigest()
        self.facts.put({"definitions": self.definitions}, self._after(self.facts.head))

    def adopt(self, specs: Sequence[Spec], current: Mapping[str, Values]) -> None:
        """Take over other definitions while running, and the values that they give at once."""
        self.redefine(specs)
        self.ind_head = self._after(self.ind_head)
        for name, values in current.items():
            if name in self.tables:
                self.tables[name].put(values, self.ind_head)

    def publish(self, frame: frames.Frame, at: float) -> None:
        """Fold a frame into the mirrors; `at` ms of a monotonic clock."""
        self.now, self.position = frame.now, frame.position
        self.counts["frames"] += 1
        if self._edges and frame.now >= min(self._edges):  # another edition of some thresholds is in force
            self.redefine(self._specs)
        grew = len(self.tree) != self.grown[-1][1]
        if grew:
            self.grown.append((self.ind_head, len(self.tree)))
        if grew or any(len(v.rows) for v in frame.values.values()):
            self.ind_head = self._after(self.ind_head)
            for name, values in frame.values.items():
                self.tables.setdefault(name, Indicators()).put(values, self.ind_head)
        for kind, delta in frame.twin.items():
            table = self.twins.setdefault(kind, Twins())
            if table.head:
                table.put(delta, self._after(table.head))
        self.facts.put(frame.sys, self._after(self.facts.head))
        self.rings["case"].put(frame.cases, int(at))
        self.rings["ticker"].put(frame.ticker, int(at))
        for name in DESK_CHANNELS:
            self.rings[name].put(frame.desk.get(name, ()), int(at))

    def open(self, kind: str) -> None:
        """Begin to fold frames into the table of a kind; call it before the board is read for `seed`."""
        self.twins[kind].head = max(self._after(0), self.twins[kind].head)

    def seed(self, kind: str, rows: frames.Delta) -> None:
        """Fill the table of a kind; rows that frames set since `open` keep what they have."""
        table = self.twins[kind]
        table.put(rows, self._after(table.head), only_new=True)
        table.seeded = True

    def channels(self) -> list[str]:
        """Names of all channels."""
        return ["ind", *self.rings, "sys", *(f"twin/{kind}" for kind in self.twins)]

    def head(self, channel: str) -> int:
        """Newest sequence of a channel."""
        if channel == "ind":
            return self.ind_head
        if channel == "sys":
            return self.facts.head
        ring = self.rings.get(channel)
        return self.twins[channel[5:]].head if ring is None else ring.head

    def heads(self) -> dict[str, int]:
        """Newest sequence of every channel that has one."""
        return {c: self.head(c) for c in self.channels() if self.head(c)}

    def known(self, seq: int) -> int:
        """How many scopes a client that was told `ind` up to `seq` has heard of."""
        return max(n for since, n in self.grown if since <= seq)

    def wanted(self, sel: Selection) -> Mapping[str, Indicators]:
        """The indicators that a selection asks for."""
        ids = sel.filter.ids
        return self.tables if ids is None else {i: self.tables[i] for i in ids if i in self.tables}

    def payload(self, sel: Selection, prev: int, known: int) -> dict[str, Any] | None:
        """What a delta after `prev` holds; None when nothing that is wanted changed."""
        if sel.base == "sys":
            facts = self.facts.after(prev)
            return {"sys": facts} if facts else None
        if sel.base == "twin":
            twin = encode.twin_changes(sel, self.twins[sel.channel[5:]], prev)
            return {"twin": twin} if twin else None
        values = encode.ind_changes(sel, self.wanted(sel), self.bands, prev)
        new = encode.new_scopes(sel, known)
        if new is None:
            return {"values": values} if values else None
        return {"scopes": new, "values": values}
