from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from collector.export.ping import Pinger, PingSettingsError
from collector.metrics import ExportMetrics
from collector.settings import Watch
from collector.state.tables import WatchState
from collector.state.upsert import upsert
from collector.watch.record import PULSE
from tests.support.receiver import Receiver
from tests.support.state import new_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.state.database import StateStore

NOW = 1_795_000_000.0


class Clocks:
    wall = NOW
    steady = 0.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def look(state: StateStore, at: float, *troubles: str) -> None:
    """What the watch leaves behind it."""
    moment = datetime.fromtimestamp(at, UTC)
    states = [(PULSE, "", "ok"), *(("disk_free", subject, "trouble") for subject in troubles)]
    rows: list[dict[str, object]] = [
        {
            "concern": concern,
            "subject": subject,
            "state": said,
            "since": moment,
            "looked_at": moment,
            "value": None,
            "detail": {},
        }
        for concern, subject, said in states
    ]
    with state.write() as session:
        upsert(session, WatchState, rows, ("concern", "subject"))


def pinger(state: StateStore, clocks: Clocks, **settings: object) -> Pinger:
    watch = msgspec.convert({"seconds": 10, "ping_seconds": 60, **settings}, Watch)
    return Pinger(watch, state, ExportMetrics(), now=lambda: clocks.wall, steady=lambda: clocks.steady)


def test_a_sign_of_life_says_how_things_are_and_who_says_so(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "secret").write_text("correct horse battery\n")
    state = new_state(tmp_path)
    look(state, NOW - 3, "soc1")
    one = pinger(state, Clocks(), ping_url=receiver.url, ping_secret_file=str(tmp_path / "secret"))

    assert one.turn() == "sent"
    one.close()

    (request,) = receiver.received
    said = msgspec.json.decode(request.body)
    assert said["troubles"] == 1
    assert said["looked_at"] == datetime.fromtimestamp(NOW - 3, UTC).isoformat().replace("+00:00", "Z")
    expected = hmac.new(b"correct horse battery", b"1795000000." + request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-vonggac-signature"] == f"t=1795000000,v1={expected}"


def test_a_watch_that_stands_still_ends_the_signal_and_its_return_brings_it_back(
    tmp_path: Path, receiver: Receiver
) -> None:
    state, clocks = new_state(tmp_path), Clocks()
    one = pinger(state, clocks, ping_url=receiver.url)
    results = [one.turn()]
    look(state, NOW)
    for clocks.steady in (60, 120, 180):
        results.append(one.turn())
    look(state, NOW + 200)
    clocks.steady = 240
    results.append(one.turn())
    one.close()

    assert results == ["withheld", "sent", "sent", "withheld", "sent"]
    assert len(receiver.received) == 3


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_clock_that_is_set_by_a_day_neither_stops_nor_feigns_the_signal(
    tmp_path: Path, receiver: Receiver, jump: float
) -> None:
    state, clocks = new_state(tmp_path), Clocks()
    one = pinger(state, clocks, ping_url=receiver.url)
    look(state, NOW)
    assert one.turn() == "sent"

    clocks.wall += jump
    clocks.steady = 60
    look(state, clocks.wall)
    assert one.turn() == "sent"
    clocks.steady = 180
    assert one.turn() == "withheld"
    one.close()


def test_nobody_who_takes_it_is_counted_and_tried_again(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda _: (500, {})
    state = new_state(tmp_path)
    look(state, NOW)
    one = pinger(state, Clocks(), ping_url=receiver.url)

    results = [one.turn()]
    receiver.answer = lambda _: (200, {})
    results.append(one.turn())
    one.close()

    assert results == ["failed", "sent"]


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("short")

    with pytest.raises(PingSettingsError, match="16 characters"):
        pinger(new_state(tmp_path), Clocks(), ping_url="http://x", ping_secret_file=str(tmp_path / "secret"))
