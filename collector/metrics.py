"""What the collector says about itself, in Prometheus's text format; each process has its own registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call] # theirs has no annotations

_LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def _counter(registry: CollectorRegistry, name: str, words: str) -> Counter:
    return Counter(f"vonggac_{name}_total", words, registry=registry)


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
        self.held_back = Counter(
            "vonggac_ingest_held_back_total",
            "Requests that were told to come later, by why and how important they are",
            ["reason", "importance"],
            registry=self.registry,
        )
        self.pressure = Gauge(
            "vonggac_ingest_pressure",
            "How near ingest is to having no room (1), in memory, on the disk, in what waits for the workers",
            ["of"],
            registry=self.registry,
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


class DetectMetrics:
    """One detect worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rows = _counter(self.registry, "detect_rows", "Rows of the log that were worked on")
        self.events = _counter(self.registry, "detect_events", "Events that rules were shown")
        self.points = _counter(
            self.registry, "detect_points", "Points of endpoints' metrics that were stored"
        )
        self.findings = _counter(self.registry, "detect_findings", "What rules found")
        self.dead_letters = _counter(
            self.registry, "detect_dead_letters", "Batches, or parts of them, that could not be read"
        )
        self.unexported = _counter(
            self.registry, "detect_unexported_points", "Points that could not be kept for the export"
        )
        self.repeated = _counter(self.registry, "detect_repeated", "Batches that had come before")
        self.restored = _counter(
            self.registry,
            "detect_restored",
            "Rows inserted again because a part of the event store was damaged",
        )
        self.orphaned = _counter(self.registry, "detect_orphaned", "Rows of endpoints that were removed")
        self.rule_errors = _counter(self.registry, "detect_rule_errors", "Events on which the rules failed")
        self.store_retries = _counter(
            self.registry, "detect_store_retries", "Times that a store did not take a step at once"
        )
        self.step_seconds = Histogram(
            "vonggac_detect_step_seconds",
            "Duration of one step, from reading the log to the checkpoint",
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )
        self.lag_seconds = Gauge(
            "vonggac_detect_lag_seconds",
            "Age of the newest row worked on while more wait; 0 when none waits",
            registry=self.registry,
        )
        self.partitions = Gauge(
            "vonggac_detect_partitions", "Partitions that this worker holds", registry=self.registry
        )


class CorrelateMetrics:
    """The process that sees everything: correlations, devices, what the clock makes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.handovers = _counter(self.registry, "correlate_handovers", "Handovers of workers that were read")
        self.events = _counter(self.registry, "correlate_events", "Events that correlations were shown")
        self.findings = _counter(self.registry, "correlate_findings", "What correlations found")
        self.step_seconds = Histogram(
            "vonggac_correlate_step_seconds",
            "Duration of one step",
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )
        self.lag_seconds = Gauge(
            "vonggac_correlate_lag_seconds",
            "Age of the oldest handover that waits; 0 when none waits",
            registry=self.registry,
        )
        self.holds = Gauge(
            "vonggac_correlate_holds_lease",
            "Whether this process does the work (1) or stands by (0)",
            registry=self.registry,
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
        self.damaged_parts = Gauge(
            "vonggac_store_damaged_parts",
            "Parts and archived files set aside because they could not be read, and not made good",
            registry=self.registry,
        )
        self.failures = Counter(
            "vonggac_store_failures_total", "Requests that the store failed", registry=self.registry
        )


class WebMetrics:
    """Console and API."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vonggac_web_requests_total",
            "Requests, by route and status",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "vonggac_web_request_seconds",
            "Duration of one request; event streams, which stay open, are left out",
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )


class ExportMetrics:
    """The process that carries metrics and signs of life outside."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.points = _counter(self.registry, "export_points", "Points that the outside store took")
        self.repeats = _counter(
            self.registry, "export_repeated_points", "Points left out because they had been sent already"
        )
        self.dropped = _counter(
            self.registry, "export_dropped_points", "Points lost because the spool was full or damaged"
        )
        self.refused = _counter(
            self.registry, "export_refused_points", "Points that the outside store will never take"
        )
        self.failures = Counter(
            "vonggac_export_failures_total",
            "Requests that failed, by reason",
            ["reason"],
            registry=self.registry,
        )
        self.write_seconds = Histogram(
            "vonggac_export_write_seconds",
            "Duration of one request to the outside store",
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )
        self.spool_bytes = Gauge(
            "vonggac_export_spool_bytes",
            "Bytes that wait on disk for the outside store",
            registry=self.registry,
        )
        self.lag_seconds = Gauge(
            "vonggac_export_lag_seconds",
            "Since when points wait for the outside store; 0 when none waits",
            registry=self.registry,
        )
        self.pings = Counter(
            "vonggac_pings_total",
            "Signs of life that were due, by what came of them",
            ["result"],
            registry=self.registry,
        )
