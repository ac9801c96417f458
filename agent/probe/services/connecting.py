"""A connection to where it may go, that ends when its time is over however slowly the other side speaks."""

from __future__ import annotations

import errno
import socket
import threading
import time
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from agent import reasons
from agent.probe.services.result import CheckError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.probe.services.settings import Services

_NO_NETWORK = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
#: IPv6 addresses whose last 32 bits are an IPv4 address that a translator or the system itself goes on to: NAT64 (RFC
#: 6052, 8215), IPv4-translated (RFC 2765), IPv4-compatible (RFC 4291).
_ENDS_IN_IPV4 = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))
#: ISATAP (RFC 5214): such an interface identifier, with the IPv4 address behind it.
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})


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
            ministry's network is not followed. Nobody reaches the service there: it is down.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CheckError(reasons.SERVICE_NO_ADDRESS(where=host)) from error
    addresses = list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))
    for address in addresses:
        for meant in meanings_of(ip_address(address)):
            inner = address != host and (
                meant.is_loopback or meant.is_link_local or meant.is_multicast or meant.is_unspecified
            )
            if inner or settings.why_not(str(meant)):
                raise CheckError(reasons.SERVICE_NOT_ALLOWED(where=host, address=address))
    return addresses


def meanings_of(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, and each IPv4 address that packets to it may end at."""
    found: list[IPv4Address | IPv6Address] = [address]
    if isinstance(address, IPv4Address):
        return found
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    if any(address in each for each in _ENDS_IN_IPV4) or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        found.append(last)
    return found


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
