from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messages import Importance
from collector.ingest.admission import AWAY_SECONDS, Admission
from collector.ingest.pressure import Shares
from collector.ingest.problems import RefusalError


class Door:
    """An admission with a clock that moves only when told."""

    def __init__(self, returns_per_second: float = 10.0) -> None:
        self.now = 1000.0
        self.shares = Shares()
        self.told: list[tuple[str, Importance]] = []
        self.admission = Admission(
            lambda: self.now,
            lambda: self.shares,
            returns_per_second=returns_per_second,
            held_back=lambda reason, importance: self.told.append((reason, importance)),
        )

    def knock(self, endpoint: str, importance: Importance = Importance.EVENTS) -> RefusalError | None:
        try:
            self.admission.enter(endpoint, importance)
        except RefusalError as refusal:
            return refusal
        return None

    def wait(self, endpoint: str, importance: Importance = Importance.EVENTS) -> int:
        """Seconds it is told to wait, 0 where it is let in."""
        refusal = self.knock(endpoint, importance)
        return int(refusal.headers["retry-after"]) if refusal else 0


def test_a_few_come_back_unhindered_and_who_is_there_is_never_asked_again() -> None:
    door = Door()
    for _ in range(100):
        assert door.wait("a") == 0
    door.now += AWAY_SECONDS - 1
    assert door.wait("a") == 0
    assert not door.told


@given(
    st.lists(st.floats(0, 60), min_size=1, max_size=400),
    st.floats(5, 50),
    st.lists(st.floats(0, 0.1), min_size=1, max_size=50),
)
def test_nobody_who_keeps_to_his_time_is_sent_away_twice(
    arrivals: list[float], rate: float, lateness: list[float]
) -> None:
    door = Door(rate)
    coming = sorted((when, f"agent-{number}", 0) for number, when in enumerate(arrivals))
    let_in: list[float] = []
    while coming:
        when, name, sent_away = coming.pop(0)
        door.now = 1000.0 + when
        wait = door.wait(name)
        if not wait:
            let_in.append(when)
            continue
        assert sent_away == 0
        jitter = lateness[len(let_in) % len(lateness)]
        coming.append((when + wait * (1 + jitter), name, 1))
        coming.sort()
    assert len(let_in) == len(arrivals)
    # Two seconds' worth at once, as many more each second; lateness and whole seconds may bunch a few up.
    for start in let_in:
        within = sum(start <= when < start + 1 for when in let_in)
        assert within <= rate * (1 + 2 + 2 + 0.1 * 60) + 2


def test_who_comes_before_his_time_keeps_it_and_waits_on() -> None:
    door = Door(1.0)
    waits = [door.wait(f"agent-{number}") for number in range(10)]
    late = waits[-1]
    assert late > 5
    door.now += 2
    assert door.wait("agent-9") == late - 2
    door.now += late - 2
    assert door.wait("agent-9") == 0


def test_a_time_that_was_not_used_is_void_in_the_end() -> None:
    door = Door(1.0)
    for number in range(10):
        door.wait(f"agent-{number}")
    door.now += 3600
    for number in range(10, 20):
        door.wait(f"agent-{number}")
    assert door.wait("agent-9") > 0


@pytest.mark.parametrize(
    ("share", "let_in"),
    [
        (0.3, {Importance.CHATTER, Importance.EVENTS, Importance.STATUS}),
        (0.6, {Importance.EVENTS, Importance.STATUS}),
        (0.9, {Importance.STATUS}),
        (1.0, set()),
    ],
)
@pytest.mark.parametrize("of", ["memory", "disk"])
def test_the_less_room_there_is_the_more_important_a_batch_must_be(
    share: float, let_in: set[Importance], of: str
) -> None:
    door = Door()
    door.wait("a")
    setattr(door.shares, of, share)
    assert {each for each in Importance if door.wait("a", each) == 0} == let_in
    refused = door.knock("a", Importance.CHATTER)
    assert refused is None or refused.status == 503
    takes = refused.headers.get("vonggac-takes") if refused else min(let_in).word
    assert takes == (min(let_in).word if let_in else None)
    assert {reason for reason, _ in door.told} <= {of}


def test_those_sent_away_for_want_of_room_are_spread_over_the_time_to_come() -> None:
    door = Door(100.0)
    for number in range(300):
        door.wait(f"agent-{number}")
        door.now += 0.02
    door.shares.disk = 1.0
    waits = Counter(door.wait(f"agent-{number}") for number in range(300))
    assert min(waits) >= 30
    assert max(waits.values()) <= 101


def test_who_was_given_a_time_is_let_in_though_memory_is_short_but_not_onto_a_full_disk() -> None:
    door = Door(1.0)
    wait = [door.wait(f"agent-{number}") for number in range(10)][-1]
    door.now += wait
    door.shares.memory = 0.95
    door.shares.disk = 1.0
    refused = door.knock("agent-9")
    assert refused is not None
    assert refused.reason == "disk"
    door.shares.disk = 0.0
    assert door.wait("agent-9") == 0


def test_memory_of_visitors_is_bounded() -> None:
    admission = Admission(lambda: 1000.0, Shares, returns_per_second=1e6, remembered=10)
    for number in range(100):
        admission.enter(f"agent-{number}", Importance.EVENTS)
    assert len(admission._visitors) == 10
