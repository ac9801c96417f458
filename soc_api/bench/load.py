"""A load on a trial server: enrolled senders, prepared batches of Windows events, the process that sends them, and
what a measurement wants to know meanwhile (how far the stored events are behind, what each process costs)."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from bisect import bisect_left
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any, Final, cast

import msgspec
import psutil
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.messages import SCHEMA_VERSION, Batch, EnrolRequest, Event, HostFacts, LogSource, encode_batch
from collector.enrolment import service
from collector.enrolment.files import open_authority
from collector.registry import service as registry
from collector.settings import DataDirectory, load
from collector.state.base import utcnow
from collector.state.database import open_state
from collector.state.scope import EVERYTHING
from collector.store.client import StoreClient
from soc_api.bench.material import event_lines, firing, rule_folders
from soc_api.bench.sending import Order, Stage, Told

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from soc_api.local import Server

#: Senders stand for many agents each: what a batch costs does not depend on who sends it.
SENDERS: Final = 200
#: Events a batch; an agent that has much to say gathers it.
BATCH_EVENTS: Final = 100
#: One event in so many is one that some rule fires on.
FIRING_ONE_IN: Final = 1000
_BODIES: Final = 180
#: What the forwarder that recorded the events added, and the text that repeats the fields for people.
_LEFT_OUT: Final = frozenset(
    (
        "Message",
        "@version",
        "host",
        "port",
        "tags",
        "SourceModuleType",
        "SourceModuleName",
        "EventReceivedTime",
        "Severity",
        "SeverityValue",
        "EventTime",
        "EventType",
        "Opcode",
        "OpcodeValue",
        "RecordNumber",
        "ThreadID",
        "ExecutionProcessID",
        "TimeCreated",
        "@timestamp",
    )
)
_LOOK_SECONDS: Final = 0.5
COUNT: Final = "SELECT count() AS n FROM events WHERE product = 'windows'"


def rules_setting() -> str:
    """Lines of ``vonggac.toml`` that add SigmaHQ's rules to our own."""
    folders = msgspec.json.encode([str(folder) for folder in rule_folders()]).decode()
    return f"[detect]\nrule_folders = {folders}\n"


