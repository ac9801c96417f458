"""Disks on USB as ``/sys/block`` shows them. What a device says of itself is the word of whoever made it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.collectors.common.files import clean_text, read_bytes, read_text

_SECTOR: Final = 512
_MAX_BYTES: Final = 1 << 62
#: A disk lies at most so deep below its USB device (interface, host, target, unit, ``block``).
_LEVELS: Final = 8


class Disk(Struct, frozen=True):
    """``name`` is the kernel's (``sdb``); ``vendor_id`` and ``product_id`` four hex digits; texts are empty where
    the device does not say. ``size`` in bytes, 0: a reader without a card."""

    name: str
    vendor_id: str
    product_id: str
    vendor: str
    model: str
    serial: str
    port: str
    size: int

    @property
    def identity(self) -> str:
        """The same for the same device, over restarts and under another name of the kernel's; one without a number
        of its own is known by the port it is in. Several disks of one device (a reader's slots) are told apart."""
        return f"{self.vendor_id}:{self.product_id}:{self.serial or self.port}:{self.size}"


def block_names(sys: Path) -> frozenset[str] | None:
    """Names in ``/sys/block``; ``None`` where there is none."""
    try:
        return frozenset(os.listdir(f"{sys}/block"))  # noqa: PTH208 - asked every few seconds
    except OSError:
        return None


def device_of(sys: Path, name: str) -> str:
    """Where the entry leads: another device may get the same name at once. Empty where it is gone."""
    try:
        return os.readlink(f"{sys}/block/{name}")  # noqa: PTH115 - a text
    except OSError:
        return ""


def disk_size(sys: Path, name: str) -> int:
    """Bytes; 0 where it cannot be read."""
    text = (read_bytes(sys / "block" / name / "size", 32) or b"").strip()
    return min(int(text) * _SECTOR, _MAX_BYTES) if text.isdigit() and len(text) < 18 else 0


def read_disk(sys: Path, name: str) -> Disk | None:
    """``None`` where ``name`` is no disk on USB."""
    try:
        place = Path(os.path.realpath(sys / "block" / name))
    except (OSError, ValueError):
        return None
    if not any(re.fullmatch(r"usb[0-9]+", part) for part in place.parts):
        return None
    for folder in list(place.parents)[:_LEVELS]:
        vendor_id = _text(folder / "idVendor")
        if vendor_id:
            return Disk(
                name=clean_text(name, 32),
                vendor_id=vendor_id[:4],
                product_id=_text(folder / "idProduct")[:4],
                vendor=_text(folder / "manufacturer") or _text(place.parent.parent / "vendor"),
                model=_text(folder / "product") or _text(place.parent.parent / "model"),
                serial=_text(folder / "serial"),
                port=clean_text(folder.name, 64),
                size=disk_size(sys, name),
            )
    return None


def _text(path: Path) -> str:
    return clean_text((read_bytes(path, 512) or b"").decode("utf-8", "replace"), 128)


def parse_seat(text: str) -> int | None:
    """The number of the user who sits at the machine (``ACTIVE_UID`` of ``/run/systemd/seats/seat0``)."""
    match = re.search(r"^ACTIVE_UID=([0-9]{1,10})$", text, re.MULTILINE)
    return int(match[1]) if match and int(match[1]) < 1 << 32 else None


def user_at_seat(root: Path) -> int | None:
    """``None`` where nobody sits there, or logind does not say."""
    return parse_seat(read_text(root / "run/systemd/seats/seat0", 4096) or "")
