"""A real lldpd tells its neighbour to a real snmpd (AgentX), and the part reads it there, as of a device."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.netns import lan, wait_for

if TYPE_CHECKING:
    from tests.agent.probe.snmp.conftest import Site
    from tests.support.netns import Host

_SECONDS = 60.0
#: What a bridge passes on of what is meant for bridges alone: LLDP.
_LLDP_MASK = "0x4000"


def lldpd(host: Host, folder: Path, name: str, *more: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "lldpd.conf"
    settings.write_text(
        f'configure system hostname "{name}"\nconfigure lldp tx-interval 1\n', encoding="ascii"
    )
    host.start(
        *("lldpd", "-d", "-u", str(folder / "lldpd.socket"), "-O", str(settings), "-I", "eth0", *more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def snmpd(host: Host, folder: Path, socket: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "snmpd.conf"
    settings.write_text(
        f"agentaddress udp:{host.ip}:161\nrocommunity bimat\nmaster agentx\nagentXSocket unix:{socket}\n"
        "agentXPerms 0777 0777\n",
        encoding="utf-8",
    )
    host.start(
        *("snmpd", "-f", "-C", "-c", str(settings), "-Ln", "-I", "-hrSWRunTable,hrSWInstalledTable"),
        env={
            "SNMP_PERSISTENT_DIR": str(folder / "persistent"),
            "MIBS": "",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(socket.exists, _SECONDS, what="snmpd's socket")


def test_the_neighbour_that_lldpd_hears_and_its_port_are_read_of_snmpd(site: Site) -> None:
    with tempfile.TemporaryDirectory(prefix="vglldp-") as name, lan() as net:
        # lldpd gives up its rights, and must still reach its own.
        folder = Path(name)
        folder.chmod(0o755)
        first, second, probe = net.host("a", 1), net.host("b", 2), net.host("p", 9)
        mask = ("link", "set", "br0", "type", "bridge", "group_fwd_mask", _LLDP_MASK)
        subprocess.run(["ip", "-n", net.switch, *mask], check=True)
        # So that it says it is a router.
        second.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        agentx = folder / "a" / "agentx"
        snmpd(first, folder / "a", agentx)
        lldpd(first, folder / "a", "sw-a", "-X", str(agentx))
        lldpd(second, folder / "b", "sw-b")
        asked = ("lldpcli", "-u", str(folder / "a" / "lldpd.socket"), "show", "neighbors")
        wait_for(lambda: "sw-b" in first.run(*asked, check=False).stdout, _SECONDS, what="lldpd's neighbour")
        site.community("c", "bimat")
        site.device("sw-a", "c", 161, address=first.ip)

        def heard() -> list[dict[str, Any]]:
            told = part.documents.get(("network_device", "sw-a"))
            return [] if told is None else list(told["neighbours"])

        with probe.entered(), site.running(interval_seconds=1, tables_seconds=1) as part:
            wait_for(heard, _SECONDS, what="the neighbour in the device's document")
        (neighbour,) = heard()
        told = part.documents["network_device", "sw-a"]
        assert told is not None
        assert (
            neighbour["interface"],
            neighbour["chassis"],
            neighbour["port"],
            neighbour["system_name"],
        ) == (
            "eth0",
            second.mac,
            "eth0",
            "sw-b",
        )
        assert (neighbour["network"], neighbour["new"]) == (True, False)
        assert told["chassis"] == first.mac
        assert [each["name"] for each in told["interfaces"] if each["uplink"]] == ["eth0"]
