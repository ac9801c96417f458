"""Windows' programs and libraries (PE/COFF): which files are some, for which processor, signed or not."""

from __future__ import annotations

import struct
from typing import Final

#: IMAGE_FILE_MACHINE_*: the platforms that Python has packages for.
PLATFORMS: Final = {0x8664: "win-amd64", 0x014C: "win32", 0xAA64: "win-arm64"}
_PE32_PLUS: Final = 0x20B
_CERTIFICATE_TABLE: Final = 4


def _header(data: bytes) -> int:
    """Where the PE header begins; 0 where the file is none."""
    if data[:2] != b"MZ" or len(data) < 64:
        return 0
    at = int.from_bytes(data[60:64], "little")
    return at if data[at : at + 4] == b"PE\0\0" and len(data) >= at + 26 else 0


def is_pe(data: bytes) -> bool:
    return _header(data) > 0


def platform_of(data: bytes) -> str:
    """As :func:`sysconfig.get_platform` says it; empty where it is not a PE file, or of another processor."""
    at = _header(data)
    return PLATFORMS.get(int.from_bytes(data[at + 4 : at + 6], "little"), "") if at else ""


def is_signed(data: bytes) -> bool:
    """Whether a PE file carries a signature. Whose, and whether it is right, is not looked at."""
    at = _header(data)
    if not at:
        return False
    optional = at + 24
    wide = int.from_bytes(data[optional : optional + 2], "little") == _PE32_PLUS
    entry = optional + (112 if wide else 96) + 8 * _CERTIFICATE_TABLE
    if len(data) < entry + 8:
        return False
    place, size = struct.unpack_from("<II", data, entry)
    return bool(place and size)
