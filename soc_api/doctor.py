"""What is wrong with an installation, and what to do about it. Looks only; changes nothing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from collector import locks
from collector.detect.checkpoints import load_places
from collector.errors import CollectorError
from collector.probes import https_probe
from collector.state.database import is_made, open_state
from collector.state.tables import DeadLetter, Stream
from collector.store.client import StoreClient
from soc_api.check import Check
from soc_api.state_checks import check_state
from soc_api.system.service import last_log_offset, waiting_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.settings import DataDirectory, Settings

#: A certificate with less than this left is worth a word (the server's own is renewed at start).
CERTIFICATE_WARNING: Final = timedelta(days=45)
FREE_BYTES_WARNING: Final = 5 << 30
RUNWAY_WARNING_DAYS: Final = 30
#: Further ahead the estimate says nothing.
_RUNWAY_SHOWN_DAYS: Final = 1000
_TIME_ERROR: Final = 5


def examine(data: DataDirectory, settings: Settings, now: datetime) -> list[Check]:
    """Every check, in an order that puts causes before effects. A check that itself fails is a failure."""
    if not is_made(settings, data):
        return [
            Check(
                "data directory", "failure", f"{data.root} is not one", f"`vonggac serve --data {data.root}`"
            )
        ]
    checks: list[Check] = []
    for look in (_rights, _certificates, _disk, _clock, check_state, _processes, _pipeline):
        try:
            checks.extend(look(data, settings, now))
        except (OSError, SQLAlchemyError, CollectorError, ValueError) as error:
            reason = str(error).splitlines()[0]
            checks.append(
                Check(
                    look.__name__.removeprefix("check").strip("_"),
                    "failure",
                    reason,
                    "repair this, then look again",
                )
            )
    return checks


def _rights(data: DataDirectory, _settings: Settings, _now: datetime) -> Iterator[Check]:
    mode = stat.S_IMODE(data.root.stat().st_mode)
    if mode & 0o077:
        yield Check(
            "data directory", "failure", f"others may enter it ({mode:04o})", f"chmod 700 {data.root}"
        )
    else:
        yield Check("data directory", "ok", f"{data.root}, {mode:04o}")
    for name in ("ca.key", "server.key"):
        path = data.ca / name
        if not path.exists():
            yield Check(name, "failure", "missing", "restore it from a backup, or see `vonggac serve`")
        elif stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Check(name, "failure", "others may read it", f"chmod 600 {path}; then consider it stolen")
        elif path.stat().st_uid != os.geteuid():
            yield Check(name, "warning", "belongs to another user", "run as the user who runs the server")
        else:
            yield Check(name, "ok", "private")


def _certificates(data: DataDirectory, _settings: Settings, now: datetime) -> Iterator[Check]:
    for name, remedy in (
        ("ca.crt", "plan its replacement"),
        ("server.crt", "restart the server: it renews it"),
    ):
        end = x509.load_pem_x509_certificate((data.ca / name).read_bytes()).not_valid_after_utc
        left = end - now
        finding = f"until {end:%d/%m/%Y} ({left.days} days)"
        if left <= timedelta(0):
            yield Check(name, "failure", finding, remedy)
        elif left < CERTIFICATE_WARNING:
            yield Check(name, "warning", finding, remedy)
        else:
            yield Check(name, "ok", finding)


def _disk(data: DataDirectory, _settings: Settings, now: datetime) -> Iterator[Check]:
    free = shutil.disk_usage(data.root).free
    used, oldest = _size_and_age(data.events, now)
    days = max((now - oldest).total_seconds() / 86400, 1.0)
    runway = free / (used / days) if used else float("inf")
    finding = f"{free / 1e9:.1f} GB free"
    if used:
        room = f"room for {runway:.0f} days" if runway < _RUNWAY_SHOWN_DAYS else "room for years"
        finding += f"; events take {used / 1e6:,.0f} MB, {used / days / 1e6:,.1f} MB a day: {room}"
    if free < FREE_BYTES_WARNING or runway < RUNWAY_WARNING_DAYS:
        state = "failure" if free < FREE_BYTES_WARNING / 5 or runway < 2 else "warning"
        advice = (
            "give it more room, lower [events] level_days, or archive old days ([events] archive_after_days)"
        )
        yield Check("disk", state, finding, advice)
    else:
        yield Check("disk", "ok", finding)


def _size_and_age(folder: Path, now: datetime) -> tuple[int, datetime]:
    """Bytes under the event store, and the first day that it has a partition of (``YYYYMMDD_…``)."""
    size, oldest = 0, now
    for directory, _, names in os.walk(folder):
        day = Path(directory).name[:9]
        if day[:8].isdigit() and day.endswith("_"):
            with contextlib.suppress(ValueError):
                oldest = min(oldest, datetime.strptime(day[:8], "%Y%m%d").replace(tzinfo=UTC))
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # merged away while we look
                size += (Path(directory) / name).lstat().st_size
    return size, oldest


def _clock(data: DataDirectory, _settings: Settings, now: datetime) -> Iterator[Check]:
    newest = datetime.fromtimestamp(data.state.stat().st_mtime, UTC) if data.state.exists() else now
    if newest - now > timedelta(minutes=5):
        yield Check("clock", "failure", "stands before the newest data", "set the clock; use NTP (chrony)")
    elif not _clock_is_disciplined():
        yield Check("clock", "warning", "nothing keeps it right", "run an NTP client (chrony)")
    else:
        yield Check("clock", "ok", f"{now:%d/%m/%Y %H:%M} UTC, kept by NTP")


def _clock_is_disciplined() -> bool:
    """``ntp_adjtime(2)`` without changing anything: the kernel says whether somebody keeps the time."""
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    return state not in {-1, _TIME_ERROR}


def _processes(data: DataDirectory, settings: Settings, _now: datetime) -> Iterator[Check]:
    authority = data.ca / "ca.crt"
    start = f"start with `vonggac serve --data {data.root}` (or `make run`)"
    ours = locks.is_held(data.run / "serve.lock")
    for name, host, port in (
        ("web", settings.web.host, settings.web.port),
        ("ingest", settings.ingest.host, settings.ingest.port),
    ):
        answers = https_probe(host, port, authority)()
        if answers and not ours:
            finding = f"another installation answers on port {port}; this one does not run"
            yield Check(name, "failure", finding, "stop the other, or choose another port in the settings")
        elif answers:
            yield Check(name, "ok", f"answers on port {port}")
        elif _is_taken(host, port):
            yield Check(
                name,
                "failure",
                f"port {port} is taken, but not by a healthy {name}",
                f"`ss -ltnp 'sport = :{port}'` shows by whom; or choose another port in the settings",
            )
        else:
            yield Check(name, "failure", f"nothing answers on port {port}", start)
    if data.store_socket.exists():
        with StoreClient(data.store_socket) as client:
            if client.healthy():
                yield Check("store", "ok", "answers")
                return
    yield Check("store", "failure", "the event store does not answer", start)


def _is_taken(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def _pipeline(data: DataDirectory, settings: Settings, now: datetime) -> Iterator[Check]:
    last = last_log_offset(settings, data)
    store = open_state(settings, data)
    try:
        with store.read() as session:
            places = load_places(session)
            letters = session.scalar(select(func.count()).select_from(DeadLetter)) or 0
            missing = session.scalar(select(func.coalesce(func.sum(Stream.missing), 0))) or 0
    finally:
        store.close()
    positions = {partition: place.log_offset for partition, place in places.items()}
    reached = max(positions.values())
    if settings.log.url:
        yield _stream(settings, last, reached)
    else:
        yield _log(data, last, reached)
    behind = waiting_batches(settings, data, positions) or 0
    if last is None and (reached or data.log.exists()):
        yield Check("detection", "warning", "nobody can say what waits", "repair the log first")
    elif behind > 10 * settings.detect.batch_rows:
        advice = "see the log of `detect`; it may have stopped or be too slow"
        yield Check("detection", "failure", f"{behind} batches behind", advice)
    else:
        yield Check("detection", "ok", f"batches that wait: {behind}")
    if letters:
        yield Check(
            "dead letters", "warning", f"{letters} parts could not be read", "see /system in the console"
        )
    else:
        yield Check("dead letters", "ok", "none")
    if missing:
        yield Check("streams", "warning", f"{missing} batches never came", "see /system in the console")
    else:
        yield Check("streams", "ok", "nothing missing")
    newest = max((place.updated_at for place in places.values() if place.updated_at), default=now)
    if newest - now > timedelta(minutes=5):
        yield Check("checkpoint", "failure", "is in the future", "set the clock; use NTP (chrony)")


def _stream(settings: Settings, last: int | None, reached: int) -> Check:
    if last is None:
        advice = "see that a majority of the servers in [log] url is up, and that JetStream is on"
        return Check("log", "failure", "the NATS servers do not answer, or have no such stream", advice)
    if last < reached:
        advice = "stop the server and start it again: new batches then go on where detection stopped"
        finding = f"ends at {last}, but detection has read up to {reached}: it was lost or replaced"
        return Check("log", "failure", finding, advice)
    return Check("log", "ok", f"batches so far: {last}, on JetStream, {settings.log.replicas} times")


def _log(data: DataDirectory, last: int | None, reached: int) -> Check:
    restart = "stop the server and start it again: new batches then go on where detection stopped"
    if last is None and data.log.exists():
        advice = (
            f"stop the server, move {data.log} and its -wal and -shm files away, start again; if only the rights are"
            " wrong, mend those"
        )
        return Check("log", "failure", f"{data.log} is there, but cannot be read", advice)
    if last is None and reached:
        return Check("log", "failure", f"{data.log} is missing; {reached} batches were read from it", restart)
    if last is not None and last < reached:
        finding = f"ends at {last}, but detection has read up to {reached}: it was lost or replaced"
        return Check("log", "failure", finding, restart)
    return Check("log", "ok", f"batches so far: {last or 0}")
