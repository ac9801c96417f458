from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.messages import SCHEMA_VERSION, Batch, Event, LogSource, StatusDocument, decode_batch, encode_batch
from agent.runtime.errors import TransportError
from agent.runtime.identity import load_identity
from agent.runtime.transport import Reply
from agent.settings import StateDirectory
from agent.simulator.documents import documents, metrics
from agent.simulator.endpoint import GoneError, Pace, SimulatedEndpoint
from agent.simulator.figures import Figures
from agent.simulator.happenings import Happening
from agent.simulator.machines import ANTIVIRUS_SHARES, SILENT_SHARE, Machine, Token, draw, make_machines
from agent.simulator.province import found, read_tokens
from tests.agent.runtime.stub import StubCollector
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGAN = 1_790_000_000.0
DAY = 86_400.0


def tokens(number: int, agencies: int = 7) -> list[Token]:
    return [
        Token(
            token=f"vg1.{n:016x}.{'s' * 43}.{'0' * 64}",
            agency_code=f"agency-{n % agencies}",
            agency_name=f"Cơ quan {n % agencies}",
        )
        for n in range(number)
    ]


def everything(machine: Machine, now: float = BEGAN) -> list[StatusDocument]:
    return documents(machine, 1, BEGAN, now, machine.antivirus, machine.firewall_on)


def test_the_same_seed_makes_the_same_province_and_another_another() -> None:
    assert make_machines(tokens(60), 1) == make_machines(tokens(60), 1)
    assert make_machines(tokens(60), 1) != make_machines(tokens(60), 2)


def test_names_addresses_and_macs_are_unique() -> None:
    machines = make_machines(tokens(500, 49), 1)
    for values in ([m.name for m in machines], [m.ip for m in machines], [m.mac for m in machines]):
        assert len(set(values)) == 500


def test_shares_are_as_stated() -> None:
    machines = make_machines(tokens(4000, 49), 1)
    counted = Counter(m.antivirus for m in machines)
    for state, share in ANTIVIRUS_SHARES.items():
        assert counted[state] / 4000 == pytest.approx(share, rel=0.35)
    assert sum(m.silent for m in machines) / 4000 == pytest.approx(SILENT_SHARE, rel=0.35)


def test_neighbours_are_of_the_same_lan_and_some_are_managed_by_nobody() -> None:
    machines = make_machines(tokens(200), 1)
    managed = {m.mac for m in machines} | {m.gateway.mac for m in machines}
    unmanaged = 0
    for machine in machines:
        assert machine.gateway in machine.neighbours
        assert machine.mac not in {n.mac for n in machine.neighbours}
        for neighbour in machine.neighbours:
            assert neighbour.ip.split(".")[:2] == machine.ip.split(".")[:2]
            unmanaged += neighbour.mac not in managed
    assert 0 < unmanaged < 0.3 * sum(len(m.neighbours) for m in machines)


@pytest.mark.parametrize("machine", make_machines(tokens(80), 3), ids=lambda m: m.name)
def test_what_a_machine_reports_keeps_the_contract(machine: Machine) -> None:
    batch = Batch(
        schema=SCHEMA_VERSION,
        created_at=BEGAN,
        documents=everything(machine),
        metrics=metrics(machine, 1, BEGAN, BEGAN + 900),
    )
    assert decode_batch(encode_batch(batch)) == batch
    kinds = {d.kind for d in batch.documents}
    assert kinds == {
        "host", "software", "antivirus", "firewall", "updates", "lan", "neighbours", "storage", "assessment",
    }  # fmt: skip


def test_nothing_changes_within_an_hour_unless_signatures_or_a_day_come() -> None:
    changes = 0
    for machine in make_machines(tokens(50), 1):
        before, after = everything(machine, BEGAN + 100), everything(machine, BEGAN + 3700)
        changes += sum(a.body != b.body for a, b in zip(before, after, strict=True))
    assert changes <= 10


def test_protected_machines_stay_protected_and_outdated_ones_grow_older() -> None:
    for machine in make_machines(tokens(300), 1):
        later = BEGAN + 20 * DAY
        (antivirus,) = (d.body for d in everything(machine, later) if d.kind == "antivirus")
        assert antivirus is not None
        if machine.antivirus == "on":
            assert later - antivirus["signature_time"] < 2 * DAY
        elif machine.antivirus == "outdated":
            assert later - antivirus["signature_time"] > 36 * DAY
        else:
            assert antivirus["state"] in ("off", "not_installed", "unknown")
            assert antivirus["state"] != "unknown" or antivirus["reason"]


@given(st.binary(max_size=200))
def test_a_tokens_file_that_is_none_is_refused_in_words(data: bytes) -> None:
    class Given:
        def read_bytes(self) -> bytes:
            return data

    with pytest.raises(ValueError, match=r"line \d+|holds no token"):
        read_tokens(Given())  # type: ignore[arg-type] # stands for a path


def test_a_second_start_goes_on_in_the_same_province(tmp_path: Path) -> None:
    first = found(tmp_path / "sim", 7, 1000.0)
    assert found(tmp_path / "sim", 8, 2000.0) == first


def test_another_mix_begins_when_it_is_first_asked_for(tmp_path: Path) -> None:
    found(tmp_path, 7, 1000.0)
    worm = found(tmp_path, 7, 5000.0, "worm_outbreak")
    assert (worm.began, worm.mix_began) == (1000.0, 5000.0)
    assert found(tmp_path, 7, 9000.0, "worm_outbreak") == worm


