"""What may be asked, and what may not: ministries' systems are never probed, whatever the file says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agent.probe.services.settings import Services, ServicesSettings


def read(service: dict[str, Any], **section: Any) -> Services:
    raw = {"services": {"service": [{"name": "one", **service}], **section}}
    return msgspec.convert(raw, ServicesSettings, strict=True).services


OWN = {"own_domains": ["thanhhoa.gov.vn"]}


@pytest.mark.parametrize(
    "service",
    [
        {"kind": "http", "url": "https://tabmis.mof.gov.vn/"},
        {"kind": "http", "url": "https://TABMIS.thanhhoa.gov.vn/"},
        {"kind": "tcp", "host": "mof.gov.vn", "port": 443},
        {"kind": "http", "url": "https://portal.thanhhoa.gov.vn/", "also_hosts": ["www.mof.gov.vn"]},
        {"kind": "dns", "domain": "portal.other.gov.vn"},
        {"kind": "smtp", "host": "10.200.0.7"},
        {"kind": "dns", "domain": "portal.thanhhoa.gov.vn", "servers": ["10.200.0.53"]},
        {"kind": "http", "url": "https://app.customs.example/"},
    ],
)
def test_a_ministrys_system_cannot_be_probed(service: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="may not be probed"):
        read(service, **OWN, path_only=["10.200.0.0/16", "*.customs.example"])


def test_of_a_ministrys_system_the_gateway_of_the_way_may_be_asked() -> None:
    read({"kind": "path", "host": "10.200.0.1"}, path_only=["10.200.0.0/16"])
    with pytest.raises(msgspec.ValidationError, match="IP address of its gateway"):
        read({"kind": "path", "host": "tabmis.mof.gov.vn"})


def test_the_provinces_own_services_may() -> None:
    found = read({"kind": "http", "url": "https://portal.thanhhoa.gov.vn/"}, **OWN)
    assert found.why_not("portal.thanhhoa.gov.vn") == ""
    assert found.why_not("thanhhoa.gov.vn.") == ""
    assert found.why_not("xthanhhoa.gov.vn") != ""


@pytest.mark.parametrize(
    "service",
    [
        {"kind": "http"},
        {"kind": "http", "url": "ftp://x/"},
        {"kind": "http", "url": "https://user:word@x/"},
        {"kind": "http", "url": "https://x:99999/"},
        {"kind": "tcp", "host": "x"},
        {"kind": "dns", "domain": "x", "servers": ["not an address"]},
        {"kind": "http", "url": "https://x/", "interval_seconds": 1},
        {"kind": "http", "url": "https://x/", "unknown": 1},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(service: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(service)
