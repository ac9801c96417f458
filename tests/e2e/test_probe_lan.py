"""A LAN with a probe on it, from the first packet of a stranger to the alert and the page in the console."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from scapy.layers.l2 import ARP, Ether

from tests.support.netns import NETWORK, lan, needs_namespaces
from tests.support.relay import relayed
from tests.support.stack import Agent, Stack, page
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.support.netns import Host

pytestmark = pytest.mark.e2e

_SECONDS = 30
#: Nothing of the network is taken for granted, so that the test need not wait for a day.
_SETTINGS = "[coverage]\ndevice_baseline_hours = 0\n\n[detect]\nclock_seconds = 1\n"
_PART = f"""[scan]
networks = ["{NETWORK}.0/28"]

[watch]
learn_seconds = 0
dhcp_probe_seconds = 0
"""


def send(host: Host, packet: Any) -> None:
    import socket

    with host.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(bytes(packet))


def alerts(client: httpx.Client, text: str) -> list[dict[str, Any]]:
    return [each for each in page(client, "/api/v1/alerts", limit="100")["items"] if text in each["subject"]]


def devices(client: httpx.Client, **parameters: str) -> dict[str, dict[str, Any]]:
    return {each["mac"]: each for each in page(client, "/api/v1/devices", **parameters)["items"]}


def test_a_stranger_on_the_lan_and_a_forged_gateway_are_alerts(tmp_path: Path) -> None:
    needs_namespaces()
    stack = Stack(tmp_path, _SETTINGS)
    try:
        stack.start()
        stack.vonggac("agency", "builtin", "thanh-hoa")
        with closing(stack.client(stack.user())) as analyst, lan() as net:
            gateway, probe, printer = net.host("gw", 1), net.host("probe", 5, gateway=1), net.host("prn", 9)
            (tmp_path / "parts").mkdir()
            (tmp_path / "parts" / "lan.toml").write_text(_PART)
            settings = f'[probe]\nparts = ["lan"]\nfolder = "{tmp_path / "parts"}"\n'
            agent = Agent(tmp_path / "agent", stack, settings)
            agent.enroll(stack.token("so-tai-chinh"))
            port = urlsplit(stack.agents).port
            assert port is not None
            with relayed(probe, port):
                command = [
                    sys.executable,
                    "-P",
                    "-m",
                    "agent.cli",
                    "run",
                    "--config",
                    str(agent.configuration),
                ]
                with (tmp_path / "agent.log").open("wb") as log:
                    probe.start(*command, env=os.environ, stdout=log, stderr=log)
                wait_until(
                    lambda: {printer.mac, gateway.mac} <= devices(analyst).keys(),
                    seconds=_SECONDS,
                    what="the devices of the first scan",
                )
                found = devices(analyst)
                assert found[printer.mac]["standing"] == "unmanaged"
                assert found[printer.mac]["ip"] == printer.ip
                assert not alerts(analyst, printer.mac), "what was there before is listed, not alerted"

                stranger = net.host("new", 7)
                send(stranger, Ether(src=stranger.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, psrc=stranger.ip))
                wait_until(lambda: alerts(analyst, stranger.mac), seconds=60, what="the alert")

                forged = ARP(op=2, hwsrc=stranger.mac, psrc=gateway.ip, pdst=gateway.ip)
                send(stranger, Ether(src=stranger.mac, dst="ff:ff:ff:ff:ff:ff") / forged)
                told = wait_until(
                    lambda: alerts(analyst, gateway.ip), seconds=_SECONDS, what="the forged gateway"
                )
                assert {each["level"] for each in told} == {"high"}
                listed = devices(analyst, standing="unmanaged")
                assert {printer.mac, stranger.mac} <= listed.keys()
    finally:
        stack.kill()