class FakeConnection:
    def __init__(self) -> None:
        self.answers: list[Reply | TransportError] = []
        self.paths: list[str] = []
        self.numbers: list[int] = []

    async def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        self.paths.append(path)
        self.numbers.append(int(headers["Vonggac-Batch"].split(";")[1]))
        answer = self.answers.pop(0) if self.answers else Reply(status=202)
        if isinstance(answer, TransportError):
            raise answer
        return answer

    def close(self) -> None:
        """Nothing is open."""


def endpoint(folder: Path) -> tuple[SimulatedEndpoint, FakeConnection]:
    connection = FakeConnection()
    machine = next(m for m in make_machines(tokens(40), 1) if m.antivirus == "on" and not m.silent)
    made = SimulatedEndpoint(
        machine,
        folder,
        connection,  # type: ignore[arg-type] # a fake
        1,
        BEGAN,
        Pace(),
        draw(1, "chance"),
        Figures(),
    )
    return made, connection


def test_an_endpoint_reports_itself_once_and_then_only_that_it_lives(tmp_path: Path) -> None:
    made, connection = endpoint(tmp_path)
    asyncio.run(made.speak())
    asyncio.run(made.speak())
    assert connection.paths == ["/v1/batches", "/v1/heartbeat"]
    again, connection = endpoint(tmp_path)
    asyncio.run(again.speak())
    assert connection.paths == ["/v1/heartbeat"]
    assert connection.numbers == [1]


def test_an_event_takes_the_next_number_and_is_told_once(tmp_path: Path) -> None:
    made, connection = endpoint(tmp_path)
    asyncio.run(made.speak())
    event = Event(time=1.0, logsource=LogSource(), fields={"User": "lan"})
    made.happen(Happening(0, "sign_in", [event]))
    asyncio.run(made.speak())
    asyncio.run(made.speak())
    assert connection.numbers == [1, 2, 2]
    assert connection.paths[-1] == "/v1/heartbeat"


def test_an_antivirus_turned_off_shows_in_the_next_report(tmp_path: Path) -> None:
    made, connection = endpoint(tmp_path)
    asyncio.run(made.speak())
    made.happen(Happening(0, "antivirus_off", [], antivirus_off_seconds=600.0))
    asyncio.run(made.speak())
    assert connection.paths == ["/v1/batches", "/v1/batches"]


def test_an_endpoint_that_is_told_to_wait_waits_that_long_and_offers_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("agent.simulator.endpoint.asyncio.sleep", sleep)
    made, connection = endpoint(tmp_path)
    connection.answers = [
        Reply(status=503, retry_after_seconds=17.0),
        Reply(status=429, retry_after_seconds=5.0),
    ]
    asyncio.run(made.speak())
    assert connection.numbers == [1, 1, 1]
    assert [17 <= waits[0] <= 18.7, 5 <= waits[1] <= 5.5] == [True, True]
    assert (made.figures.held_back, made.figures.held_back_again, made.figures.batches) == (2, 1, 1)


@pytest.mark.parametrize("status", [401, 403])
def test_an_endpoint_that_was_removed_stops(tmp_path: Path, status: int) -> None:
    made, connection = endpoint(tmp_path)
    connection.answers = [Reply(status=status)]
    with pytest.raises(GoneError):
        asyncio.run(made.speak())


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[StubCollector]:
    folder = tmp_path / "stub"
    folder.mkdir()
    collector = StubCollector(folder)
    yield collector
    collector.close()


def test_the_program_enrols_reports_stops_and_goes_on(tmp_path: Path, stub: StubCollector) -> None:
    file, state = tmp_path / "tokens.jsonl", tmp_path / "state"
    lines = [{"token": stub.token(), "agency_code": "so-y-te", "agency_name": "Sở Y tế"} for _ in range(6)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [
        sys.executable, "-m", "agent.simulator", "--collector", stub.url, "--tokens", str(file),
        "--state", str(state), "--seed", "5", "--spread", "0.5",
    ]  # fmt: skip
    for round_ in range(2):
        before = len(stub.seen)
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            try:
                wait_until(
                    lambda before=before: (  # type: ignore[misc] # bound in the round
                        sum(s.path in ("/v1/batches", "/v1/heartbeat") for s in stub.seen[before:]) >= 6
                    ),
                    seconds=30,
                    what="all to have spoken",
                )
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
            finally:
                process.kill()
        assert len(stub.used_tokens) == 6, round_
    assert sum(d.kind == "host" for batch in stub.batches() for d in batch.documents) == 6
    assert {s.certified for s in stub.seen if s.path == "/v1/batches"} == {True}
    folders = [path for path in state.iterdir() if path.is_dir()]
    assert len(folders) == 6
    for folder in folders:
        assert load_identity(StateDirectory(folder)).collector_url == stub.url
        assert (folder / "agent.key").stat().st_mode & 0o777 == 0o600


def test_wrong_usage_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "tokens.jsonl"
    file.write_text('{"token": "x"}\n')
    done = subprocess.run(
        [sys.executable, "-m", "agent.simulator", "--collector", "https://127.0.0.1:1", "--tokens", str(file),
         "--state", str(tmp_path / "s")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "line 1" in done.stderr
    assert done.stderr.count("\n") == 1
