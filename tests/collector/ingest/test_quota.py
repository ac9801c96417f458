from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from collector.ingest.problems import RefusalError
from collector.ingest.quota import Quotas, write_refused
from collector.state.tables import Endpoint, Throttled

if TYPE_CHECKING:
    from tests.support.collector import Endpoint as Enrolled
    from tests.support.collector import Site


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait(quotas: Quotas, endpoint: str, size: int = 0) -> int:
    try:
        quotas.spend(endpoint, size)
    except RefusalError as refusal:
        return int(refusal.headers["retry-after"])
    return 0


def test_a_minutes_worth_may_come_at_once_and_then_as_much_as_runs_out() -> None:
    clock = Clock()
    quotas = Quotas(clock, requests=60, size=1000)
    assert [wait(quotas, "a") for _ in range(60)] == [0] * 60
    assert wait(quotas, "a") == 1
    assert wait(quotas, "b") == 0
    clock.now += 1
    assert [wait(quotas, "a"), wait(quotas, "a")] == [0, 1]


def test_bytes_count_too() -> None:
    clock = Clock()
    quotas = Quotas(clock, requests=1000, size=6000)
    assert wait(quotas, "a", 6000) == 0
    assert wait(quotas, "a", 3000) == 30
    clock.now += 30
    assert wait(quotas, "a", 3000) == 0


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 1000)), max_size=60))
def test_waiting_as_long_as_told_is_always_enough(visits: list[tuple[float, int]]) -> None:
    clock = Clock()
    quotas = Quotas(clock, requests=30, size=5000)
    for pause, size in visits:
        clock.now += pause
        seconds = wait(quotas, "a", size)
        if seconds:
            clock.now += seconds
            assert wait(quotas, "a", size) == 0


def test_a_body_of_unknown_size_is_paid_for_by_the_ones_after_it() -> None:
    quotas = Quotas(Clock(), requests=1000, size=1000)
    assert wait(quotas, "a") == 0
    quotas.add("a", 1500)
    assert wait(quotas, "a") == 30


def test_memory_of_endpoints_is_bounded() -> None:
    quotas = Quotas(Clock(), requests=10, size=1000, remembered=5)
    for number in range(50):
        quotas.spend(f"agent-{number}", 1)
    assert len(quotas._used) == 5


def test_who_was_refused_is_written_down_and_added_up(site: Site, endpoint: Enrolled) -> None:
    quotas = Quotas(Clock(), requests=10, size=100)
    for name in (endpoint.id, "nobody-we-know"):
        with pytest.raises(RefusalError) as refused_with:
            quotas.spend(name, 150)
        assert refused_with.value.status == 429
    refused = quotas.take_refused()
    assert quotas.take_refused() == {}
    assert write_refused(site.state, refused)
    assert write_refused(site.state, refused)
    with site.state.read() as session:
        (row,) = session.scalars(select(Throttled)).all()
        assert (row.endpoint_id, row.refusals, row.refused_bytes) == (endpoint.id, 2, 300)
        assert row.first_at < row.last_at
        assert session.get(Endpoint, endpoint.id) is not None


def test_what_could_not_be_written_is_kept() -> None:
    quotas = Quotas(Clock(), requests=10, size=100)
    for _ in range(2):
        with pytest.raises(RefusalError):
            quotas.spend("a", 150)
        quotas.keep_refused(quotas.take_refused())
    assert quotas.take_refused() == {"a": [2, 300]}
