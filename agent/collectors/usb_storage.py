"""USB storage that is connected and taken away: what it is, and who sits at the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import ValidationError, convert, structs

from agent import reasons
from agent.collectors.common.usb import Disk, block_names, device_of, disk_size, read_disk, user_at_seat
from agent.collectors.common.users import user_name
from agent.collectors.registry import Context, Event, NothingToReport, Output, collector
from agent.messages import LogSource

if TYPE_CHECKING:
    from pathlib import Path

USB: Final = LogSource(product="linux", service="usb")
#: A machine with more USB disks is none that an office has.
MAX_DISKS: Final = 64


def disk_event(action: str, disk: Disk, now: float, *, seen: bool, user: str) -> Event:
    """ECS' names for the device; ``User`` is who sat at the machine, where somebody did. ``DetectedBy``:
    ``comparison`` where it happened while the agent was off."""
    device: dict[str, Any] = {
        "name": disk.name,
        "vendor_id": disk.vendor_id,
        "product_id": disk.product_id,
        "manufacturer": disk.vendor,
        "model": disk.model,
        "serial_number": disk.serial,
        "port": disk.port,
        "size_bytes": disk.size,
    }
    fields: dict[str, Any] = {
        "event.action": action,
        "usb": {key: value for key, value in device.items() if value not in ("", 0)},
        "DetectedBy": "watch" if seen else "comparison",
    }
    if user:
        fields["User"] = user
    return Event(time=now, logsource=USB, fields=fields)


class _Looked:
    """What is in ``/sys/block``, so that only what is new, and what was on USB, has to be looked at."""

    def __init__(self) -> None:
        self.root = ""
        self.names: frozenset[str] = frozenset()
        #: Of disks on USB: where the kernel's entry leads, and what it is.
        self.disks: dict[str, tuple[str, Disk]] = {}

    def look(self, sys: Path, names: frozenset[str]) -> tuple[list[Disk], bool]:
        """``(USB disks with a medium in them, whether this process has looked before)``."""
        before = self.root == str(sys)
        if not before:
            self.root, self.names, self.disks = str(sys), frozenset(), {}
        for name, (device, disk) in list(self.disks.items()):
            if device_of(sys, name) != device:
                del self.disks[name]
                self.names -= {name}
            elif (size := disk_size(sys, name)) != disk.size:
                self.disks[name] = (device, structs.replace(disk, size=size))
        for name in sorted(names - self.names):
            found = read_disk(sys, name)
            if found is not None:
                self.disks[name] = (device_of(sys, name), found)
        self.names = names
        return [disk for _, disk in self.disks.values() if disk.size][:MAX_DISKS], before


_looked = _Looked()


def _recalled(kept: object) -> dict[str, Disk]:
    try:
        return convert(kept, dict[str, Disk])
    except ValidationError:
        return {}


@collector(
    "usb_storage",
    interval_seconds=2,
    platforms={"linux"},
    privileges="none",
    description="USB storage connected and taken away: maker, model, serial number, size and who sat at the machine; "
    "never what is on it",
)
def collect(ctx: Context) -> Output:
    names = block_names(ctx.sys)
    if names is None:
        raise NothingToReport(reasons.NOTHING_READABLE(path="/sys/block"))
    disks, seen = _looked.look(ctx.sys, names)
    here = {disk.identity: disk for disk in disks}
    before = _recalled(ctx.state.get("disks", {}))
    if here.keys() == before.keys():
        return Output()
    uid = user_at_seat(ctx.root) if seen else None
    user = "" if uid is None else user_name(uid)
    now = ctx.now()
    events = [
        disk_event("usb_storage_disconnected", disk, now, seen=seen, user=user)
        for identity, disk in before.items()
        if identity not in here
    ]
    events += [
        disk_event("usb_storage_connected", disk, now, seen=seen, user=user)
        for identity, disk in here.items()
        if identity not in before
    ]
    ctx.state["disks"] = {identity: structs.asdict(disk) for identity, disk in here.items()}
    return Output(events=events)
