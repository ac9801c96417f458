"""Devices that mean harm, and configurations full of secrets."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent.probe.contract import Hello, PartContext
from agent.probe.ssh import watch
from agent.probe.ssh.asking import read
from agent.probe.ssh.configuration import cleaned, difference
from agent.probe.ssh.platforms import facts_in, platform_named, platform_names
from agent.probe.ssh.session import _plain
from agent.probe.ssh.settings import Device, DevicesSection, SshSettings
from tests.agent.probe.ssh.devices import PASSWORD, DeviceServer, fortios

if TYPE_CHECKING:
    from pathlib import Path

    from agent.probe.contract import Said

#: Each line holds one secret, ``XXSECRET``, in a form that the makers' manuals show.
SECRETS = {
    "ios": """enable secret level 15 5 $1$XXSECRET
enable secret 9 $9$XXSECRET
username a privilege 15 password 7 XXSECRET
snmp-server host 10.0.0.1 version 2c XXSECRET
snmp-server host 10.0.0.1 XXSECRET
snmp-server community XXSECRET RO
crypto isakmp key XXSECRET address 0.0.0.0
 pre-shared-key local XXSECRET
 pre-shared-key remote 6 XXSECRET
 ip ospf message-digest-key 1 md5 7 XXSECRET
ntp authentication-key 1 md5 XXSECRET 7
 standby 1 authentication md5 key-string 7 XXSECRET
 standby 1 authentication XXSECRET
 neighbor 10.1.1.1 password 7 XXSECRET
 wpa-psk ascii 7 XXSECRET
 security wpa psk set-key ascii 0 XXSECRET
radius-server host 10.1.1.1 auth-port 1812 key 7 XXSECRET
 path ftp://user:XXSECRET@10.0.0.1/
 vrrp 1 authentication text XXSECRET""",
    "asa": """enable password XXSECRET pbkdf2
ntp authentication-key 1 md5 XXSECRET
 ikev2 remote-authentication pre-shared-key 0 XXSECRET
 ldap-login-password XXSECRET
snmp-server host inside 10.0.0.1 community XXSECRET version 2c
snmp-server user u g v3 encrypted auth sha XXSECRET priv aes 128 XXSECRET
failover key hex XXSECRET""",
    "fortios": """config system snmp community
    edit 1
        set name "XXSECRET"
        config hosts
            edit 1
            next
        end
    next
    edit 2
        set name "XXSECRET"
    next
end
        set passphrase "my XXSECRET"
        set psksecret ENC XXSECRET
        set psksecret "a XXSECRET"
        set authentication-key ENC XXSECRET
        set md5-key 1 XXSECRET
        set password2 XXSECRET
        set passwd "a b XXSECRET"
        set client-secret "XXSECRET"
        set api-key "XXSECRET"
        set enckey XXSECRET
        set uri "https://u:XXSECRET@host"
        set private-key "-----BEGIN ENCRYPTED PRIVATE KEY-----
XXSECRET
-----END ENCRYPTED PRIVATE KEY-----\"""",
    "junos": """set system root-authentication encrypted-password "$6$XXSECRET"
