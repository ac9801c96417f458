"""Volumes and BitLocker, as WMI's rows tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.windows.volumes import DISK_FIELDS, ENCRYPTION_FIELDS, parse_encryption, parse_volumes

if TYPE_CHECKING:
    from agent.windows.wmi import Row

SYSTEM: Row = {
    "DeviceID": "C:",
    "VolumeName": "Windows",
    "FileSystem": "NTFS",
    "Size": 127_362_134_016,
    "FreeSpace": 63_681_067_008,
    "Access": 0,
}
ENCRYPTED: Row = {
    "DeviceID": "\\\\?\\Volume{4ab1d5c6-0000-0000-0000-100000000000}\\",
    "DriveLetter": "C:",
    "ProtectionStatus": 1,
    "ConversionStatus": 1,
    "EncryptionMethod": 6,
    "VolumeType": 0,
}


def test_a_volume_is_told_as_on_linux() -> None:
    assert parse_volumes([SYSTEM]) == {
        "C:": {
            "mount": "C:",
            "device": "Windows",
            "filesystem": "ntfs",
            "total_bytes": 127_362_134_016,
            "used_percent": 50,
            "read_only": False,
        }
    }


def test_a_locked_volume_or_an_empty_reader_has_no_size_and_is_left_out() -> None:
    assert parse_volumes([{"DeviceID": "E:", "Size": None, "FreeSpace": None}]) == {}
    assert parse_volumes([{**SYSTEM, "FreeSpace": 999_999_999_999_999}]) == {}


def test_bitlocker_on_the_system_volume() -> None:
    assert parse_encryption([ENCRYPTED]) == {
        "C:": {
            "volume": "C:",
            "state": "on",
            "reason": "",
            "product": "bitlocker",
            "conversion": "encrypted",
            "method": "xts_aes_128",
            "type": "system",
        }
    }


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ({"ProtectionStatus": 0, "ConversionStatus": 0}, "off", ""),
        ({"ProtectionStatus": 0, "ConversionStatus": 1}, "off", "suspended"),
        ({"ProtectionStatus": 2}, "unknown", "locked"),
        ({"ProtectionStatus": None}, "unknown", "locked"),
        ({"ProtectionStatus": 0, "ConversionStatus": None}, "off", ""),
    ],
)
def test_encrypted_is_not_yet_protected(change: Row, state: str, reason: str) -> None:
    (body,) = parse_encryption([{**ENCRYPTED, **change}]).values()
    assert body["state"] == state
    assert reason in body["reason"]
    assert bool(reason) == bool(body["reason"])


cells = st.one_of(st.none(), st.text(), st.integers(), st.booleans(), st.floats(), st.lists(st.text()))


@given(
    st.lists(st.dictionaries(st.sampled_from(DISK_FIELDS), cells)),
    st.lists(st.dictionaries(st.sampled_from(ENCRYPTION_FIELDS), cells)),
)
def test_any_rows_are_volumes(disks: list[Row], encryption: list[Row]) -> None:
    for mount, body in parse_volumes(disks).items():
        assert mount == body["mount"]
        assert 0 <= body["used_percent"] <= 100
    for body in parse_encryption(encryption).values():
        assert body["state"] in ("on", "off", "unknown")
