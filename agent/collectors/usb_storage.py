"""USB storage that is connected and taken away: what it is, and who sits at the machine."""

from __future__ import annotations

from typing import Any, Final

from msgspec import ValidationError, convert, structs

from agent import reasons
from agent.collectors.common.usb import Disk, block_links, disk_size, read_disk, user_at_seat
from agent.collectors.common.users import user_name
from agent.collectors.registry import Context, Event, NothingToReport, Output, collector
from agent.messages import LogSource

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
    """What is in ``/sys/block``, so that only what is new has to be looked at."""

    def __init__(self) -> None:
        self.root = ""
        #: By the kernel's name and where its link leads: another device may get the name at once.
        self.disks: dict[tuple[str, str], Disk | None] = {}

    def look(self, ctx: Context) -> tuple[list[Disk], bool]:
        """``(USB disks with a medium in them, whether this process has looked before)``."""
        before = self.root == str(ctx.sys)
        if not before:
            self.root, self.disks = str(ctx.sys), {}
        here = block_links(ctx.sys)
        self.disks = {key: disk for key, disk in self.disks.items() if key in here}
        for key in sorted(here):
            known = self.disks.get(key)
            if key not in self.disks:
                self.disks[key] = read_disk(ctx.sys, key[0])
            elif known is not None and (size := disk_size(ctx.sys, key[0])) != known.size:
                self.disks[key] = structs.replace(known, size=size)
        return [disk for disk in self.disks.values() if disk is not None and disk.size][:MAX_DISKS], before


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
    if not (ctx.sys / "block").is_dir():
        raise NothingToReport(reasons.NOTHING_READABLE(path="/sys/block"))
    disks, seen = _looked.look(ctx)
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