set security ike policy a pre-shared-key hexadecimal "$9$XXSECRET"
set security ike policy a pre-shared-key ascii-text "$9$XXSECRET"
set snmp community "my XXSECRET" authorization read-only
set snmp trap-group "XXSECRET" targets 10.1.1.1
set snmp v3 usm local-engine user x privacy-aes128 privacy-key "$9$XXSECRET"
set protocols ospf area 0 interface x authentication md5 1 key "$9$XXSECRET"
set system ntp authentication-key 1 value "$9$XXSECRET"
set protocols ospf area 0 interface x authentication simple-password "$9$XXSECRET"
set access profile p client c pap-password "XXSECRET"
set security certificates local x "-----BEGIN RSA PRIVATE KEY-----\\nXXSECRET\\n-----END RSA PRIVATE KEY-----\"""",
    "panos": """phash $1$XXSECRET;
snmp-community-string XXSECRET;
community XXSECRET;
authpwd -AQ==XXSECRET;
key "my XXSECRET";
pre-shared-key { key -AQ==XXSECRET; }
<phash>XXSECRET</phash>
api-key XXSECRET;""",
    "routeros": """/ppp secret add name=x password="my XXSECRET"
/interface wireguard peers add public-key="open=" preshared-key="XXSECRET="
/snmp community set [ find default=yes ] name=XXSECRET
/routing bgp peer add tcp-md5-key=XXSECRET
/routing ospf interface add authentication-key=XXSECRET
/radius add secret="a XXSECRET"
/interface wireless security-profiles set static-key-0=XXSECRET
/interface wireless security-profiles set wpa2-pre-shared-key="a \\"b XXSECRET\"""",
    "gaia": """set user admin password-hash $1$XXSECRET
set snmp community XXSECRET read-only
add aaa tacacs-servers priority 1 server 10.1.1.1 key XXSECRET timeout 5
set ospf interface eth0 authtype simple XXSECRET
set snmp usm user u security-level authPriv auth-pass-phrase-hashed XXSECRET privacy-pass-phrase-hashed XXSECRET
set expert-password-hash XXSECRET""",
    "linux": """  password = my XXSECRET
token: XXSECRET
-----BEGIN OPENSSH PRIVATE KEY-----
XXSECRET""",
}


@pytest.mark.parametrize("name", SECRETS)
def test_no_form_of_a_secret_is_kept(name: str) -> None:
    platform = platform_named(name)
    kept = cleaned(SECRETS[name], platform, b"key")
    assert [line for line in kept.splitlines() if "XXSECRET" in line] == []
    if name != "fortios":  # it encrypts anew with each showing
        assert cleaned(SECRETS[name].replace("XXSECRET", "another"), platform, b"key") != kept


def test_of_fortios_only_what_is_encrypted_anew_shows_no_change() -> None:
    platform = platform_named("fortios")

    def kept(line: str) -> str:
        return cleaned(line, platform, b"key")

    assert kept("set psksecret ENC aaaa") == kept("set psksecret ENC bbbb")
    assert kept('set passphrase "một hai"') != kept('set passphrase "một ba"')
    assert kept("set keylife 3600") != kept("set keylife 60")
    assert kept("config firewall policy\n    edit 1\n        set name allow") == (
        "config firewall policy\n    edit 1\n        set name allow\n"
    )


_WIDE = " " * 16_000
_BOMBS = (
    "\n" * (1 << 18),
    "\t \n" * (1 << 16),
    "\r" * (1 << 18),
    f"Model: {_WIDE}x\n" * 16,
    f"  board-name: {_WIDE}x\n" * 16,
    f"name: {_WIDE}x\n" * 16,
    f"password{_WIDE}\n" * 16,
    "-----BEGIN PRIVATE KEY-----" * (1 << 15),
    f"set {'psk' * 5000}\n" * 16,
    f"/snmp community {'name' * 4000}\n" * 16,
)


@pytest.mark.parametrize("bomb", _BOMBS, ids=range(len(_BOMBS)))
def test_no_text_keeps_the_patterns_busy(bomb: str) -> None:
    began = time.process_time()
    text = _plain(bomb)
    for name in platform_names():
        platform = platform_named(name)
        for facts in platform.facts:
            facts_in(facts, text)
        cleaned(text, platform, b"key")
    assert time.process_time() - began < 10  # a tenth of it here; minutes where a pattern is not linear


def test_what_is_too_much_to_compare_is_told_without_places() -> None:
    dice = random.Random(1)
    old = [f"line {dice.randrange(300)}" for _ in range(20_000)]
    new = [*reversed(old), "one more"]
    began = time.process_time()
    found = difference("\n".join(old), "\n".join(new))
    assert time.process_time() - began < 10
    assert (found.added, found.removed, found.text, found.cut) == (1, 0, "+one more", True)
    old[10_000] = "before"
    after = [*old[:10_000], "after", *old[10_001:]]
    small = difference("\n".join(old), "\n".join(after))
    assert (small.added, small.removed, small.cut) == (1, 1, False)
    assert small.text.splitlines() == [
        "@@", *(f" {line}" for line in old[9_998:10_000]), "-before", "+after",
        *(f" {line}" for line in old[10_001:10_003]),
    ]  # fmt: skip


