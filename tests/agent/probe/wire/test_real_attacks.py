"""Real nmap, hping3 and ssh against real hosts of a LAN; the part's own process looks on at a span port."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent.probe.wire.settings import CaptureSettings, TrafficSettings, WireSettings
from tests.agent.probe.wire.frames import Judge
from tests.support.debian import program
from tests.support.netns import NETWORK, Lan, lan, wait_for
from tests.support.part import PartProcess, part_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUIET: dict[str, Any] = {
    "stdout": subprocess.DEVNULL,
    "stderr": subprocess.DEVNULL,
    "stdin": subprocess.DEVNULL,
}
MANY = [f"{NETWORK}.{number}" for number in range(100, 140)]
#: The bar is ten seconds; a busy machine gets more.
SECONDS = 20.0


class Scene:
    """A LAN whose probe sees all, one victim with many addresses, and an attacker."""

    def __init__(self, net: Lan, folder: Path) -> None:
        self.probe = net.host("pr", 5)
        self.attacker = net.host("at", 20)
        self.victim = net.host("vi", 30)
        for address in MANY:
            self.victim.run("ip", "addr", "add", f"{address}/32", "dev", "eth0")
        net.flood()
        self.folder = folder
        self.judge = Judge()

    def attacks(self, *command: str) -> None:
        """Begin it at the attacker's; it ends with the LAN at the latest."""
        self.attacker.start(program(command[0], command[0]), *command[1:], **QUIET)

    def fires(self, part: PartProcess, rule: str, **wanted: Any) -> dict[str, Any]:
        """The fields of the first event for which ``rule`` fires; ``wanted``: what its ``traffic`` says."""

        def found() -> dict[str, Any] | None:
            told = [event.fields for event in self.judge.see(part.events()).get(rule, [])]
            return next((each for each in told if wanted.items() <= each["traffic"].items()), None)

        fields: dict[str, Any] = wait_for(found, SECONDS, what=f"{rule} {wanted}")
        return fields


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with lan() as net:
        yield Scene(net, tmp_path)


def settings(**traffic: Any) -> dict[str, Any]:
    made = WireSettings(capture=CaptureSettings(interfaces=["eth0"]), traffic=TrafficSettings(**traffic))
    found: dict[str, Any] = msgspec.to_builtins(made)
    return found


def looks_on(part: PartProcess, scene: Scene) -> None:
    """Wait until the part's ring is open: its interface is promiscuous then."""
    wait_for(
        lambda: "promiscuity 1" in scene.probe.run("ip", "-d", "link", "show", "eth0").stdout,
        what="the part to look at the wire",
    )
    assert part.failures() == []


def test_scans_and_floods_are_told_as_they_happen(scene: Scene) -> None:
    victim, attacker = scene.victim.ip, scene.attacker.ip
    with part_process(scene.probe, "wire", settings(), scene.folder) as part:
        looks_on(part, scene)
        nmap = ("nmap", "-n", "-Pn", "--max-retries", "1")
        scene.attacks(*nmap, "-sS", "-p1-300", victim)
        scene.attacks(*nmap, "-sS", "-p3389", *MANY)
        scene.attacks(*nmap, "-sS", "-p445", *MANY)
        for flags in ("-sF", "-sN", "-sX"):
            scene.attacks(*nmap, flags, "-p1-60", victim)
        hping = ("hping3", "-q", "-n", "-i", "u500")
        scene.attacks(*hping, MANY[0], "-S", "-p", "80", "--rand-source")
        scene.attacks(*hping, MANY[1], "--udp", "-p", "999")
        scene.attacks(*hping, MANY[2], "--icmp")
        scene.attacks(*hping, MANY[3], "--udp", "-s", "53", "-k", "-p", "40000")

        seen = scene.fires(part, "discovery_port_scan")
        assert (seen["source.ip"], seen["source.mac"]) == (attacker, scene.attacker.mac)
        assert seen["destination.ip"] == victim
        assert seen["traffic"]["distinct_ports"] >= 32
        seen = scene.fires(part, "discovery_host_scan")
        assert (seen["source.ip"], seen["destination.port"]) in ((attacker, 3389), (attacker, 445))
        assert scene.fires(part, "lateral_movement_smb_spread")["source.ip"] == attacker
        for name in ("fin", "null", "xmas"):
            seen = scene.fires(part, "discovery_stealth_scan", tcp_flags=name)
            assert (seen["source.ip"], seen["destination.ip"]) == (attacker, victim)
        seen = scene.fires(part, "impact_syn_flood")
        assert (seen["destination.ip"], seen["destination.port"]) == (MANY[0], 80)
        assert seen["traffic"]["distinct_sources"] > 100
        seen = scene.fires(part, "impact_udp_flood")
        # What is reflected is a flood of UDP, too; either is told first.
        assert (seen["source.ip"], seen["destination.ip"]) in ((attacker, MANY[1]), (attacker, MANY[3]))
        assert scene.fires(part, "impact_icmp_flood")["destination.ip"] == MANY[2]
        seen = scene.fires(part, "impact_reflected_flood")
        assert (seen["source.port"], seen["destination.ip"]) == (53, MANY[3])
        assert part.stop() == 0


