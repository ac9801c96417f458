"""How often, and with what, somebody may try."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soc_api.accounts.passwords import make_password, refuse_weak
from soc_api.accounts.throttle import Throttle
from soc_api.errors import InvalidError, TooManyTriesError


def test_tries_that_began_count_before_they_are_decided() -> None:
    throttle = Throttle(tries=3, clock=lambda: 0.0)
    for _ in range(3):
        throttle.begin("10.0.0.1")
    with pytest.raises(TooManyTriesError):
        throttle.begin("10.0.0.1")
    throttle.begin("10.0.0.2")


def test_successes_do_not_count() -> None:
    throttle = Throttle(tries=2, clock=lambda: 0.0)
    for _ in range(100):
        throttle.begin("10.0.0.1")
        throttle.succeeded("10.0.0.1")
    throttle.begin("10.0.0.1")


def test_after_the_window_an_address_may_try_again() -> None:
    now = 0.0
    throttle = Throttle(tries=1, window_seconds=60, clock=lambda: now)
    throttle.begin("10.0.0.1")
    now = 59.0
    with pytest.raises(TooManyTriesError) as refused:
        throttle.begin("10.0.0.1")
    assert refused.value.retry_after == 2
    now = 60.0
    throttle.begin("10.0.0.1")


def test_one_ipv6_network_is_one_address() -> None:
    throttle = Throttle(tries=1, clock=lambda: 0.0)
    throttle.begin("2001:db8::1")
    with pytest.raises(TooManyTriesError):
        throttle.begin("2001:db8::ffff:1")
    throttle.begin("2001:db8:0:1::1")


def test_made_passwords_are_strong_and_never_the_same() -> None:
    made = {make_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        refuse_weak(password, "admin")


@given(st.text(max_size=11))
def test_a_short_password_is_refused(password: str) -> None:
    with pytest.raises(InvalidError):
        refuse_weak(password, "somebody")
