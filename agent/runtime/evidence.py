"""What tells this machine from others, read when it enrols and when the agent starts.

None of it proves anything to the collector. To the agent it says whether it still runs where its key was made: a copied
disk takes the key along, and two machines must not report as one.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Final

from agent.collectors.common.dmi import MAX_DISKS, is_junk, read_disk_serials
from agent.messages import HostFacts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MAX_MACS: Final = 64
_CASE: Final = ("product_uuid", "serial_number", "board_serial", "chassis_serial")


def host_facts(root: Path) -> HostFacts:
    """What the host says of itself; what cannot be read is left empty, a maker's placeholder is told as it is."""
    if sys.platform == "win32":
        from agent.windows.identity import host_facts as of_windows

        return of_windows()

    dmi = root / "sys/class/dmi/id"
    return HostFacts(
        hostname=socket.gethostname()[:255],
        machine_id=_read(root / "etc/machine-id"),
        product_uuid=_read(dmi / "product_uuid"),
        serial_number=_read(dmi / "product_serial"),
        mac_addresses=_some(_macs(root / "sys/class/net"), _MAX_MACS),
        board_serial=_read(dmi / "board_serial"),
        chassis_serial=_read(dmi / "chassis_serial"),
        disk_serials=_some(read_disk_serials(root / "sys"), MAX_DISKS),
    )


def is_other_machine(before: HostFacts, now: HostFacts) -> bool:
    """Whether the case says so by everything that is known of both. Where nothing of it is known, other cards and
    another system do; a new card, a new disk or a system set up anew alone do not."""
    known = [
        (one, other)
        for name in _CASE
        if not is_junk(one := getattr(before, name)) and not is_junk(other := getattr(now, name))
    ]
    if known:
        return all(_plain(one) != _plain(other) for one, other in known)
    cards, now_cards = set(before.mac_addresses), set(now.mac_addresses)
    other_system = bool(before.machine_id and now.machine_id) and before.machine_id != now.machine_id
    return other_system and bool(cards and now_cards) and cards.isdisjoint(now_cards)


def _plain(text: str) -> str:
    return "".join(text.lower().split())


def _macs(folder: Path) -> set[str]:
    """Of cards, not of what software makes."""
    found = {_read(each / "address").lower() for each in _folders(folder) if (each / "device").exists()}
    return found - {"", "00:00:00:00:00:00"}


def _folders(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()


def _some(values: set[str], most: int) -> list[str]:
    return sorted(values)[:most]


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode("utf-8", "replace").strip("\0 \t\r\n")[:255]
    except OSError:
        return ""
