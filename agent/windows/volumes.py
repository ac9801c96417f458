"""Volumes of this Windows: how full, and whether BitLocker protects them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.collectors.common.files import clean_text
from agent.collectors.storage import used_percent
from agent.windows.wmi import number, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.windows.wmi import Row

CIMV2: Final = r"root\cimv2"
BITLOCKER: Final = r"root\CIMV2\Security\MicrosoftVolumeEncryption"
DISK_FIELDS: Final = ("DeviceID", "VolumeName", "FileSystem", "Size", "FreeSpace", "Access")
ENCRYPTION_FIELDS: Final = (
    *("DeviceID", "DriveLetter", "ProtectionStatus"),
    *("ConversionStatus", "EncryptionMethod", "VolumeType"),
)
#: Win32_LogicalDisk.DriveType: a local disk.
LOCAL: Final = "DriveType = 3"
MAX_VOLUMES: Final = 64
_READ_ONLY: Final = 1

_CONVERSIONS: Final = (
    "decrypted",
    "encrypted",
    "encrypting",
    "decrypting",
    "encrypting_paused",
    "decrypting_paused",
)
_METHODS: Final = (
    *("none", "aes_128_diffuser", "aes_256_diffuser", "aes_128", "aes_256"),
    *("hardware", "xts_aes_128", "xts_aes_256"),
)
_TYPES: Final = ("system", "fixed", "removable")


def parse_volumes(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """The ``storage`` documents by drive letter; a volume without a size (no medium, locked) is left out."""
    found = {}
    for row in rows:
        mount = clean_text(text(row, "DeviceID"), 16)
        total, free = number(row, "Size"), number(row, "FreeSpace")
        if not mount or not total or free is None or not 0 <= free <= total:
            continue
        found[mount] = {
            "mount": mount,
            "device": clean_text(text(row, "VolumeName"), 64),
            "filesystem": clean_text(text(row, "FileSystem"), 32).lower(),
            "total_bytes": total,
            "used_percent": used_percent(total, free, free),
            "read_only": number(row, "Access") == _READ_ONLY,
        }
    return dict(sorted(found.items())[:MAX_VOLUMES])


def parse_encryption(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """The ``disk_encryption`` documents by drive letter (a volume without one by its id).

    ``state`` is ``on`` where the key is protected too: a volume whose protection is suspended can be read by anybody.
    ``conversion`` and ``method`` are ``unknown`` on Windows before 10, whose class does not have them.
    """
    found = {}
    for row in rows:
        item = clean_text(text(row, "DriveLetter"), 16) or clean_text(text(row, "DeviceID"), 120)
        if not item:
            continue
        protection = number(row, "ProtectionStatus")
        conversion = _word(_CONVERSIONS, number(row, "ConversionStatus"))
        state, reason = {0: "off", 1: "on"}.get(protection if protection is not None else 2, "unknown"), ""
        if protection == 0 and conversion == "encrypted":
            reason = reasons.PROTECTION_SUSPENDED()
        elif state == "unknown":
            reason = reasons.VOLUME_LOCKED()
        found[item] = {
            "volume": item,
            "state": state,
            "reason": reason,
            "product": "bitlocker",
            "conversion": conversion,
            "method": _word(_METHODS, number(row, "EncryptionMethod")),
            "type": _word(_TYPES, number(row, "VolumeType")),
        }
    return dict(sorted(found.items())[:MAX_VOLUMES])


def _word(words: tuple[str, ...], code: int | None) -> str:
    return words[code] if code is not None and 0 <= code < len(words) else "unknown"
