"""What happens in a simulated province in one slice of time: the same for the same seed, whenever it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from agent.simulator.machines import Machine, draw
from agent.simulator.mix import kinds, make_events

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from agent.messages import Event
    from agent.simulator.mix import Incident, Kind, Mix

#: How much time is worked out at once.
SLICE_SECONDS: Final = 5.0
#: Vietnam's clock, which a working day keeps to.
_ZONE_SECONDS: Final = 7 * 3600.0
_PATCHED_KERNEL: Final = {
    "10.0.19045.5011": "10.0.19045.5131",
    "10.0.19044.3086": "10.0.19044.5131",
    "10.0.22631.4317": "10.0.22631.4460",
    "10.0.17763.6414": "10.0.17763.6532",
}


class Happening(Struct, frozen=True):
    """``events`` to send at once; for how long (seconds) the antivirus is off, or the machine away; and what the
    machine is from now on, where that changes."""

    machine: int
    kind: str
    events: list[Event]
    antivirus_off_seconds: float = 0.0
    away_seconds: float = 0.0
    machine_now: Machine | None = None


class Happenings:
    """What happens to ``machines``, from ``began`` (seconds since the epoch) on."""

    def __init__(self, machines: Sequence[Machine], seed: int, mix: Mix, began: float) -> None:
        self._seed = seed
        self._mix = mix
        self._began = began
        self._kinds = kinds()
        self._awake = [machine for machine in machines if not machine.silent]
        self._places = {
            name: [m for m in self._awake if kind.suits(m)] or self._awake
            for name, kind in self._kinds.items()
        }

    def slice(self, number: int) -> list[Happening]:
        """All of the slice (``number`` × :data:`SLICE_SECONDS` after the epoch), in the order of their drawing."""
        if not self._awake:
            return []
        start = number * SLICE_SECONDS
        busy = self._mix.hours[int((start + _ZONE_SECONDS) // 3600) % 24]
        rng = draw(self._seed, "slice", number)
        found: list[Happening] = []
        for name, rate in self._mix.province_per_hour.items():
            found += self._some(name, busy * rate, rng, start)
        for name, rate in self._mix.machine_per_hour.items():
            found += self._some(name, busy * rate * len(self._places[name]), rng, start)
        for place, incident in enumerate(self._mix.incident):
            found += self._befalls(place, incident, start)
        return found

    def changed_before(self, now: float) -> dict[int, Machine]:
        """What machines have become by now, by index, where that is not what they were drawn as."""
        changed: dict[int, Machine] = {}
        for place, incident in enumerate(self._mix.incident):
            since = min(now - self._began - incident.after_minutes * 60, incident.minutes * 60)
            if incident.kind in ("patches", "clones") and since > 0:
                for machine in self._struck(place, incident, 0.0, since):
                    changed[machine.index] = self._changed(incident, machine) or machine
        return changed

    def _some(self, name: str, per_hour: float, rng: random.Random, start: float) -> Iterator[Happening]:
        share = per_hour * SLICE_SECONDS / 3600
        for _ in range(int(share) + (rng.random() < share % 1)):
            machine = rng.choice(self._places[name])
            yield self._make(name, machine, rng, start + rng.uniform(0, SLICE_SECONDS))

    def _make(self, name: str, machine: Machine, rng: random.Random, at: float) -> Happening:
        kind: Kind = self._kinds[name]
        return Happening(machine.index, name, make_events(kind, machine, rng, at), kind.antivirus_off_seconds)

    def _befalls(self, place: int, incident: Incident, start: float) -> Iterator[Happening]:
        first = self._began + incident.after_minutes * 60
        since, length = start - first, incident.minutes * 60
        if not -SLICE_SECONDS < since < length:
            return
        for machine in self._struck(place, incident, max(0.0, since), since + SLICE_SECONDS):
            rng = draw(self._seed, "incident", place, machine.index)
            events: list[Event] = []
            for name in incident.events:
                events += self._make(name, machine, rng, start).events
            away = length if incident.kind == "outage" else rng.uniform(*incident.away_seconds)
            yield Happening(
                machine.index,
                incident.kind,
                events,
                away_seconds=away,
                machine_now=self._changed(incident, machine),
            )

    def _struck(self, place: int, incident: Incident, since: float, until: float) -> list[Machine]:
        """Whom it strikes between ``since`` and ``until`` (seconds of its own): each machine once."""
        rng = draw(self._seed, "struck", place)
        if incident.kind == "outage":
            codes = sorted({m.token.agency_code for m in self._awake})
            chosen = set(rng.sample(codes, max(1, round(len(codes) * incident.share))))
            return [m for m in self._awake if m.token.agency_code in chosen] if since == 0 else []
        windows = [m for m in self._awake if m.system.family == "windows"]
        if incident.kind == "worm":
            # LAN by LAN, in an order of its own: who is struck next is near who was struck last.
            lans = {m.token.agency_code: rng.random() for m in windows}
            order = sorted(windows, key=lambda m: (lans[m.token.agency_code], m.index))
            most = round(len(order) * incident.share)
            doubling = incident.double_minutes * 60
            before = 0 if since == 0 else min(most, int(2 ** (since / doubling)))
            return order[before : min(most, int(2 ** (until / doubling)))]
        order = windows if incident.kind == "patches" else self._awake
        rng.shuffle(order := list(order))
        order = order[: round(len(order) * incident.share)]
        length = incident.minutes * 60
        return order[int(len(order) * since / length) : int(len(order) * min(1.0, until / length))]

    def _changed(self, incident: Incident, machine: Machine) -> Machine | None:
        if incident.kind == "patches":
            kernel = _PATCHED_KERNEL.get(machine.system.kernel, machine.system.kernel)
            system = structs.replace(machine.system, kernel=kernel)
            return structs.replace(machine, system=system, updates_pending=False)
        if incident.kind == "clones":
            image = next(m for m in self._awake if m.token.agency_code == machine.token.agency_code)
            return structs.replace(
                machine, name=image.name, serial=image.serial, uuid=image.uuid, mac=image.mac
            )
        return None
