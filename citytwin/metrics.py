"""Counters of the running process in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from citytwin.streams.history import Standing

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One set of counters per runtime; the registry is its own, so that two in one process do not meet."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        #: Events by what became of them: accepted, duplicate, late, corrected, rejected.
        self.events = Counter("citytwin_events", "Events by what became of them", ["result"], registry=r)
        self.rejected = Counter("citytwin_rejected", "Refused events by reason", ["reason"], registry=r)
        self.refused_calls = Counter("citytwin_refused_submissions", "Submissions not taken", ["cause"], registry=r)
        self.commit = Histogram("citytwin_commit_seconds", "Commit of a group", buckets=_SECONDS, registry=r)
        self.feed = Histogram("citytwin_feed_seconds", "Feed of a group", buckets=_SECONDS, registry=r)
        self.tick = Histogram("citytwin_tick_seconds", "Making of a frame", buckets=_SECONDS, registry=r)
        self.latency = Histogram("citytwin_latency_seconds", "Ingest to frame", buckets=_SECONDS, registry=r)
        self.group = Histogram(
            "citytwin_group_events", "Events of a group", buckets=[10**i for i in range(7)], registry=r
        )
        self.snapshot = Histogram("citytwin_snapshot_seconds", "Writing of a snapshot", buckets=_SECONDS, registry=r)
        self.snapshot_failures = Counter("citytwin_snapshot_failures", "Snapshots not written", registry=r)
        self.missed_ticks = Counter("citytwin_missed_ticks", "Ticks that the log could not take", registry=r)
        self.queue_events = Gauge("citytwin_queue_events", "Events waiting", registry=r)
        self.queue_bytes = Gauge("citytwin_queue_bytes", "Bytes waiting", registry=r)
        self.position = Gauge("citytwin_log_position", "Last position fed", registry=r)
        self.log_bytes = Gauge("citytwin_log_bytes", "Size of the log on disk", registry=r)
        self.log_ok = Gauge("citytwin_log_ok", "1 while the log takes records", registry=r)
        self.snapshot_position = Gauge("citytwin_snapshot_position", "Position of the last snapshot", registry=r)
        self.letters = Gauge("citytwin_deadletters_open", "Open dead letters", registry=r)
        self.lag = Gauge("citytwin_lag_seconds", "How late the last tick was", registry=r)

    def text(self) -> bytes:
        """All of it, as `/metrics` answers."""
        return bytes(generate_latest(self.registry))


class HookMetrics:
    """How webhooks stand, by target and what is counted: waiting, sent, failed, dead, dropped, forgotten."""

    def __init__(self, registry: CollectorRegistry) -> None:
        words = "Deliveries by what became of them"
        self.deliveries = Gauge("citytwin_webhook_deliveries", words, ["target", "what"], registry=registry)

    def told(self, target: str, counts: Mapping[str, int]) -> None:
        """Note how a target stands."""
        for what, count in counts.items():
            self.deliveries.labels(target, what).set(count)


class HistoryMetrics:
    """How the history keeps up, by store: `parquet`, `influx`."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        r = registry or CollectorRegistry()
        self.rows = Gauge("citytwin_history_rows_written", "Rows that the store has", ["store"], registry=r)
        self.refused = Gauge("citytwin_history_rows_refused", "Rows that it will never take", ["store"], registry=r)
        self.lost = Gauge("citytwin_history_rows_dropped", "Rows that went at a bound", ["store"], registry=r)
        self.errors = Gauge("citytwin_history_errors", "Writes that failed", ["store"], registry=r)
        self.spilled = Gauge("citytwin_history_spilled_bytes", "Bytes that wait on disk", ["store"], registry=r)
        self.waiting = Gauge("citytwin_history_rows_waiting", "Rows that wait for the store", ["store"], registry=r)
        self.ok = Gauge("citytwin_history_ok", "1 while the store takes what it is given", ["store"], registry=r)
        self.dropped = Counter("citytwin_history_dropped", "Values that gave way to newer ones", ["where"], registry=r)
        self.queued = Gauge("citytwin_history_queue_values", "Values that wait for the historian", registry=r)
        self.newest = Gauge("citytwin_history_newest_seconds", "Time of the newest row given to stores", registry=r)
        self.lag = Gauge("citytwin_history_lag_seconds", "How far the historian is behind the frames", registry=r)

    def told(self, store: str, standing: Standing) -> None:
        """Note how a store stands."""
        self.rows.labels(store).set(standing.written)
        self.refused.labels(store).set(standing.refused)
        self.lost.labels(store).set(standing.dropped)
        self.errors.labels(store).set(standing.errors)
        self.spilled.labels(store).set(standing.spilled)
        self.waiting.labels(store).set(standing.waiting)
        self.ok.labels(store).set(0 if standing.trouble else 1)
