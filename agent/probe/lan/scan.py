"""Whom to ask when: every address of the networks in turn, at a gentle rate, and once more those that should answer."""

from __future__ import annotations

import random
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from agent.probe.lan.settings import Scan

#: The widest network that is scanned without having been named: a /22.
WIDEST_PREFIX: Final = 22
#: All that named networks may add up to.
MOST_ADDRESSES: Final = 65_536
#: Answers are awaited for so long after the last request.
ANSWER_SECONDS: Final = 1.0


class ScanError(Exception):
    """A network of the settings that cannot be scanned; ``str()`` says which and why."""


def networks_of(settings: Scan, own: Iterable[str]) -> list[IPv4Network]:
    """The networks to scan. ``own``: the interface's (``10.0.0.5/24``), of which wide ones are cut to the /22 around
    the address."""
    found = [_network(each) for each in settings.networks]
    if not found:
        for each in own:
            address, _, length = each.partition("/")
            found.append(ip_network(f"{address}/{max(int(length), WIDEST_PREFIX)}", strict=False))  # type: ignore[arg-type]
    if sum(each.num_addresses for each in found) > MOST_ADDRESSES:
        raise ScanError(f"scan.networks: more than {MOST_ADDRESSES} addresses")
    return found


def targets(networks: Iterable[IPv4Network], exclude: Iterable[str], own: Collection[str]) -> list[str]:
    """Every host's address of the networks, each once, but the excluded ones and the probe's own."""
    left_out = [_network(each) for each in exclude]
    found: dict[str, None] = {}
    for network in networks:
        for address in network.hosts():
            if not any(address in each for each in left_out) and str(address) not in own:
                found[str(address)] = None
    return list(found)


def _network(written: str) -> IPv4Network:
    try:
        return IPv4Network(written, strict=False)
    except ValueError as error:
        raise ScanError(f"{written!r} is no IPv4 network or address") from error


class Turns:
    """The order of one scan. Random, so that it is no pattern to others and spares no part of a network by time."""

    def __init__(self, addresses: Collection[str]) -> None:
        self._left = list(addresses)
        random.shuffle(self._left)
        self._again = False

    def next(self, expected: Callable[[], Iterable[str]]) -> str | None:
        """The next to ask; ``None`` when all were. ``expected``: who should have answered and did not; they are asked
        once more at the end."""
        if not self._left and not self._again:
            self._again = True
            self._left = list(expected())
        return self._left.pop() if self._left else None
