"""The server's settings (``vonggac.toml``) and the layout of its data directory.

Everything that must survive lies under one directory, mode 0700.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from pathlib import Path

from agent.settings_file import load_settings

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0)]
Days = Annotated[int, Meta(ge=1, le=3650)]


class Web(Struct, frozen=True):
    """Console and API. ``names`` are further host names and addresses for the server certificate."""

    host: Annotated[str, Meta(description="The address to listen on; 0.0.0.0 for all.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Console and API, over TLS.")] = 8443
    names: Annotated[
        list[str], Meta(description="Further host names and addresses for the server's certificate.")
    ] = []
    session_idle_seconds: Annotated[
        Seconds, Meta(description="A session ends when nothing was asked for so long.")
    ] = 1800
    session_lifetime_seconds: Annotated[
        Seconds, Meta(description="A session ends after this in any case.")
    ] = 43200
    metrics_from: Annotated[
        list[str], Meta(description="Addresses or networks that may read /metrics, beside this machine.")
    ] = []


class Ingest(Struct, frozen=True):
    """The agents' port.

    ``terminators`` are addresses or networks whose RFC 9440 ``Client-Cert`` header is believed;
    ``metrics_from`` those that may read ``/metrics``, beside this machine itself.
    """

    host: Annotated[str, Meta(description="The address to listen on; 0.0.0.0 for all.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="The agents' port, mutual TLS.")] = 8444
    queue_bytes: Annotated[
        int,
        Meta(
            ge=1 << 20,
            description="How much may wait in memory for the log; beyond it agents are told to come again.",
        ),
    ] = 64 << 20
    reserve_bytes: Annotated[
        int,
        Meta(
            ge=0, description="Disk that stays free for the other stores; below it agents keep their batches."
        ),
    ] = 256 << 20
    terminators: Annotated[
        list[str], Meta(description="Addresses or networks whose RFC 9440 Client-Cert header is believed.")
    ] = []
    certificate_days: Annotated[
        Days, Meta(description="How long an endpoint's certificate lives; it is renewed by itself.")
    ] = 90
    token_hours: Annotated[int, Meta(ge=1, description="How long an enrolment token can be used.")] = 72
    unconfirmed_copies: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="So many copies of one endpoint's key may become endpoints of their own until somebody confirms"
            " them.",
        ),
    ] = 64
    metrics_from: Annotated[
        list[str], Meta(description="Addresses or networks that may read /metrics, beside this machine.")
    ] = []
    request_seconds: Annotated[
        Seconds, Meta(description="A request must be complete within this of its first byte.")
    ] = 30
    connections: Annotated[
        int, Meta(ge=16, description="Connections at once; an idle one costs some 45 KB of memory.")
    ] = 20_000
    returns_per_second: Annotated[
        float,
        Meta(
            gt=0,
            description="Agents let in a second when all return at once; the others are told when their turn is.",
        ),
    ] = 200
    quota_requests: Annotated[
        int, Meta(ge=10, description="Batches and signs of life that one endpoint may send a minute.")
    ] = 600
    quota_bytes: Annotated[
        int, Meta(ge=1 << 20, description="Bytes, compressed, that one endpoint may send a minute.")
    ] = 16 << 20
    lag_limit_seconds: Annotated[
        Seconds,
        Meta(
            description="With the workers so far behind, metrics wait at the agents; events never do for it."
        ),
    ] = 1800


class Detect(Struct, frozen=True):
    """The detect workers. ``silence_marks_seconds`` are the ages of silence at which an event is made."""

    workers: Annotated[
        int,
        Meta(
            ge=0,
            le=32,
            description="How many workers share the work on this machine; 0: one for every two cores, two at least.",
        ),
    ] = 0
    poll_seconds: Annotated[Seconds, Meta(description="How often the worker looks for new batches.")] = 0.2
    clock_seconds: Annotated[
        Seconds, Meta(description="How often it looks for what did not come: silence, a day that passed.")
    ] = 10
    silence_marks_seconds: Annotated[
        tuple[int, ...], Meta(description="The ages of silence at which an event is made.")
    ] = (900, 3600, 86400, 259200, 604800)
    clock_skew_step_seconds: Annotated[
        Seconds, Meta(description="A clock's skew is told anew when it moved by so much.")
    ] = 5
    batch_rows: Annotated[int, Meta(ge=1, description="How many batches it takes at once.")] = 500
    log_keep_hours: Annotated[
        int, Meta(ge=1, description="How long worked-off batches stay in the durable log.")
    ] = 72
    rule_folders: Annotated[
        list[str], Meta(description="Further folders of Sigma rules, beside our own.")
    ] = []
    pipelines: Annotated[
        list[str],
        Meta(
            description="Further pipelines (files or folders): log sources and field names of more devices."
        ),
    ] = []
    snapshot_seconds: Annotated[
        Seconds,
        Meta(description="How often the memory of correlations is saved; what came since is replayed."),
    ] = 30
    statistics_seconds: Annotated[
        Seconds, Meta(description="How often the figures of each rule are written down.")
    ] = 30
    slow_rule_microseconds: Annotated[
        Seconds,
        Meta(description="A rule that takes longer an event, on average over an hour, is called slow."),
    ] = 200
    noisy_rule_findings: Annotated[
        int, Meta(ge=1, description="A rule with more findings in an hour is called noisy.")
    ] = 500


class State(Struct, frozen=True):
    """The state store. Without ``url`` it is a file in the data directory."""

    url: Annotated[
        str,
        Meta(
            description="A PostgreSQL database for several machines (postgresql://user@host/name, everything that libpq"
            " knows, without a password); empty: a SQLite file in the data directory."
        ),
    ] = ""
    password_file: Annotated[
        str,
        Meta(
            description="A file with the database's password, mode 0600; empty: PGPASSWORD or PGPASSFILE, or none."
        ),
    ] = ""


class Log(Struct, frozen=True):
    """The durable log: a file of the data directory, or a stream of NATS JetStream that several machines share."""

    url: Annotated[
        str,
        Meta(
            description="The NATS servers of the durable log, `nats://user:password@host:4222`, several with commas,"
            " `tls://` for TLS; empty: a file on this machine."
        ),
    ] = ""
    replicas: Annotated[
        int,
        Meta(
            ge=1, le=5, description="On how many NATS servers each batch is kept; 3 survives the loss of one."
        ),
    ] = 3
    max_bytes: Annotated[
        int,
        Meta(
            ge=1 << 20,
            description="How large the stream may become on each NATS server; full, agents keep their batches.",
        ),
    ] = 32 << 30
    repeats_seconds: Annotated[
        int,
        Meta(
            ge=1, description="For how long JetStream itself knows a repeated batch; the workers always do."
        ),
    ] = 600
    authority: Annotated[
        str, Meta(description="The file of the authority that the NATS servers' certificates are checked by.")
    ] = ""
    certificate: Annotated[str, Meta(description="The file of our certificate for the NATS servers.")] = ""
    key: Annotated[str, Meta(description="The file of its key.")] = ""


Level = Annotated[int, Meta(ge=1, le=5)]


class Events(Struct, frozen=True):
    """The event store: a folder of the data directory, or ClickHouse on machines of its own."""

    url: Annotated[
        str,
        Meta(
            description="A ClickHouse server (http://user@host:8123/database, or https), without a password; empty: a"
            " store in the data directory."
        ),
    ] = ""
    cluster: Annotated[
        str,
        Meta(description="The name of the server's cluster: tables are then replicated and spread over it."),
    ] = ""
    password_file: Annotated[
        str, Meta(description="A file with the server's password, mode 0600; empty: none.")
    ] = ""
    ca_file: Annotated[
        str, Meta(description="The authority of the server's certificate; empty: the system's authorities.")
    ] = ""
    level: Annotated[
        Level, Meta(description="The security level (cấp độ) of agencies' systems that levels does not name.")
    ] = 3
    levels: Annotated[
        dict[str, Level],
        Meta(description="Agencies whose systems are of another level: { so-van-hoa = 2 }."),
    ] = {}
    level_days: Annotated[
        tuple[Days, Days, Days, Days, Days],
        Meta(
            description="How long events are kept at levels 1 to 5 (TCVN 14423:2026: a month at 2, three at 3)."
        ),
    ] = (31, 31, 92, 184, 366)
    metrics_days: Annotated[Days, Meta(description="How long metrics are kept, by whole months.")] = 92
    archive_after_days: Annotated[
        int,
        Meta(
            ge=0,
            le=3650,
            description="Events older than this go to Parquet files under archive/, for the rest of their time;"
            " 0: they stay. Not with url.",
        ),
    ] = 0
    query_seconds: Annotated[Seconds, Meta(description="A query that takes longer is ended.")] = 10
    query_rows: Annotated[int, Meta(ge=1, description="A query may return so many rows.")] = 10_000
    query_memory_bytes: Annotated[
        int, Meta(ge=64 << 20, description="A query that needs more memory is ended.")
    ] = 1 << 30


class Coverage(Struct, frozen=True):
    """When a machine counts as what. 15 days is the national figure (ADR 8); the local one may be stricter."""

    national_signature_days: Annotated[
        Days, Meta(description="Older signatures make a machine outdated (national reporting: 15 days).")
    ] = 15
    local_signature_days: Annotated[
        Days, Meta(description="Older signatures are warned about; they do not change the state.")
    ] = 3
    silent_after_seconds: Annotated[
        Seconds, Meta(description="A machine not heard from for so long is silent.")
    ] = 259200
    device_forgotten_days: Annotated[
        Days, Meta(description="A device on the LAN that was not seen for so long is forgotten.")
    ] = 30
    device_baseline_hours: Annotated[
        int,
        Meta(
            ge=0,
            le=8_760,
            description="For so long after an agency's first device was seen, a device that is new there is no news.",
        ),
    ] = 24
    unauthorised_after_hours: Annotated[
        int,
        Meta(
            ge=0,
            le=8_760,
            description="A new device without an agent that nobody approved within this is unauthorised.",
        ),
    ] = 24
    link_after_hours: Annotated[
        int,
        Meta(
            ge=0,
            le=8_760,
            description="The old record of a machine that enrolled again is linked with the new one once it was silent"
            " for so long (docs/identity.md); 0: only people link.",
        ),
    ] = 24


class Report(Struct, frozen=True):
    """What an official document's head and foot say; nobody's name is built in."""

    parent_body: Annotated[str, Meta(description="The body above the issuer, in the head of a report.")] = (
        "ỦY BAN NHÂN DÂN TỈNH THANH HÓA"
    )
    issuer: Annotated[str, Meta(description="Who issues the report.")] = "TRUNG TÂM GIÁM SÁT AN NINH MẠNG"
    place: Annotated[str, Meta(description="Where it is issued, before the date.")] = "Thanh Hóa"
    symbol: Annotated[str, Meta(description="What follows the number: «Số: 05/BC-GSANM».")] = "BC-GSANM"
    signatory_title: Annotated[
        str, Meta(description="The signatory's office; a line break splits «TM. …» from it.")
    ] = "GIÁM ĐỐC"
    signatory_name: Annotated[str, Meta(description="The signatory's name; empty leaves room to write.")] = ""
    recipients: Annotated[list[str], Meta(description="The lines under «Nơi nhận», before «Lưu: VT.».")] = []


class Metrics(Struct, frozen=True):
    """Where endpoints' metrics go beside the event store (docs/operations.md)."""

    export_url: Annotated[
        str,
        Meta(
            description="A store with InfluxDB 2's protocol (VictoriaMetrics, InfluxDB), as https://host:port;"
            " empty: metrics are not exported."
        ),
    ] = ""
    export_token_file: Annotated[
        str, Meta(description="A file that holds the store's token and nothing else; empty: none is sent.")
    ] = ""
    export_ca_file: Annotated[
        str, Meta(description="The authority of the store's certificate; empty: the system's authorities.")
    ] = ""
    export_org: Annotated[str, Meta(description="The organisation that the store knows the data by.")] = (
        "vonggac"
    )
    export_bucket: Annotated[str, Meta(description="The bucket that the data goes to.")] = "vonggac"
    export_batch_points: Annotated[
        int, Meta(ge=1, le=100_000, description="How many points one request carries at most.")
    ] = 5000
    export_seconds: Annotated[
        Seconds, Meta(description="How often it is looked for new points once all are sent.")
    ] = 2
    export_spool_bytes: Annotated[
        int,
        Meta(
            ge=1 << 20,
            description="How much waits on disk while the store is away; then the oldest points are dropped.",
        ),
    ] = 2 << 30