def prepare_bodies(now: float, batch_events: int = BATCH_EVENTS) -> list[bytes]:
    """Compressed batches of Windows events as an agent of ours would tell them, at about ``now``."""
    told = [
        {name: value for name, value in msgspec.json.decode(line).items() if name not in _LEFT_OUT}
        for line in event_lines()
    ]
    fires = firing()
    quiet = [fields for at, fields in enumerate(told) if at not in fires]
    loud = [told[at] for at in sorted(fires)]
    source = LogSource(product="windows")
    packer = zstandard.ZstdCompressor(level=3)
    bodies = []
    place = 0
    for number in range(_BODIES):
        events = []
        for at in range(batch_events):
            place += 1
            fields = (
                loud[place // FIRING_ONE_IN % len(loud)]
                if place % FIRING_ONE_IN == 0
                else quiet[place % len(quiet)]
            )
            events.append(Event(time=now + number * 0.01 + at * 0.0001, logsource=source, fields=fields))
        batch = Batch(schema=SCHEMA_VERSION, created_at=now, events=events)
        bodies.append(packer.compress(encode_batch(batch)))
    return bodies


def enrol_senders(data: DataDirectory, folder: Path, count: int) -> list[Path]:
    """Endpoints enrolled by the collector's own service, spread over the agencies; each one's PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())  # one for all of them: what a connection costs is the same
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    request = asked.public_bytes(serialization.Encoding.PEM).decode("ascii")
    authority = open_authority(data.ca)
    state = open_state(load(data), data)
    files = []
    try:
        with state.write() as session:
            agencies = [agency.id for agency in registry.list_agencies(session, EVERYTHING)]
            now = utcnow()
            for number in range(count):
                token = service.create_token(
                    session,
                    agency_id=agencies[number % len(agencies)],
                    simulated=False,
                    created_by="bench",
                    now=now,
                    lifetime=timedelta(hours=1),
                    ca_sha256=authority.sha256,
                )
                facts = HostFacts(hostname=f"bench-{number:05d}")
                reply = service.enrol(session, EnrolRequest(token, request, facts, "bench"), authority, now)
                files.append(folder / f"sender-{number:05d}.pem")
                files[-1].write_bytes(pem + reply.certificate_pem.encode("ascii"))
                files[-1].chmod(0o600)
    finally:
        state.close()
    return files


class Load:
    """The sending process and two threads: one hears what was acknowledged, one asks the event store what it holds."""

    def __init__(self, server: Server, folder: Path, stages: Sequence[Stage], senders: int = SENDERS) -> None:
        data = DataDirectory(server.data)
        identities = enrol_senders(data, folder, senders)
        bodies = prepare_bodies(time.time())
        packed = folder / "bodies"
        packed.write_bytes(b"".join(bodies))
        self.bytes_an_event = sum(map(len, bodies)) / len(bodies) / BATCH_EVENTS
        order = Order(
            port=server.agents_port,
            ca=str(server.authority),
            identities=[str(path) for path in identities],
            bodies=str(packed),
            sizes=[len(body) for body in bodies],
            events=BATCH_EVENTS,
            stages=list(stages),
        )
        self._order_file = folder / "order.json"
        self._order_file.write_bytes(msgspec.json.encode(order))
        self._store = StoreClient(data.store_socket)
        self._told: list[Told] = []
        self.stored = 0
        #: When the event store was looked at, and by how many seconds it was behind what was acknowledged.
        self.lags: list[tuple[float, float]] = []
        self._over = threading.Event()

    def __enter__(self) -> Load:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "soc_api.bench.sending", str(self._order_file)], stdout=subprocess.PIPE
        )
        self._threads = [threading.Thread(target=target) for target in (self._hear, self._look)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        self._store.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def began(self) -> bool:
        return bool(self._told)

    @property
    def acknowledged(self) -> int:
        """Events acknowledged so far."""
        return self._told[-1].acknowledged * BATCH_EVENTS if self._told else 0

    @property
    def refused(self) -> int:
        """How often a batch was refused and sent again later."""
        return self._told[-1].refused if self._told else 0

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raise ``RuntimeError`` where the sending process failed."""
        if self._process.poll() not in (None, 0):
            raise RuntimeError(f"the load ended with exit code {self._process.returncode}")

    def acknowledged_between(self, start: float, end: float) -> int:
        """Events acknowledged in that time (seconds since the epoch)."""
        return (self._count_at(end) - self._count_at(start)) * BATCH_EVENTS

    def latency(self, share: float) -> float:
        """Seconds within which ``share`` of the measured batches were acknowledged."""
        steps = self._told[-1].latencies
        left = share * sum(count for _, count in steps)
        for step, count in steps:
            left -= count
            if left <= 0:
                return (step + 1) * 1e-4
        raise RuntimeError("no acknowledgement was measured")

    def worst_lag(self, start: float, end: float) -> float:
        return max((lag for when, lag in self.lags if start <= when <= end), default=0.0)

    def wait_until_stored(self, seconds: float) -> float:
        """Wait until all that was acknowledged is stored; how long that took, or ``RuntimeError``."""
        began = time.monotonic()
        while self.stored < self.acknowledged:
            if time.monotonic() - began > seconds:
                raise RuntimeError(
                    f"{self.acknowledged - self.stored} acknowledged events are not stored yet"
                )
            time.sleep(0.05)
        return time.monotonic() - began

    def _count_at(self, when: float) -> int:
        told = self._told
        at = bisect_left(told, when, key=lambda each: each.time)
        return told[min(at, len(told) - 1)].acknowledged if told else 0

    def _hear(self) -> None:
        for line in cast("IO[bytes]", self._process.stdout):
            self._told.append(msgspec.json.decode(line, type=Told))

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            now = time.time()
            self.stored = int(self._store.query(COUNT)[0]["n"])
            self.lags.append((now, self._lag(now)))

    def _lag(self, now: float) -> float:
        """How long ago the first acknowledged event that is not stored yet was acknowledged."""
        batches = self.stored // BATCH_EVENTS
        told = self._told
        at = bisect_left(told, batches + 1, key=lambda each: each.acknowledged)
        return max(0.0, now - told[at].time) if at < len(told) else 0.0


class Costs:
    """Processor time and memory of the server's processes, and of the load."""

    def __init__(self, server: Server, load: Load | None = None) -> None:
        self._processes = {_name(each): each for each in psutil.Process(server.pid).children(recursive=True)}
        self._processes["supervisor"] = psutil.Process(server.pid)
        if load is not None:
            self._processes["load"] = psutil.Process(load.pid)
        self._before = self._cpu()
        self._began = time.monotonic()

    def cores(self) -> dict[str, float]:
        """How many cores each process used since the last call (or the start)."""
        now, used = time.monotonic(), self._cpu()
        passed = now - self._began
        cores = {name: round((used[name] - self._before.get(name, 0)) / passed, 2) for name in used}
        self._before, self._began = used, now
        return cores

    def resident(self) -> dict[str, int]:
        """Bytes of memory that each process has to itself or shares (RSS)."""
        found = {}
        for name, process in self._processes.items():
            if process.is_running() and name != "load":
                found[name] = int(process.memory_info().rss)
        return found

    def _cpu(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, process in self._processes.items():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            found[name] = times.user + times.system
        return found


def _name(process: psutil.Process) -> str:
    words: list[Any] = process.cmdline()
    for word in reversed(words):
        if not str(word).startswith(("-", "/")) and str(word) != "collector.process":
            return f"{word}:{process.pid}"
    return f"{process.name()}:{process.pid}"


@contextmanager
def loaded(
    server: Server, folder: Path, stages: Sequence[Stage], senders: int = SENDERS
) -> Iterator[tuple[Load, Costs]]:
    """A load that has begun to send, and the costs since."""
    with Load(server, folder, stages, senders) as sending:
        while not sending.began:
            sending.check()
            time.sleep(0.05)
        yield sending, Costs(server, sending)
