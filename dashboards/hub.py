"""The hub: who subscribed to what, and what each client is owed. No socket, no clock, no thread: time is an argument.

A client has no queue. Per subscription it has the sequence it was told last; the newest state lies once in the mirrors,
and what changed since is encoded once per selection. So the memory of a slow client does not grow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from citytwin.dashboards import encode, snapshots
from citytwin.dashboards import protocol as p
from citytwin.dashboards.ports import Board
from citytwin.dashboards.presence import Looking
from citytwin.dashboards.select import BadFilter, Selection
from citytwin.dashboards.state import State
from citytwin.models.desk.rights import FULL, Rights
from citytwin.models.frame import Frame

#: How much further another server of the same city may have been with a client that comes from there: it waits here.
AHEAD = 1_000


#: Between the epoch of a server and what tells apart who may read what: with other rights one begins anew.
RIGHTS_MARK = "~"


def epoch_of(epoch: str, rights: Rights) -> str:
    """The epoch as somebody with these rights is told it."""
    digest = rights.digest()
    return f"{epoch}{RIGHTS_MARK}{digest}" if digest else epoch


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for each client; bytes, milliseconds and counts."""

    subs: int = 64
    outbox: int = 256
    twin_rows: int = 200_000
    snapshot_bytes: int = 64 << 20
    log_bytes: int = 4 << 20
    log_ms: int = 5_000


@dataclass(slots=True, eq=False)
class Subscription:
    """What one client wants, and how far it was told: `seq`; `parts` of a snapshot that are still to be sent."""

    id: int
    sel: Selection
    period: float
    next_at: float
    seq: int = 0
    polled: int = -1
    polled_at: float = 0.0
    scanned: int = 0
    known: int = 0
    parts: deque[tuple[str, str]] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Client:
    """One connection, of `who` (user, name): its subscriptions; answers and the newest heartbeat that are to go."""

    key: int
    rights: Rights = FULL
    who: tuple[str, str] = ("", "")
    subs: dict[int, Subscription] = field(default_factory=dict)
    outbox: deque[str] = field(default_factory=deque)
    beat: str = ""


