"""Who says that an address is his, and what happens when somebody else says so too.

When another card takes an address, the probe asks for the address and waits who answers: one answer is a move, two are
a duplicate or a forgery. What was measured is told; what it means is a rule's to say.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

#: How long answers are awaited: for a gateway's address, where every second counts; and for others, where it takes some
#: announcements to tell somebody who insists (every second or two) from one that came with a duplicate (RFC 5227: two).
GATEWAY_SECONDS: Final = 2.0
CHECK_SECONDS: Final = 6.0
#: Over how long claims are counted.
WINDOW_SECONDS: Final = 60.0
#: A card that claims so many addresses within the window is told of, and again at twice as many.
MANY_ADDRESSES: Final = 5
#: The same two cards at the same address are told of once in this time.
REPEAT_SECONDS: Final = 300.0
_MOST_ADDRESSES: Final = 8_192
#: Checks at one time of addresses that are no gateway's, and cards whose answers one check counts.
_MOST_CHECKS: Final = 64
_MOST_ANSWERING: Final = 64
_SAMPLE: Final = 8


class _Check(Struct):
    """``answers``: replies of each card since then."""

    previous: str
    mac: str
    since: float
    answers: dict[str, int] = field(default_factory=dict)


class _Card(Struct):
    """What one card claimed lately: ``(when, address, unasked)``."""

    claims: deque[tuple[float, str, bool]]
    told: int = 0
    told_at: float = 0.0


class Claims:
    """Addresses of one family. ``ask``: send a request for an address; ``tell``: an event's action and fields.

    ``gateways``: addresses of gateways, of which it is said. ``bound``: what was known of them before a restart.
    """

    def __init__(
        self,
        ask: Callable[[str], None],
        tell: Callable[[str, dict[str, Any]], None],
        *,
        gateways: Collection[str],
        bound: dict[str, str],
    ) -> None:
        self._ask = ask
        self._tell = tell
        self.gateways = set(gateways)
        self._holders: OrderedDict[str, str] = OrderedDict(bound)
        self._checks: dict[str, _Check] = {}
        self._cards: OrderedDict[str, _Card] = OrderedDict()
        self._told: OrderedDict[tuple[str, frozenset[str]], float] = OrderedDict()

    def bound_gateways(self) -> dict[str, str]:
        """The card of each gateway, to be remembered over a restart."""
        return {ip: self._holders[ip] for ip in sorted(self.gateways) if ip in self._holders}

    def claimed(self, ip: str, mac: str, now: float, *, unasked: bool, counts: bool = True) -> None:
        """``mac`` speaks as ``ip``. ``unasked``: without having been asked; ``counts``: as an answer or an
        announcement, which says more than asking somebody else."""
        check = self._checks.get(ip)
        if check is not None and counts and _has_room(check, mac):
            check.answers[mac] = check.answers.get(mac, 0) + 1
        holder = self._holders.get(ip)
        if holder is None:
            self._hold(ip, mac)
        elif holder != mac:
            self._hold(ip, mac)
            if check is None:
                self._begin(ip, holder, mac, now, counts=counts)
        if counts:
            self._count(mac, ip, now, unasked=unasked)

    def run(self, now: float) -> None:
        """End the checks whose time is over. Call at least once a second."""
        for ip, check in [*self._checks.items()]:
            if now - check.since >= (GATEWAY_SECONDS if ip in self.gateways else CHECK_SECONDS):
                del self._checks[ip]
                self._settle(ip, check, now)

    def _hold(self, ip: str, mac: str) -> None:
        self._holders[ip] = mac
        self._holders.move_to_end(ip)
        while len(self._holders) > _MOST_ADDRESSES:
            # A gateway's card is never forgotten for addresses that somebody makes up.
            oldest = next((each for each in self._holders if each not in self.gateways), ip)
            del self._holders[oldest]

    def _begin(self, ip: str, previous: str, mac: str, now: float, *, counts: bool) -> None:
        told = self._told.get((ip, frozenset((previous, mac))))
        if told is not None and now - told < REPEAT_SECONDS:
            return
        if len(self._checks) >= _MOST_CHECKS and ip not in self.gateways:
            return
        self._checks[ip] = _Check(previous, mac, now, {mac: 1} if counts else {})
        self._ask(ip)

    def _settle(self, ip: str, check: _Check, now: float) -> None:
        pair = frozenset((check.previous, check.mac))
        self._told[ip, pair] = now
        self._told.move_to_end((ip, pair))
        while len(self._told) > _MOST_ADDRESSES:
            self._told.popitem(last=False)
        self._tell(
            "address_moved",
            {
                "ip": ip,
                "mac": check.mac,
                "previous_mac": check.previous,
                "gateway": ip in self.gateways,
                "answering_count": len(check.answers),
                "answering": sorted(check.answers)[:_SAMPLE],
                "previous_answers": check.previous in check.answers,
                "unasked_count": self._unasked(check.mac, ip, now),
                "window_seconds": WINDOW_SECONDS,
            },
        )

    def _unasked(self, mac: str, ip: str, now: float) -> int:
        card = self._cards.get(mac)
        if card is None:
            return 0
        return sum(
            unasked and claimed == ip and now - at <= WINDOW_SECONDS for at, claimed, unasked in card.claims
        )

    def _count(self, mac: str, ip: str, now: float, *, unasked: bool) -> None:
        card = self._cards.get(mac)
        if card is None:
            card = self._cards[mac] = _Card(deque(maxlen=1_024))
            while len(self._cards) > _MOST_ADDRESSES:
                self._cards.popitem(last=False)
        self._cards.move_to_end(mac)
        card.claims.append((now, ip, unasked))
        while now - card.claims[0][0] > WINDOW_SECONDS:
            card.claims.popleft()
        if now - card.told_at > REPEAT_SECONDS:
            card.told = 0
        if len(card.claims) < max(MANY_ADDRESSES, 2 * card.told):
            return
        addresses = sorted({claimed for _at, claimed, _unasked in card.claims})
        if len(addresses) < max(MANY_ADDRESSES, 2 * card.told):
            return
        card.told, card.told_at = len(addresses), now
        self._tell(
            "addresses_claimed",
            {
                "mac": mac,
                "addresses": addresses[:_SAMPLE],
                "addresses_count": len(addresses),
                "gateway": any(each in self.gateways for each in addresses),
                "gateway_card": any(self._holders.get(each) == mac for each in self.gateways),
                "unasked_count": sum(each for _at, _ip, each in card.claims),
                "window_seconds": WINDOW_SECONDS,
            },
        )


def _has_room(check: _Check, mac: str) -> bool:
    return mac in check.answers or mac == check.previous or len(check.answers) < _MOST_ANSWERING