def _device(server: DeviceServer, folder: Path, **more: Any) -> Device:
    secret = folder / "secret"
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o600)
    facts: dict[str, Any] = {
        "name": "fw",
        "host": "127.0.0.1",
        "port": server.port,
        "platform": "fortios",
        "user": "giamsat",
        "password_file": str(secret),
        "host_key": server.fingerprint,
    }
    return Device(**{**facts, **more})


@pytest.mark.parametrize("platform", ["fortios", "linux"])
def test_a_device_that_never_opens_a_channel_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(3600)

    monkeypatch.setattr("asyncssh.connection.SSHClientConnection.create_session", never)
    with DeviceServer(fortios()) as server:
        asked = _device(server, tmp_path, platform=platform)
        found = asyncio.run(asyncio.wait_for(read(asked, 0.5), 30))
    assert (found.state, "timed out" in found.reason) == ("unreadable", True)


def test_a_pin_that_is_a_public_key_holds_where_only_the_key_is_looked_at(tmp_path: Path) -> None:
    with DeviceServer(fortios()) as server, DeviceServer(fortios()) as other:
        asked = _device(server, tmp_path, platform="sfos", host_key=other.public_key.strip())
        assert asyncio.run(read(asked, 5)).state == "host_key_changed"
        right = msgspec.structs.replace(asked, host_key=server.public_key.strip())
        assert asyncio.run(read(right, 5)).state == "answering"


def test_what_the_probe_cannot_read_is_not_the_devices_silence(tmp_path: Path) -> None:
    with DeviceServer(fortios()) as server:
        folder = tmp_path / "folder"
        folder.mkdir(mode=0o700)
        found = asyncio.run(read(_device(server, tmp_path, key_file=str(folder)), 5))
    assert (found.state, "secret cannot be used" in found.reason) == ("unreadable", True)


def test_no_name_and_no_fault_of_the_library_ends_the_looks_at_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DeviceServer(fortios()) as server:
        nowhere = _device(server, tmp_path, host="a..b")
        assert asyncio.run(read(nowhere, 5)).state == "refused"
        assert asyncio.run(read(msgspec.structs.replace(nowhere, host_key=""), 5)).state == "refused"
        assert asyncio.run(watch._answers(nowhere)) is False

        def stumbles(*_: object, **__: object) -> None:
            raise AttributeError("of a packet that nobody thought of")

        monkeypatch.setattr("asyncssh.connect", stumbles)
        assert asyncio.run(read(_device(server, tmp_path), 5)).state == "unreadable"


def test_a_full_disk_does_not_tell_a_change_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Said] = []

    def say(what: Said) -> str:
        said.append(what)
        return ""

    with DeviceServer(fortios()) as server:
        asked = _device(server, tmp_path)
        settings = SshSettings(devices=DevicesSection((asked,)))
        context = PartContext(settings, Hello("ssh", {}, str(tmp_path)), say=say, now=time.time)
        mine = watch._Watch(asked, context, settings)

        def look() -> None:
            asyncio.run(mine._tell(asyncio.run(read(asked, 20))))

        look()
        server.cli.answers = fortios(action="deny").answers

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device", "state.json")

        monkeypatch.setattr("agent.probe.ssh.keeping.write_atomically", full)
        said.clear()
        look()
        look()
    assert [len(each.found().events) for each in said if not each.failure] == [1, 0]
    assert "No space left" in said[1].failure


def test_two_devices_of_one_name_are_refused(tmp_path: Path) -> None:
    one = {"name": "fw", "host": "10.0.0.1", "platform": "ios", "user": "u"}
    with pytest.raises(msgspec.ValidationError, match="one name: FW, fw"):
        msgspec.convert({"devices": {"device": [one, one | {"name": "FW"}]}}, SshSettings)
