"""A mail server's greeting, STARTTLS and certificate (RFC 5321, 3207, 9051). No mail is sent, nobody signs in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.probe.services.connecting import Deadline, connection
from agent.probe.services.page import clean
from agent.probe.services.result import CheckError, Result
from agent.probe.services.tls import CertificateError, facts_of, shake_hands

if TYPE_CHECKING:
    import socket

    from agent.probe.services.settings import Service, Services

_PORTS: Final = {"smtp": 25, "imap": 143}
#: Ports that begin with TLS (RFC 8314).
_TLS_FIRST: Final = frozenset({465, 993})
_LONGEST_LINE: Final = 2_048
_MOST_LINES: Final = 50


def check_mail(service: Service, settings: Services) -> Result:
    """Raise :class:`CheckError` where the server does not greet, or offers no TLS."""
    started = time.monotonic()
    deadline = Deadline(service.timeout_seconds)
    port = service.port or _PORTS[service.kind]
    findings: set[str] = set()
    problem, facts = "", {}
    for trusting in (False, True):
        with connection(service.host, port, settings, deadline) as sock:
            try:
                facts = _look(sock, service, port, settings, problem, trusting=trusting)
            except CertificateError as error:
                problem = error.problem
                continue
            except (OSError, ValueError) as error:
                if deadline.over or isinstance(error, TimeoutError):
                    raise deadline.error() from error
                where = f"{service.host}:{port}"
                raise CheckError(
                    reasons.SERVICE_NO_CONNECTION(where=where, detail=type(error).__name__)
                ) from error
            break
    if problem:
        findings.add(f"certificate_{problem}")
    reason = reasons.SERVICE_CERTIFICATE(detail=problem) if problem else ""
    if not facts:
        findings.add("starttls_missing")
        reason = reasons.SERVICE_NO_STARTTLS()
    return Result(
        "degraded" if reason else "up", time.monotonic() - started, reason, tuple(sorted(findings)), tls=facts
    )


def _look(
    sock: socket.socket, service: Service, port: int, settings: Services, problem: str, *, trusting: bool
) -> dict[str, Any]:
    """What is told of the certificate; nothing where no TLS is offered."""
    if port in _TLS_FIRST:
        secured = shake_hands(sock, service.host, service.ca_file, trusting=trusting)
        facts = facts_of(secured, problem)
        _greeting(_Lines(secured), service.kind)
        return facts
    lines = _Lines(sock)
    _greeting(lines, service.kind)
    if service.kind == "smtp":
        offered = any(
            "STARTTLS" in each.upper() for each in lines.ask_smtp(f"EHLO {settings.echo_mail_name}")
        )
        if not offered or not lines.ask_smtp("STARTTLS")[-1].startswith("220"):
            return {}
    else:
        offered = any("STARTTLS" in each.upper() for each in lines.ask_imap("a1", "CAPABILITY"))
        if not offered or not lines.ask_imap("a2", "STARTTLS")[-1].upper().startswith("A2 OK"):
            return {}
    return facts_of(shake_hands(sock, service.host, service.ca_file, trusting=trusting), problem)


def _greeting(lines: _Lines, kind: str) -> None:
    first = lines.smtp_reply()[-1] if kind == "smtp" else lines.line()
    well = first.startswith("220") if kind == "smtp" else first.upper().startswith(("* OK", "* PREAUTH"))
    if not well:
        raise CheckError(reasons.SERVICE_GREETING(detail=clean(first)[:80] or "-"))


class _Lines:
    """Lines both ways, of limited length and number, unbuffered: what follows STARTTLS must not be read ahead."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def line(self) -> str:
        """Raise :class:`ConnectionError` at the end of the stream, :class:`ValueError` where a line does not end."""
        got = bytearray()
        while not got.endswith(b"\n"):
            byte = self._sock.recv(1)
            if not byte:
                raise ConnectionResetError("the server hung up")
            got += byte
            if len(got) > _LONGEST_LINE:
                raise ValueError("a line without end")
        return got.decode("utf-8", "replace").rstrip("\r\n")

    def smtp_reply(self) -> list[str]:
        found: list[str] = []
        while not found or found[-1][3:4] == "-":
            found.append(self.line())
            if len(found) > _MOST_LINES:
                raise ValueError("a reply without end")
        return found

    def ask_smtp(self, command: str) -> list[str]:
        self._sock.sendall(f"{command}\r\n".encode("ascii", "replace"))
        return self.smtp_reply()

    def ask_imap(self, tag: str, command: str) -> list[str]:
        self._sock.sendall(f"{tag} {command}\r\n".encode("ascii"))
        found: list[str] = []
        while not found or not found[-1].startswith(f"{tag} "):
            found.append(self.line())
            if len(found) > _MOST_LINES:
                raise ValueError("a reply without end")
        return found
