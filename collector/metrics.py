"""What the collector says about itself, in Prometheus's text format; each process has its own registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call] # theirs has no annotations

_LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class IngestMetrics:
    """The agents' port and the log."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vonggac_ingest_requests_total",
            "Requests, by what came of them",
            ["route", "status", "reason"],
            registry=self.registry,
        )
        self.body_bytes = Counter(
            "vonggac_ingest_body_bytes_total", "Bytes of accepted bodies", registry=self.registry
        )
        self.connections = Gauge(
            "vonggac_ingest_connections", "Open connections on the agents' port", registry=self.registry
        )
        self.commit_seconds = Histogram(
            "vonggac_log_commit_seconds",
            "Duration of one group commit, fsync included",
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )
        self.commit_rows = Histogram(
            "vonggac_log_commit_rows",
            "Rows in one group commit",
            buckets=(1, 2, 5, 10, 25, 50, 100, 250, 512),
            registry=self.registry,
        )
        self.repeats = Gauge(
            "vonggac_log_repeats", "Batches that came again since the start", registry=self.registry
        )
        self.waiting_bytes = Gauge(
            "vonggac_log_waiting_bytes", "Bytes that wait for the disk", registry=self.registry
        )
        self.log_offset = Gauge("vonggac_log_offset", "Highest offset in the log", registry=self.registry)
        self.checkpoint_offset = Gauge(
            "vonggac_checkpoint_offset", "How far each worker has come", ["worker"], registry=self.registry
        )
        self.checkpoint_lag = Gauge(
            "vonggac_checkpoint_lag_rows", "Rows each worker is behind", ["worker"], registry=self.registry
        )
        self.dead_letters = Gauge(
            "vonggac_dead_letters", "Batches that could not be read", registry=self.registry
        )


class StoreMetrics:
    """The event store's owner."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.insert_seconds = Histogram(
            "vonggac_store_insert_seconds",
            "Duration of one durable insert",
            ["table"],
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )
        self.inserted_bytes = Counter(
            "vonggac_store_inserted_bytes_total", "Bytes of Arrow inserted", ["table"], registry=self.registry
        )
        self.query_seconds = Histogram(
            "vonggac_store_query_seconds",
            "Duration of one query",
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )
        self.failures = Counter(
            "vonggac_store_failures_total", "Requests that the store failed", registry=self.registry
        )
