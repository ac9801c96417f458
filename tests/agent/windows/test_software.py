"""What the uninstall keys say is installed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.windows.software import installed, parse_entry
from tests.agent.windows.reg_file import RegFile
from tests.agent.windows.support import WORKSTATION

UNINSTALL = r"""
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\7-Zip]
"DisplayName"="7-Zip 23.01 (x64)"
"DisplayVersion"="23.01"
"Publisher"="Igor Pavlov"
"UninstallString"="\"C:\\Program Files\\7-Zip\\Uninstall.exe\""
"NoModify"=dword:00000001

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\{90160000-008C-0000-1000-0000000FF1CE}]
"DisplayName"="Office 16 Click-to-Run Extensibility Component"
"DisplayVersion"="16.0.17328.20162"
"SystemComponent"=dword:00000001
"WindowsInstaller"=dword:00000001

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\Connection Manager]
"SystemComponent"=dword:00000001

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\{26A24AE4-039D-4CA4-87B4-2F64180401F0}]
"DisplayName"="Java 8 Update 401 (64-bit)"
"DisplayVersion"="8.0.4010.10"
"WindowsInstaller"=dword:00000001

[HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\TeamViewer]
"DisplayName"="TeamViewer"
"DisplayVersion"="15.51.6"
"UninstallString"="\"C:\\Program Files (x86)\\TeamViewer\\uninstall.exe\""

[HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\KB2468871]
"DisplayName"="Update for Microsoft .NET Framework 4 (KB2468871)"
"UninstallString"="x"

[HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\{F1}.KB500]
"DisplayName"="Security Update for Word"
"ReleaseType"="Security Update"
"ParentKeyName"="Office16.PROPLUS"
"UninstallString"="x"

[HKEY_USERS\S-1-5-21-1111111111-222222222-3333333333-1001\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\Zalo]
"DisplayName"="Zalo\u0007"
"DisplayVersion"="24.2.1"
"UninstallString"="C:\\Users\\an\\AppData\\Local\\Programs\\Zalo\\Uninstall Zalo.exe"

[HKEY_USERS\S-1-5-21-1111111111-222222222-3333333333-1001_Classes\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\Nothing]
"DisplayName"="A copy"
"UninstallString"="x"

[HKEY_USERS\S-1-5-18\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\Service]
"DisplayName"="Of the system's own account"
"UninstallString"="x"
""".replace("\\u0007", "\u0007")


def test_both_views_and_users_are_listed_as_windows_lists_them() -> None:
    assert installed(RegFile(WORKSTATION + UNINSTALL)) == [
        {"name": "7-Zip 23.01 (x64)", "version": "23.01", "architecture": "x64", "manager": "setup"},
        {
            "name": "Java 8 Update 401 (64-bit)",
            "version": "8.0.4010.10",
            "architecture": "x64",
            "manager": "msi",
        },
        {"name": "TeamViewer", "version": "15.51.6", "architecture": "x86", "manager": "setup"},
        {"name": "Zalo", "version": "24.2.1", "architecture": "x64", "manager": "setup"},
    ]


def test_a_32_bit_windows_has_one_list() -> None:
    export = (WORKSTATION + UNINSTALL).replace('"AMD64"', '"x86"')
    architectures = {package["architecture"] for package in installed(RegFile(export))}
    assert architectures == {"x86"}
    assert "TeamViewer" not in {package["name"] for package in installed(RegFile(export))}


def test_a_user_whose_hive_may_not_be_read_hides_nobody_else() -> None:
    user = r"HKU\S-1-5-21-1111111111-222222222-3333333333-1001\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"
    names = {package["name"] for package in installed(RegFile(WORKSTATION + UNINSTALL, denied=(user,)))}
    assert "7-Zip 23.01 (x64)" in names
    assert "Zalo" not in names


values = st.one_of(st.text(), st.integers(), st.binary(), st.lists(st.text()))
names = st.sampled_from(
    ["DisplayName", "DisplayVersion", "UninstallString", "WindowsInstaller", "SystemComponent"]
)


@given(st.text(), st.dictionaries(names, values))
def test_any_entry_is_a_package_or_none(key: str, entry: dict[str, str | int | bytes | list[str]]) -> None:
    package = parse_entry(key, entry, "x64")
    if package is not None:
        assert package["name"].isprintable()
        assert all(len(value) <= 255 for value in package.values())
