"""What SNMP says, made fit to be told: texts, numbers, addresses. Every device may say anything; all here is pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

#: What gufo-snmp gives for a value.
Value = None | str | bytes | int | float

LONGEST_TEXT: Final = 255


def text(value: Value, longest: int = LONGEST_TEXT) -> str:
    """One line without control characters; empty for what is no text."""
    if isinstance(value, bytes):
        value = value.rstrip(b"\0").decode("utf-8", "replace")
    if not isinstance(value, str):
        return ""
    return " ".join("".join(char if char.isprintable() else " " for char in value[: 4 * longest]).split())[
        :longest
    ]


def number(value: Value) -> int | None:
    """A whole number; text that is one counts too (some devices say load as text)."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if abs(value) < 2**63 else None
    digits = text(value, 32)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def mac(value: Value) -> str:
    """``aa:bb:cc:dd:ee:ff`` of six octets that are one card's; empty for anything else."""
    if isinstance(value, str):
        value = value.encode("latin-1", "replace")
    if not isinstance(value, bytes) or len(value) != 6 or value[0] & 1 or not any(value):
        return ""
    return value.hex(":")


def mac_of_parts(parts: tuple[int, ...]) -> str:
    """The same of an index: six numbers of 0 to 255."""
    if len(parts) != 6 or any(not 0 <= part < 256 for part in parts):
        return ""
    return mac(bytes(parts))


def ip_of_parts(parts: tuple[int, ...]) -> str:
    """An address of an index: 4 or 16 numbers of 0 to 255."""
    if len(parts) not in (4, 16) or any(not 0 <= part < 256 for part in parts):
        return ""
    return str(ip_address(bytes(parts)))


def parts_of(oid: str, base: str) -> tuple[int, ...] | None:
    """The index: what stands behind ``base`` in ``oid``; ``None`` where that is something else."""
    if not oid.startswith(base + "."):
        return None
    try:
        return tuple(int(part) for part in oid[len(base) + 1 :].split("."))
    except ValueError:
        return None
