from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import asyncssh
import msgspec
import pytest

from agent.probe.contract import Hello, PartContext, Said
from agent.probe.ssh import session as session_module
from agent.probe.ssh import watch
from agent.probe.ssh.asking import Read, read, told
from agent.probe.ssh.keeping import Shelf, State, masking_key
from agent.probe.ssh.settings import Device, DevicesSection, SshSection, SshSettings
from tests.agent.probe.ssh.devices import PASSWORD, Cli, DeviceServer, fortios, ios
from tests.support.netns import wait_for
from tests.support.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.messages import Event


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def device(server: DeviceServer, password_file: Path, platform: str, **more: Any) -> Device:
    facts: dict[str, Any] = {
        "name": "fw-dong-tien",
        "host": "127.0.0.1",
        "port": server.port,
        "platform": platform,
        "user": "giamsat",
        "password_file": str(password_file),
        "host_key": server.fingerprint,
    }
    return Device(**{**facts, **more})


def look(asked: Device, seconds: float = 20.0) -> Read:
    return asyncio.run(read(asked, seconds))


class Site:
    """What the part would remember and tell of one device."""

    def __init__(self, folder: Path, asked: Device) -> None:
        self.asked = asked
        self.shelf = Shelf(folder / asked.name, 3)
        self.key = masking_key(folder)
        self.state = State()
        self.clock = 1_790_000_000.0

    def take(self, found: Read) -> tuple[dict[str, Any], list[Event]]:
        self.clock += 3600
        output, new = told(self.asked, found, self.state, self.shelf, self.key, self.clock)
        if new is not None:
            self.shelf.put(new, self.state.digest, self.clock)
        [document] = output.documents
        assert document.body is not None
        return document.body, output.events


def test_a_paging_firewall_is_read_and_only_what_people_changed_is_a_change(
    tmp_path: Path, password_file: Path
) -> None:
    with DeviceServer(fortios()) as server:
        asked = device(server, password_file, "fortios")
        site = Site(tmp_path, asked)
        body, events = site.take(look(asked))
        assert (body["state"], body["version"], body["model"]) == ("answering", "7.2.8", "FortiGate-60F")
        assert (body["serial_number"], body["hostname"]) == ("FGT60FTK00000001", "fw-dongtien")
        assert body["log_servers"] == ["10.77.0.5"]
        assert body["host_key"] == server.fingerprint
        assert events == []

        server.cli.answers = fortios(salt="BBBB").answers  # shown anew, nothing changed
        again, events = site.take(look(asked))
        assert again["configuration"]["sha256"] == body["configuration"]["sha256"]
        assert events == []

        server.cli.answers = fortios(action="deny").answers
        after, [event] = site.take(look(asked))
        change = event.fields["configuration_change"]
        assert after["configuration"]["sha256"] == change["after"] != change["before"]
        assert (change["lines_added"], change["lines_removed"]) == (1, 1)
        assert "-        set action accept" in change["diff"]
        assert "+        set action deny" in change["diff"]
        assert event.fields["observer"] == {
            "name": "fw-dongtien",
            "ip": "127.0.0.1",
            "type": "firewall",
            "vendor": "Fortinet",
            "product": "FortiOS",
        }
        assert set(server.cli.asked) <= {"get system status", "get log syslogd setting", "show"}


def test_no_secret_is_kept_and_a_changed_one_shows(tmp_path: Path, password_file: Path) -> None:
    with DeviceServer(ios()) as server:
        asked = device(server, password_file, "ios", role="switch")
        site = Site(tmp_path, asked)
        body, _ = site.take(look(asked))
        assert (body["version"], body["model"], body["hostname"]) == (
            "15.2(7)E8",
            "WS-C2960X-24TS-L",
            "sw-tang2",
        )
        assert server.cli.asked[:2] == ["terminal length 0", "terminal width 0"]
        server.cli.answers = ios(size=99).answers
        _, events = site.take(look(asked))
        assert events == []
        server.cli.answers = ios(community="khac").answers
        _, [event] = site.take(look(asked))
        diff = event.fields["configuration_change"]["diff"]
        assert "docbimat" not in diff
        assert "khac" not in diff
        assert diff.count("snmp-server community <hidden:") == 2
        for path in site.shelf.versions():
            digest = path.name.split("-")[1].removesuffix(".cfg.gz")
            kept = site.shelf.get(digest)
            assert kept is not None
            assert "docbimat" not in kept
            assert "0123456789abcdefghijk" not in kept
            assert path.stat().st_mode & 0o777 == 0o600