class Hub(State):
    """Frames in, one text per client out."""

    def __init__(
        self, board: Board, epoch: str, server: str = "citytwin", limits: Limits | None = None, city: Any = None,
        told: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(board, epoch, told)
        self.server, self.limits, self.city = server, limits or Limits(), dict(city or {})
        self.clients: dict[int, Client] = {}
        #: By channel, filter and what the rights let one read: equal ones share what is encoded.
        self.selections: dict[tuple[str, bytes, str], Selection] = {}
        self.looking = Looking(self._sees)

    # -- what clients say ----------------------------------------------------------------------------------------

    def join(self, key: int, rights: Rights = FULL, who: tuple[str, str] = ("", "")) -> None:
        """A connection was made, by somebody (user, name) with these rights."""
        self.clients[key] = Client(key, rights, who)
        self.counts["joined"] += 1

    def reright(self, key: int, rights: Rights, at: float) -> None:
        """The rights of a client are others now: what it follows is told anew by them, or ends."""
        client = self.clients[key]
        before, client.rights = client.rights, rights
        self.looking.changed(key)
        if before.digest() == rights.digest():
            return
        for sub in list(client.subs.values()):
            old, sub.parts = sub.sel, deque()
            try:
                sub.sel = self._select(client, old.channel, old.filter)
                self._start(sub, "rights")
                sub.next_at = at
            except BadFilter as bad:
                del client.subs[sub.id]
                self.error(key, bad.reason, bad.detail, sub.id)
            self._release(old)

    def leave(self, key: int) -> None:
        """A connection ended; its subscriptions end with it."""
        client = self.clients.pop(key, None)
        self.looking.leave(key)
        for sub in client.subs.values() if client else ():
            self._release(sub.sel)

    def unseeded(self, message: p.ClientMessage) -> str | None:
        """Kind of the twin table that must be seeded from the board before this message can be handled."""
        if not isinstance(message, p.Sub) or not message.channel.startswith("twin/"):
            return None
        kind = message.channel[5:]
        return kind if kind in self.twins and not self.twins[kind].seeded else None

    def handle(self, key: int, message: p.ClientMessage, at: float) -> p.Close | None:
        """Act on a client's message; answers wait in its outbox. A code means: close the connection with it."""
        client = self.clients[key]
        if len(client.outbox) >= self.limits.outbox:
            return p.Close.TOO_MANY
        if isinstance(message, p.Sub) and message.id in client.subs:
            return p.Close.DUPLICATE_ID
        try:
            self._act(client, message, at)
        except BadFilter as bad:
            self.error(key, bad.reason, bad.detail, message.id)
        return None

    def error(self, key: int, reason: str, detail: str, id: int | None = None) -> None:
        """Tell a client about a request that could not be met."""
        self.counts["errors"] += 1
        self._say(self.clients[key], p.Error(int(p.Close.BAD_MESSAGE), reason, detail, id))

    def _act(self, client: Client, message: p.ClientMessage, at: float) -> None:
        if isinstance(message, p.Hello):
            self._say(client, self._welcome(client, message.id))
        elif isinstance(message, p.Sub):
            self._subscribe(client, message, at)
        elif isinstance(message, p.Look):
            self.looking.look(client.key, client.who, message.case, message.typing)
        elif message.id not in client.subs:
            raise BadFilter("unknown_id", f"there is no subscription {message.id}")
        elif isinstance(message, p.Resub):
            self._resubscribe(client, client.subs[message.id], message, at)
        else:
            self._release(client.subs.pop(message.id).sel)
            self._say(client, p.Done(message.id))

    def _say(self, client: Client, message: p.Told) -> None:
        client.outbox.append(encode.text_of(message))

    def _welcome(self, client: Client, id: int) -> p.Welcome:
        limits = {"subs": self.limits.subs, "message": p.MAX_MESSAGE}
        where = (epoch_of(self.epoch, client.rights), self.now, self.position, self.definitions)
        channels = [c for c in self.channels() if client.rights.view(c).scopes]
        return p.Welcome(id, self.server, *where, self.city, channels, limits)

    def _select(self, client: Client, channel: str, filter: p.Filter) -> Selection:
        if channel not in self.channels():
            raise BadFilter("unknown_channel", f"there is no channel {channel}")
        unknown = sorted(set(filter.ids or ()) - set(self.tables)) if channel == "ind" else []
        if unknown:
            raise BadFilter("unknown_indicator", f"there is no indicator {', '.join(unknown[:5])}")
        rights = client.rights
        name = (channel, msgspec.json.encode(filter), rights.digest())
        sel = self.selections.get(name)
        if sel is None:
            epoch = epoch_of(self.epoch, rights)
            sel = self.selections[name] = Selection(channel, filter, self.tree, rights.view(channel), epoch, name)
        sel.users += 1
        return sel

    def _release(self, sel: Selection) -> None:
        sel.users -= 1
        if not sel.users:
            self.selections.pop(sel.name, None)

    def _subscribe(self, client: Client, message: p.Sub, at: float) -> None:
        if len(client.subs) >= self.limits.subs:
            raise BadFilter("too_many", f"a connection may have {self.limits.subs} subscriptions")
        sub = Subscription(message.id, self._select(client, message.channel, message.filter), 1000 / message.max_hz, at)
        try:
            reason = self._resume(sub, message.resume) if message.resume else None
            if message.resume is None or reason:
                self._start(sub, reason)
            self._bounded(client, sub)
        except BadFilter:
            self._release(sub.sel)
            raise
        client.subs[sub.id] = sub

    def _resume(self, sub: Subscription, resume: p.Resume) -> str | None:
        """Go on where the client was; or say why it needs a snapshot."""
        ring = self.rings.get(sub.sel.base)
        if resume.epoch != sub.sel.epoch:
            return "rights" if resume.epoch.partition(RIGHTS_MARK)[0] == self.epoch else "epoch"
        head = self.head(sub.sel.channel) + (AHEAD if self.numbered else 0)
        if not 0 <= resume.seq <= head or (ring and resume.seq < ring.first - 1):
            return "expired"
        sub.seq = sub.scanned = resume.seq
        sub.known = self.known(resume.seq)
        live = p.Live(0, sub.sel.channel, sub.sel.epoch, sub.seq, resumed=True)
        sub.parts.append(("live", encode.tail(live)))
        self.counts["resumed"] += 1
        return None

    def _start(self, sub: Subscription, reason: str | None, old: Selection | None = None) -> None:
        """Owe the client a snapshot: of everything, or of the difference to the selection it had."""
        sel, head, most = sub.sel, self.head(sub.sel.channel), self.limits.twin_rows
        if old is None:
            texts = sel.remember(
                (head, self.position),
                ("snap", reason),
                lambda: snapshots.texts(self, sel, snapshots.whole(self, sel, most), reason, "full", {}),
            )
        else:
            key = ("diff", old.filter, sub.seq, sub.known)
            texts = sel.remember((head, self.position), repr(key), lambda: self._difference(sub, old, reason))
        sub.parts = deque(("snap", text) for text in texts)
        sub.parts.append(("live", encode.tail(p.Live(0, sel.channel, sel.epoch, head))))
        sub.seq = sub.scanned = sub.polled = head
        sub.known = len(self.tree)
        self.counts["snapshots"] += 1

    def _difference(self, sub: Subscription, old: Selection, reason: str | None) -> list[str]:
        payloads, drop = snapshots.difference(self, sub.sel, old, sub.seq, sub.known)
        return snapshots.texts(self, sub.sel, payloads, reason, "diff", drop)

    def _bounded(self, client: Client, sub: Subscription) -> None:
        if self.held(client.key) + sum(len(t) for _, t in sub.parts) > self.limits.snapshot_bytes:
            raise BadFilter("too_large", "what you ask for is too large; ask for a smaller scope or bbox")

    def _resubscribe(self, client: Client, sub: Subscription, message: p.Resub, at: float) -> None:
        old, new = sub.sel, self._select(client, sub.sel.channel, message.filter)
        full = bool(sub.parts) or new.base in self.rings or old.filter.fields != new.filter.fields
        sub.sel, seq, parts = new, sub.seq, sub.parts
        try:
            self._start(sub, "resub", None if full else old)
            self._bounded(client, sub)
        except BadFilter:
            sub.sel, sub.seq, sub.parts = old, seq, parts
            self._release(new)
            raise
        self._release(old)
        sub.next_at = at
        sub.period = sub.period if message.max_hz is None else 1000 / message.max_hz

    # -- what clients are told -----------------------------------------------------------------------------------

    def publish(self, frame: Frame, at: float) -> None:
        """Fold a frame in; whoever looks at a case of it may be one who may see it no more."""
        super().publish(frame, at)
        for row in frame.cases:
            self.looking.touch(str(row.get("code", "")))

    def _sees(self, key: int, case: str) -> tuple[bool, bool]:
        """Whether a client may see a case that is open, and the names of people there."""
        entry = (self.rings["case"].open or {}).get(case)
        if entry is None:
            return False, False
        view, where = self.clients[key].rights.view("case"), (entry.scope, self.tree, entry.lent)
        return view.sees(*where), view.reveals(*where)

    def beat(self, wall: int) -> None:
        """Give every client a heartbeat; one that was not sent yet is replaced."""
        text = encode.text_of(p.Heartbeat(self.now, wall, max(0, wall - self.now), self.position, self.heads()))
        for client in self.clients.values():
            client.beat = text

    def due(self, key: int, at: float) -> float | None:
        """Milliseconds until there is something to send to a client; None: nothing until something happens."""
        client = self.clients[key]
        if client.outbox or client.beat or any(sub.parts for sub in client.subs.values()):
            return 0.0
        waits = [max(0.0, s.next_at - at) for s in client.subs.values() if self.head(s.sel.channel) > s.polled]
        presence = self.looking.wait(key, at)
        return min(waits if presence is None else [*waits, presence], default=None)

    def take(self, key: int, at: float) -> str | None:
        """The next frame for a client (a JSON array), at most a little over one part in size; None: nothing is due."""
        client = self.clients[key]
        out: list[str] = []
        size = 0
        for text in self._owed(client, at):
            out.append(text)
            size += len(text)
            if size >= p.CHUNK_BYTES:
                break
        if not out:
            return None
        self.counts["sent"] += 1
        self.counts["sent_chars"] += size
        return "[" + ",".join(out) + "]"

    def _owed(self, client: Client, at: float) -> Iterator[str]:
        """Texts in the order in which they are owed; whoever stops taking loses nothing."""
        while client.outbox:
            yield client.outbox.popleft()
        if presence := self.looking.news(client.key, at):
            yield encode.text_of(presence)
        for sub in sorted(client.subs.values(), key=lambda s: s.sel.base not in self.rings):
            if not sub.parts and self.head(sub.sel.channel) > sub.polled and at >= sub.next_at:
                yield from self._log(sub, at) if sub.sel.base in self.rings else self._delta(sub, at)
            while sub.parts:
                kind, tail = sub.parts.popleft()
                yield f'{{"type":"{kind}","id":{sub.id},{tail}'
        if client.beat:
            text, client.beat = client.beat, ""
            yield text

    def _delta(self, sub: Subscription, at: float) -> Iterator[str]:
        sel, prev, known, head = sub.sel, sub.seq, sub.known, self.head(sub.sel.channel)
        late = sub.polled_at and at - sub.polled_at > 2 * sub.period + 1000
        missed = head - max(sub.polled, prev) - 1
        tail = sel.remember((head, self.position), (prev, known), lambda: self._tail(sel, prev, known))
        sub.polled, sub.polled_at, sub.next_at = head, at, at + sub.period
        if tail is None:
            return
        text = ""
        if late and missed > 0:
            self.counts["conflated"] += missed
            text = encode.text_of(p.Conflated(sub.id, missed)) + ","
        if len(tail) > p.CHUNK_BYTES:
            self._start(sub, "large", sel)
            return
        sub.seq, sub.known = head, len(self.tree)
        yield f'{text}{{"type":"delta","id":{sub.id},{tail}'

    def _tail(self, sel: Selection, prev: int, known: int) -> str | None:
        payload = self.payload(sel, prev, known)
        if payload is None:
            return None
        self.counts["encoded"] += 1
        return encode.tail(p.Delta(0, sel.channel, self.head(sel.channel), prev, self.now, self.position, **payload))

    def _log(self, sub: Subscription, at: float) -> Iterator[str]:
        ring = self.rings[sub.sel.base]
        sub.next_at = at + sub.period
        while ring.first - 1 <= sub.scanned < ring.head:
            items, size = [], 0
            for entry in ring.after(sub.scanned):
                sub.scanned = sub.polled = entry.seq
                text = sub.sel.entry(entry)
                if text is not None:
                    items.append(text)
                    size += len(bytes(text))
                if size > p.CHUNK_BYTES // 2:
                    break
            if items:
                prev, sub.seq = sub.seq, sub.scanned
                yield encode.text_of(p.Entries(sub.id, sub.sel.channel, sub.seq, prev, items))

    def slow(self, at: float) -> list[int]:
        """Clients that are too far behind on a log channel: close them with 4508."""
        return [key for key, client in self.clients.items() if any(self._behind(s, at) for s in client.subs.values())]

    def _behind(self, sub: Subscription, at: float) -> bool:
        ring = self.rings.get(sub.sel.base)
        if ring is None:
            return False
        waiting, since = ring.backlog(sub.scanned)
        return waiting > 0 and (
            waiting > self.limits.log_bytes
            or at - since > self.limits.log_ms + sub.period
            or sub.scanned < ring.first - 1
        )

    def held(self, key: int) -> int:
        """Bytes that wait for one client alone: answers, and parts of snapshots (shared ones counted whole)."""
        client = self.clients[key]
        parts = sum(len(text) for sub in client.subs.values() for _, text in sub.parts)
        return parts + sum(map(len, client.outbox)) + len(client.beat)
