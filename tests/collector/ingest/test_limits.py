from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.ingest.limits import AddressList, ByteBudget, FailureLimit, is_loopback


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_failures_up_to_the_burst_are_borne_and_then_the_address_waits() -> None:
    clock = Clock()
    limit = FailureLimit(clock, burst=3, seconds_each=10)

    for _ in range(3):
        assert limit.wait_seconds("192.0.2.1") == 0
        limit.failed("192.0.2.1")

    assert limit.wait_seconds("192.0.2.1") == 10
    assert limit.wait_seconds("192.0.2.2") == 0
    clock.now += 9.5
    assert limit.wait_seconds("192.0.2.1") == 1
    clock.now += 0.5
    assert limit.wait_seconds("192.0.2.1") == 0


def test_waiting_as_long_as_told_is_enough() -> None:
    clock = Clock()
    limit = FailureLimit(clock, burst=2, seconds_each=7)
    for _ in range(10):
        limit.failed("192.0.2.1")

    clock.now += limit.wait_seconds("192.0.2.1")

    assert limit.wait_seconds("192.0.2.1") == 0


def test_one_ipv6_network_counts_as_one_address() -> None:
    limit = FailureLimit(Clock(), burst=1)
    limit.failed("2001:db8::1")

    assert limit.wait_seconds("2001:db8::ffff:2") > 0
    assert limit.wait_seconds("2001:db8:0:1::1") == 0
    limit.failed("::ffff:192.0.2.1")
    assert limit.wait_seconds("::ffff:192.0.2.2") == 0


def test_memory_of_failures_is_bounded() -> None:
    limit = FailureLimit(Clock(), burst=1, addresses=100)
    for number in range(1000):
        limit.failed(f"10.0.{number // 256}.{number % 256}")

    assert sum(limit.wait_seconds(f"10.0.{n // 256}.{n % 256}") > 0 for n in range(1000)) == 100


def test_a_budget_gives_what_it_has_and_takes_it_back() -> None:
    budget = ByteBudget(10)

    assert budget.take(6)
    assert not budget.take(5)
    assert budget.take(4)
    budget.give_back(6)
    assert budget.take(5)


def test_addresses_and_networks_are_recognised_also_mapped_and_with_a_zone() -> None:
    addresses = AddressList(["10.1.0.0/16", "192.0.2.7", "fe80::/10"])

    assert "10.1.2.3" in addresses
    assert "::ffff:192.0.2.7" in addresses
    assert "fe80::1%eth0" in addresses
    assert "10.2.0.1" not in addresses
    assert "" not in addresses
    assert "10.1.2.3" not in AddressList([])


def test_an_entry_that_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="proxy"):
        AddressList(["proxy.example.vn"])


def test_loopback_is_all_of_127_and_its_ipv6_counterpart() -> None:
    assert is_loopback("127.9.9.9")
    assert is_loopback("::1")
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("128.0.0.1")


@given(st.text(max_size=60))
def test_any_text_as_an_address_is_borne(text: str) -> None:
    limit = FailureLimit(Clock(), burst=1)
    limit.failed(text)

    assert limit.wait_seconds(text) > 0
    assert isinstance(text in AddressList(["10.0.0.0/8"]), bool)
