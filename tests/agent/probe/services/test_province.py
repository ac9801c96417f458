"""The part ``services`` as a process of its own, asking a real data centre in a test LAN."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.agent.probe.services import province
from tests.support.netns import lan, wait_for
from tests.support.part import part_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.netns import Host
    from tests.support.part import PartProcess


@contextmanager
def names_of(host: Host, *names: str, ip: str) -> Iterator[None]:
    """Programs that run there know these names (ip-netns(8))."""
    folder = Path("/etc/netns") / host.namespace
    folder.mkdir(parents=True)
    try:
        (folder / "hosts").write_text("".join(f"{ip} {name}\n" for name in names))
        yield
    finally:
        shutil.rmtree(folder)


def newest(part: PartProcess, name: str) -> dict[str, Any]:
    found = [each.body for each in part.documents("service_check") if each.item == name and each.body]
    return found[-1] if found else {}


def settings(ca_file: Path, ip: str) -> dict[str, Any]:
    page = {"kind": "http", "ca_file": str(ca_file)}
    portal = f"https://{province.PORTAL}"
    return {
        "services": {
            "service": [
                {
                    **page,
                    "name": "portal",
                    "url": f"{portal}/",
                    "expect": "Thủ tục hành chính",
                    "watch_content": True,
                    "ignore": ["#news"],
                },
                {**page, "name": "ended", "url": f"{portal}:8443/"},
                {**page, "name": "away", "url": f"{portal}/away"},
                {"name": "mail", "kind": "smtp", "host": province.MAIL, "ca_file": str(ca_file)},
                {"name": "forgery", "kind": "mail_domain", "domain": province.DOMAIN, "servers": [ip]},
                {
                    "name": "names",
                    "kind": "dns",
                    "domain": province.PORTAL,
                    "servers": [ip],
                    "answers": [ip],
                },
                {"name": "way", "kind": "path", "host": ip},
                {"name": "port", "kind": "tcp", "host": ip, "port": 9},
            ]
        }
    }


def test_a_data_centre_is_told_as_it_is_and_a_defaced_portal_as_another_page(tmp_path: Path) -> None:
    with TemporaryDirectory() as public, lan() as net:
        net.host("gw", 1)
        centre, probe = net.host("dc", 10), net.host("pr", 20, gateway=1)
        authority = province.Authority(tmp_path)
        page = province.start_nginx(centre, tmp_path, authority)
        province.start_dnsmasq(centre, tmp_path)
        province.start_postfix(centre, tmp_path, Path(public), authority)
        own = tmp_path / "probe"
        own.mkdir()
        asked = settings(authority.file, centre.ip)
        names = [each["name"] for each in asked["services"]["service"]]
        for port in (443, 25):
            wait_for(partial(answers, centre, port), what=f"port {port}")
        with names_of(probe, province.PORTAL, province.MAIL, ip=centre.ip):
            with part_process(probe, "services", asked, own) as part:
                wait_for(
                    lambda: all(newest(part, name) for name in names if name not in ("port", "away")),
                    what=f"{[name for name in names if not newest(part, name)]}",
                )
                told = {name: newest(part, name) for name in names}
            assert told["portal"]["state"] == "up"
            assert told["portal"]["tls"]["problem"] == ""
            assert told["portal"]["tls"]["issuer"] == "Test authority"
            assert "header_hsts_missing" not in told["portal"]["findings"]
            assert "header_csp_missing" in told["portal"]["findings"]
            assert told["portal"]["content"]["title"] == "Cổng thông tin điện tử tỉnh"
            assert told["portal"]["content"]["hosts"] == ["cdn.province.test"]
            assert told["ended"]["state"] == "degraded"
            assert told["ended"]["tls"]["problem"] == "expired"
            assert told["ended"]["findings"][0] == "certificate_expired"
            assert told["mail"]["state"] == "up", told["mail"]
            assert told["mail"]["tls"]["problem"] == ""
            assert told["forgery"]["findings"] == ["dmarc_none"]
            assert told["names"]["state"] == "up", told["names"]
            assert told["way"]["state"] == "up", told["way"]
            assert "VongGac-Probe/1" in (tmp_path / "access.log").read_text()

            before = told["portal"]["content"]
            page.write_text(
                province.portal_page("Tin khác hẳn, dài hơn trước, của ngày hôm sau"), encoding="utf-8"
            )
            with part_process(probe, "services", asked, own, memories=part.memories) as part:
                wait_for(lambda: newest(part, "portal"))
                again = newest(part, "portal")
            assert again["content"] == before, "news changed in a region that was declared to change"
            assert again["since"] == told["portal"]["since"]

            page.write_text("<title>Hacked</title><h1>HACKED  by somebody</h1>", encoding="utf-8")
            with part_process(probe, "services", asked, own, memories=part.memories) as part:
                wait_for(lambda: newest(part, "portal"))
                defaced = newest(part, "portal")
            assert defaced["content"]["words"] == ["hacked by"]
            assert defaced["content"]["digest"] != before["digest"]
            assert defaced["state"] == "down", "what the page has to contain is gone"


def answers(host: Host, port: int) -> bool:
    return (
        f"{host.ip}:{port} " in host.run("ss", "-ltn").stdout
        or f"0.0.0.0:{port} " in host.run("ss", "-ltn").stdout
    )