class Watch(Struct, frozen=True):
    """The collector's watch over itself, and the sign of life that something outside can watch."""

    seconds: Annotated[Seconds, Meta(description="How often the collector looks at itself.")] = 10
    source_seconds: Annotated[
        Seconds, Meta(description="How often it looks which log sources have spoken.")
    ] = 300
    source_silent_seconds: Annotated[
        Seconds, Meta(description="No log source counts as silent before this, however regular it was.")
    ] = 21600
    ping_url: Annotated[
        str,
        Meta(
            description="Where a sign of life goes while the pipeline works (dead-man signal); empty: none."
        ),
    ] = ""
    ping_seconds: Annotated[Seconds, Meta(description="How often the sign of life is sent.")] = 60
    ping_secret_file: Annotated[
        str,
        Meta(description="A file with the secret that signs of life are signed with (HMAC-SHA-256)."),
    ] = ""
    ping_ca_file: Annotated[
        str, Meta(description="The authority of the receiver's certificate; empty: the system's authorities.")
    ] = ""


class Availability(Struct, frozen=True):
    """Services and agencies' connections, as their probes tell of them (docs/probe.md)."""

    seconds: Annotated[Seconds, Meta(description="How often all of them are judged.")] = 20
    fresh_seconds: Annotated[
        Seconds, Meta(description="A probe that was not heard for so long has no voice any more.")
    ] = 240
    line_busy_ratio: Annotated[
        float,
        Meta(gt=0, le=1, description="Use of a leased line, of what it can carry, from which it is busy."),
    ] = 0.8
    line_busy_seconds: Annotated[
        Seconds,
        Meta(
            description="For how long, without a measurement below. At least twice the probes' metrics_seconds."
        ),
    ] = 900


