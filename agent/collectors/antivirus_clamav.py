"""Whether ClamAV protects this machine: the daemon, its database's age, scanning on access."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

from agent import reasons
from agent.collectors.common.antivirus_document import antivirus_body
from agent.collectors.common.clamd import (
    ClamdUnreachableError,
    Configuration,
    Version,
    ask,
    parse_version,
    read_configuration,
)
from agent.collectors.common.files import read_bytes, read_tail, under
from agent.collectors.registry import Context, Output, StatusDocument, collector
from agent.settings import CollectorSettings

if TYPE_CHECKING:
    from pathlib import Path

PRODUCT = "clamav"
ANSWER_SECONDS = 5.0
DAEMONS = ("/usr/sbin/clamd", "/usr/local/sbin/clamd", "/usr/bin/clamd")
SCANNERS = ("/usr/bin/clamscan", "/usr/local/bin/clamscan")
SCAN_LOGS = "/var/log/clamav"

_END = re.compile(rb"^End Date: +(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)\r?$", re.MULTILINE)


def parse_last_scan(log: bytes) -> float | None:
    """When the last scan ended that a log of clamscan or clamdscan tells of (its summary, in local time)."""
    newest = None
    for match in _END.finditer(log):
        year, month, day, hour, minute, second = (int(part) for part in match.groups())
        if (
            1990 <= year < 2200
            and 1 <= month <= 12
            and 1 <= day <= 31
            and hour < 24
            and minute < 60
            and second < 62
        ):
            ended = time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
            newest = ended if newest is None else max(newest, ended)
    return newest


def read_daemon(ctx: Context, configuration: Configuration | None) -> tuple[str, str, Version]:
    """``(state, reason, version)``: the first address where clamd answers decides."""
    addresses: list[str | tuple[str, int]] = []
    # Who names a socket of his own wants that one asked, and no other.
    if configuration and ctx.settings.clamd_sockets == CollectorSettings().clamd_sockets:
        addresses += configuration.sockets
        if configuration.tcp:
            addresses.append(configuration.tcp)
    addresses += [name for name in ctx.settings.clamd_sockets if name not in addresses]
    troubles, denied = [], False
    for address in addresses:
        if isinstance(address, str) and not under(ctx.root, address).exists():
            continue
        try:
            reply = ask(address, b"PING", ANSWER_SECONDS, ctx.root)
            if reply.rstrip(b"\0\n") != b"PONG":
                troubles.append(reasons.CLAMD_WRONG_ANSWER(address=address, answer=repr(reply[:40])))
                continue
            return "on", "", parse_version(ask(address, b"VERSION", ANSWER_SECONDS, ctx.root))
        except ClamdUnreachableError as error:
            denied = denied or error.denied
            troubles.append(str(error))
    if denied:
        return "unknown", reasons.CLAMD_NOT_ASKED(why="; ".join(troubles)), Version()
    return "off", "; ".join(troubles) or reasons.CLAMD_NO_SOCKET(), Version()


def read_running(proc: Path, name: str, state: dict[str, Any]) -> bool:
    """Whether a process called ``name`` runs. The number found last is looked at first."""
    wanted = name.encode()[:15]
    known = state.get("pid")
    if known is not None and read_bytes(proc / str(known) / "comm", 64) == wanted + b"\n":
        return True
    state.pop("pid", None)
    with os.scandir(proc) as entries:
        numbers = [entry.name for entry in entries if entry.name.isdigit()]
    for number in numbers:
        if read_bytes(proc / number / "comm", 64) == wanted + b"\n":
            state["pid"] = int(number)
            return True
    return False


def real_time(state: str, running: bool, configuration: Configuration | None) -> tuple[str, str]:
    """``(real_time, reason)``: only clamonacc scans on access, and only where it is told to watch."""
    if not running:
        return "off", reasons.CLAMONACC_OFF()
    if state != "on":
        return state, reasons.CLAMONACC_ALONE()
    if configuration is None:
        return "unknown", reasons.CLAMONACC_UNCONFIGURED()
    if not configuration.on_access_paths:
        return "unknown", reasons.CLAMONACC_WATCHES_NOTHING()
    return "on", ""


def _is_installed(root: Path, names: tuple[str, ...]) -> bool:
    return any(under(root, name).exists() for name in names)


def _last_scan(root: Path, configuration: Configuration | None) -> float | None:
    daemon_log = under(root, (configuration.log_file if configuration else "") or "/nowhere")
    try:
        logs = sorted(under(root, SCAN_LOGS).glob("*.log"))
    except OSError:
        return None
    times = [parse_last_scan(read_tail(log, 16 << 10) or b"") for log in logs[:20] if log != daemon_log]
    return max((t for t in times if t is not None), default=None)


@collector(
    "antivirus_clamav",
    interval_seconds=60,
    platforms={"linux"},
    privileges="none",
    description="ClamAV: whether clamd answers, its version, age of its signatures, scanning on access, last scan",
)
def collect(ctx: Context) -> Output:
    configuration = read_configuration(ctx.root)
    version = Version()
    sockets = any(under(ctx.root, name).exists() for name in ctx.settings.clamd_sockets)
    if configuration is None and not sockets and not _is_installed(ctx.root, DAEMONS):
        if not _is_installed(ctx.root, SCANNERS):
            return Output(documents=[_document(ctx, {"state": "not_installed"})])
        state, reason = "off", reasons.ONLY_CLAMSCAN()
    else:
        state, reason, version = read_daemon(ctx, configuration)
    memory = dict(ctx.state)
    on_access, on_access_reason = real_time(state, read_running(ctx.proc, "clamonacc", memory), configuration)
    ctx.state.update(memory)
    last_scan = _last_scan(ctx.root, configuration)
    body: dict[str, Any] = {
        "state": state,
        "reason": reason,
        "engine_version": version.engine,
        "database_version": version.database,
        "signature_time": version.signature_time,
        "real_time": on_access,
        "real_time_reason": on_access_reason,
        "last_scan_time": last_scan,
        "last_scan_state": "known" if last_scan is not None else "unknown",
    }
    if state == "on" and version.signature_time is None:
        body["signature_reason"] = reasons.SIGNATURE_DATE_UNTOLD()
    if last_scan is None:
        body["last_scan_reason"] = reasons.LAST_SCAN_UNTOLD()
    return Output(documents=[_document(ctx, body)])


def _document(ctx: Context, facts: dict[str, Any]) -> StatusDocument:
    body = antivirus_body(PRODUCT, facts)
    return StatusDocument(kind="antivirus", item=PRODUCT, observed_at=ctx.now(), body=body)