def test_another_host_key_is_told_once_and_nobody_signs_in(tmp_path: Path, password_file: Path) -> None:
    with DeviceServer(fortios()) as server:
        asked = device(server, password_file, "fortios")
        site = Site(tmp_path, asked)
        site.take(look(asked))
        pinned, commands = server.fingerprint, len(server.cli.asked)
        server.replace_key()
        body, [event] = site.take(look(asked))
        assert body["state"] == "host_key_changed"
        assert server.fingerprint in body["reason"]
        assert body["version"] == "7.2.8"  # what was known stays
        assert event.fields["ssh_host_key"] == {
            "device": "fw-dong-tien",
            "expected": pinned,
            "shown": server.fingerprint,
        }
        _, events = site.take(look(asked))
        assert events == []
        assert len(server.cli.asked) == commands


def test_a_pin_may_be_a_public_key_and_without_one_the_shown_key_is_told(password_file: Path) -> None:
    with DeviceServer(fortios()) as server:
        assert (
            look(device(server, password_file, "fortios", host_key=server.public_key.strip())).state
            == "answering"
        )
        server.cli.asked.clear()
        found = look(device(server, password_file, "fortios", host_key=""))
        assert (found.state, found.shown) == ("host_key_unknown", server.fingerprint)
        assert server.cli.asked == []
        assert look(device(server, password_file, "sfos")).state == "answering"
        assert (
            look(device(server, password_file, "sfos", host_key="SHA256:" + "A" * 43)).state
            == "host_key_changed"
        )


@pytest.mark.parametrize(
    ("spoil", "state", "words"),
    [
        (lambda cli: setattr(cli, "hangs", True), "unreadable", "timed out"),
        (lambda cli: setattr(cli, "floods", True), "unreadable", "longer than"),
        (lambda cli: setattr(cli, "prompt", "menu: "), "unreadable", "timed out"),
    ],
)
def test_a_device_that_hangs_or_floods_is_left(
    password_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Cli], None],
    state: str,
    words: str,
) -> None:
    monkeypatch.setattr(session_module, "FACTS_CHARACTERS", 200_000)
    cli = fortios()
    spoil(cli)
    with DeviceServer(cli) as server:
        found = look(device(server, password_file, "fortios"), 1.5)
        assert found.state == state
        assert words in found.reason
        assert found.configuration is None


def test_what_stands_in_the_way_is_told(tmp_path: Path, password_file: Path) -> None:
    with DeviceServer(fortios()) as server:
        asked = device(server, password_file, "fortios")
        other = tmp_path / "other"
        other.write_text("wrong", encoding="utf-8")
        other.chmod(0o600)
        assert look(device(server, other, "fortios")).state == "refused"
        other.chmod(0o604)
        assert "secret cannot be used" in look(device(server, other, "fortios")).reason
        assert "secret cannot be used" in look(device(server, tmp_path / "none", "fortios")).reason
        assert "platform" in look(device(server, password_file, "vax")).reason
        server.stop()
        found = look(asked)
        assert found.state == "unreachable"
        server.start()