class Sources(Struct, frozen=True):
    """Devices that log over probes, and backups (docs/probe.md)."""

    seconds: Annotated[
        Seconds, Meta(description="How often is looked at who logged, and which backup is due.")
    ] = 60
    silent_seconds: Annotated[
        Seconds,
        Meta(description="The shortest silence of a device that is told, whatever pauses it is known for."),
    ] = 900
    unknown_seconds: Annotated[
        Seconds, Meta(description="The silence that is told of a device whose pauses are not known yet.")
    ] = 86_400


class Vulnerabilities(Struct, frozen=True):
    """Known vulnerabilities of installed software (docs/vulnerabilities.md)."""

    feed_days: Annotated[
        Days, Meta(description="A feed whose newest record is older than this is marked as old.")
    ] = 14


class Settings(Struct, frozen=True):
    web: Web = Web()
    ingest: Ingest = Ingest()
    detect: Detect = Detect()
    state: State = State()
    log: Log = Log()
    events: Events = Events()
    coverage: Coverage = Coverage()
    report: Report = Report()
    metrics: Metrics = Metrics()
    watch: Watch = Watch()
    availability: Availability = Availability()
    sources: Sources = Sources()
    vulnerabilities: Vulnerabilities = Vulnerabilities()

    @property
    def sends_outside(self) -> bool:
        """Whether the process ``export`` has anything to do."""
        return bool(self.metrics.export_url or self.watch.ping_url)


