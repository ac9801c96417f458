"""One page over HTTP(S), from a server that may be hostile.

No cookies, no cache, one connection a request, one request at a time. Bounded: the time of all of it, the body, the
headers (http.client's own limits), redirects, and whom they may lead to.
"""

from __future__ import annotations

import http.client
import time
import zlib
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from agent import reasons
from agent.probe.services.connecting import Deadline, connection
from agent.probe.services.result import CheckError, Result
from agent.probe.services.tls import CertificateError, facts_of, shake_hands

if TYPE_CHECKING:
    import socket

    from agent.probe.services.settings import Service, Services

MAX_BODY_BYTES: Final = 1 << 20
_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: What a page of a public body is to say to browsers (OWASP Secure Headers), by the code of its absence.
_HEADERS: Final = {
    "content-security-policy": "header_csp_missing",
    "x-content-type-options": "header_nosniff_missing",
}


class Answer(Struct, frozen=True):
    """``body`` is cut at 1 MiB and unpacked where the server packed it unasked. ``tls`` is empty over plain HTTP."""

    url: str
    status: int
    headers: dict[str, str]
    body: bytes
    tls: dict[str, Any]


def check_http(service: Service, settings: Services) -> Result:
    """Raise :class:`CheckError` where the page does not come, or is not what it should be."""
    started = time.monotonic()
    answer = fetch(service, settings, Deadline(service.timeout_seconds))
    seconds = time.monotonic() - started
    reason = ""
    if answer.tls.get("problem"):
        reason = reasons.SERVICE_CERTIFICATE(detail=answer.tls["problem"])
    if not service.is_answer(answer.status):
        raise CheckError(reasons.SERVICE_STATUS(status=answer.status))
    return Result(
        state="degraded" if reason else "up",
        seconds=seconds,
        reason=reason,
        findings=tuple(sorted(_findings(answer))),
        status_code=answer.status,
        tls=answer.tls,
        page=answer.body,
        charset=_charset(answer.headers.get("content-type", "")),
    )


def fetch(service: Service, settings: Services, deadline: Deadline) -> Answer:
    """The page behind all redirects that may be followed.

    Raises:
        CheckError: it does not come, or leads to a host that is not one of the service's.
    """
    url, first = service.url, True
    hosts = {urlsplit(service.url).hostname, *(each.lower() for each in service.also_hosts)}
    for _ in range(_MAX_REDIRECTS + 1):
        answer = _get(url, service, settings, deadline)
        if answer.status not in _REDIRECTS or not answer.headers.get("location"):
            return answer
        if first and service.is_answer(answer.status):
            return answer
        url, first = _next(url, answer.headers["location"], hosts, settings), False
    raise CheckError(reasons.SERVICE_REDIRECTS())


def _next(url: str, location: str, hosts: set[str | None], settings: Services) -> str:
    try:
        target = urljoin(url, location[:2000])
        parts = urlsplit(target)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise CheckError(reasons.SERVICE_NOT_HTTP(detail="Location")) from error
    if parts.scheme not in ("http", "https") or host not in hosts or settings.why_not(host or ""):
        shown = "".join(each for each in (host or parts.scheme) if each.isprintable())[:100]
        raise CheckError(reasons.SERVICE_REDIRECTED(where=shown))
    return target


def _get(url: str, service: Service, settings: Services, deadline: Deadline) -> Answer:
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    problem = ""
    for trusting in (False, True):
        with connection(host, port, settings, deadline) as sock:
            facts: dict[str, Any] = {}
            if secure:
                try:
                    sock = shake_hands(sock, host, service.ca_file, trusting=trusting)
                except CertificateError as error:
                    # What a browser would warn of; whether the page is there is seen all the same.
                    problem = error.problem
                    continue
                except CheckError as error:
                    raise (deadline.error() if deadline.over else error) from error
                facts = facts_of(sock, problem)
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            status, headers, body = _exchange(sock, host, port, path, settings.user_agent, deadline)
            return Answer(url, status, headers, body, facts)
    raise CheckError(reasons.SERVICE_CERTIFICATE(detail=problem))


def _exchange(
    sock: socket.socket, host: str, port: int, path: str, user_agent: str, deadline: Deadline
) -> tuple[int, dict[str, str], bytes]:
    asked = http.client.HTTPConnection(host, port)
    asked.sock = sock
    try:
        asked.putrequest("GET", path, skip_accept_encoding=True)
        asked.putheader("User-Agent", user_agent)
        asked.putheader("Accept", "text/html, */*;q=0.5")
        asked.putheader("Accept-Encoding", "identity")
        asked.putheader("Connection", "close")
        asked.endheaders()
        reply = asked.getresponse()
        headers = {name.lower(): value for name, value in reply.getheaders()}
        body = reply.read(MAX_BODY_BYTES)
    except (http.client.HTTPException, OSError, ValueError) as error:
        if deadline.over or isinstance(error, TimeoutError):
            raise deadline.error() from error
        if isinstance(error, http.client.HTTPException | ValueError):
            raise CheckError(reasons.SERVICE_NOT_HTTP(detail=type(error).__name__)) from error
        detail = error.strerror or type(error).__name__
        raise CheckError(reasons.SERVICE_NO_CONNECTION(where=f"{host}:{port}", detail=detail)) from error
    if deadline.over:
        raise deadline.error()
    return reply.status, headers, unpacked(body, headers.get("content-encoding", ""))


def unpacked(body: bytes, encoding: str) -> bytes:
    """A body that was packed although nobody asked for it, 1 MiB of it at most; what cannot be unpacked stays."""
    if encoding.strip().lower() not in ("gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=47).decompress(body, MAX_BODY_BYTES)
    except zlib.error:
        return body


def _charset(content_type: str) -> str:
    _, _, rest = content_type.lower().partition("charset=")
    return rest.split(";")[0].strip(" \"'")[:40]


def _findings(answer: Answer) -> set[str]:
    found = {code for header, code in _HEADERS.items() if header not in answer.headers}
    policy = answer.headers.get("content-security-policy", "")
    if "x-frame-options" not in answer.headers and "frame-ancestors" not in policy:
        found.add("header_frame_missing")
    if urlsplit(answer.url).scheme == "http":
        found.add("not_encrypted")
    elif "strict-transport-security" not in answer.headers:
        found.add("header_hsts_missing")
    if answer.tls.get("problem"):
        found.add(f"certificate_{answer.tls['problem']}")
    return found
