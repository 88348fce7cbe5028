"""How the running system is: the read of it, and the same as gauges for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from citytwin.dashboards import problems
from citytwin.dashboards.asking import asked
from citytwin.dashboards.ports import Ops
from citytwin.dashboards.problems import Trouble
from citytwin.models.ops import OpsState, ShardState

#: Sources with a label of their own; the oldest of the others goes as `(others)`.
LABELS_MAX = 100
OTHERS = "(others)"

#: Gauges of a shard: name, text, field, factor.
_SHARD = (
    ("citytwin_shard_lag_records", "Records or events that wait for the shard", "lag_records", 1.0),
    ("citytwin_shard_lag_seconds", "How far the shard is behind", "lag_ms", 0.001),
    ("citytwin_shard_events", "Events that the shard has taken in", "events", 1.0),
    ("citytwin_shard_rate", "Events per second of the last minute", "rate", 1.0),
    ("citytwin_shard_bytes", "Bytes of the newest checkpoint", "bytes", 1.0),
    ("citytwin_shard_checkpoint_age_seconds", "Age of the newest checkpoint", "checkpoint_age_s", 1.0),
)


class Operations:
    """Handlers of the state of operation; without a part that knows it the read answers 404."""

    def __init__(self, ops: Ops | None) -> None:
        self.ops = ops

    def routes(self) -> list[Route]:
        """The read by its address."""
        return [Route("/api/v1/ops", self.read, methods=["GET"])]

    async def read(self, request: Request) -> Response:
        """The state with its verdicts."""
        asked(request)
        if self.ops is None:
            raise Trouble(404, "no_ops", "this server knows nothing of shards and members; ask a gateway or the city")
        return problems.json(await asyncio.to_thread(self.ops.state))

    async def metrics(self) -> bytes:
        """The state as Prometheus text; nothing without a part that knows it."""
        return gauges(await asyncio.to_thread(self.ops.state)) if self.ops is not None else b""


def gauges(state: OpsState) -> bytes:
    """The state as Prometheus text: labels are shards, roles, levels, reasons, and at most LABELS_MAX sources."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(state))
    return bytes(generate_latest(registry))


class _Told:
    """A collector of one state."""

    def __init__(self, state: OpsState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        state = self._state
        yield from (_shard(state.shards, *row) for row in _SHARD)
        owned = {str(s.shard): float(bool(s.owner) and s.state != "missing") for s in state.shards}
        yield _by("citytwin_shard_owned", "1 while a worker has the shard", "shard", owned)
        roles = {str(m.role): 0.0 for m in state.members}
        for member in state.members:
            roles[member.role] += member.active
        yield _by("citytwin_members", "Active processes", "role", roles)
        frames = state.frames
        yield CounterMetricFamily("citytwin_frames_provisional", "Provisional frames", value=frames.provisional)
        yield GaugeMetricFamily("citytwin_frames_final", "Number of the newest final frame", value=frames.final)
        yield GaugeMetricFamily("citytwin_frames_waiting_seconds", "How long a part is missing", value=frames.waiting_s)
        reasons = {reason: float(n) for reason, n in state.deadletters.by_reason.items()}
        yield _by("citytwin_deadletters", "Events that were not taken and wait", "reason", reasons)
        yield _by("citytwin_source_age_seconds", "Age of a source's newest event", "source", _ages(state))
        if state.log.free_bytes is not None:
            yield GaugeMetricFamily("citytwin_log_free_bytes", "Free on the log's disk", value=state.log.free_bytes)
        levels = {level: float(sum(v.level == level for v in state.verdicts)) for level in ("warn", "alarm")}
        levels["ok"] = float(state.level == "ok")
        yield _by("citytwin_verdicts", "What is wrong, counted; ok is 1 while nothing is", "level", levels)


def _by(name: str, text: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _shard(shards: list[ShardState], name: str, text: str, field: str, factor: float) -> Metric:
    known = {str(s.shard): getattr(s, field) for s in shards}
    return _by(name, text, "shard", {k: v * factor for k, v in known.items() if v is not None})


def _ages(state: OpsState) -> dict[str, float]:
    """Ages of the sources, first those that are declared; the oldest of those beyond the bound."""
    known = [(s.source, s.age_s) for s in state.sources if s.age_s is not None]
    out = dict(known[:LABELS_MAX])
    if len(known) > LABELS_MAX:
        out[OTHERS] = max(age for _, age in known[LABELS_MAX:])
    return out
