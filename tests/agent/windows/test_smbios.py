"""SMBIOS as Windows hands it out."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from agent.windows.smbios import parse_structures, parse_system, parse_uuid

MACHINE = UUID("4c4c4544-0042-3510-8057-b7c04f4a3532")


def table(*structures: bytes, version: tuple[int, int] = (3, 2)) -> bytes:
    body = b"".join(structures) + bytes((127, 4, 0xFE, 0xFF, 0, 0))
    return bytes((0, *version, 0)) + len(body).to_bytes(4, "little") + body


def structure(kind: int, fields: bytes, *strings: bytes) -> bytes:
    area = bytes((kind, 4 + len(fields), 1, 0)) + fields
    return area + (b"\0".join(strings) + b"\0\0" if strings else b"\0\0")


def system(serial: bytes = b"7B5W2X2", uuid: bytes = MACHINE.bytes_le) -> bytes:
    fields = bytes((1, 2, 0, 3)) + uuid + bytes((6, 0, 0))
    return structure(1, fields, b"Dell Inc.", b"OptiPlex 3080 ", serial)


CHASSIS = structure(3, bytes((1, 0x83, 0, 2)), b"Dell Inc.", b"7B5W2X2")


def test_maker_model_serial_and_uuid_are_read() -> None:
    bios = structure(0, bytes(14), b"Dell Inc.")
    facts = parse_system(table(bios, system(), CHASSIS))
    assert facts == {
        "manufacturer": "Dell Inc.",
        "model": "OptiPlex 3080",
        "serial_number": "7B5W2X2",
        "product_uuid": str(MACHINE),
        "chassis_type": "desktop",
        "dmi_state": "ok",
        "reason": "",
        "empty": {},
        "chassis_number": 3,
    }


def test_a_makers_placeholder_is_no_serial_number() -> None:
    facts = parse_system(table(system(serial=b"To be filled by O.E.M.", uuid=b"\xff" * 16)))
    assert facts["serial_number"] == ""
    assert facts["product_uuid"] == ""
    assert set(facts["empty"]) == {"serial_number", "product_uuid"}
    assert facts["chassis_type"] == "unknown"


def test_before_version_2_6_a_uuid_stood_as_it_is_written() -> None:
    assert parse_uuid(MACHINE.bytes, (2, 5)) == str(MACHINE)
    assert parse_uuid(MACHINE.bytes_le, (2, 6)) == str(MACHINE)
    assert parse_uuid(b"", (3, 0)) == ""


def test_a_table_that_is_cut_ends_there() -> None:
    whole = table(system(), CHASSIS)
    for length in range(len(whole)):
        facts = parse_system(whole[:length])
        assert facts["dmi_state"] in ("ok", "unknown")
    assert parse_system(b"")["dmi_state"] == "unknown"
    assert parse_system(b"")["reason"]


@given(st.binary(max_size=400))
def test_any_bytes_are_read_without_an_error(raw: bytes) -> None:
    parse_system(raw)
    for each in parse_structures(raw):
        each.string(4)
