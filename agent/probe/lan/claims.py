"""Who says that an address is his, and what happens when somebody else says so too.

When another card takes an address, the probe asks for the address and waits who answers: one answer is a move, two are
a duplicate or a forgery. What was measured is told; what it means is a rule's to say.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
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
MANY_ADDRESSES: Final = 8
#: The same two cards at the same address are told of once in this time.
REPEAT_SECONDS: Final = 300.0
#: Who took a gateway's address counts as the gateway once nobody else has had it for so long.
SETTLED_SECONDS: Final = 86_400.0
_MOST_ADDRESSES: Final = 8_192
#: Claims that are counted of one card, and of all cards together; the card that was silent the longest gives way.
_MOST_CLAIMS: Final = 1_024
_MOST_CLAIMS_OF_ALL: Final = 32_768
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
    """What one card claimed lately: ``(when, address, unasked)``, and how often each address is among it."""

    claims: deque[tuple[float, str, bool]] = field(default_factory=deque)
    addresses: Counter[str] = field(default_factory=Counter)
    told: int = 0
    told_at: float = 0.0

    def claim(self, ip: str, now: float, *, unasked: bool) -> None:
        self.claims.append((now, ip, unasked))
        self.addresses[ip] += 1
        while now - self.claims[0][0] > WINDOW_SECONDS or len(self.claims) > _MOST_CLAIMS:
            _at, old, _unasked = self.claims.popleft()
            self.addresses[old] -= 1
            if not self.addresses[old]:
                del self.addresses[old]


class Claims:
    """Addresses of one family. ``ask``: send a request for an address; ``tell``: an event's action and fields.

    ``gateways``: addresses of gateways, of which it is said. ``bound``: what was known of them before a restart.
    ``unchecked``: how many moves found no room for a check, and cards none for claims that still count.
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
        self.unchecked = 0
        self._holders: OrderedDict[str, str] = OrderedDict(bound)
        #: The card of each gateway, whoever says to have its address at the moment; and when it last moved.
        self._routers = {ip: mac for ip, mac in bound.items() if ip in self.gateways}
        self._moved_at: dict[str, float] = {}
        self._checks: dict[str, _Check] = {}
        self._cards: OrderedDict[str, _Card] = OrderedDict()
        self._claims = 0
        self._told: OrderedDict[tuple[str, frozenset[str]], float] = OrderedDict()

    def look_after(self, gateways: Collection[str]) -> None:
        """These addresses are gateways', too."""
        for ip in set(gateways) - self.gateways:
            self.gateways.add(ip)
            if ip in self._holders:
                self._routers[ip] = self._holders[ip]

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
            if ip in self.gateways:
                self._routers.setdefault(ip, mac)
        elif holder != mac:
            self._hold(ip, mac)
            if ip in self.gateways:
                self._moved_at[ip] = now
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
            self.unchecked += 1
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
            card = self._cards[mac] = _Card()
        self._cards.move_to_end(mac)
        self._claims -= len(card.claims)
        card.claim(ip, now, unasked=unasked)
        self._claims += len(card.claims)
        self._make_room(now)
        if now - card.told_at > REPEAT_SECONDS:
            card.told = 0
        if len(card.addresses) < max(MANY_ADDRESSES, 2 * card.told):
            return
        addresses = sorted(card.addresses)
        card.told, card.told_at = len(addresses), now
        self._tell(
            "addresses_claimed",
            {
                "mac": mac,
                "addresses": addresses[:_SAMPLE],
                "addresses_count": len(addresses),
                "gateway": any(each in self.gateways for each in addresses),
                "gateway_card": self._is_gateway(mac, now),
                "unasked_count": sum(each for _at, _ip, each in card.claims),
                "window_seconds": WINDOW_SECONDS,
            },
        )

    def _make_room(self, now: float) -> None:
        while len(self._cards) > _MOST_ADDRESSES or self._claims > _MOST_CLAIMS_OF_ALL:
            _mac, oldest = self._cards.popitem(last=False)
            self._claims -= len(oldest.claims)
            self.unchecked += now - oldest.claims[-1][0] <= WINDOW_SECONDS

    def _is_gateway(self, mac: str, now: float) -> bool:
        """Whether a gateway is this card, and not one that has just taken its address."""
        for ip in self.gateways:
            if self._holders.get(ip) == mac and now - self._moved_at.get(ip, now) > SETTLED_SECONDS:
                self._routers[ip] = mac
        return mac in self._routers.values()


def _has_room(check: _Check, mac: str) -> bool:
    return mac in check.answers or mac == check.previous or len(check.answers) < _MOST_ANSWERING
