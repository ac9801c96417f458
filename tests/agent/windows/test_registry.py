"""The registry's port, over what ``reg export`` writes."""

from __future__ import annotations

import pytest

from agent.windows.registry import MAX_TEXT, RegistryDeniedError, bounded, named, number, registry, text
from tests.agent.windows.reg_file import RegFile
from tests.agent.windows.support import WORKSTATION

EXPORT = r"""Windows Registry Editor Version 5.00

[HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Vendor]
@="default"
"List"=hex(7):61,00,00,00,62,00,63,00,00,00,00,00
"Big"=hex(b):00,00,00,00,01,00,00,00
"Raw"=hex:de,ad
"Quote"="say \"yes\" to C:\\x"
"Digits"="42"
"""


def test_every_type_of_value_is_what_it_was() -> None:
    values = RegFile(EXPORT).values("HKLM", r"SOFTWARE\Vendor", 32)
    assert values == {
        "": "default",
        "List": ["a", "bc"],
        "Big": 1 << 32,
        "Raw": b"\xde\xad",
        "Quote": r'say "yes" to C:\x',
        "Digits": "42",
    }
    assert number(values, "digits") == 42
    assert number(values, "BIG") == 1 << 32
    assert text(values, "List") == ""
    assert named(values, "none") is None
    assert named(None, "none") is None


def test_the_views_are_two_registries_and_case_does_not_count() -> None:
    both = RegFile(EXPORT)
    assert both.values("HKLM", r"SOFTWARE\Vendor", 64) is None
    assert both.subkeys("HKLM", r"software", 32) == ["Vendor"]
    assert both.subkeys("HKLM", r"SOFTWARE") == ["WOW6432Node"]
    assert both.subkeys("HKU", "") == []


def test_utf16_as_windows_exports_is_read() -> None:
    here = RegFile(WORKSTATION.encode("utf-16"))
    path = r"SYSTEM\CurrentControlSet\Control\Session Manager\Environment"
    assert text(here.values("HKLM", path), "Path") == "%SystemRoot%"


def test_what_may_not_be_read_is_told_from_what_is_not_there() -> None:
    here = RegFile(EXPORT, denied=("HKLM\\SAM",))
    with pytest.raises(RegistryDeniedError):
        here.values("HKLM", "SAM")
    assert here.values("HKLM", "NOTHING") is None


def test_values_are_bounded() -> None:
    assert bounded("x" * 9999) == "x" * MAX_TEXT
    assert bounded(["y" * 9999]) == ["y" * MAX_TEXT]
    assert bounded(None) is None
    assert len(bounded(b"z" * 999_999) or b"") == 64 << 10  # type: ignore[arg-type]


def test_elsewhere_than_on_windows_there_is_none() -> None:
    with pytest.raises(OSError, match="not Windows"):
        registry()
