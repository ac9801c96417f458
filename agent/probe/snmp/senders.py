"""Who may send traps, and how many: judged by the address alone, before anything of a datagram is decoded."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.probe.snmp.settings import SnmpSettings

#: Senders whose rate is watched at once.
_SENDERS: Final = 4_096


class Senders:
    """The devices of the settings and ``[traps] networks``. ``unknown`` and ``too_many`` count what is not taken."""

    def __init__(self, settings: SnmpSettings) -> None:
        versions = {each.name: each.version for each in settings.credentials.credential}
        self._names = {str(ip_address(each.address)): each.name for each in settings.devices.device}
        # Traps with a community are open to whoever overheard one: not of a device that is asked with version 3, unless
        # the settings name a community's credential for traps.
        named = any(versions[name] == "2c" for name in settings.traps.credentials)
        self._strict = {
            str(ip_address(each.address))
            for each in settings.devices.device
            if versions[each.credential] == "3" and not named
        }
        self._networks = [ip_network(each) for each in settings.traps.networks]
        self._per_second = settings.traps.per_second
        self._recent: dict[str, deque[float]] = {}
        self.unknown = self.too_many = 0

    def admits(self, sender: str, now: float) -> bool:
        """Whether a datagram of this address is looked at. ``now``: any clock's seconds."""
        if not self._is_known(sender):
            self.unknown += 1
            return False
        recent = self._recent.get(sender)
        if recent is None:
            if len(self._recent) >= _SENDERS:
                self._recent.clear()
            recent = self._recent[sender] = deque()
        while recent and now - recent[0] > 1.0:
            recent.popleft()
        if len(recent) >= self._per_second:
            self.too_many += 1
            return False
        recent.append(now)
        return True

    def name(self, sender: str) -> str:
        """The device's name in the settings; empty for another sender of a permitted network."""
        return self._names.get(sender, "")

    def needs_version_3(self, sender: str) -> bool:
        return sender in self._strict

    def _is_known(self, sender: str) -> bool:
        return sender in self._names or (bool(self._networks) and self._is_within(sender))

    def _is_within(self, sender: str) -> bool:
        address = ip_address(sender)
        return any(address in each for each in self._networks)


@lru_cache(maxsize=4_096)
def plain(address: str) -> str:
    """An IP address as it is written everywhere, of what a socket calls its sender."""
    return str(ip_address(address.partition("%")[0]))