def test_a_linux_server_is_asked_with_a_key(tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd") as sshd:
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        found = look(
            Device(
                name="may-chu",
                host="127.0.0.1",
                port=sshd.port,
                platform="linux",
                user="root",
                role="server",
                key_file=str(key),
                host_key="",
            )
        )
        assert found.state == "host_key_unknown"
        assert found.shown.startswith("SHA256:")
        # Nobody has put the key there: the account is refused, the pinned key was right.
        refused = look(
            Device(
                name="may-chu",
                host="127.0.0.1",
                port=sshd.port,
                platform="linux",
                user="root",
                role="server",
                key_file=str(key),
                host_key=found.shown,
            )
        )
        assert refused.state == "refused"


def test_the_part_tells_all_devices_follows_changes_and_goes_on_after_a_restart(
    tmp_path: Path, password_file: Path
) -> None:
    said: list[Said] = []

    def context(server: DeviceServer) -> PartContext[SshSettings]:
        settings = SshSettings(
            SshSection(interval_hours=0.25, reach_minutes=0.002),
            DevicesSection((device(server, password_file, "fortios"),)),
        )
        folder = tmp_path / "part"
        folder.mkdir(exist_ok=True)

        def say(what: Said) -> str:
            said.append(what)
            return ""

        return PartContext(settings, Hello("ssh", {}, str(folder)), say=say, now=time.time)

    def bodies() -> list[dict[str, Any]]:
        return [document.body or {} for each in said for document in each.found().documents]

    def runs(server: DeviceServer, check: Callable[[], None]) -> None:
        made = context(server)
        thread = threading.Thread(target=watch.run, args=(made,))
        thread.start()
        try:
            check()
        finally:
            made.stopping.set()
            thread.join(10)
            assert not thread.is_alive()

    with DeviceServer(fortios()) as server:

        def first() -> None:
            wait_for(lambda: [b for b in bodies() if b["state"] == "answering"], what="the first answer")
            server.stop()
            wait_for(lambda: [b for b in bodies() if b["state"] == "unreachable"], what="that nobody answers")
            server.start()
            wait_for(lambda: bodies()[-1]["state"] == "answering", what="that it answers again")

        runs(server, first)
        assert said[0].partial is False
        assert not bodies()[0] or bodies()[0]["state"] == "answering"
        said.clear()
        server.cli.answers = fortios(action="deny").answers

        def second() -> None:
            wait_for(
                lambda: [e for each in said for e in each.found().events],
                what="the change behind the restart",
            )

        runs(server, second)
        # What was known before the restart is told at once, so that nothing is gone meanwhile.
        assert said[0].partial is False
        assert bodies()[0]["version"] == "7.2.8"
        assert Shelf(tmp_path / "part" / "fw-dong-tien", 3).versions()


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_old_algorithms_are_spoken_only_where_they_are_asked_for(password_file: Path) -> None:
    async def try_them() -> tuple[str, str]:
        key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
        acceptor = await asyncssh.create_server(
            asyncssh.SSHServer,
            "127.0.0.1",
            0,
            server_host_keys=[key],
            kex_algs=["diffie-hellman-group14-sha1"],
            encryption_algs=["aes128-cbc"],
            mac_algs=["hmac-sha1"],
        )
        asked = Device(
            name="cu",
            host="127.0.0.1",
            port=acceptor.get_port(),
            platform="ios",
            user="giamsat",
            password_file=str(password_file),
            host_key=key.get_fingerprint(),
        )
        modern = await read(asked, 5)
        old = await read(msgspec.structs.replace(asked, old_algorithms=True), 5)
        acceptor.close()
        return modern.reason, old.reason

    modern, old = asyncio.run(try_them())
    assert "no SSH session" in modern
    assert "no SSH session" not in old


def test_that_nobody_answers_counts_at_the_second_look(tmp_path: Path, password_file: Path) -> None:
    with DeviceServer(fortios()) as server:
        settings = SshSettings()
        asked = device(server, password_file, "fortios")
        folder = tmp_path / "part"
        folder.mkdir()
        context = PartContext(settings, Hello("ssh", {}, str(folder)), say=lambda _said: "", now=time.time)
        look = watch._Watch(asked, context, settings)
        assert look._counts(Read("unreachable"))  # nothing was known before: there is nothing to wait for
        look.state.body = {"state": "answering"}
        look._misses = 0
        assert [look._counts(Read("unreachable")) for _ in range(3)] == [False, True, True]
        assert look._counts(Read("answering"))
        assert not look._counts(Read("unreachable"))
        assert asyncio.run(look._changed()), "it is asked again at the next look, also where its port answers"
