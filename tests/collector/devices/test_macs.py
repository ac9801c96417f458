"""Addresses as agents report them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.devices.macs import (
    is_inner_interface,
    is_locally_administered,
    is_virtual_router,
    parse_ip,
    parse_mac,
)
from collector.devices.sightings import gateway_of, neighbours_of, own_macs_of
from tests.collector.documents.test_diff import BODY


@pytest.mark.parametrize("text", ["3C:52:82:00:00:02", "3c-52-82-00-00-02", " 3c5282000002 "])
def test_every_spelling_of_a_mac_is_one(text: str) -> None:
    assert parse_mac(text) == "3c:52:82:00:00:02"


@pytest.mark.parametrize(
    "text",
    [
        "3c:52:82:00:00",
        "3c:52-82:00:00:02",
        "3c:52:82:00:00:zz",
        "٣c:52:82:00:00:02",
        None,
        5,
        "ff:ff:ff:ff:ff:ff",
    ],
)
def test_what_is_no_ones_mac_is_none(text: object) -> None:
    assert parse_mac(text) is None


def test_a_made_up_address_and_a_shared_one_are_known_as_such() -> None:
    assert is_locally_administered("da:a1:19:00:00:01")
    assert not is_locally_administered("3c:52:82:00:00:02")
    assert is_virtual_router("00:00:5e:00:01:2a")
    assert not is_virtual_router("00:00:5e:00:53:01")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("FE80:0:0:0:0:0:0:1", "fe80::1"),
        ("224.0.0.251", None),
        ("255.255.255.255", None),
        ("127.0.0.1", None),
        ("0.0.0.0", None),
        ("10.0.0.1; rm", None),
        ("1" * 100, None),
        (167772161, None),
    ],
)
def test_an_ip_is_one_that_a_single_device_can_have(text: object, address: str | None) -> None:
    assert parse_ip(text) == address


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("docker0", True),
        ("br-0123456789ab", True),
        ("virbr0", True),
        ("eth0", False),
        ("br0", False),
        ("vg-veth", False),
        (None, False),
    ],
)
def test_bridges_inside_the_machine_are_told_from_the_lan(name: object, inner: bool) -> None:
    assert is_inner_interface(name) is inner


def test_own_cards_come_from_both_documents() -> None:
    lan = {
        "interfaces": [
            {"name": "eth0", "mac": "3c:52:82:00:00:02"},
            {"name": "docker0", "mac": "02:42:00:00:00:01"},
        ]
    }
    assert own_macs_of({"mac_addresses": ["3C-52-82-00-00-01", 5]}, lan) == {
        "3c:52:82:00:00:01",
        "3c:52:82:00:00:02",
    }
    assert own_macs_of(None, None) == frozenset()


def test_an_endpoint_cannot_claim_more_cards_than_any_has() -> None:
    assert (
        len(
            own_macs_of(
                {"mac_addresses": [f"3c:52:82:00:{n // 256:02x}:{n % 256:02x}" for n in range(900)]}, None
            )
        )
        == 64
    )


@given(BODY, st.sampled_from(["entries", "gateway", "interfaces", "mac_addresses"]))
def test_any_document_can_be_looked_at(body: dict[str, Any], key: str) -> None:
    for shape in (body, {key: body}, {key: [body]}, {key: list(body.values())}):
        assert all(sighting.ip for sighting in neighbours_of(shape))
        gateway_of(shape)
        assert len(own_macs_of(shape, shape)) <= 64
