"""What endpoints saw of their networks, into devices and addresses, and the events of what is new there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from collector.detect.step import Origin, Step
from collector.detect.values import moment
from collector.devices.service import DevicesView, Watcher
from collector.devices.sightings import Sighting

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from collector.detect.handover import Fired, Look
    from collector.devices.service import Observed, Replugged
    from collector.settings import Settings


@dataclass(frozen=True, slots=True)
class Told:
    """The endpoint that looked, as the worker knew it then."""

    id: str
    agency_id: int | None
    simulated: bool
    about: dict[str, Any]

    def fields(self) -> dict[str, Any]:
        return self.about


class WholeStep(Step):
    """A step of ``correlate``, of number ``number``. ``shown``: those of its own events that correlations saw."""

    def __init__(self, session: Session, settings: Settings, number: int) -> None:
        super().__init__(settings)
        self.number = number
        self.devices = DevicesView(session, timedelta(hours=settings.coverage.device_baseline_hours))
        self.shown: list[Fired] = []


def take_look(step: WholeStep, look: Look) -> None:
    """Note whose the cards are and what was seen, and make the events of it."""
    if look.own_macs is not None:
        step.devices.own(look.endpoint_id, look.agency_id, frozenset(look.own_macs))
    if look.agency_id is None:
        return
    watcher = Watcher(look.endpoint_id, look.agency_id, look.simulated, moment(look.received_at))
    told = Told(look.endpoint_id, look.agency_id, look.simulated, look.about)
    origin = Origin(look.received_at, step.number, *look.identity)
    if look.seen:
        observed = step.devices.observe(
            watcher, look.sightings(), first_look=look.first_look, cards=look.cards
        )
        _tell_devices(step, told, origin, watcher, observed)
    if look.gateway is not None:
        observed = step.devices.observe_gateway(watcher, Sighting(*look.gateway), first_look=look.first_look)
        _tell_devices(step, told, origin, watcher, observed)
    if look.noted_places:
        step.devices.place(watcher, look.noted_places)
    moved = step.devices.place(watcher, look.places) if look.places else []
    if look.own_place is not None:
        moved += step.devices.place(watcher, [look.own_place], by="self")
    for replugged in moved:
        _tell_replugged(step, told, origin, replugged)


def _tell_devices(step: WholeStep, about: Told, origin: Origin, watcher: Watcher, told: Observed) -> None:
    for new in told.new:
        device = {
            **asdict(new),
            "first_seen": watcher.when.timestamp(),
            "agency_known_devices": new.known_devices,
        }
        del device["known_devices"]
        step.derive(about, origin, "device", {"device": device}, action="device_new")
    for action, count in (("devices_many", told.many), ("devices_full", told.full)):
        if count:
            step.derive(about, origin, "device", {"device": {"count": count}}, action=action)
    for moved in told.moved:
        fields = {
            "device": {
                "ip": moved.ip,
                "mac": moved.mac,
                "held_seconds": moved.held_seconds,
                "gateway": moved.gateway,
            },
            "changed": ["device.mac"],
            "previous": {"device": {"mac": moved.previous_mac}},
        }
        step.derive(about, origin, "ip_binding", fields, action="binding_changed")


def _tell_replugged(step: WholeStep, about: Told, origin: Origin, replugged: Replugged) -> None:
    device = asdict(replugged)
    previous = {"switch": device.pop("previous_switch"), "port": device.pop("previous_port")}
    changed = [f"device.{name}" for name, before in previous.items() if device[name] != before]
    fields = {"device": device, "changed": changed, "previous": {"device": previous}}
    step.derive(about, origin, "device", fields, action="device_replugged")
