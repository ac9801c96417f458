"""What the numbers of batches and the hosts' documents say of who speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collector.detect.streams import Came, StreamState, digest_of
from tests.collector.identity.test_evidence import HARDWARE, OTHER
from tests.collector.pipeline import T0, Pipeline

if TYPE_CHECKING:
    from pathlib import Path


class Speaker:
    """One copy of an agent's memory: it goes on from ``seq`` with contents of its own."""

    def __init__(self, stream: StreamState, name: str, seq: int, news: list[str]) -> None:
        self.stream, self.name, self.seq, self.news = stream, name, seq, news

    def sends(self, batches: int = 1) -> list[Came]:
        came = []
        for _ in range(batches):
            self.seq += 1
            content = digest_of(f"{self.name}{self.seq}".encode())
            came.append(self.stream.take(self.seq, content))
            now = T0 + len(self.news)
            self.news.append(self.stream.note(self.seq, came[-1], content, now, now))
        return came

    def lives(self) -> None:
        now = T0 + len(self.news)
        self.news.append(self.stream.note_alive(self.seq, now, now))


@pytest.fixture
def stream() -> StreamState:
    return StreamState()


def test_two_that_go_on_in_turns_are_two_places_and_nothing_of_either_is_lost(stream: StreamState) -> None:
    news: list[str] = []
    one = Speaker(stream, "one", 0, news)
    one.sends(5)
    other = Speaker(stream, "other", one.seq, news)

    came = one.sends() + other.sends() + one.sends(2) + other.sends(3) + one.sends()

    assert Came.REPEATED not in came
    assert [each for each in news if each] == ["went_back", "two_places"]
    assert stream.fork is not None
    assert stream.fork.returns >= 2


def test_a_snapshot_brought_back_is_one_that_went_back_and_no_copy(stream: StreamState) -> None:
    news: list[str] = []
    before = Speaker(stream, "before", 0, news)
    before.sends(50)
    after = Speaker(stream, "after", 10, news)

    came = after.sends(100)

    assert came.count(Came.REPEATED) == 0
    assert [each for each in news if each] == ["went_back"]


def test_copies_of_an_image_that_is_months_old_lose_nothing(stream: StreamState) -> None:
    news: list[str] = []
    original = Speaker(stream, "original", 0, news)
    original.sends(5000)
    copies = [Speaker(stream, f"copy{number}", 10, news) for number in range(3)]
    for _ in range(5):
        for each in (*copies, original):
            assert each.sends() != [Came.REPEATED]
    assert "two_places" in news


def test_what_is_sent_again_is_no_second_place(stream: StreamState) -> None:
    news: list[str] = []
    agent = Speaker(stream, "agent", 0, news)
    agent.sends(40)
    agent.seq = 39
    assert agent.sends() == [Came.REPEATED]
    agent.seq = 45
    assert agent.sends() == [Came.FRESH]
    agent.seq = 42
    assert agent.sends(2) == [Came.FRESH, Came.FRESH]
    agent.seq = 42
    assert agent.sends(2) == [Came.REPEATED, Came.REPEATED]
    assert not any(news)
    assert stream.fork is None


def test_signs_of_life_alone_tell_who_speaks_once_there_are_two(stream: StreamState) -> None:
    news: list[str] = []
    one = Speaker(stream, "one", 0, news)
    one.sends(5)
    other = Speaker(stream, "other", 3, news)
    other.sends()
    one.lives()
    assert [each for each in news if each] == ["went_back", "two_places"]


def told(pipeline: Pipeline) -> list[tuple[str, str]]:
    return [(each["event"]["action"], each["identity"]["found_by"]) for each in pipeline.store.of("identity")]


def host(said: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "host", "observed_at": T0, "body": {"name": "pc-01", **said}}


def test_an_endpoint_that_is_one_machine_and_another_in_turns_is_two(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    for said in (HARDWARE, OTHER, HARDWARE):
        pipeline.batch(documents=[host(said)])
        pipeline.work()
    assert told(pipeline) == [("hardware_changed", "evidence"), ("two_places", "evidence")]


def test_a_new_disk_and_a_new_name_are_nothing_to_tell(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path)
    for said in (
        HARDWARE,
        {**HARDWARE, "mac_addresses": ["b4:2e:99:77:88:99"]},
        {**HARDWARE, "name": "pc-09"},
    ):
        pipeline.batch(documents=[host(said)])
        pipeline.work()
    assert told(pipeline) == []
