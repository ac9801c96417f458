"""A connection to where it may go, that ends when its time is over however slowly the other side speaks."""

from __future__ import annotations

import errno
import socket
import threading
import time
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from agent import reasons
from agent.probe.services.result import CheckError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.probe.services.settings import Services

_NO_NETWORK = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


class Deadline:
    """A point in time that all of one check shares."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds, never less than one hundredth, so that a socket does not wait for ever."""
        return max(0.01, self._ends - time.monotonic())

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._ends

    def error(self) -> CheckError:
        return CheckError(reasons.SERVICE_SLOW(seconds=f"{self.seconds:g}"))


def addresses_of(host: str, port: int, settings: Services) -> list[str]:
    """The addresses of a host at which it may be asked.

    Raises:
        CheckError: it has none, or one of them may not be probed: a name that leads to this machine or to a
            ministry's network is not followed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CheckError(reasons.SERVICE_NO_ADDRESS(where=host)) from error
    addresses = list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))
    for address in addresses:
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        inner = address != host and (
            parsed.is_loopback or parsed.is_link_local or parsed.is_multicast or parsed.is_unspecified
        )
        if inner or settings.why_not(str(parsed)):
            raise CheckError(reasons.SERVICE_NOT_ALLOWED(where=host, address=address), "unknown")
    return addresses


@contextmanager
def connection(host: str, port: int, settings: Services, deadline: Deadline) -> Iterator[socket.socket]:
    """Closed at the end, and broken off when the deadline is over: whatever reads then gets the end or an error.

    Raises:
        CheckError: there is none.
    """
    addresses = addresses_of(host, port, settings)
    made, last = None, OSError()
    for address in addresses:
        try:
            made = socket.create_connection((address, port), deadline.left / len(addresses))
            break
        except OSError as error:
            last = error
    if made is None:
        if deadline.over or isinstance(last, TimeoutError):
            raise deadline.error() from last
        if last.errno in _NO_NETWORK:
            raise CheckError(reasons.SERVICE_NO_NETWORK(), "unknown") from last
        raise CheckError(
            reasons.SERVICE_NO_CONNECTION(where=f"{host}:{port}", detail=last.strerror or str(last))
        ) from last
    # What reads may have wrapped the socket in TLS; a second handle reaches it all the same.
    second = made.dup()

    def break_off() -> None:
        with suppress(OSError):
            second.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(deadline.left, break_off)
    timer.daemon = True
    timer.start()
    made.settimeout(deadline.left)
    try:
        yield made
    finally:
        timer.cancel()
        with suppress(OSError):
            made.close()
        second.close()
