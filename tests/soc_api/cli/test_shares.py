"""Spreading a number over agencies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soc_api.cli._shares import shares

weights = st.dictionaries(st.integers(0, 200), st.integers(0, 500), min_size=1, max_size=60)


@given(st.integers(0, 20_000), weights)
def test_the_shares_add_up_and_nobody_is_left_out_while_there_is_enough(
    total: int, of: dict[int, int]
) -> None:
    found = shares(total, of)
    assert found.keys() == of.keys()
    assert sum(found.values()) == total
    assert min(found.values()) >= (1 if total >= len(of) else 0)


@given(st.integers(1000, 20_000), weights)
def test_more_officials_never_get_fewer_machines(total: int, of: dict[int, int]) -> None:
    found = shares(total, of)
    for larger in of:
        for smaller in of:
            if of[larger] > of[smaller]:
                assert found[larger] >= found[smaller]


def test_500_machines_over_two_agencies_follow_their_officials() -> None:
    assert shares(500, {1: 30, 2: 70}) == {1: 150, 2: 350} or shares(500, {1: 30, 2: 70}) == {1: 151, 2: 349}
    assert shares(5, {}) == {}