class DataDirectory:
    """Names every path under the data directory once. Makes nothing but the directory itself."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    @property
    def settings(self) -> Path:
        return self.root / "vonggac.toml"

    @property
    def state(self) -> Path:
        return self.root / "state.db"

    @property
    def log(self) -> Path:
        return self.root / "log.db"

    @property
    def events(self) -> Path:
        return self.root / "events"

    @property
    def archive(self) -> Path:
        """Old days of events as Parquet files, with a manifest."""
        return self.root / "archive"

    @property
    def ca(self) -> Path:
        """``ca.key ca.crt server.key server.crt``; the keys are 0600."""
        return self.root / "ca"

    @property
    def bundle(self) -> Path:
        """Wheels that the collector serves to agents."""
        return self.root / "bundle"

    @property
    def releases(self) -> Path:
        """Signed releases of the agent, a folder each; on every machine with the agents' port."""
        return self.root / "releases"

    @property
    def release_key(self) -> Path:
        """The public keys that releases are signed with."""
        return self.root / "release.pub"

    @property
    def imported_rules(self) -> Path:
        """Releases of rules that were brought in (``vonggac sigma import``)."""
        return self.root / "rules" / "imported"

    @property
    def correlations(self) -> Path:
        """What the detect worker's correlations remember, as of a checkpoint; without it they are warmed up anew."""
        return self.root / "correlations.bin"

    @property
    def cache(self) -> Path:
        """What is only kept to start faster: may be deleted at any time, never in a backup."""
        return self.root / "cache"

    @property
    def store_socket(self) -> Path:
        return self.run / "store.sock"

    @property
    def run(self) -> Path:
        """Sockets and pid files: gone and remade with every start, never in a backup."""
        return self.root / "run"

    @property
    def export(self) -> Path:
        """Metrics that wait for the store they are exported to."""
        return self.root / "export"

    @property
    def pulse(self) -> Path:
        """Written anew with every look of the collector at itself: its age tells whether the pipeline lives."""
        return self.run / "pulse.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def create(self) -> None:
        """Make the directory (0700) where it is missing; refuse one that others can read."""
        for path in (self.root, self.run, self.logs, self.cache):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)


def load(data: DataDirectory, config: Path | None = None) -> Settings:
    """Settings of ``config``, or of the data directory's ``vonggac.toml`` where there is one, or defaults.

    Raises:
        agent.settings_file.SettingsError: the first thing wrong, with its place.
    """
    path = config if config is not None else (data.settings if data.settings.exists() else None)
    return load_settings(Settings, path, os.environ, "VONGGAC")