def test_a_scan_slower_than_the_fast_window_is_told_by_the_long_one(scene: Scene) -> None:
    short = settings(short_seconds=1.0, slow_seconds=60.0)
    with part_process(scene.probe, "wire", short, scene.folder) as part:
        looks_on(part, scene)
        slow = (
            "nmap",
            "-n",
            "-Pn",
            "-sS",
            "--max-retries",
            "0",
            "--scan-delay",
            "110ms",
            "-p1-100",
            scene.victim.ip,
        )
        scene.attacks(*slow)
        seen = scene.fires(part, "discovery_slow_scan")
        assert seen["source.ip"] == scene.attacker.ip
        assert set(scene.judge.fired) == {"discovery_slow_scan"}


def test_passwords_guessed_at_a_real_sshd_are_seen_without_its_log(scene: Scene) -> None:
    folder = scene.folder
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    (folder / "sshd_config").write_text(
        f"Port 22\nListenAddress {scene.victim.ip}\nHostKey {folder / 'key'}\nPidFile none\nUsePAM no\n"
    )
    scene.victim.start(
        program("sshd", "openssh-server"), "-D", "-e", "-f", str(folder / "sshd_config"), **QUIET
    )
    wait_for(lambda: ":22 " in scene.victim.run("ss", "-lnt").stdout, what="sshd to listen")
    options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -F /dev/null"
    tries = f"while :; do ssh {options} root@{scene.victim.ip} true; done"
    with part_process(scene.probe, "wire", settings(), scene.folder) as part:
        looks_on(part, scene)
        for _ in range(3):
            scene.attacks("sh", "-c", tries)
        seen = scene.fires(part, "credential_access_sign_in_series")
    assert (seen["source.ip"], seen["destination.port"]) == (scene.attacker.ip, 22)
    assert 1_000 < seen["traffic"]["answer_bytes"] <= 6_000


def test_what_the_probe_itself_asks_is_expected(scene: Scene) -> None:
    with part_process(scene.probe, "wire", settings(), scene.folder) as part:
        looks_on(part, scene)
        scene.probe.run(program("nmap", "nmap"), "-n", "-Pn", "-sS", "-p1-100", scene.victim.ip)
        told = wait_for(lambda: part.events("traffic"), what="the probe's own scan")
        assert {each.fields["source.ip"] for each in told} == {scene.probe.ip}
        assert all(each.fields["traffic"]["expected"] for each in told)
        assert scene.judge.see(told) == {}


def test_a_probe_that_cannot_keep_up_looks_at_fewer_frames_and_says_so(scene: Scene) -> None:
    weak = settings()
    weak["capture"]["busy_ratio"] = 0.001
    with part_process(scene.probe, "wire", weak, scene.folder) as part:
        looks_on(part, scene)
        scene.attacks("hping3", "-q", "-n", "-i", "u200", MANY[0], "-S", "-p", "80", "--rand-source")

        def told() -> Any:
            return scene.judge.see(part.events()).get("availability_wire_not_seen")

        seen = wait_for(told, SECONDS, what="the probe to say that it looks at fewer frames")[0].fields
        assert seen["capture"]["interface"] == "eth0"
        assert seen["capture"]["one_in"] >= 4
        flood = scene.fires(part, "impact_syn_flood")
        assert flood["traffic"]["packets_per_second"] > 200


def test_an_interface_that_is_not_there_is_said(scene: Scene) -> None:
    none = settings()
    none["capture"]["interfaces"] = ["eth9"]
    with part_process(scene.probe, "wire", none, scene.folder) as part:
        wait_for(part.failures, 60, what="the part to say so")
        assert "eth9" in part.failures()[0]
        assert part.stop() == 0


def test_an_interface_that_is_switched_off_is_said_until_it_is_on(scene: Scene) -> None:
    """As a span port's is where nobody has configured it: it opens, and nothing comes in."""
    scene.probe.run("ip", "link", "set", "eth0", "down")
    with part_process(scene.probe, "wire", settings(), scene.folder) as part:
        wait_for(part.failures, 60, what="the part to say so")
        assert "eth0" in part.failures()[0]
        scene.probe.run("ip", "link", "set", "eth0", "up")
        wait_for(lambda: not part.said[-1].failure, 60, what="the part to say that it is over")
        assert part.stop() == 0
