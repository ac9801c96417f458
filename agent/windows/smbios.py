"""SMBIOS, as ``GetSystemFirmwareTable('RSMB')`` hands it out: the header of *RawSMBIOSData*, then structures.

A structure is a formatted area (type, length, handle, fields) and the strings that its fields number from 1, each ended
by a zero byte, the list by one more (SMBIOS specification 3.7, section 6.1).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import Struct

from agent import reasons
from agent.collectors.common.dmi import FIELDS, chassis_name, is_junk
from agent.collectors.common.files import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 1 << 20
MAX_STRUCTURES = 4_096
_SYSTEM, _BOARD, _CHASSIS, _END = 1, 2, 3, 127
#: Where the strings of :data:`agent.collectors.common.dmi.FIELDS` stand in the system's structure.
_PLACES = {"manufacturer": 4, "model": 5, "serial_number": 7}


class Structure(Struct, frozen=True):
    """``area`` is the formatted area with its header, ``strings`` its strings in their order."""

    kind: int
    area: bytes
    strings: list[bytes]

    def string(self, place: int) -> str:
        """The string that the field at ``place`` numbers; empty where there is none."""
        number = self.area[place] if place < len(self.area) else 0
        return self.strings[number - 1].decode("utf-8", "replace") if 0 < number <= len(self.strings) else ""


def parse_structures(raw: bytes) -> Iterator[Structure]:
    """The structures of *RawSMBIOSData*, until the end mark or the first that is cut or broken."""
    at, end = 8, min(len(raw), 8 + int.from_bytes(raw[4:8], "little"))
    for _ in range(MAX_STRUCTURES):
        if at + 4 > end:
            return
        kind, length = raw[at], raw[at + 1]
        if kind == _END or length < 4 or at + length > end:
            return
        area, at = raw[at : at + length], at + length
        close = raw.find(b"\0\0", at, end)
        if close < 0:
            return
        strings = raw[at:close].split(b"\0") if close > at else []
        yield Structure(kind, area, strings)
        at = close + 2


def parse_uuid(raw: bytes, version: tuple[int, int]) -> str:
    """The UUID as Linux and Windows print it: since version 2.6 its first three parts are little-endian.

    Empty where the maker set none (all zero or all one).
    """
    if len(raw) != 16 or raw in (b"\0" * 16, b"\xff" * 16):
        return ""
    return str(UUID(bytes_le=raw) if version >= (2, 6) else UUID(bytes=raw))


def parse_system(raw: bytes) -> dict[str, Any]:
    """The same facts as :func:`agent.collectors.common.dmi.read_dmi` gives."""
    facts: dict[str, Any] = {**dict.fromkeys(FIELDS, ""), "product_uuid": "", "chassis_type": "unknown"}
    system = chassis = None
    for each in parse_structures(raw):
        if each.kind == _SYSTEM and system is None:
            system = each
        elif each.kind == _CHASSIS and chassis is None:
            chassis = each
    if system is None:
        return {**facts, "dmi_state": "unknown", "reason": reasons.NO_SMBIOS()}
    empty = {}
    for key, place in _PLACES.items():
        value = clean_text(system.string(place))
        if is_junk(value):
            empty[key] = reasons.DMI_PLACEHOLDER(value=repr(value)) if value else reasons.DMI_EMPTY()
        else:
            facts[key] = value
    facts["product_uuid"] = parse_uuid(system.area[8:24], (raw[1], raw[2]))
    if not facts["product_uuid"]:
        empty["product_uuid"] = reasons.DMI_EMPTY()
    number = chassis.area[5] & 0x7F if chassis is not None and len(chassis.area) > 5 else None
    facts["chassis_type"] = chassis_name(number)
    return {**facts, "dmi_state": "ok", "reason": "", "empty": empty, "chassis_number": number}


def parse_serials(raw: bytes) -> dict[str, str]:
    """``board_serial`` and ``chassis_serial`` (SMBIOS specification 3.7, sections 7.3 and 7.4); empty where the maker
    left them so."""
    found = {"board_serial": "", "chassis_serial": ""}
    for each in parse_structures(raw):
        name = {_BOARD: "board_serial", _CHASSIS: "chassis_serial"}.get(each.kind, "")
        if name and not found[name]:
            value = clean_text(each.string(7))
            found[name] = "" if is_junk(value) else value[:255]
    return found


if sys.platform == "win32":

    def read_smbios() -> bytes:
        """*RawSMBIOSData*; empty where the firmware has none."""
        import ctypes

        ask = ctypes.WinDLL("kernel32").GetSystemFirmwareTable
        ask.argtypes = (ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong)
        ask.restype = ctypes.c_uint
        provider = int.from_bytes(b"RSMB", "big")
        size = min(ask(provider, 0, None, 0), MAX_BYTES)
        if not size:
            return b""
        buffer = ctypes.create_string_buffer(size)
        written = ask(provider, 0, buffer, size)
        return buffer.raw[:written] if written <= size else b""
