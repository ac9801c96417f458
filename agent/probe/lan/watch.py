"""Joins what the frames say: into devices, claims to addresses, servers and routers, and the switch port."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent.collectors.registry import Event
from agent.messages import LogSource
from agent.probe.lan import building
from agent.probe.lan.authorities import Authorities
from agent.probe.lan.claims import Claims
from agent.probe.lan.devices import Devices
from agent.probe.lan.dhcpv6 import Dhcpv6Client, Dhcpv6Server
from agent.probe.lan.frames import (
    Arp,
    DhcpClient,
    DhcpServer,
    Named,
    Neighbour,
    Router,
    Switch,
    read_frame,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from agent.probe.lan.settings import Watch as WatchSettings

#: An answer counts as asked for within this of the probe's request.
_ASKED_SECONDS: Final = 3.0
#: No more events than this of one kind within a minute, those of gateways and known servers apart; the rest is counted.
MOST_EVENTS: Final = 30
_SWITCH_SECONDS: Final = 600.0
_VIRTUAL_ROUTERS: Final = ("00:00:5e:00:01:", "00:00:5e:00:02:", "00:00:0c:07:ac:", "00:00:0c:9f:f")


class LanWatch:
    """``send`` puts a frame on the wire. ``now`` in every method: wall clock. Not thread-safe.

    ``events`` and ``switch`` are what there is to tell; who tells takes them away. ``memory`` is what is to be
    remembered over a restart.
    """

    def __init__(
        self,
        settings: WatchSettings,
        memory: dict[str, Any],
        *,
        interface: str,
        mac: str,
        send: Callable[[bytes], object],
        gateways: Collection[str],
        now: float,
    ) -> None:
        self.interface, self.mac = interface, mac
        self.ipv4, self.ipv6 = "", ""
        self.devices = Devices()
        self.events: list[Event] = []
        #: By kind (``arp address_moved``): events that found no room in their minute.
        self.untold: Counter[str] = Counter()
        self._missed: dict[str, int] = {}
        self._untold: Counter[str] = Counter()
        self.switch: dict[str, Any] | None = None
        self._switch_at = 0.0
        self._send = send
        self._now = now
        self._asked: dict[str, float] = {}
        self._minute = 0
        self._told: Counter[tuple[str, str, bool]] = Counter()
        self._transaction = self._transaction6 = 0
        self._since = float(memory.get("since") or now)
        # A probe of before it knew DHCPv6 learns from now on.
        self._since6 = float(memory.get("dhcpv6_since") or now)
        until = self._since + settings.learn_seconds
        wanted = {*gateways, *settings.gateways}
        bound = {ip: card for ip, card in (memory.get("gateways") or {}).items() if ip in wanted}
        self.arp = Claims(self.ask, self._teller("arp"), gateways=wanted, bound=bound)
        self.nd = Claims(self.ask, self._teller("neighbor_discovery"), gateways=wanted, bound=bound)
        self._dhcp = Authorities(
            self._tell_dhcp,
            allowed=settings.dhcp_servers,
            learnt=memory.get("dhcp") or (),
            learn_until=until,
        )
        self._dhcpv6 = Authorities(
            self._tell_dhcp,
            allowed=settings.dhcpv6_servers,
            learnt=memory.get("dhcpv6") or (),
            learn_until=self._since6 + settings.learn_seconds,
        )
        self._routers = Authorities(
            self._tell_router,
            allowed=settings.routers,
            learnt=memory.get("routers") or (),
            learn_until=until,
            gathers=("prefixes", "dns"),
        )

    def memory(self) -> dict[str, Any]:
        return {
            "since": self._since,
            "gateways": {
                ip: card
                for claims in (self.arp, self.nd)
                for ip, card in claims.bound_gateways().items()
                if (":" in ip) == (claims is self.nd)
            },
            "dhcp": sorted(self._dhcp.learnt),
            "dhcpv6": sorted(self._dhcpv6.learnt),
            "dhcpv6_since": self._since6,
            "routers": sorted(self._routers.learnt),
        }

    def addressed(self, addresses: Collection[str]) -> None:
        """The interface's own addresses (with prefix lengths), which are claimed by its own card."""
        plain = [each.partition("/")[0] for each in addresses]
        self.ipv4 = next((each for each in plain if ":" not in each), "")
        self.ipv6 = next((each for each in plain if each.startswith("fe80:")), "")
        for ip in plain:
            (self.nd if ":" in ip else self.arp).claimed(ip, self.mac, self._now, unasked=False, counts=False)

    # -- what is sent ----------------------------------------------------------------------------------------

    def ask(self, ip: str) -> None:
        """Send one request for an address."""
        self._asked[ip] = self._now
        if ":" not in ip:
            self._send(building.arp_request(self.mac, self.ipv4, ip))
        elif self.ipv6:
            self._send(building.neighbour_solicitation(self.mac, self.ipv6, ip))

    def ask_all_ipv6(self) -> None:
        """An echo request to all nodes, and one for routers to show themselves."""
        if self.ipv6:
            self._send(building.echo_to_all(self.mac, self.ipv6, random.getrandbits(16)))
            self._send(building.router_solicitation(self.mac, self.ipv6))

    def look_after(self, gateways: Collection[str]) -> None:
        """These addresses are gateways', too."""
        self.arp.look_after(gateways)
        self.nd.look_after(gateways)

    def ask_dhcp(self, *, ipv6: bool) -> None:
        """Ask DHCP servers for an offer; ``ipv6``: those of DHCPv6, too."""
        self._transaction = random.getrandbits(32)
        self._send(building.dhcp_discover(self.mac, self._transaction))
        if ipv6 and self.ipv6:
            self._transaction6 = random.getrandbits(24)
            # Who hands out name servers alone answers the second only, who hands out addresses alone the first.
            for kind in (building.SOLICIT, building.INFORMATION_REQUEST):
                self._send(building.dhcpv6_request(self.mac, self.ipv6, kind, self._transaction6))

    # -- what is heard ---------------------------------------------------------------------------------------

    def take(self, data: bytes, now: float) -> None:
        """A frame came in."""
        self._now = now
        frame = read_frame(data)
        if isinstance(frame, Arp):
            self._take_arp(frame)
        elif isinstance(frame, Neighbour):
            self._take_neighbour(frame)
        elif isinstance(frame, Router):
            self._take_router(frame)
        elif isinstance(frame, DhcpServer):
            self._take_dhcp(frame)
        elif isinstance(frame, Dhcpv6Server):
            self._take_dhcpv6(frame)
        elif isinstance(frame, DhcpClient | Dhcpv6Client):
            self._heard(frame.mac, frame.ip, "dhcp", frame.hostname, frame.vendor_class)
        elif isinstance(frame, Named):
            self._heard(frame.mac, "", frame.how, frame.announced.name)
        elif isinstance(frame, Switch):
            self._take_switch(frame)

    def run(self, now: float) -> None:
        """What time alone brings. Call about once a second."""
        self._now = now
        self.arp.run(now)
        self.nd.run(now)
        for ip in [ip for ip, at in self._asked.items() if now - at > _ASKED_SECONDS]:
            del self._asked[ip]
        if self.switch is not None and now - self._switch_at > _SWITCH_SECONDS:
            self.switch = None

    def _heard(self, mac: str, ip: str, how: str, name: str = "", vendor_class: str = "") -> None:
        if mac != self.mac:
            self.devices.heard(mac, ip, how, self._now, name=name, vendor_class=vendor_class)

    def _take_arp(self, arp: Arp) -> None:
        told = arp.ip != "0.0.0.0"  # noqa: S104 - a probe of RFC 5227 claims nothing
        self._heard(arp.mac, arp.ip if told else "", "arp")
        if told:
            announces = arp.reply or arp.ip == arp.target_ip
            # Somebody else's broadcast question can be the reason of a reply that we see, never of one to all.
            unasked = announces and self._now - self._asked.get(arp.ip, 0.0) > _ASKED_SECONDS
            self.arp.claimed(arp.ip, arp.mac, self._now, unasked=unasked, counts=announces)

    def _take_neighbour(self, neighbour: Neighbour) -> None:
        self._heard(neighbour.mac, neighbour.ip, "nd")
        unasked = neighbour.claims and not neighbour.solicited
        self.nd.claimed(neighbour.ip, neighbour.mac, self._now, unasked=unasked, counts=neighbour.claims)

    def _take_router(self, router: Router) -> None:
        self._heard(router.mac, router.ip, "nd")
        says = msgspec.to_builtins(router)
        del says["mac"], says["ip"]
        # A router may leave options out, or say them in turn (RFC 4861, 6.2.3).
        for name in ("prefixes", "dns"):
            if not says[name]:
                del says[name]
        if not router.lifetime_seconds:
            # It is nobody's gateway, for good or while it restarts: what it is otherwise stays as it was.
            says = {name: says[name] for name in ("prefixes", "dns") if name in says}
            if not says:
                return
        self._routers.spoke(router.ip, router.mac, says, self._now, {"ip": router.ip, "mac": router.mac})

    def _take_dhcp(self, server: DhcpServer) -> None:
        self._heard(server.mac, server.ip, "dhcp")
        if server.message == "nak":  # it offers nothing
            says: dict[str, Any] = {}
        else:
            says = {"routers": server.routers, "dns": server.dns, "domain": server.domain}
        also = {
            "server": {"ip": server.server, "mac": server.mac},
            "message": server.message,
            "offered_ip": server.offered_ip,
            "relay_ip": server.relay,
            "lease_seconds": server.lease_seconds,
            "client_mac": server.client_mac,
            "asked": server.client_mac == self.mac and server.transaction == self._transaction,
        }
        self._dhcp.spoke(server.server, server.mac, says, self._now, also)

    def _take_dhcpv6(self, server: Dhcpv6Server) -> None:
        self._heard(server.mac, server.ip, "dhcp")
        # It says what it was asked for, and that is not the same with each client.
        says = {name: value for name, value in (("dns", server.dns), ("domain", server.domain)) if value}
        also = {
            "server": {"ip": server.ip, "mac": server.mac, "duid": server.duid},
            "message": server.message,
            "offered_ip": server.offered_ip,
            "lease_seconds": server.lease_seconds,
            "asked": server.transaction == self._transaction6,
        }
        self._dhcpv6.spoke(server.ip, server.mac, says, self._now, also, server=server.duid)

    def _take_switch(self, switch: Switch) -> None:
        # Where phones sit between, there are two; the first is kept while it speaks.
        told = {
            "interface": self.interface,
            "mac": self.mac,
            "switch_mac": switch.mac,
            **msgspec.to_builtins(switch.port),
        }
        if self.switch is None or self.switch["switch_mac"] == switch.mac:
            self.switch, self._switch_at = told, self._now

    # -- events ----------------------------------------------------------------------------------------------

    def _teller(self, category: str) -> Callable[[str, dict[str, Any]], None]:
        def tell(action: str, body: dict[str, Any]) -> None:
            if action == "address_moved":
                # Anybody can take such a MAC; only a pair of routers hands an address from one to another.
                cards = (body["mac"], body["previous_mac"])
                body = {**body, "virtual_router": all(mac.startswith(_VIRTUAL_ROUTERS) for mac in cards)}
            self._tell(category, action, body, {"source": {"mac": body["mac"], "ip": body.get("ip", "")}})

        return tell

    def _tell_dhcp(self, body: dict[str, Any]) -> None:
        server = body["server"]
        self._tell(
            "dhcp",
            "server_answered",
            body,
            {
                "source": {"ip": server["ip"], "mac": server["mac"]},
                "network": {"type": "ipv6" if "duid" in server else "ipv4"},
            },
        )

    def _tell_router(self, body: dict[str, Any]) -> None:
        self._tell(
            "neighbor_discovery",
            "router_advertised",
            body,
            {"source": {"mac": body.pop("mac"), "ip": body.pop("ip")}},
        )

    def tell_limits(self, *, frames: int, dropped: int) -> None:
        """Make an event of what was not told, not listed, not checked or not heard since the last call, if anything.
        ``frames``: how many came in since then; ``dropped``: of those, for how many the kernel had no room."""
        missed = {
            "left_out_count": self.untold.total(),
            "unlisted_count": self.devices.untold,
            "unchecked_count": self.arp.unchecked + self.nd.unchecked,
        }
        news = {name: number - self._missed.get(name, 0) for name, number in missed.items()}
        left_out = sorted(self.untold - self._untold)
        self._missed, self._untold = missed, self.untold.copy()
        if not dropped and not any(news.values()):
            return
        body = {
            "interface": self.interface,
            **news,
            "frames_count": frames,
            "dropped_count": dropped,
            "dropped_ratio": round(dropped / frames, 4) if frames else 0.0,
        }
        if left_out:
            body["left_out"] = left_out
        fields = {
            "event": {"action": "limit_reached"},
            "probe": {"part": "lan", "interface": self.interface},
            "capture": body,
        }
        self.events.append(Event(self._now, LogSource(product="probe", category="capture"), fields))

    def _tell(self, category: str, action: str, body: dict[str, Any], also: dict[str, Any]) -> None:
        minute = int(self._now // 60)
        if minute != self._minute:
            self._minute = minute
            self._told.clear()
        kind = (category, action, bool(body.get("gateway") or body.get("known")))
        if self._told[kind] >= MOST_EVENTS:
            self.untold[f"{category} {action}"] += 1
            return
        self._told[kind] += 1
        fields = {
            "event": {"action": action},
            "probe": {"part": "lan", "interface": self.interface},
            category: body,
            **also,
        }
        self.events.append(Event(self._now, LogSource(product="probe", category=category), fields))
