"""What the devices that are polled know of each other: whose a MAC is, and where a card was seen last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Cards whose last place is kept; beyond, nothing is known of places elsewhere until it fills again.
_MOST: Final = 100_000


class Around:
    """One for all devices of the part. ``round_seconds``: how often their tables are read."""

    def __init__(self, round_seconds: float) -> None:
        # A bridge forgets who is silent within five minutes; two devices are asked up to a round apart.
        self._later = 300.0 + 2 * round_seconds
        self._owners: dict[str, str] = {}
        self._own: dict[str, frozenset[str]] = {}
        self._seen: dict[str, tuple[str, float]] = {}
        #: Counts up with every change of whose MACs are whose.
        self.changes = 0

    def own(self, device: str, macs: Iterable[str]) -> None:
        """The device's own MACs, instead of those that it had. Where two claim one, the first keeps it."""
        now = frozenset(macs)
        before = self._own.get(device, frozenset())
        if now == before:
            return
        self._own[device] = now
        self.changes += 1
        for mac in before - now:
            if self._owners.get(mac) == device:
                del self._owners[mac]
        for mac in now:
            self._owners.setdefault(mac, device)

    def owner(self, mac: str) -> str:
        """Whose MAC it is; empty: of none that is polled."""
        return self._owners.get(mac, "")

    def saw(self, device: str, macs: Iterable[str], now: float) -> None:
        """These cards are behind access ports of the device."""
        for mac in macs:
            if mac not in self._seen and len(self._seen) >= _MOST:
                self._seen.clear()
            self._seen[mac] = (device, now)

    def is_elsewhere(self, device: str, mac: str, last: float) -> bool:
        """Whether the card, last seen here at ``last``, is behind another device's access port since then."""
        where, when = self._seen.get(mac, (device, 0.0))
        return where != device and when - last > self._later
