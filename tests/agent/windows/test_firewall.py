"""The firewall's three profiles."""

from __future__ import annotations

import pytest

from agent.windows.firewall import count_rules, firewall_body, judge, read_profiles
from agent.windows.wmi import Row, WmiError
from tests.agent.windows.reg_file import RegFile
from tests.agent.windows.support import FakeWmi

KEY = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy"
LOCAL = rf"""
[{KEY}\DomainProfile]
"EnableFirewall"=dword:00000001

[{KEY}\StandardProfile]
"EnableFirewall"=dword:00000001
"DefaultInboundAction"=dword:00000001

[{KEY}\PublicProfile]
"EnableFirewall"=dword:00000001

[{KEY}\FirewallRules]
"CoreNet-DHCP-In"="v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=17|LPort=68|App=%SystemRoot%\\system32\\svchost.exe|Name=DHCP|"
"FPS-SMB-In-TCP"="v2.31|Action=Allow|Active=FALSE|Dir=In|Protocol=6|LPort=445|App=System|Name=SMB|"
"CoreNet-DHCP-Out"="v2.31|Action=Allow|Active=TRUE|Dir=Out|Protocol=17|LPort=68|"
"Odd"=hex:00,01

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\MpsSvc]
"Start"=dword:00000002
"""
OFF = LOCAL.replace(
    'PublicProfile]\n"EnableFirewall"=dword:00000001', 'PublicProfile]\n"EnableFirewall"=dword:00000000'
)
POLICY = r"HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\WindowsFirewall"


def test_on_in_all_profiles_is_on() -> None:
    body = firewall_body(RegFile(LOCAL), FakeWmi())
    assert body == {
        "state": "on",
        "reason": "",
        "backend": "windows_firewall",
        "input_policy": "drop",
        "rule_count": 1,
        "profiles": {"domain": "on", "private": "on", "public": "on"},
    }


def test_the_weakest_profile_decides_and_is_named() -> None:
    body = firewall_body(RegFile(OFF), FakeWmi())
    assert (body["state"], body["input_policy"]) == ("off", "accept")
    assert body["reason"] == "off for these kinds of network: public"
    assert body["profiles"] == {"domain": "on", "private": "on", "public": "off"}


@pytest.mark.parametrize("profile", ["StandardProfile", "PrivateProfile"])
def test_a_policy_overrules_what_was_set_here(profile: str) -> None:
    policy = f'\n[{POLICY}\\{profile}]\n"EnableFirewall"=dword:00000000\n'
    states = {each.name: each.on for each in read_profiles(RegFile(LOCAL + policy))}
    assert states == {"domain": True, "private": False, "public": True}


def test_a_profile_that_lets_everything_in_is_said() -> None:
    policy = f'\n[{POLICY}\\DomainProfile]\n"DefaultInboundAction"=dword:00000000\n'
    body = firewall_body(RegFile(LOCAL + policy), FakeWmi())
    assert (body["state"], body["input_policy"]) == ("on", "accept")


def test_a_disabled_service_is_off_whatever_the_profiles_say() -> None:
    export = LOCAL.replace('"Start"=dword:00000002', '"Start"=dword:00000004')
    assert firewall_body(RegFile(export), FakeWmi())["state"] == "off"


def test_another_products_firewall_stands_in() -> None:
    row: Row = {"displayName": "Kaspersky Endpoint Security", "productState": 266240}
    body = firewall_body(RegFile(OFF), FakeWmi(FirewallProduct=[row]))
    assert (body["state"], body["backend"], body["input_policy"]) == ("on", "other_product", "unknown")
    assert body["reason"] == "Kaspersky Endpoint Security filters instead of Windows"
    off = FakeWmi(FirewallProduct=[{**row, "productState": 262144}])
    assert firewall_body(RegFile(OFF), off)["state"] == "off"
    assert firewall_body(RegFile(LOCAL), FakeWmi(FirewallProduct=WmiError("x")))["state"] == "on"


def test_an_empty_registry_is_unknown_with_the_reason() -> None:
    body = firewall_body(RegFile(""), FakeWmi())
    assert (body["state"], body["input_policy"]) == ("unknown", "unknown")
    assert "domain, private, public" in body["reason"]
    assert judge([], False, count_rules(RegFile("")), "")["rule_count"] == 0
