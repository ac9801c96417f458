"""One check of one service, whatever its kind."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from agent import reasons
from agent.collectors.common.probes import ProbeNotPermittedError, ping
from agent.probe.services.connecting import Deadline, connection
from agent.probe.services.result import CheckError, Result

if TYPE_CHECKING:
    from agent.probe.services.settings import Service, Services


def check(service: Service, settings: Services) -> Result:
    """Never raises: what goes wrong is the result."""
    started = time.monotonic()
    try:
        return _check(service, settings)
    except CheckError as error:
        return Result(error.state, time.monotonic() - started, str(error)[:255])


def _check(service: Service, settings: Services) -> Result:
    match service.kind:
        case "http":
            from agent.probe.services.fetching import check_http

            return check_http(service, settings)
        case "smtp" | "imap":
            from agent.probe.services.mailing import check_mail

            return check_mail(service, settings)
        case "dns":
            from agent.probe.services.naming import check_dns

            return check_dns(service)
        case "mail_domain":
            from agent.probe.services.naming import check_mail_domain

            return check_mail_domain(service)
        case "tcp":
            return _connect(service, settings)
        case "path":
            return _path(service)


def _connect(service: Service, settings: Services) -> Result:
    started = time.monotonic()
    with connection(service.host, service.port, settings, Deadline(service.timeout_seconds)):
        return Result("up", time.monotonic() - started)


def _path(service: Service) -> Result:
    """The gateway of the way to somebody else's system: it answers, more is not asked."""
    started = time.monotonic()
    try:
        if service.port:
            with suppress(ConnectionRefusedError):
                socket.create_connection((service.host, service.port), service.timeout_seconds).close()
            return Result("up", time.monotonic() - started)
        found = ping(service.host, 3, min(2.0, service.timeout_seconds))
    except ProbeNotPermittedError as error:
        raise CheckError(str(error), "unknown") from error
    except OSError as error:
        detail = error.strerror or type(error).__name__
        raise CheckError(reasons.SERVICE_NO_CONNECTION(where=service.host, detail=detail)) from error
    if found.rtt_seconds is None:
        raise CheckError(reasons.LINK_NO_ANSWER())
    return Result("up", found.rtt_seconds)
