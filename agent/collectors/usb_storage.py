"""USB storage that is connected and taken away: what it is, and who sits at the machine."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from msgspec import ValidationError, convert, structs

from agent import reasons
from agent.collectors.common.usb import Disk, block_names, device_of, disk_size, read_disk, user_at_seat
from agent.collectors.common.users import user_name
from agent.collectors.registry import Context, Event, NothingToReport, Output, collector
from agent.messages import LogSource, Metric

if TYPE_CHECKING:
    from pathlib import Path

USB: Final = LogSource(product="linux", service="usb")
#: A machine with more USB disks is none that an office has.
MAX_DISKS: Final = 64
#: Events in ten minutes: of one device, and of all. A device may change its size, or its number, every second; nobody's
#: hands are so quick.
WINDOW_SECONDS: Final = 600
MAX_OF_DEVICE: Final = 12
MAX_OF_ALL: Final = 120


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
        #: Identities of the disks at the last look.
        self.here: frozenset[str] = frozenset()
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


class _Quota:
    """How many events were told in this window."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._of_device: Counter[str] = Counter()

    def take(self, disk: Disk, now: float) -> bool:
        """Whether one more may be told of it; a clock that was set back begins a window."""
        if not 0 <= now - self._began < WINDOW_SECONDS:
            self._began = now
            self._of_device.clear()
        device = f"{disk.vendor_id}:{disk.product_id}:{disk.serial or disk.port}"
        if self._of_device[device] >= MAX_OF_DEVICE or self._of_device.total() >= MAX_OF_ALL:
            return False
        self._of_device[device] += 1
        return True


_looked = _Looked()
_quota = _Quota()


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
    "never what is on it; at most 12 events of a device and 120 of all in 10 minutes, the rest counted",
)
def collect(ctx: Context) -> Output:
    names = block_names(ctx.sys)
    if names is None:
        raise NothingToReport(reasons.NOTHING_READABLE(path="/sys/block"))
    disks, seen = _looked.look(ctx.sys, names)
    here = {disk.identity: disk for disk in disks}
    fresh, _looked.here = here.keys() ^ _looked.here, frozenset(here)
    told = _recalled(ctx.state.get("disks", {}))
    now = ctx.now()
    changes = [("usb_storage_disconnected", disk) for each, disk in told.items() if each not in here]
    changes += [("usb_storage_connected", disk) for each, disk in here.items() if each not in told]
    # What is over the bound stays a difference to what was told, so how it ends is told in the next window.
    kept = [change for change in changes if _quota.take(change[1], now)]
    for action, disk in kept:
        if action == "usb_storage_connected":
            told[disk.identity] = disk
        else:
            del told[disk.identity]
    metrics = []
    if seen and (dropped := len(fresh - {disk.identity for _, disk in kept})):
        ctx.state["dropped"] = int(ctx.state.get("dropped", 0)) + dropped
        metrics.append(Metric("usb_storage.dropped_count", now, float(ctx.state["dropped"]), unit="count"))
    if not kept:
        return Output(metrics=metrics)
    uid = user_at_seat(ctx.root) if seen else None
    user = "" if uid is None else user_name(uid)
    events = [disk_event(action, disk, now, seen=seen, user=user) for action, disk in kept]
    ctx.state["disks"] = {identity: structs.asdict(disk) for identity, disk in told.items()}
    return Output(events=events, metrics=metrics)
