"""Who sends: who may, how much of it came, and what was not taken."""

from __future__ import annotations

import threading
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from agent.probe.syslog.settings import Senders as Settings

#: More addresses than a LAN has: those beyond are heard, but not told apart.
MAX_SENDERS: Final = 4_096
#: The address under which the others are counted.
OTHERS: Final = ""
_REMEMBERED: Final = 16_384


class Tally(Struct):
    """Of one sender, since it was last told. ``refused``: what was not taken since it was too much at once; ``broken``:
    connections that lost their place; ``cut``: messages that were too long."""

    messages: int = 0
    bytes: int = 0
    refused: int = 0
    broken: int = 0
    cut: int = 0
    last_at: float = 0.0
    transport: str = ""
    hostname: str = ""
    appname: str = ""
    certificate: str = ""


class Senders:
    """Counts; any thread may."""

    def __init__(self, settings: Settings) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(each) for each in settings.networks]
        self._rate = settings.datagrams_per_second
        self._may: dict[str, bool] = {}
        self._second = 0
        self._in_second: dict[str, int] = {}
        self._tallies: dict[str, Tally] = {}
        self._strangers = 0
        self._lock = threading.Lock()

    def may_send(self, address: str) -> bool:
        known = self._may.get(address)
        if known is None:
            if len(self._may) >= _REMEMBERED:
                self._may.clear()
            ip = ip_address(address.partition("%")[0])
            known = self._may[address] = any(
                ip.version == each.version and ip in each for each in self._networks
            )
        if not known:
            self._strangers += 1
        return known

    def is_too_much(self, address: str, now: float) -> bool:
        """Whether one datagram more of ``address`` is beyond its rate."""
        if int(now) != self._second:
            self._second = int(now)
            self._in_second.clear()
        count = self._in_second.get(address, 0) + 1
        self._in_second[address] = count
        return count > self._rate

    def tally(self, address: str) -> Tally:
        with self._lock:
            found = self._tallies.get(address)
            if found is None:
                address = address if len(self._tallies) < MAX_SENDERS else OTHERS
                found = self._tallies.setdefault(address, Tally())
            return found

    def take(self) -> tuple[dict[str, Tally], int]:
        """Who was heard since the last call, and how often somebody was turned away who may not send."""
        with self._lock:
            taken, self._tallies = self._tallies, {}
            strangers, self._strangers = self._strangers, 0
            return taken, strangers


def plain(address: str) -> str:
    """An address as people write it: IPv4 that came over an IPv6 socket as IPv4."""
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address
