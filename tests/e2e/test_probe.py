"""An agency's LAN with a probe: what is on it, what happens to it, and what the console says of it.

Server, agent and parts all run in the probe's own network namespace, so that nothing leaves the test's LAN.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.probe.ssh.devices import PASSWORD, DeviceServer, fortios
from tests.support.debian import program
from tests.support.netns import lan
from tests.support.stack import Agent, Stack, page
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.support.netns import Host, Lan

pytestmark = pytest.mark.e2e

AGENCY = "so-tai-chinh"
_GATEWAY_TAKEN = "6fd2a8bc-b356-4e9a-994b-66e0e5b79de8"
_LAN_LOST = "9a531f02-2a0d-484a-9810-b2e0ed95a0da"
_LAN = """
[scan]
interval_seconds = 30
networks = ["10.77.0.0/27"]
ipv6 = false
[watch]
learn_seconds = 0
dhcp_probe_seconds = 0
"""
_LINKS = """
[links]
interval_seconds = 2
down_after = 2
"""
_SSH = """
[ssh]
reach_minutes = 0.5
interval_hours = 0.25
[[devices.device]]
name = "fw-tai-chinh"
host = "10.77.0.2"
platform = "fortios"
role = "firewall"
user = "giamsat"
password_file = "{secret}"
host_key = "{key}"
"""


class Site:
    """The agency's LAN, and somebody who looks at it."""

    def __init__(
        self, net: Lan, client: httpx.Client, hosts: dict[str, Host], firewall: DeviceServer
    ) -> None:
        self.net, self.client, self.hosts, self.firewall = net, client, hosts, firewall

    def page(self, path: str, **parameters: str) -> Any:
        with self.hosts["probe"].entered():
            return page(self.client, path, **parameters)

    def alerts(self, rule: str) -> list[dict[str, Any]]:
        """The open ones of a rule, by its id."""
        listed = self.page("/api/v1/alerts", status="open")["items"]
        return [alert for alert in listed if alert["rule_id"] == rule]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("probe")
    with ExitStack() as closes:
        net = closes.enter_context(lan())
        hosts = {
            "gw": net.host("gw", 1),
            "fw": net.host("fw", 2),
            "probe": net.host("probe", 5, gateway=1),
            "pc": net.host("pc", 20, gateway=1),
        }
        with hosts["fw"].entered():
            firewall = closes.enter_context(DeviceServer(fortios(), hosts["fw"].ip, 22))
        with hosts["probe"].entered():
            stack = Stack(folder)
            closes.callback(stack.kill)
            stack.start()
            stack.vonggac("agency", "builtin", "thanh-hoa")
            client = closes.enter_context(closing(stack.client(stack.user())))
            agent = Agent(folder / "agent", stack, _probe(folder, firewall))
            agent.enroll(stack.token(AGENCY))
            closes.callback(agent.kill)
            agent.start()
        yield Site(net, client, hosts, firewall)


def _probe(folder: Path, firewall: DeviceServer) -> str:
    parts = folder / "parts"
    parts.mkdir()
    secret = parts / "secret"
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o600)
    (parts / "lan.toml").write_text(_LAN, encoding="utf-8")
    (parts / "links.toml").write_text(_LINKS, encoding="utf-8")
    (parts / "ssh.toml").write_text(_SSH.format(secret=secret, key=firewall.fingerprint), encoding="utf-8")
    return f'[probe]\nparts = ["lan", "links", "ssh"]\nfolder = "{parts}"\n'


def test_every_device_of_the_lan_is_listed_and_only_the_probe_is_managed(site: Site) -> None:
    def devices() -> dict[str, dict[str, Any]]:
        return {each["ip"]: each for each in site.page("/api/v1/devices", agency=AGENCY)["items"]}

    there = {host.ip for name, host in site.hosts.items() if name != "probe"}
    wait_until(lambda: there <= devices().keys(), seconds=60, what="all devices")
    found = devices()
    assert found["10.77.0.20"]["mac"] == site.hosts["pc"].mac
    assert not found["10.77.0.20"]["endpoint_id"]
    assert {each["endpoint_id"] for ip, each in found.items() if ip in there} == {""}


def test_the_firewall_is_read_and_judged(site: Site) -> None:
    def answering() -> list[dict[str, Any]]:
        [agency] = site.page("/api/v1/firewalls", agency=AGENCY)
        return [each for each in agency["firewalls"] if each["answers"]["answering"]["value"] == "yes"]

    [firewall] = wait_until(answering, seconds=60, what="the firewall")
    assert (firewall["product"], firewall["version"]) == ("FortiOS", "7.2.8")
    assert firewall["answers"]["configuration"]["value"] == "yes"
    assert firewall["answers"]["supported"] == {
        "value": "no",
        "reason": "support_ended",
        "fact": firewall["answers"]["supported"]["fact"],
    }


def test_another_machine_that_answers_for_the_gateway_is_an_alert(site: Site) -> None:
    arping = program("arping", "arping")
    claim = site.hosts["pc"].command(arping, "-U", "-c", "1", "-S", "10.77.0.1", "-i", "eth0", "10.77.0.1")

    def told() -> list[dict[str, Any]]:
        subprocess.run(claim, capture_output=True, check=False, timeout=20)
        return site.alerts(_GATEWAY_TAKEN)

    assert wait_until(told, seconds=60, what="the alert")


def test_a_gateway_that_is_unplugged_is_a_lan_that_is_lost(site: Site) -> None:
    site.hosts["gw"].run("ip", "link", "set", "eth0", "down")
    try:
        assert wait_until(lambda: site.alerts(_LAN_LOST), seconds=60, what="the alert")
    finally:
        site.hosts["gw"].run("ip", "link", "set", "eth0", "up")
