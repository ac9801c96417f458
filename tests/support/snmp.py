"""Devices over SNMP for tests: data for snmpsim by public MIBs, the simulator itself, and a real snmpd."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.netns import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INTEGER, OCTETS, OID, ADDRESS, COUNTER, GAUGE, TICKS, COUNTER64 = (
    "2",
    "4x",
    "6",
    "64x",
    "65",
    "66",
    "67",
    "70",
)
_ROOT: Final = Path(__file__).parents[2]

Row = tuple[str, str, str]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def mac(number: int) -> str:
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def _octets(value: bytes | str) -> str:
    return (value.encode() if isinstance(value, str) else value).hex()


def _of_mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


class Simulated:
    """A device's data. Nothing is there until it is said."""

    def __init__(
        self, name: str, *, object_id: str, descr: str, chassis: str, ticks: int = 8_640_000
    ) -> None:
        self.name, self.chassis = name, chassis
        self._values: dict[str, tuple[str, str]] = {}
        self.text("1.3.6.1.2.1.1.1.0", descr)
        self.put("1.3.6.1.2.1.1.2.0", OID, object_id)
        self.put("1.3.6.1.2.1.1.3.0", TICKS, str(ticks))
        self.text("1.3.6.1.2.1.1.5.0", name)
        self.text("1.3.6.1.2.1.1.6.0", "Phòng máy chủ")
        self.number("1.3.6.1.2.1.1.7.0", 2)
        self.octets("1.3.6.1.2.1.17.1.1.0", _of_mac(chassis))
        self.number("1.0.8802.1.1.2.1.3.1.0", 4)
        self.octets("1.0.8802.1.1.2.1.3.2.0", _of_mac(chassis))

    def put(self, oid: str, tag: str, value: str) -> None:
        self._values[oid] = (tag, value)

    def number(self, oid: str, value: int, tag: str = INTEGER) -> None:
        self.put(oid, tag, str(value))

    def octets(self, oid: str, value: bytes) -> None:
        self.put(oid, OCTETS, _octets(value))

    def text(self, oid: str, value: str) -> None:
        self.put(oid, OCTETS, _octets(value))

    def interface(
        self, index: int, name: str, *, up: bool = True, received: int = 0, sent: int = 0, errors: int = 0
    ) -> None:
        """A port of 1 Gbit/s; bridge port and LLDP port have the same number."""
        table, more = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
        self.text(f"{table}.2.{index}", name)
        self.number(f"{table}.3.{index}", 6)
        self.number(f"{table}.5.{index}", 1_000_000_000, GAUGE)
        self.octets(f"{table}.6.{index}", _of_mac(self.chassis)[:5] + bytes([index]))
        self.number(f"{table}.7.{index}", 1)
        self.number(f"{table}.8.{index}", 1 if up else 2)
        self.number(f"{table}.9.{index}", 1_000 * index, TICKS)
        for column, value in ((13, 0), (14, errors), (19, 0), (20, 0)):
            self.number(f"{table}.{column}.{index}", value, COUNTER)
        self.text(f"{more}.1.{index}", name)
        for column, value in ((6, received), (7, received // 500), (10, sent), (11, sent // 500)):
            self.number(f"{more}.{column}.{index}", value, COUNTER64)
        self.number(f"{more}.15.{index}", 1_000, GAUGE)
        self.text(f"{more}.18.{index}", f"cổng {index}")
        self.number(f"{more}.19.{index}", 0, TICKS)
        self.number(f"1.3.6.1.2.1.10.7.2.1.19.{index}", 3)
        self.number(f"1.3.6.1.2.1.17.1.4.1.2.{index}", index)
        self.number(f"1.0.8802.1.1.2.1.3.7.1.2.{index}", 5)
        self.text(f"1.0.8802.1.1.2.1.3.7.1.3.{index}", name)

    def neighbour(self, index: int, other: Simulated, port: str, *, network: bool = True) -> None:
        """By LLDP, heard at port ``index``."""
        row = f"0.{index}.1"
        table = "1.0.8802.1.1.2.1.4.1.1"
        self.number(f"{table}.4.{row}", 4)
        self.octets(f"{table}.5.{row}", _of_mac(other.chassis))
        self.number(f"{table}.6.{row}", 5)
        self.text(f"{table}.7.{row}", port)
        self.text(f"{table}.9.{row}", other.name)
        self.octets(f"{table}.12.{row}", b"\x28\x00" if network else b"\x01\x00")

    def learned(self, address: str, index: int, vlan: int = 1) -> None:
        """A MAC behind port ``index``."""
        row = f"{vlan}." + ".".join(str(each) for each in _of_mac(address))
        self.number(f"1.3.6.1.2.1.17.7.1.2.2.1.2.{row}", index)
        self.number(f"1.3.6.1.2.1.17.7.1.2.2.1.3.{row}", 3)

    def arp(self, ip: str, address: str, index: int = 1) -> None:
        self.put(f"1.3.6.1.2.1.4.22.1.2.{index}.{ip}", OCTETS, _octets(_of_mac(address)))

    def write(self, folder: Path, community: str) -> None:
        """As snmpsim reads it: in the order of OIDs, under the name of the community by which it is asked for."""
        ordered = sorted(self._values.items(), key=lambda item: [int(part) for part in item[0].split(".")])
        lines = [f"{oid}|{tag}|{value}\n" for oid, (tag, value) in ordered]
        (folder / f"{community}.snmprec").write_text("".join(lines), encoding="utf-8")


def three_switches() -> tuple[Simulated, Simulated, Simulated]:
    """A core with two floors. The core and floor 1 speak LLDP, both; floor 2 is only seen in the core's and its own
    forwarding table. ``mac(11)`` … ``mac(13)`` are machines on floor 1, ``mac(21)`` and ``mac(22)`` on floor 2."""
    core = Simulated("sw-loi", object_id="1.3.6.1.4.1.9.1.1208", descr=_CISCO, chassis=mac(0x100))
    first = Simulated("sw-tang-1", object_id="1.3.6.1.4.1.9.1.1208", descr=_CISCO, chassis=mac(0x200))
    second = Simulated("sw-tang-2", object_id="1.3.6.1.4.1.11.2.3.7.11", descr="Switch 2", chassis=mac(0x300))
    for index in (1, 2, 3, 4):
        core.interface(index, f"Gi1/0/{index}", received=10_000_000 * index, sent=20_000_000)
        first.interface(index, f"Gi0/{index}", up=index != 4)
        second.interface(index, f"port{index}")
    core.neighbour(1, first, "Gi0/1")
    first.neighbour(1, core, "Gi1/0/1")
    for number, index in ((11, 2), (12, 3), (13, 3)):
        first.learned(mac(number), index)
        core.learned(mac(number), 1)
    for number, index in ((21, 2), (22, 3)):
        second.learned(mac(number), index)
        core.learned(mac(number), 2)
        first.learned(mac(number), 1)
    core.learned(mac(0x200), 1)
    core.learned(mac(0x300), 2)
    first.learned(mac(0x300), 1)
    second.learned(mac(0x100), 1)
    second.learned(mac(0x200), 1)
    core.arp("10.77.1.11", mac(11))
    core.arp("10.77.1.21", mac(21))
    core.text("1.3.6.1.2.1.47.1.1.1.1.13.1", "WS-C3750X-24")
    core.number("1.3.6.1.2.1.47.1.1.1.1.5.1", 3)
    core.text("1.3.6.1.2.1.47.1.1.1.1.11.1", "FDO1628K0Q1")
    core.number("1.3.6.1.4.1.9.9.109.1.1.1.1.7.1", 23, GAUGE)
    return core, first, second


_CISCO: Final = (
    "Cisco IOS Software, C3750E Software (C3750E-UNIVERSALK9-M), Version 15.2(4)E8, RELEASE SOFTWARE"
)


@contextmanager
def simulator(folder: Path, devices: Mapping[str, Simulated]) -> Iterator[int]:
    """snmpsim on a port of the loopback interface, which is given; by community the device that answers."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for community, device in devices.items():
        device.write(data, community)
    port = free_port()
    command = Path(sys.executable).parent / "snmpsim-command-responder"
    arguments = [
        *(
            f"--data-dir={data}",
            f"--cache-dir={folder / 'cache'}",
            f"--agent-udpv4-endpoint=127.0.0.1:{port}",
        ),
        *("--process-user=root", "--process-group=root", "--log-level=error", "--logging-method=null"),
    ]
    child = subprocess.Popen([str(command), *arguments], cwd=_ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: child.poll() is not None or answers(port, next(iter(devices))), 20)
        assert child.poll() is None, "snmpsim did not start"
        yield port
    finally:
        child.terminate()
        child.wait(10)


@contextmanager
def snmpd(folder: Path, configuration: str) -> Iterator[int]:
    """A real snmpd on a port of the loopback interface. Knows community ``bimat``."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "snmpd.conf"
    file.write_text(f"agentaddress udp:127.0.0.1:{port}\nrocommunity bimat\n{configuration}\n")
    child = subprocess.Popen(
        ["snmpd", "-f", "-C", "-c", str(file), "-Ln", "-I", "-hrSWRunTable,hrSWInstalledTable"],
        env={
            "SNMP_PERSISTENT_DIR": str(folder / "persistent"),
            "MIBS": "",
            "PATH": "/usr/sbin:/usr/bin:/bin",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: child.poll() is not None or answers(port, "bimat"), 20)
        assert child.poll() is None, "snmpd did not start"
        yield port
    finally:
        child.terminate()
        child.wait(10)


def answers(port: int, community: str) -> bool:
    """Whether somebody says what it is, within a fifth of a second."""
    from gufo.snmp import SnmpError
    from gufo.snmp.sync import SnmpSession

    try:
        with SnmpSession("127.0.0.1", port, community=community, timeout=0.2) as session:
            session.get("1.3.6.1.2.1.1.2.0")
    except (TimeoutError, OSError, SnmpError):
        return False
    return True
