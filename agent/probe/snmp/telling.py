"""What is told of a device: its documents, its metrics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from agent.collectors.registry import Metric, StatusDocument

if TYPE_CHECKING:
    from agent.probe.snmp.device import Polled
    from agent.probe.snmp.traffic import Sums

DEVICE: Final = "network_device"
ADDRESSES: Final = "network_addresses"
ARP: Final = "network_arp"
KINDS: Final = (DEVICE, ADDRESSES, ARP)
_UNITS: Final = ("ratio", "celsius", "seconds", "count", "bytes")


def device_document(polled: Polled, now: float) -> StatusDocument:
    """``network_device``: who it is, how it fares, its interfaces and its neighbours by LLDP. Of a device that has not
    answered since the part began, what was told last, with how it fares now."""
    settings, memory = polled.settings, polled.memory
    body: dict[str, Any] = {
        "name": settings.name,
        "address": settings.address,
        "reachable": bool(polled.reachable),
        "reason": polled.reason,
    }
    if not polled.values and polled.told:
        return StatusDocument(DEVICE, now, {**polled.told, **body}, settings.name)
    if memory.clock is not None:
        body["started_at"] = round(memory.clock.began)
        body["restart_count"] = memory.restarts
    if polled.values:
        body |= polled.identity()
        for state in polled.profile.states:
            _put(body, state.field, _word(state.words, polled.values.get(state.oid)))
    uplinks = polled.uplinks()
    body["macs"] = polled.own_macs()
    body["interfaces"] = [
        {
            "name": each.name,
            "alias": each.alias,
            "index": each.index,
            "admin": each.admin,
            "status": each.status,
            "speed_bits": each.speed,
            "duplex": each.duplex,
            "mac": each.mac,
            "uplink": each.name in uplinks,
            "uplink_new": each.name in memory.paths.late and each.name not in settings.uplinks,
            "many_errors": each.name in polled.many_errors,
            "changed_at": polled.last_change.get(at),
        }
        for at, each in polled.interfaces.items()
    ]
    body["neighbours"] = [
        {
            "name": f"{each.interface} {each.chassis} {each.port}",
            "interface": each.interface,
            "chassis": each.chassis,
            "port": each.port,
            "system_name": each.system_name,
            "description": each.description,
            "network": each.network,
            "new": not polled.knows(each),
        }
        for each in polled.neighbours
    ]
    return StatusDocument(DEVICE, now, body, settings.name)


def addresses_document(polled: Polled, now: float) -> StatusDocument:
    """``network_addresses``: the MACs behind the ports, with what was seen within a week and is at no other device
    since; on ports towards other network devices only what is there now."""
    uplinks, known, name = polled.uplinks(), polled.memory.known, polled.settings.name
    rows: dict[str, dict[str, Any]] = {}
    for entry in polled.entries:
        interface = polled.interfaces[entry.interface].name
        if interface in uplinks:
            rows[entry.mac] = _row(entry.mac, interface, entry.vlan, uplink=True, new=False)
    for address in known.at:
        seen = known.place(address, now)
        if seen is None or seen.interface in uplinks or address in rows:
            continue
        if not polled.around.is_elsewhere(name, address, seen.last):
            rows[address] = _row(address, seen.interface, seen.vlan, uplink=False, new=seen.new)
    # Where there is no room for all, the port with the most gives way: one host can make up any number behind its own.
    behind = Counter(row["interface"] for row in rows.values())
    told = sorted(rows.values(), key=lambda row: (row["uplink"], behind[row["interface"]], row["name"]))
    entries = told[: polled.poll.max_addresses]
    body = {
        "name": name,
        "address": polled.settings.address,
        "count": max(len(entries), polled.entries_total),
        "entries": entries,
    }
    return StatusDocument(ADDRESSES, now, body, name)


def arp_document(polled: Polled, now: float) -> StatusDocument:
    """``network_arp``: which MAC answers for which address, as the device knows it."""
    body = {
        "name": polled.settings.name,
        "entries": [{"ip": ip, "mac": mac} for ip, mac in polled.arp],
    }
    return StatusDocument(ARP, now, body, polled.settings.name)


def metrics_of(polled: Polled, sums: dict[str, Sums], now: float, most: int) -> list[Metric]:
    """At most ``most``: of the device itself first, then of its interfaces, those towards other devices first."""
    name = polled.settings.name
    found = [
        Metric(metric, now, value, _unit(metric), {"device": name}) for metric, value in polled.gauges.items()
    ]
    uplinks = polled.uplinks()
    busiest = sorted(sums, key=lambda each: (each not in uplinks, -(sums[each].received + sums[each].sent)))
    for interface in busiest:
        each = sums[interface]
        if each.seconds <= 0:
            continue
        about = {"device": name, "interface": interface}
        found.append(
            Metric("network.received_bytes", now, round(each.received / each.seconds, 1), "bytes", about)
        )
        found.append(Metric("network.sent_bytes", now, round(each.sent / each.seconds, 1), "bytes", about))
        if each.errors:
            found.append(Metric("network.error_count", now, float(each.errors), "count", about))
        if each.discards:
            found.append(Metric("network.discard_count", now, float(each.discards), "count", about))
    return found[:most]


def _row(mac: str, interface: str, vlan: int | None, *, uplink: bool, new: bool) -> dict[str, Any]:
    return {"name": mac, "interface": interface, "vlan": vlan, "uplink": uplink, "new": new}


def _unit(metric: str) -> str:
    return next(unit for unit in _UNITS if metric.endswith(f"_{unit}"))


def _word(words: dict[int, str], value: object) -> str:
    return words.get(value, "") if isinstance(value, int) else ""


def _put(body: dict[str, Any], field: str, word: str) -> None:
    if not word:
        return
    first, _, second = field.partition(".")
    if second:
        body.setdefault(first, {})[second] = word
    else:
        body[first] = word
