"""One device from poll to poll: what is asked of it, and what is known of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from agent.probe.snmp import oids, tables
from agent.probe.snmp.backups import Backups
from agent.probe.snmp.counters import look_at
from agent.probe.snmp.gauges import gauges_of
from agent.probe.snmp.profiles import GENERIC, profile_named, profile_of, version_in
from agent.probe.snmp.session import DeviceError
from agent.probe.snmp.traffic import Sums, Traffic, counters_of
from agent.probe.snmp.values import mac, number, text

if TYPE_CHECKING:
    from agent.probe.snmp.around import Around
    from agent.probe.snmp.known import Memory
    from agent.probe.snmp.profiles import Profile
    from agent.probe.snmp.session import Session
    from agent.probe.snmp.settings import Device as DeviceSettings
    from agent.probe.snmp.settings import Poll
    from agent.probe.snmp.tables import Column, Columns, Entry, Interface, Neighbour
    from agent.probe.snmp.values import Value

_SYSTEM: Final = (
    oids.SYS_DESCR,
    oids.SYS_OBJECT_ID,
    oids.SYS_UP_TIME,
    oids.SYS_NAME,
    oids.SYS_LOCATION,
    oids.SYS_SERVICES,
    oids.HR_SYSTEM_UPTIME,
    oids.LLDP_CHASSIS_SUBTYPE,
    oids.LLDP_CHASSIS,
)
_TICKS: Final = 100.0
#: A table that was empty twice is asked for only now and then: a device may learn it with new firmware.
_EMPTY_TWICE: Final = 2
_NOW_AND_THEN: Final = 12
#: Faulty frames that are fewer are no fault of a line.
_FEW_ERRORS: Final = 10
_MAX_NEIGHBOURS: Final = 200


class Polled:
    """``around``: what is known of all devices that are polled."""

    def __init__(
        self, settings: DeviceSettings, poll: Poll, session: Session, memory: Memory, around: Around
    ) -> None:
        self.settings, self.poll, self.session, self.memory = settings, poll, session, memory
        self.around = around
        self.profile: Profile = profile_named(settings.profile or memory.profile or GENERIC)
        self.reachable: bool | None = None
        self.reason = ""
        #: What single values said, by OID.
        self.values: dict[str, Value] = {}
        self.gauges: dict[str, float] = {}
        self.interfaces: dict[int, Interface] = {}
        self.last_change: dict[int, int] = {}
        self.traffic: dict[int, Traffic] = {}
        self.many_errors: set[str] = set()
        self.neighbours: list[Neighbour] = []
        self.entries: list[Entry] = []
        self.entries_total = 0
        self.arp: list[tuple[str, str]] = []
        self.facts: dict[str, str] = {}
        #: What was told of it last while it answered.
        self.told: dict[str, Any] = {}
        #: When its traffic was told last, and what was known of all devices' MACs when it was told of.
        self.measured_at, self.changes = 0.0, 0
        #: Systems whose backups it tells of.
        self.backups = Backups((), {}, {})
        #: Whether the memory is worth writing down.
        self.dirty = False
        self._failures = 0
        self._absent: set[str] = set()
        self._empty: dict[str, int] = {}
        #: As they were when the tables were read last.
        self._uplinks: set[str] = set()
        self._tables_at = 0.0
        #: How often in a row the tables were begun and not read to their end.
        self._tables_broken = 0
        self._round = 0

    async def ask(self, now: float) -> bool:
        """One poll, with the tables where they are due; say whether they were.

        Raises:
            DeviceError: it does not answer; what was known stays.
        """
        await self._ask_system(now)
        due = not self._tables_at or now - self._tables_at >= self.poll.tables_seconds
        if due:
            await self._ask_tables(now)
        columns = [each.column for each in self.profile.gauges if each.column]
        self.gauges = gauges_of(self.profile, self.values, await self._columns(columns, 64, again=True))
        if due or oids.SENSOR_TYPE not in self._empty:
            celsius = tables.temperature_of(await self._columns(tables.SENSORS, 256))
            if celsius is not None:
                self.gauges.setdefault("network.temperature_celsius", celsius)
        await self._ask_interfaces(now)
        self.reachable, self.reason, self._failures = True, "", 0
        return due

    def failed(self, error: DeviceError) -> bool:
        """Note that it did not answer; say whether it counts as gone now and did not before."""
        self._failures += 1
        for each in self.traffic.values():
            each.counters = ()
        # Tables that broke off twice wait for their time, and the device is asked without them.
        if self._tables_broken == 1:
            self._tables_at = 0.0
        if self._failures < self.poll.unanswered_polls or (not self.reachable and self.reason == str(error)):
            return False
        self.reachable, self.reason = False, str(error)
        if not self._tables_broken:
            self._tables_at = 0.0
        return True

    @property
    def failures(self) -> int:
        """How often in a row it did not answer."""
        return self._failures

    def uplinks(self) -> set[str]:
        """The interfaces that lead to other network devices: as the settings say, by LLDP where that neighbour is
        known, or where another device that is polled was learned."""
        there = {each.name for each in self.interfaces.values()}
        found = set(self.settings.uplinks) | (self.memory.paths.uplinks.keys() & there)
        found.update(each.interface for each in self.neighbours if each.network and self.knows(each))
        return found

    def look_around(self, now: float) -> None:
        """Note which ports lead to other network devices, by the tables as they were read last."""
        said = [(each.interface, each.chassis) for each in self.neighbours if each.network]
        learned = {
            self.interfaces[entry.interface].name
            for entry in self.entries
            if entry.interface in self.interfaces
            and self.around.owner(entry.mac) not in ("", self.settings.name)
        }
        self.dirty = self.memory.paths.take(said, learned, now, self.poll.learn_seconds) or self.dirty

    def knows(self, neighbour: Neighbour) -> bool:
        """Whether it was there within the time of learning, or stands at a port of the settings."""
        return neighbour.interface in self.settings.uplinks or self.memory.paths.knows(
            neighbour.interface, neighbour.chassis
        )

    def own_macs(self) -> list[str]:
        """Of its bridge and its interfaces."""
        bridge = mac(self.values.get(self.profile.scalars.get("bridge_address", "")))
        found = {each.mac for each in self.interfaces.values() if each.mac} | ({bridge} if bridge else set())
        return sorted(found)[:64]

    def judge_errors(self, sums: dict[str, Sums]) -> None:
        """Which interfaces have many faulty frames; one that had them has until they are half as many."""
        for name, each in sums.items():
            ratio = each.errors / max(1, each.frames + each.errors)
            limit = self.poll.errors_ratio / (2 if name in self.many_errors else 1)
            if ratio >= limit and each.errors >= _FEW_ERRORS:
                self.many_errors.add(name)
            else:
                self.many_errors.discard(name)

    # -- asking ------------------------------------------------------------------------------------------------

    async def _ask_system(self, now: float) -> None:
        wanted = [
            oid for oid in (*_SYSTEM, *self.profile.oids(), *self.backups.oids) if oid not in self._absent
        ]
        values = await self.session.get(wanted)
        ticks = number(values.get(oids.SYS_UP_TIME))
        if ticks is None:
            raise DeviceError("SNMP: sysUpTime")
        # What tells of backups may come later than the agent that is asked.
        self._absent |= set(wanted) - values.keys() - set(self.backups.oids)
        self.values = values
        name = self.settings.profile or profile_of(text(values.get(oids.SYS_OBJECT_ID)))
        if name != self.memory.profile:
            self.memory.profile, self.profile, self.dirty = name, profile_named(name), True
            self.values.update(await self.session.get(self.profile.oids()))
        self._look_at_clock(now, ticks / _TICKS)

    def _look_at_clock(self, now: float, seconds: float) -> None:
        memory = self.memory
        memory.engine = look_at(memory.engine, now, seconds)
        whole = number(self.values.get(oids.HR_SYSTEM_UPTIME))
        memory.clock = memory.engine if whole is None else look_at(memory.clock, now, whole / _TICKS)
        if memory.clock.restarted:
            memory.restarts += 1
        if memory.clock.restarted or memory.engine.restarted:
            self.dirty = True
            self._tables_at = 0.0
            self._absent.clear()

    async def _ask_tables(self, now: float) -> None:
        self._round += 1
        self._tables_at = now
        self._tables_broken += 1
        most = self.poll.max_interfaces
        found = tables.interfaces_of(await self._columns(tables.INTERFACES, 4 * most), most)
        self.interfaces = {at: each for at, each in found.items() if not tables.is_inner(each)}
        self.traffic = {at: each for at, each in self.traffic.items() if at in self.interfaces}
        self.facts = tables.chassis_facts(await self._columns(tables.ENTITIES, 400))
        lldp = await self._columns(tables.LLDP, 2 * most)
        self.neighbours = tables.neighbours_of(lldp, self.interfaces)[:_MAX_NEIGHBOURS]
        most = self.poll.max_addresses
        forwarding = await self._columns(tables.FORWARDING, 4 * most)
        self.entries, self.entries_total = tables.forwarding_of(forwarding, self.interfaces, most)
        self.arp = tables.arp_of(await self._columns(tables.NEIGHBOURS, most), most)
        self.around.own(self.settings.name, self.own_macs())
        self.look_around(now)
        uplinks = self.uplinks()
        named = [(entry, self.interfaces[entry.interface].name) for entry in self.entries]
        there = [(entry, name) for entry, name in named if name not in uplinks]
        # Who was behind a port while it led to a network device is no news when it does no more.
        turned = [(entry, name) for entry, name in there if name in self._uplinks]
        self._uplinks = uplinks
        for entries, learn_seconds in ((turned, math.inf), (there, self.poll.learn_seconds)):
            self.dirty = self.memory.known.take(entries, now, learn_seconds) or self.dirty
        self.around.saw(self.settings.name, (entry.mac for entry, _ in there), now)
        self._tables_broken = 0
        if self._round % _NOW_AND_THEN == 0:
            self._absent.clear()

    async def _ask_interfaces(self, now: float) -> None:
        wanted: list[str] = []
        for at, interface in self.interfaces.items():
            wanted += [f"{column}.{at}" for column in _STATES]
            wanted += [f"{column}.{at}" for column in counters_of(interface)]
        found = await self.session.get([oid for oid in wanted if oid not in self._absent])
        self._absent |= {
            oid for oid in wanted if oid not in found and not oid.startswith(oids.IF_OPER_STATUS)
        }
        engine = self.memory.engine
        restarted = engine is None or engine.restarted
        for at, interface in self.interfaces.items():
            interface.status = tables.status_of(found.get(f"{oids.IF_OPER_STATUS}.{at}"))
            interface.admin = tables.admin_of(found.get(f"{oids.IF_ADMIN_STATUS}.{at}"))
            changed = number(found.get(f"{oids.IF_LAST_CHANGE}.{at}"))
            if changed and engine is not None:
                self.last_change[at] = round(engine.began + changed / _TICKS)
            self.traffic.setdefault(at, Traffic()).take(now, interface, found, restarted=restarted)

    async def _columns(
        self, wanted: tuple[str, ...] | list[str], most: int, *, again: bool = False
    ) -> Columns:
        """``again``: asked for with every poll, so that what is empty is left out until the tables are due again."""
        found: Columns = {}
        for column in wanted:
            empty = self._empty.get(column, 0)
            skip = empty >= _EMPTY_TWICE and (again or self._round % _NOW_AND_THEN != 0)
            rows: Column = {} if skip else await self.session.walk(column, most)
            if rows:
                self._empty.pop(column, None)
            elif not skip:
                self._empty[column] = empty + 1
            found[column] = rows
        return found

    # -- what is known -----------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """Names, maker, model and versions: of the profile's own values first, then of ENTITY-MIB and sysDescr."""
        scalars = self.profile.scalars
        own = {
            name: text(self.values.get(oid), 64) for name, oid in scalars.items() if name != "bridge_address"
        }
        description = text(self.values.get(oids.SYS_DESCR))
        vendor = own.pop("vendor", "") or self.profile.vendor or self.facts.get("vendor", "")
        firmware = (
            own.pop("firmware", "") or version_in(self.profile, description) or self.facts.get("firmware", "")
        )
        return {
            "system_name": text(self.values.get(oids.SYS_NAME), 64),
            "description": description,
            "location": text(self.values.get(oids.SYS_LOCATION), 128),
            "object_id": text(self.values.get(oids.SYS_OBJECT_ID), 128),
            "vendor": vendor,
            "product": self.profile.product,
            "model": own.pop("model", "") or self.facts.get("model", ""),
            "serial_number": own.pop("serial_number", "") or self.facts.get("serial_number", ""),
            "firmware": firmware,
            "kind": self._kind(),
            "chassis": tables.chassis_of(
                self.values.get(oids.LLDP_CHASSIS_SUBTYPE), self.values.get(oids.LLDP_CHASSIS)
            ),
            **{name: value for name, value in own.items() if value},
        }

    def _kind(self) -> str:
        if self.profile.kind:
            return self.profile.kind
        # sysServices: bit 2 bridges, bit 3 routes (RFC 3418).
        services = number(self.values.get(oids.SYS_SERVICES)) or 0
        if self.entries or services & 0x02:
            return "switch"
        return "router" if services & 0x04 else "other"


_STATES: Final = (oids.IF_OPER_STATUS, oids.IF_ADMIN_STATUS, oids.IF_LAST_CHANGE, oids.IF_DISCONTINUITY)
