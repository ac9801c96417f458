"""Antivirus by Security Center, by Defender itself, and by services."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.windows.antivirus import Found, documents, of_defender, parse_stamp, program_exists, read
from agent.windows.antivirus_products import code_of, product_of
from agent.windows.security_center import parse_state
from agent.windows.wmi import Row, WmiError
from tests.agent.windows.reg_file import RegFile
from tests.agent.windows.support import FakeWmi

NOW = 1_784_700_000.0  # 2026-07-22
DAY = 86_400.0
DEFENDER_EXE = r"%ProgramFiles%\Windows Defender\MsMpeng.exe"
STATUS: Row = {
    "AMServiceEnabled": True,
    "AntivirusEnabled": True,
    "RealTimeProtectionEnabled": True,
    "AMRunningMode": "Normal",
    "AMEngineVersion": "1.1.26060.3008",
    "AntivirusSignatureVersion": "1.433.219.0",
    "AntivirusSignatureLastUpdated": "20260721190403.000000+000",
    "IsTamperProtected": True,
    "QuickScanEndTime": "20260722041200.000000+000",
    "FullScanEndTime": None,
    "QuickScanAge": 0,
    "FullScanAge": 4294967295,
}


def row(name: str, state: int, path: str = r"C:\Program Files (x86)\Vendor\av.exe") -> Row:
    return {
        "displayName": name,
        "productState": state,
        "pathToSignedProductExe": path,
        "pathToSignedReportingExe": path,
    }


OWN = row("Windows Defender", 397568, "windowsdefender://")
SERVICES = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services"


@pytest.mark.parametrize(
    ("number", "power", "current", "own"),
    [
        (397568, "on", True, True),
        (393472, "off", True, True),
        (266240, "on", True, False),
        (266256, "on", False, False),
        (262144 + 0x2000, "snoozed", True, False),
        (262144 + 0x3010, "expired", False, False),
        (0x4F020, "unknown", None, False),
    ],
)
def test_the_product_state_is_decoded(number: int, power: str, current: bool | None, own: bool) -> None:
    state = parse_state(number)
    assert (state.power, state.current, state.own) == (power, current, own)


def test_defender_tells_everything_of_itself() -> None:
    body = of_defender(STATUS)
    assert body == {
        "product": "defender",
        "state": "on",
        "reason": "",
        "engine_version": "1.1.26060.3008",
        "database_version": "1.433.219.0",
        "signature_time": 1784660643.0,
        "real_time": "on",
        "real_time_reason": "",
        "last_scan_time": 1784693520.0,
        "last_scan_state": "known",
        "managed": None,
        "tamper_protected": True,
    }


@pytest.mark.parametrize(
    ("change", "state", "real_time", "reason"),
    [
        ({"AMServiceEnabled": False}, "off", "off", "the service is stopped"),
        ({"AntivirusEnabled": False, "RealTimeProtectionEnabled": False}, "off", "off", "turned off"),
        ({"AMRunningMode": "Passive Mode"}, "off", "off", "Passive Mode"),
        ({"AMRunningMode": "EDR Block Mode"}, "off", "off", "EDR Block Mode"),
        ({"RealTimeProtectionEnabled": False}, "on", "off", ""),
        (
            {"AntivirusEnabled": None, "RealTimeProtectionEnabled": None},
            "unknown",
            "unknown",
            "does not answer",
        ),
    ],
)
def test_a_defender_that_does_not_protect_is_never_on(
    change: Row, state: str, real_time: str, reason: str
) -> None:
    body = of_defender({**STATUS, **change})
    assert (body["state"], body["real_time"]) == (state, real_time)
    assert reason in body["reason"]


def test_never_scanned_and_never_fetched_are_said_as_such() -> None:
    body = of_defender(
        {
            **STATUS,
            "QuickScanEndTime": None,
            "QuickScanAge": 4294967295,
            "AntivirusSignatureLastUpdated": "16010101000000.000000+000",
        }
    )
    assert body["last_scan_state"] == "never"
    assert body["signature_time"] is None
    assert body["signature_reason"]


def test_several_products_are_several_documents() -> None:
    passive = {**STATUS, "AMRunningMode": "SxS Passive Mode"}
    found = Found(
        rows=[OWN, row("Kaspersky Endpoint Security for Windows", 266240)], defender=passive, services={}
    )
    bodies = documents(found, RegFile(""), lambda _: True, NOW)
    assert {code: body["state"] for code, body in bodies.items()} == {"defender": "off", "kaspersky": "on"}
    kaspersky = bodies["kaspersky"]
    assert kaspersky["signature_time"] is None
    assert kaspersky["signatures"] == "current"
    assert "does not tell their date" in kaspersky["signature_reason"]


def test_a_row_that_outlived_its_product_is_marked() -> None:
    found = Found(rows=[row("Bkav Pro", 266240), row("ESET Security", 262144)], defender=None, services={})
    bodies = documents(found, RegFile(""), lambda _: False, NOW)
    assert {code: body["state"] for code, body in bodies.items()} == {
        "bkav": "not_installed",
        "eset": "not_installed",
    }
    assert "its program is gone" in bodies["bkav"]["reason"]


def test_another_machine_is_never_asked_whether_a_program_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def exists(path: str) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr("os.path.exists", exists)
    assert program_exists(r"\\192.0.2.9\share\av.exe")
    assert program_exists("//192.0.2.9/share/av.exe")
    assert not program_exists(r'"C:\Program Files\AV\av.exe"')
    assert asked == [r"C:\Program Files\AV\av.exe"]


def test_of_two_rows_of_one_product_the_living_one_counts() -> None:
    old, new = r"C:\Kaspersky 20\avp.exe", r"C:\Kaspersky 21\avp.exe"
    rows = [row("Kaspersky 20.0", 266240, old), row("Kaspersky 21.3", 266256, new)]
    bodies = documents(Found(rows=rows, defender=None, services={}), RegFile(""), new.__eq__, NOW)
    assert bodies["kaspersky"]["state"] == "on"
    assert bodies["kaspersky"]["signatures"] == "outdated"


@pytest.mark.parametrize(
    ("state", "reason"), [(0x42000, "paused"), (0x43000, "licence"), (0x40000, "turned off")]
)
def test_a_product_that_does_not_protect_says_why(state: int, reason: str) -> None:
    bodies = documents(Found([row("360 Total Security", state)], None, {}), RegFile(""), lambda _: True, NOW)
    body = bodies["360_total_security"]
    assert (body["state"], body["real_time"]) == ("off", "off")
    assert reason in body["reason"]


KASPERSKY = r"""
[HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\KasperskyLab\protected\KES.21.14\Data]
"LastSuccessfulUpdate"=dword:6a5fe000
"""
ESET = r"""
[HKEY_LOCAL_MACHINE\SOFTWARE\ESET\ESET Security\CurrentVersion\Info]
"ScannerVersion"="31512 (20260720)"
"""
TREND = r"""
[HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\TrendMicro\PC-cillinNTCorp\CurrentVersion\Misc.]
"PatternDate"="20260719"
"""
SYMANTEC = r"""
[HKEY_LOCAL_MACHINE\SOFTWARE\Symantec\Symantec Endpoint Protection\CurrentVersion\public-opstate]
"LatestVirusDefsDate"="2026-07-18"
"""


@pytest.mark.parametrize(
    ("name", "export", "expected"),
    [
        ("Kaspersky Endpoint Security", KASPERSKY, float(0x6A5FE000)),
        ("ESET Endpoint Antivirus", ESET, 1784505600.0),
        ("Trend Micro Apex One Antivirus", TREND, 1784419200.0),
        ("Symantec Endpoint Protection", SYMANTEC, 1784332800.0),
    ],
)
def test_products_that_keep_the_day_of_their_signatures_are_asked_for_it(
    name: str, export: str, expected: float
) -> None:
    bodies = documents(Found([row(name, 266240)], None, {}), RegFile(export), lambda _: True, NOW)
    (body,) = bodies.values()
    assert body["signature_time"] == expected
    assert "signature_reason" not in body


def test_a_day_that_has_not_come_yet_is_not_believed() -> None:
    export = ESET.replace("20260720", "20270101")
    bodies = documents(Found([row("ESET", 266240)], None, {}), RegFile(export), lambda _: True, NOW)
    assert bodies["eset"]["signature_time"] is None


def test_on_a_server_services_and_defender_tell() -> None:
    export = "".join(
        f"\n[{SERVICES}\\{name}]\n" for name in ("AVP.KES.21.14", "klnagent", "WinDefend", "Dnscache")
    )
    wmi = FakeWmi(
        MSFT_MpComputerStatus=[{**STATUS, "AMRunningMode": "Passive Mode"}],
        Win32_Service=[
            {"Name": "AVP.KES.21.14", "State": "Running"},
            {"Name": "klnagent", "State": "Running"},
            {"Name": "WinDefend", "State": "Running"},
        ],
    )
    here = RegFile(export + KASPERSKY)
    found = read(here, wmi)
    assert found.rows is None
    assert ("Win32_Service", "Name = 'AVP.KES.21.14' OR Name = 'klnagent' OR Name = 'WinDefend'") in wmi.asked
    bodies = documents(found, here, lambda _: True, NOW)
    assert bodies["kaspersky"]["state"] == "on"
    assert bodies["kaspersky"]["real_time"] == "unknown"
    assert bodies["kaspersky"]["managed"] is True
    assert bodies["kaspersky"]["signature_time"] == float(0x6A5FE000)
    assert bodies["defender"]["state"] == "off"


def test_a_service_that_is_stopped_is_off() -> None:
    bodies = documents(Found(None, None, {"ekrn": False}), RegFile(""), lambda _: True, NOW)
    assert (bodies["eset"]["state"], bodies["eset"]["reason"]) == ("off", "the service is stopped")


def test_where_nothing_is_found_it_is_said_that_there_is_none() -> None:
    bodies = documents(read(RegFile(""), FakeWmi()), RegFile(""), lambda _: True, NOW)
    assert bodies.keys() == {""}
    assert bodies[""]["state"] == "not_installed"


def test_a_security_center_that_does_not_answer_is_no_machine_without_antivirus() -> None:
    with pytest.raises(WmiError):
        read(RegFile(""), FakeWmi(AntiVirusProduct=WmiError("0x80041001")))


def test_products_are_known_by_their_names() -> None:
    names = {
        "Bkav Pro Internet Security": "bkav",
        "Kaspersky Small Office Security": "kaspersky",
        "Viettel Endpoint Security": "viettel",
        "CMC Antivirus": "cmc",
        "ESET NOD32 Antivirus": "eset",
        "Trend Micro OfficeScan Antivirus": "trendmicro",
        "Symantec Endpoint Protection": "symantec",
        "Microsoft Defender Antivirus": "defender",
    }
    for name, code in names.items():
        product = product_of(name)
        assert product is not None
        assert product.code == code
    assert product_of("360 Total Security") is None
    assert code_of("!!!") == "unnamed"


cells = st.one_of(st.none(), st.text(), st.integers(), st.booleans(), st.floats(), st.lists(st.text()))


@given(
    st.lists(st.dictionaries(st.sampled_from(list(row("", 0))), cells)),
    st.dictionaries(st.sampled_from(list(STATUS)), cells),
)
def test_any_rows_are_documents(rows: list[Row], status: Row) -> None:
    bodies = documents(Found(rows, status, {}), RegFile(""), lambda _: True, NOW)
    assert "defender" in bodies
    assert len(bodies) <= 16
    assert all(body["state"] in ("on", "off", "unknown", "not_installed") for body in bodies.values())


@given(st.one_of(st.none(), st.text(), st.integers(), st.binary()), st.booleans())
def test_any_value_is_a_moment_or_none(raw: str | int | bytes | None, seconds: bool) -> None:
    assert parse_stamp(raw, r"(\d{4})-?(\d\d)-?(\d\d)", seconds) is None or raw
