"""From switches to the page: the probe's part asks snmpsim, what it tells is stored as the worker
does, Chromium draws."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from selenium.webdriver.common.by import By
from sqlalchemy import select

from agent.probe.contract import Hello, PartContext
from agent.probe.snmp.running import run
from agent.probe.snmp.settings import Credential, Credentials, Device, Devices, Poll, SnmpSettings
from collector.documents.service import Stored
from collector.network.service import write_devices
from collector.state.base import utcnow
from collector.state.tables import Agency, Assignment, Document, Endpoint
from tests.browser.test_console import shown, sign_in
from tests.support.snmp import simulator, three_switches
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver.chrome.webdriver import WebDriver

    from agent.probe.contract import Said
    from tests.browser.conftest import Console

NAMES = {"sw-loi", "sw-tang-1", "sw-tang-2"}


def asked(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What the part tells of three switches of snmpsim, by kind and item."""
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def say(said: Said) -> str:
        found.update({(each.kind, each.item): each.body or {} for each in said.found().documents})
        return ""

    devices = dict(zip(("a", "b", "c"), three_switches(), strict=True))
    for community in devices:
        (folder / community).write_text(community, encoding="utf-8")
        (folder / community).chmod(0o600)
    with simulator(folder / "sim", devices) as port:
        settings = SnmpSettings(
            Poll(interval_seconds=3),
            Credentials(tuple(Credential(each, "2c", community_file=str(folder / each)) for each in devices)),
            Devices(
                tuple(Device(device.name, "127.0.0.1", each, port=port) for each, device in devices.items())
            ),
        )
        context = PartContext(settings, Hello("snmp", {}, str(folder)), say=say, now=time.time)
        part = threading.Thread(target=run, args=(context,))
        part.start()
        try:
            wait_until(
                lambda: {item for kind, item in found if kind == "network_arp"} == NAMES,
                seconds=30,
                what="three switches",
            )
        finally:
            context.stopping.set()
            part.join(10)
    return found


def store(console: Console, documents: dict[tuple[str, str], dict[str, Any]]) -> str:
    """As the worker does, of a probe of its own; the code of its agency."""
    now = utcnow()
    with console.state.write() as session:
        agency = session.scalars(select(Agency).order_by(Agency.id)).first()
        assert agency is not None
        session.add(Endpoint(id="dau-do-snmp", hostname="dau-do-snmp", enrolled_at=now, last_seen_at=now))
        session.flush()
        session.add(Assignment(endpoint_id="dau-do-snmp", agency_id=agency.id, valid_from=now))
        changed: dict[tuple[str, str, str], Stored | None] = {}
        for (kind, item), body in documents.items():
            stored = Stored(kind, item, body, "", now, now, now)
            session.add(Document(endpoint_id="dau-do-snmp", **vars(stored)))
            changed["dau-do-snmp", kind, item] = stored
        write_devices(session, changed, {"dau-do-snmp"})
        return agency.code


def test_three_switches_are_on_the_map_with_what_joins_them(
    console: Console, chromium: WebDriver, tmp_path: Path
) -> None:
    code = store(console, asked(tmp_path))
    sign_in(console, chromium, f"/network?agency={code}")
    wait_until(
        lambda: chromium.find_elements(By.CSS_SELECTOR, "svg.map .map-node"), seconds=10, what="the map"
    )
    assert {each.text for each in chromium.find_elements(By.CSS_SELECTOR, ".map-name")} == NAMES
    titles = [
        each.get_attribute("textContent") or ""
        for each in chromium.find_elements(By.CSS_SELECTOR, ".map-line title")
    ]
    assert sorted(title.split(": ")[1] for title in titles) == [
        "Bảng chuyển tiếp của cả hai đầu",
        "LLDP, cả hai đầu báo",
    ]
    assert len(chromium.find_elements(By.CSS_SELECTOR, ".map-line.map-up")) == 2

    # A device's box leads to its page, with interfaces and who is behind them.
    chromium.find_element(By.CSS_SELECTOR, 'svg.map a[aria-label^="sw-tang-1"]').click()
    wait_until(lambda: "Gi0/1" in shown(chromium), seconds=10, what="the device's page")
    assert "sw-loi (Gi1/0/1)" in shown(chromium)
    for path in (f"/network?agency={code}", chromium.current_url.removeprefix(console.stack.web)):
        chromium.set_window_size(500, 844)
        chromium.get(console.stack.web + path)
        wide = chromium.execute_script("return document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, path
