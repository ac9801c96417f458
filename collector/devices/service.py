"""Devices, their addresses and whose they are, as one step of the worker sees and changes them.

A device is known by MAC within an agency; it is an endpoint where an endpoint says that the MAC is its own,
never because of an IP address. Only endpoints of the device's own agency are asked: what those of others say of their
cards is their word alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, insert, select, update

from collector.devices.approvals import approved
from collector.devices.bounds import MOST_DEVICES, MOST_NEW, Room
from collector.devices.cards import Card, merged
from collector.devices.history import note_addresses
from collector.devices.macs import is_locally_administered
from collector.devices.sightings import gateway_of
from collector.devices.standing import of_agency
from collector.devices.vendors import vendor_of
from collector.state.tables import Assignment, Device, Document, Endpoint, EndpointMac, IpBinding
from collector.state.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.devices.sightings import Sighting

#: When something was last seen is written once in so long, unless something else of it changes.
SEEN_STEP: Final = timedelta(minutes=10)
#: A device that was away for longer is told anew where nobody approved it.
_LONG_AWAY: Final = timedelta(days=30)
#: Of a device, what the look at the LAN does not decide: people and the clock do, at the same time.
_OTHERS: Final = frozenset({"assigned_kind", "unauthorised_at"})
_CHUNK: Final = 400


@dataclass(frozen=True)
class Watcher:
    """The endpoint that saw something, and when (collector's clock)."""

    endpoint_id: str
    agency_id: int
    simulated: bool
    when: datetime


@dataclass(frozen=True)
class NewDevice:
    """A MAC that its agency did not know. ``baseline``: it came with the first look at a network, so that
    it is not news: within the agency's first day, or in the watcher's first neighbour table."""

    mac: str
    ip: str
    managed: bool
    locally_administered: bool
    known_devices: int
    baseline: bool
    approved: bool
    vendor: str
    name: str


@dataclass(frozen=True)
class MovedAddress:
    """An IP address that another MAC answers for now."""

    ip: str
    mac: str
    previous_mac: str
    held_seconds: int
    gateway: bool


@dataclass(frozen=True)
class Replugged:
    """A device that is plugged in elsewhere than it was."""

    mac: str
    ip: str
    vendor: str
    name: str
    managed: bool
    switch: str
    port: str
    previous_switch: str
    previous_port: str


@dataclass
class Observed:
    """What a look brought. ``many``: so many new devices came within a day that further ones are not told singly;
    ``full``: the agency has as many devices as can be, and others were passed over; each told once a day, with how many
    there are, else 0."""

    new: list[NewDevice] = field(default_factory=list)
    moved: list[MovedAddress] = field(default_factory=list)
    many: int = 0
    full: int = 0


@dataclass
class _Agency:
    room: Room
    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    bindings: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: By MAC and address: when it was seen so, first and last in this step.
    addresses: dict[str, dict[str, tuple[datetime, datetime]]] = field(default_factory=dict)
    approved: set[str] = field(default_factory=set)
    #: MACs that were asked for.
    asked: set[str] = field(default_factory=set)


class DevicesView:
    """Devices of the agencies that a step touches, with the step's own changes over them.

    ``baseline``: for so long after an agency's first device was seen, what is new there is no news.
    """

    def __init__(self, session: Session, baseline: timedelta) -> None:
        self._session = session
        self._baseline = baseline
        self._agencies: dict[int, _Agency] = {}
        #: By agency and MAC.
        self._owners: dict[int, dict[str, str | None]] = {}
        #: By endpoint, its agency and its cards.
        self._macs: dict[str, tuple[int | None, frozenset[str]]] = {}
        self._gateways: dict[str, str | None] = {}

    def observe(
        self,
        watcher: Watcher,
        seen: Iterable[Sighting],
        *,
        first_look: bool,
        cards: Mapping[str, Card] | None = None,
        quiet: bool = False,
    ) -> Observed:
        """Take in a neighbour table; ``cards``: what it says of some MACs beside their addresses; ``quiet``: what is
        new there is no news, though it is not of the baseline for that."""
        sightings = list(seen)
        cards = cards or {}
        agency = self._agency(watcher, {each.mac for each in sightings}, {each.ip for each in sightings})
        self._load_owners(watcher.agency_id, {sighting.mac for sighting in sightings})
        observed = Observed()
        answering: dict[str, set[str]] = {}
        for sighting in sightings:
            answering.setdefault(sighting.ip, set()).add(sighting.mac)
        for sighting in sightings:
            device = agency.devices.get(sighting.mac)
            if device is None:
                if agency.room.known >= MOST_DEVICES:
                    if agency.room.tell_full(watcher.when):
                        observed.full = agency.room.known
                    continue
                card = cards.get(sighting.mac, Card())
                new = self._new(agency, watcher, sighting, card, first_look=first_look, quiet=quiet)
                if new.baseline or new.managed or new.approved or agency.room.fresh <= MOST_NEW:
                    observed.new.append(new)
                elif agency.room.tell_many(watcher.when):
                    observed.many = agency.room.fresh
            else:
                self._seen(device, watcher, sighting)
                if sighting.mac in cards:
                    _learn(device, cards[sighting.mac])
            if not sighting.ip:
                continue
            addresses = agency.addresses.setdefault(sighting.mac, {})
            addresses[sighting.ip] = (addresses.get(sighting.ip, (watcher.when,))[0], watcher.when)
            bound = agency.bindings.get(sighting.ip)
            if bound is not None and bound["mac"] != sighting.mac and bound["mac"] in answering[sighting.ip]:
                continue  # both are there: nothing moved
            moved = self._bind(agency, watcher, sighting)
            if moved is not None:
                observed.moved.append(moved)
        return observed

    def observe_gateway(self, watcher: Watcher, gateway: Sighting, *, first_look: bool) -> Observed:
        """The device is the watcher's default gateway: network equipment."""
        self._gateways[watcher.endpoint_id] = gateway.mac
        observed = self.observe(watcher, [gateway], first_look=first_look, quiet=True)
        device = self._agencies[watcher.agency_id].devices.get(gateway.mac)
        if device is not None and device["kind"] != "gateway":
            device["kind"] = "gateway"
            device["_changed"] = True
        return observed

    def place(
        self, watcher: Watcher, places: Iterable[tuple[str, str, str]], *, by: str = "table"
    ) -> list[Replugged]:
        """Note where cards are plugged in, by MAC, switch and port; cards that nobody saw are passed over. Returns
        those that were elsewhere.

        ``by``: who says so, a switch's forwarding ``table`` or the machine ``self``, by what its switch tells it. The
        two name one port differently, so a table is believed first, and another word of the other is no move.
        """
        said = list(places)
        agency = self._agency(watcher, {mac for mac, _switch, _port in said}, ())
        moved = []
        for mac, switch, port in said:
            device = agency.devices.get(mac)
            before = None if device is None else (device["switch"], device["port"])
            if device is None or before is None or before == (switch, port):
                continue
            said_by = device["placed_by"] if before != ("", "") else by
            if by == "self" and said_by == "table":
                continue
            device.update(switch=switch, port=port, placed_at=watcher.when, placed_by=by, _changed=True)
            if before != ("", "") and said_by == by:
                owner = device["endpoint_id"]
                moved.append(
                    Replugged(
                        mac,
                        device["ip"],
                        device["vendor"],
                        device["name"],
                        owner is not None,
                        switch,
                        port,
                        *before,
                    )
                )
        return moved

    def own(self, endpoint_id: str, agency_id: int | None, macs: frozenset[str]) -> None:
        """The endpoint's own MACs, as its host document says now. Where two of an agency claim one, the first keeps
        it."""
        self._macs[endpoint_id] = (agency_id, macs)
        if agency_id is None:
            return
        self._load_owners(agency_id, macs)
        owners = self._owners[agency_id]
        for mac, owner in owners.items():
            if owner is None and mac in macs:
                owners[mac] = endpoint_id
            elif owner == endpoint_id and mac not in macs:
                owners[mac] = None
        if (agency := self._agencies.get(agency_id)) is not None:
            for mac in macs & agency.devices.keys():
                agency.devices[mac].update(endpoint_id=owners[mac], _changed=True)

    def flush(self, session: Session) -> None:
        """Write the changes, in the caller's transaction; endpoints that are gone are left out."""
        named: set[str | None] = set(self._macs)
        for agency in self._agencies.values():
            named.update(*((each["endpoint_id"], each["seen_by"]) for each in agency.devices.values()))
            named.update(each["seen_by"] for each in agency.bindings.values())
        alive = _existing(session, named)

        def there(endpoint_id: str | None) -> str | None:
            return endpoint_id if endpoint_id in alive else None

        for endpoint_id, (its_agency, macs) in self._macs.items():
            if endpoint_id in alive:
                _write_macs(session, endpoint_id, its_agency, macs, self._owners.get(its_agency or 0, {}))
        new, changed, bindings, back = [], [], [], []
        for agency_id, agency in self._agencies.items():
            for device in agency.devices.values():
                row = {key: value for key, value in device.items() if not key.startswith("_")}
                row["seen_by"] = there(row["seen_by"])
                row["endpoint_id"] = there(row["endpoint_id"])
                if device.get("id") is None:
                    row.pop("id", None)
                    new.append({**row, "agency_id": agency_id})
                elif device.get("_changed"):
                    changed.append({key: value for key, value in row.items() if key not in _OTHERS})
                    if device.get("_back"):
                        back.append(device["id"])
            bindings += [
                {
                    **{key: value for key, value in binding.items() if not key.startswith("_")},
                    "agency_id": agency_id,
                    "seen_by": there(binding["seen_by"]),
                }
                for binding in agency.bindings.values()
                if binding.get("_changed")
            ]
        if new:
            session.execute(insert(Device), new)
        if changed:
            session.execute(update(Device), changed)
        for start in range(0, len(back), _CHUNK):
            again = update(Device).where(Device.id.in_(back[start : start + _CHUNK]))
            session.execute(again.values(unauthorised_at=None))
        upsert(session, IpBinding, bindings, ("agency_id", "ip"))
        for agency_id, agency in self._agencies.items():
            note_addresses(session, agency_id, agency.addresses, SEEN_STEP)
            agency.room.write(session, agency_id)

    def _new(
        self,
        agency: _Agency,
        watcher: Watcher,
        sighting: Sighting,
        card: Card,
        *,
        first_look: bool,
        quiet: bool,
    ) -> NewDevice:
        owner = self._owners[watcher.agency_id].get(sighting.mac)
        known = agency.room.known
        since = agency.room.since_at(watcher.when)
        baseline = first_look or watcher.when - since < self._baseline
        agency.room.took(fresh=not baseline)
        facts = merged({}, card)
        name = next(iter(facts["names"]), "")
        vendor = vendor_of(sighting.mac)
        agency.devices[sighting.mac] = {
            "id": None,
            "mac": sighting.mac,
            "ip": sighting.ip,
            "kind": "",
            "endpoint_id": owner,
            "seen_by": watcher.endpoint_id,
            "simulated": watcher.simulated,
            "first_seen_at": watcher.when,
            "last_seen_at": watcher.when,
            "assigned_kind": "",
            "vendor": vendor,
            "name": name,
            "switch": "",
            "port": "",
            "facts": facts,
            "placed_at": None,
            "placed_by": "",
            "baseline": baseline,
        }
        return NewDevice(
            sighting.mac,
            sighting.ip,
            managed=owner is not None,
            locally_administered=is_locally_administered(sighting.mac),
            known_devices=known,
            baseline=baseline or quiet,
            approved=sighting.mac in agency.approved,
            vendor=vendor,
            name=name,
        )

    def _seen(self, device: dict[str, Any], watcher: Watcher, sighting: Sighting) -> None:
        before = {key: device[key] for key in ("endpoint_id", "ip", "simulated")}
        moved = watcher.when - device["last_seen_at"]
        device["endpoint_id"] = self._owners[watcher.agency_id].get(sighting.mac)
        # A device shows its IPv4 address where it has one.
        if sighting.ip and (":" not in sighting.ip or ":" in device["ip"] or not device["ip"]):
            device["ip"] = sighting.ip
        # What a real machine sees is real.
        device["simulated"] = device["simulated"] and watcher.simulated
        if moved >= SEEN_STEP or any(device[key] != value for key, value in before.items()):
            device["last_seen_at"] = max(device["last_seen_at"], watcher.when)
            device["seen_by"] = watcher.endpoint_id
            device["_changed"] = True
        if moved > _LONG_AWAY:
            device["_back"] = True

    def _bind(self, agency: _Agency, watcher: Watcher, sighting: Sighting) -> MovedAddress | None:
        binding = agency.bindings.get(sighting.ip)
        if binding is None:
            agency.bindings[sighting.ip] = {
                "ip": sighting.ip,
                "mac": sighting.mac,
                "seen_by": watcher.endpoint_id,
                "changed_at": watcher.when,
                "last_seen_at": watcher.when,
                "_changed": True,
            }
            return None
        if binding["mac"] == sighting.mac:
            if watcher.when - binding["last_seen_at"] >= SEEN_STEP:
                binding.update(last_seen_at=watcher.when, seen_by=watcher.endpoint_id, _changed=True)
            return None
        if not self._same_lan(binding["seen_by"], watcher.endpoint_id):
            return None  # two networks of one agency may use the same private addresses
        moved = MovedAddress(
            sighting.ip,
            sighting.mac,
            binding["mac"],
            held_seconds=max(0, int((watcher.when - binding["changed_at"]).total_seconds())),
            gateway=agency.devices.get(binding["mac"], {}).get("kind") == "gateway",
        )
        binding.update(
            mac=sighting.mac,
            seen_by=watcher.endpoint_id,
            changed_at=watcher.when,
            last_seen_at=watcher.when,
            _changed=True,
        )
        return moved

    def _same_lan(self, one: str | None, other: str) -> bool:
        if one is None or one == other:
            return True
        gateway = self._gateway(one)
        return gateway is not None and gateway == self._gateway(other)

    def _gateway(self, endpoint_id: str) -> str | None:
        if endpoint_id not in self._gateways:
            body = self._session.scalar(
                select(Document.body).where(
                    Document.endpoint_id == endpoint_id, Document.kind == "lan", Document.item == ""
                )
            )
            gateway = gateway_of(body)
            self._gateways[endpoint_id] = None if gateway is None else gateway.mac
        return self._gateways[endpoint_id]

    def _agency(self, watcher: Watcher, seen: Collection[str], addresses: Collection[str]) -> _Agency:
        agency_id = watcher.agency_id
        agency = self._agencies.get(agency_id)
        if agency is None:
            agency = self._agencies[agency_id] = _Agency(Room.read(self._session, agency_id, watcher.when))
        macs = sorted(set(seen) - agency.devices.keys() - agency.asked)
        agency.asked.update(macs)
        agency.approved |= approved(self._session, agency_id, macs, watcher.when)
        for start in range(0, len(macs), _CHUNK):
            query = select(*_DEVICE_COLUMNS).where(
                Device.agency_id == agency_id, Device.mac.in_(macs[start : start + _CHUNK])
            )
            for row in self._session.execute(query).mappings():
                agency.devices[row["mac"]] = dict(row)
        ips = sorted(set(addresses) - agency.bindings.keys())
        for start in range(0, len(ips), _CHUNK):
            bound = select(*_BINDING_COLUMNS).where(
                IpBinding.agency_id == agency_id, IpBinding.ip.in_(ips[start : start + _CHUNK])
            )
            for row in self._session.execute(bound).mappings():
                agency.bindings[row["ip"]] = dict(row)
        return agency

    def _load_owners(self, agency_id: int, macs: Collection[str]) -> None:
        """Which of the agency's own endpoints have the cards; those in use before retired ones."""
        owners = self._owners.setdefault(agency_id, {})
        missing = sorted(set(macs) - owners.keys())
        for start in range(0, len(missing), _CHUNK):
            part = missing[start : start + _CHUNK]
            owners.update(dict.fromkeys(part))
            query = (
                select(EndpointMac.mac, EndpointMac.endpoint_id)
                .join(Endpoint, Endpoint.id == EndpointMac.endpoint_id)
                .join(Assignment, of_agency(agency_id))
                .where(EndpointMac.mac.in_(part))
            )
            order = (Endpoint.retired_at.is_not(None), EndpointMac.endpoint_id)
            for mac, endpoint_id in self._session.execute(query.order_by(*order)):
                owners[mac] = owners[mac] or endpoint_id


_DEVICE_COLUMNS = (
    Device.id,
    Device.mac,
    Device.ip,
    Device.kind,
    Device.endpoint_id,
    Device.seen_by,
    Device.simulated,
    Device.first_seen_at,
    Device.last_seen_at,
    Device.assigned_kind,
    Device.vendor,
    Device.name,
    Device.switch,
    Device.port,
    Device.facts,
    Device.placed_at,
    Device.placed_by,
    Device.baseline,
)
_BINDING_COLUMNS = (
    IpBinding.ip,
    IpBinding.mac,
    IpBinding.seen_by,
    IpBinding.changed_at,
    IpBinding.last_seen_at,
)


def _learn(device: dict[str, Any], card: Card) -> None:
    """What the device tells of itself now, and the vendor of those that were known before vendors were."""
    facts = merged(device["facts"] or {}, card)
    name, vendor = next(iter(facts["names"]), ""), device["vendor"] or vendor_of(device["mac"])
    if (facts, name, vendor) != (device["facts"], device["name"], device["vendor"]):
        device.update(facts=facts, name=name, vendor=vendor, _changed=True)


def _existing(session: Session, ids: Collection[str | None]) -> set[str]:
    found: set[str] = set()
    wanted = sorted(filter(None, ids))
    for start in range(0, len(wanted), _CHUNK):
        part = wanted[start : start + _CHUNK]
        found.update(session.scalars(select(Endpoint.id).where(Endpoint.id.in_(part))))
    return found


def _write_macs(
    session: Session,
    endpoint_id: str,
    agency_id: int | None,
    macs: frozenset[str],
    owners: Mapping[str, str | None],
) -> None:
    session.execute(
        delete(EndpointMac).where(EndpointMac.endpoint_id == endpoint_id, EndpointMac.mac.not_in(macs))
    )
    rows = [{"endpoint_id": endpoint_id, "mac": mac} for mac in sorted(macs)]
    upsert(session, EndpointMac, rows, ("endpoint_id", "mac"))
    session.execute(
        update(Device)
        .where(Device.endpoint_id == endpoint_id, Device.mac.not_in(macs))
        .values(endpoint_id=None)
    )
    mine = [mac for mac in macs if owners.get(mac) == endpoint_id]
    session.execute(
        update(Device)
        .where(Device.agency_id == agency_id, Device.mac.in_(mine), Device.endpoint_id.is_(None))
        .values(endpoint_id=endpoint_id)
    )
