"""Talks to clamd and reads what it is set to and what it wrote (clamd(8), clamd.conf(5))."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from agent import reasons
from agent.collectors.common.files import read_text, under
from agent.collectors.common.syslog import MONTHS
from agent.messages import Event, LogSource

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATIONS = (
    "/etc/clamav/clamd.conf",
    "/etc/clamd.d/scan.conf",
    "/etc/clamd.conf",
    "/usr/local/etc/clamd.conf",
)
REPLY_BYTES = 4096
ANTIVIRUS = LogSource(product="linux", category="antivirus")


class Configuration(Struct, frozen=True):
    """What clamd.conf says, as far as it matters here; paths are the host's."""

    sockets: list[str] = []
    tcp: tuple[str, int] | None = None
    log_file: str = ""
    log_time: bool = False
    on_access_paths: list[str] = []


class Version(Struct, frozen=True):
    """``signature_time`` is when the database was built, in seconds since the epoch; ``None``: not told."""

    engine: str | None = None
    database: str | None = None
    signature_time: float | None = None


class Finding(Struct, frozen=True):
    """One ``FOUND`` line; ``time`` is ``None`` where the log has no times, ``md5`` empty where it has no digests."""

    time: float | None
    filename: str
    signature: str
    md5: str = ""


def parse_configuration(text: str) -> Configuration:
    """clamd.conf's form: ``Option value``, ``#`` comments, options without regard to case, values maybe quoted."""
    sockets, log_file, log_time, paths = [], "", False, []
    port, address = 0, "127.0.0.1"
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        key, value = key.lower(), value.strip().strip('"')
        if key == "localsocket" and value:
            sockets.append(value)
        elif key == "tcpsocket" and value.isascii() and value.isdigit() and 0 < int(value[:6]) < 65536:
            port = int(value)
        elif key == "tcpaddr" and value:
            address = "127.0.0.1" if value in ("0.0.0.0", "localhost") else value  # noqa: S104 - compared, not bound
        elif key == "logfile":
            log_file = value
        elif key == "logtime":
            log_time = value.lower() in ("yes", "true", "1")
        elif key in ("onaccessincludepath", "onaccessmountpath") and value:
            paths.append(value)
    return Configuration(
        sockets=sockets,
        tcp=(address, port) if port else None,
        log_file=log_file,
        log_time=log_time,
        on_access_paths=paths,
    )


def read_configuration(root: Path) -> Configuration | None:
    """The first configuration that exists under ``root``; Debian's and Fedora's places."""
    for name in CONFIGURATIONS:
        text = read_text(under(root, name))
        if text is not None:
            return parse_configuration(text)
    return None


_cached: dict[Path, tuple[float, Configuration | None]] = {}


def cached_configuration(root: Path, now: float) -> Configuration | None:
    """:func:`read_configuration`, read again once a minute: for those who ask every two seconds."""
    known = _cached.get(root)
    if known is None or not 0 <= now - known[0] < 60:
        known = _cached[root] = (now, read_configuration(root))
    return known[1]


_VERSION = re.compile(
    r"ClamAV (?P<engine>[0-9][^/\s]{0,39})(?:/(?P<database>[0-9]{1,9})/(?P<built>[^/]{1,60}))?"
)
_CTIME = re.compile(
    r"(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([0-9]{4})"
)


def parse_version(reply: bytes) -> Version:
    """The reply to ``zVERSION``: ``ClamAV 1.0.1/26961/Thu Jul  6 07:29:38 2023``.

    Without a database it is ``ClamAV 1.4.6``, and where the command is switched off ``COMMAND UNAVAILABLE``: what
    is missing is ``None``, so that nobody takes it for a fresh database. The time is ctime(3)'s, in local time.
    """
    match = _VERSION.fullmatch(reply.rstrip(b"\0\r\n").decode("utf-8", "replace"))
    if match is None:
        return Version()
    built = parse_ctime(match["built"]) if match["built"] else None
    return Version(engine=match["engine"], database=match["database"], signature_time=built)


