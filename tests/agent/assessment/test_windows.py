from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from agent.assessment.judge import FAILED, PASSED, UNKNOWN, Host, report
from agent.assessment.machine import Machine
from agent.assessment.readers import windows
from agent.assessment.readers.windows import decoded, parse_audit_backup, parse_security_export
from agent.assessment.shipped import load
from agent.collectors.windows_assessment import judge, role_of
from tests.agent.assessment.support import ask
from tests.agent.collectors.support import context
from tests.agent.windows.reg_file import RegFile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

AUDIT = (
    "Machine Name,Policy Target,Subcategory,Subcategory GUID,Inclusion Setting,Exclusion Setting,Setting Value\r\n"
    "PC-01,System,Đăng nhập,{0CCE9215-69AE-11D9-BED3-505054503030},Thành công và Thất bại,,3\r\n"
    "PC-01,System,Logoff,{0cce9216-69ae-11d9-bed3-505054503030},Success,,1\r\n"
    "PC-01,System,Process Creation,{0cce922b-69ae-11d9-bed3-505054503030},No Auditing,,0\r\n"
    "PC-01,PC-01\\an,Logon,{0CCE922B-69AE-11D9-BED3-505054503030},Success,,3\r\n"
    "PC-01,,Option:CrashOnAuditFail,,Disabled,,0\r\n"
)
SECURITY = (
    "[Unicode]\r\nUnicode=yes\r\n[System Access]\r\nMinimumPasswordAge = 0\r\nMaximumPasswordAge = 42\r\n"
    'MinimumPasswordLength = 12\r\nPasswordComplexity = 1\r\nNewGuestName = "Khách"\r\nEnableGuestAccount = 0\r\n'
    '[Event Audit]\r\nMinimumPasswordLength = 3\r\n[Version]\r\nsignature="$CHICAGO$"\r\n'
)
REGISTRY = r"""Windows Registry Editor Version 5.00

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\ProductOptions]
"ProductType"="WinNT"

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\mrxsmb10]
"Start"=dword:00000003

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\LanmanServer\Parameters]
"smb1"=dword:00000000

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Terminal Server]
"fDenyTSConnections"=dword:00000000

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Control\Terminal Server\WinStations\RDP-Tcp]
"UserAuthentication"=dword:00000001

[HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services]
"UserAuthentication"=dword:00000000

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon]
"AutoAdminLogon"="0"
"DefaultPassword"="hunter2"
"""


def test_the_audit_policy_is_read_by_number_whatever_the_language() -> None:
    wanted = {"0cce9215": 3, "0cce9216": 1, "0cce922b": 0}
    for data in (AUDIT.encode("utf-8-sig"), AUDIT.encode("utf-16"), AUDIT.encode()):
        assert {guid[:8]: bits for guid, bits in parse_audit_backup(data).items()} == wanted


def test_the_security_policy_is_read_from_its_own_section_in_utf_16() -> None:
    found = parse_security_export(SECURITY.encode("utf-16"))
    assert found["minimumpasswordlength"] == "12"
    assert found["newguestname"] == "Khách"
    assert "signature" not in found
    assert parse_security_export(SECURITY.encode("utf-8")) == found


def test_policies_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {"auditpol.exe": AUDIT.encode("utf-8-sig"), "secedit.exe": SECURITY.encode("utf-16")}
    monkeypatch.setattr(windows, "_written_by", lambda program, *_: written[program])
    logon: dict[str, Any] = {"kind": "audit", "subcategory": "0cce9215-69ae-11d9-bed3-505054503030"}
    assert ask(tmp_path, **logon, success=True, failure=True).passed is True
    logoff: dict[str, Any] = {"kind": "audit", "subcategory": "0cce9216-69ae-11d9-bed3-505054503030"}
    outcome = ask(tmp_path, **logoff, success=True, failure=True)
    assert (outcome.passed, outcome.found, outcome.wanted) == (False, "success", "success, failure")
    outcome = ask(tmp_path, kind="audit", subcategory="00000000-0000-0000-0000-000000000000", success=True)
    assert (outcome.passed, "does not name" in outcome.reason) == (None, True)
    assert ask(tmp_path, kind="security", name="MinimumPasswordLength", at_least=8).passed is True
    assert ask(tmp_path, kind="security", name="LockoutBadCount", at_least=1).found == "LockoutBadCount —"


def test_what_a_policy_sets_goes_before_what_the_machine_sets(tmp_path: Path) -> None:
    checks, machine = load("windows"), Machine(tmp_path, tmp_path, tmp_path, registry=RegFile(REGISTRY))
    told = report(checks, machine, Host("workstation"), {})["checks"]
    assert told["smb1_client"]["result"] == FAILED
    assert told["smb1_client"]["found"] == "mrxsmb10\\Start 3"
    assert told["smb1_server"]["result"] == PASSED
    assert told["rdp_network_authentication"]["result"] == FAILED
    assert told["wdigest"] == {
        "result": PASSED,
        "importance": "high",
        "found": "WDigest\\UseLogonCredential — (0)",
    }
    assert told["password_length"]["result"] == UNKNOWN  # there is no secedit here
    without = REGISTRY.replace(r"Windows NT\Terminal Services]", r"Windows NT\Else]")
    machine = Machine(tmp_path, tmp_path, tmp_path, registry=RegFile(without))
    assert (
        report(checks, machine, Host("workstation"), {})["checks"]["rdp_network_authentication"]["result"]
        == PASSED
    )
    closed = without.replace('"fDenyTSConnections"=dword:00000000', '"fDenyTSConnections"=dword:00000001')
    machine = Machine(tmp_path, tmp_path, tmp_path, registry=RegFile(closed))
    said = report(checks, machine, Host("workstation"), {})["checks"]["rdp_network_authentication"]
    assert said["result"] == "not_applicable"


def test_a_key_that_may_not_be_read_is_unknown_and_a_value_not_asked_for_is_not_told(tmp_path: Path) -> None:
    denied = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\mrxsmb10"
    registry = RegFile(REGISTRY, denied=(denied,))
    state: dict[str, object] = {}
    (document,) = judge(context(tmp_path, state=state), registry).documents
    assert (document.kind, document.item) == ("assessment", "windows")
    assert document.body is not None
    said = document.body["checks"]["smb1_client"]
    assert said == {"result": UNKNOWN, "importance": "high", "reason": f"{denied} may not be read"}
    assert "hunter2" not in repr(document)
    assert state["last"]["smb1_server"] == PASSED  # type: ignore[index] # JSON of the collector's own


def test_the_kind_of_windows_tells_the_role() -> None:
    assert role_of(RegFile(REGISTRY)) == "workstation"
    assert role_of(RegFile(REGISTRY.replace('"WinNT"', '"LanmanNT"'))) == "server"
    assert role_of(RegFile("Windows Registry Editor Version 5.00\n")) == ""


def test_without_a_registry_a_value_is_unknown(tmp_path: Path) -> None:
    outcome = ask(tmp_path, kind="registry", key=r"SOFTWARE\Vendor", value="On", one_of=["1"])
    assert (outcome.passed, outcome.reason) == (None, "there is no registry here")


@given(st.binary(max_size=400))
def test_any_bytes_of_windows_programs_are_read_without_an_exception(data: bytes) -> None:
    for prefix in (b"", b"\xff\xfe", b"a,System,b,{c},d,,"):
        decoded(prefix + data)
        parse_audit_backup(prefix + data)
        parse_security_export(b"[System Access]\r\n" + data)