def parse_ctime(text: str) -> float | None:
    """ctime(3)'s form, always English, in local time."""
    match = _CTIME.fullmatch(text.strip())
    if match is None or match[1] not in MONTHS:
        return None
    day, hour, minute, second, year = (int(match[part]) for part in (2, 3, 4, 5, 6))
    if not (1 <= day <= 31 and hour < 24 and minute < 60 and second < 62 and 1990 <= year < 2200):
        return None
    return time.mktime((year, MONTHS.index(match[1]) + 1, day, hour, minute, second, 0, 0, -1))


_STAMPED = re.compile(r"([A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4}) -> (.*)", re.DOTALL)
_SIGNATURE = re.compile(r"(?P<signature>[^\s:()]{1,255})(?:\((?P<md5>[0-9a-f]{32}):[0-9]{1,20}\))?")


def parse_found(lines: list[bytes], *, stamped: bool | None = True) -> list[Finding]:
    """The findings in whole lines of clamd's or clamonacc's log, in their order.

    A file's name may hold line breaks. Where the log has times (``stamped``), a line without one continues the
    name before it, so a name made up to look like a finding cannot pass for one of another file. Where it is not
    known whether it has (``None``), the lines themselves tell.
    """
    texts = [raw.decode("utf-8", "replace").rstrip("\r") for raw in lines]
    if stamped is None:
        stamped = any(_STAMPED.fullmatch(line) for line in texts)
    joined: list[tuple[float | None, str]] = []
    for line in texts:
        match = _STAMPED.fullmatch(line)
        moment = parse_ctime(match[1]) if match else None
        if match and moment is not None:
            joined.append((moment, match[2]))
        elif stamped and joined and len(joined[-1][1]) < 8192:
            joined[-1] = (joined[-1][0], f"{joined[-1][1]}\n{line}")
        elif not stamped:
            joined.append((None, line))
    findings = []
    for moment, text in joined:
        if not text.endswith(" FOUND"):
            continue
        name, _, rest = text.removesuffix(" FOUND").rpartition(": ")  # a file's name may hold ": " too
        if name and (match := _SIGNATURE.fullmatch(rest)):
            findings.append(
                Finding(time=moment, filename=name, signature=match["signature"], md5=match["md5"] or "")
            )
    return findings


def malware_event(finding: Finding, now: float) -> Event:
    """Sigma's antivirus category: ``Signature``, ``Filename``, ``Action``, ``Hashes``. ClamAV only reports."""
    fields: dict[str, Any] = {
        "event.action": "malware_found",
        "Signature": finding.signature,
        "Filename": finding.filename[:4096],
        "Action": "detected",
        "Product": "ClamAV",
    }
    if finding.md5:
        fields["Hashes"] = f"MD5={finding.md5}"
    moment = finding.time if finding.time is not None and finding.time < now + 86400 else now
    return Event(time=moment, logsource=ANTIVIRUS, fields=fields)


class ClamdUnreachableError(Exception):
    """clamd did not answer; ``denied`` where the reason is a missing permission and not clamd."""

    def __init__(self, reason: str, *, denied: bool = False) -> None:
        super().__init__(reason)
        self.denied = denied


def ask(address: str | tuple[str, int], command: bytes, timeout_seconds: float, root: Path) -> bytes:
    """One command and its reply, ``z`` form. ``address`` is a socket's path on the host, or (host, port).

    Raises:
        ClamdUnreachableError: nobody listens, or no reply came in time.
    """
    import socket

    name = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
    connection = folder = None
    try:
        if isinstance(address, str):
            path = under(root, address)
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(timeout_seconds)
            # By way of the folder's descriptor, since a socket's name may be no longer than 107 bytes.
            folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
        else:
            connection = socket.create_connection(address, timeout_seconds)
        connection.sendall(b"z" + command + b"\0")
        reply = b""
        while len(reply) < REPLY_BYTES and not reply.endswith(b"\0"):
            piece = connection.recv(REPLY_BYTES)
            if not piece:
                break
            reply += piece
    except TimeoutError as error:
        raise ClamdUnreachableError(
            reasons.CLAMD_SILENT(address=name, seconds=f"{timeout_seconds:g}")
        ) from error
    except OSError as error:
        denied = isinstance(error, PermissionError)
        raise ClamdUnreachableError(reasons.at(name, error), denied=denied) from error
    finally:
        if connection is not None:
            connection.close()
        if folder is not None:
            os.close(folder)
    return reply
