"""The running agent's part: fetched in pieces, gone on with after every loss, offered only when whole."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from agent.messages import RELEASES_PATH, Wanted
from agent.runtime.errors import TransportError
from agent.runtime.log import Log
from agent.runtime.steering import NEVER
from agent.runtime.transport import Reply
from agent.update.following import PIECE_BYTES, Updates
from agent.update.manifest import read_manifest
from agent.update.place import REFUSED, ROLLED_BACK, Installation, Record
from agent.update.words import problems
from collector.steering.releases import files
from tests.support.releases import Signer

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 3 * PIECE_BYTES + 17
VERSION = "0.9.0"
WHEEL = f"vonggac-{VERSION}-py3-none-any.whl"


class Served:
    """The collector's folder of releases behind a link that may fail; remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str]] = []
        self.fails_after: int | None = None
        self.busy = Reply(0)

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> Reply:
        assert (method, body) == ("GET", b"")
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            raise TransportError("unreachable", "gone")
        name = path.removeprefix(f"{RELEASES_PATH}/")
        asked = headers.get("Range", "")
        self.asked.append((name.rpartition("/")[2], asked))
        found = files.find(self.folder, name)
        if self.busy.status:
            return self.busy
        if found is None:
            return Reply(404)
        data = found[0].read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        return Reply(200, data) if match is None else Reply(206, data[int(match[1]) : int(match[2]) + 1])

    def close(self) -> None:
        pass


class Machine:
    def __init__(self, folder: Path, signer: Signer) -> None:
        self.state = folder / "state"
        self.state.mkdir(parents=True)
        self.place = Installation(folder / "opt")
        self.place.versions.mkdir(parents=True)
        self.key = signer.public
        self.now = 2e9
        self.updates = self.start()

    def start(self) -> Updates:
        """As after a restart of the agent."""
        self.updates = Updates(
            self.state, self.place, self.key, Log(), bytes_per_second=1 << 30, now=lambda: self.now
        )
        return self.updates

    def go(self, served: Served, release: str = VERSION, steps: int = 40) -> str:
        """Step until it is ready, or says that it waits; what it then tells."""
        for _ in range(steps):
            if self.updates.step(Wanted(release=release), served) >= 10:
                break
        said = self.updates.tell()
        return f"{said.get('state', '')} {said.get('code', '')}".strip()

    def refuse(self, code: str) -> None:
        """As root's command does."""
        self.place.write_record(Record(version=VERSION, state=REFUSED, code=code, at=self.now))
        (self.state / "update" / "ready").unlink(missing_ok=True)

    @property
    def ready(self) -> bool:
        return (self.state / "update" / "ready").exists()


@pytest.fixture
def machine(tmp_path: Path, signer: Signer) -> Machine:
    return Machine(tmp_path / "machine", signer)


@pytest.fixture
def served(tmp_path: Path, signer: Signer) -> Served:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / WHEEL).write_bytes(os.urandom(SIZE))
    return Served(place(tmp_path / "releases", signer, wheels))


def place(folder: Path, signer: Signer, wheels: Path, *options: str) -> Path:
    from contextlib import closing

    from agent.update.sources import ReleaseFile

    with closing(ReleaseFile(signer.make(wheels, *options))) as source:
        files.place(source, read_manifest(source.manifest()), folder)
    return folder


def test_a_release_is_fetched_in_pieces_and_offered_when_it_is_whole(
    machine: Machine, served: Served
) -> None:
    assert machine.go(served) == "ready"
    assert served.asked == [
        ("manifest.json", ""),
        ("manifest.sig", ""),
        *((WHEEL, f"bytes={n * PIECE_BYTES}-{min((n + 1) * PIECE_BYTES, SIZE) - 1}") for n in range(4)),
    ]
    assert (machine.state / "update" / "ready").read_text() == VERSION


def test_a_lost_link_and_a_restart_cost_no_piece_that_was_there(machine: Machine, served: Served) -> None:
    served.fails_after = 4
    with pytest.raises(TransportError):
        machine.go(served)
    assert not machine.ready
    before = len(served.asked)
    served.fails_after = None
    machine.start()
    assert machine.go(served) == "ready"
    assert served.asked[before][1] == f"bytes={2 * PIECE_BYTES}-{3 * PIECE_BYTES - 1}"
    assert len(served.asked) == before + 2


def test_a_pause_of_the_rollout_keeps_what_was_fetched_and_takes_the_offer_back(
    machine: Machine, served: Served
) -> None:
    assert machine.go(served) == "ready"
    fetched = len(served.asked)
    assert machine.updates.step(Wanted(), served) == NEVER
    assert not machine.ready
    assert machine.updates.tell() == {}
    assert machine.go(served) == "ready"
    assert len(served.asked) == fetched


def test_a_wheel_that_is_not_what_was_signed_is_fetched_anew_and_then_refused(
    machine: Machine, served: Served
) -> None:
    (served.folder / VERSION / WHEEL).write_bytes(b"x" * SIZE)
    assert machine.go(served) == "refused digest"
    assert not machine.ready
    assert sum(asked == "bytes=0-65535" for _, asked in served.asked) == 3


def test_a_foreign_signature_is_refused_before_a_wheel_is_fetched(
    machine: Machine, served: Served, tmp_path: Path
) -> None:
    machine.key = Signer(tmp_path / "stranger").public
    machine.start()
    assert machine.go(served) == "refused signature"
    assert [name for name, _ in served.asked] == ["manifest.json", "manifest.sig"]
    lines = [each[0] for each in problems(machine.state, "vi", 0)]
    assert lines == ["update_refused"]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            Record(version=VERSION, state=ROLLED_BACK, code="silent", failed={VERSION: "silent"}),
            "refused failed_before",
        ),
        (Record(version=VERSION, state=ROLLED_BACK, code="unreachable", at=2e9 - 60), "waiting unreachable"),
        (Record(version=VERSION, state=REFUSED, code="build", at=2e9 - 60), "refused build"),
    ],
)
def test_what_root_did_not_take_is_not_fetched_again_at_once(
    record: Record, said: str, machine: Machine, served: Served
) -> None:
    machine.place.write_record(record)
    assert machine.go(served) == said
    assert served.asked == []
    told = json.loads((machine.state / "update" / "told.json").read_text())
    assert told["last"]["version"] == VERSION


def test_a_collector_without_the_release_is_asked_again_later(machine: Machine, served: Served) -> None:
    assert machine.go(served, "0.8.0") == "waiting not_served"
    assert machine.go(served) == "ready"
    assert not (machine.state / "update" / "0.8.0").exists()


@pytest.mark.parametrize("status", [429, 503])
def test_a_collector_that_is_busy_is_asked_again_when_it_says(
    status: int, machine: Machine, served: Served
) -> None:
    for steps in (1, 4):
        machine.start()
        served.busy = Reply(0)
        for _ in range(steps - 1):
            machine.updates.step(Wanted(release=VERSION), served)
        served.busy = Reply(status, retry_after_seconds=17.0)
        assert machine.updates.step(Wanted(release=VERSION), served) == 17.0
        assert machine.updates.tell()["state"] == "fetching"


def test_without_a_key_or_an_installation_of_its_own_nothing_is_fetched(
    machine: Machine, served: Served, tmp_path: Path
) -> None:
    machine.key = tmp_path / "none.pub"
    machine.start()
    assert machine.go(served) == "waiting no_key"
    unplaced = Updates(machine.state, None, machine.key, Log(), bytes_per_second=1024)
    assert unplaced.step(Wanted(release=VERSION), served) == NEVER
    assert unplaced.tell()["code"] == "place"
    assert served.asked == []


def test_a_release_that_waits_for_root_is_said_in_both_languages(machine: Machine, served: Served) -> None:
    machine.go(served)
    since = (machine.state / "update" / "ready").stat().st_mtime
    assert list(problems(machine.state, "vi", since + 60)) == []
    [(code, (what, todo), values)] = problems(machine.state, "vi", since + 3600)
    assert code == "update_ready"
    assert "chờ áp dụng đã 60 phút" in what.say("vi", **values)
    assert "update apply" in todo.say("en", **values)


class Choosing:
    """Counts the processes that look at what was fetched; they run all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.run = subprocess.run
        monkeypatch.setattr(subprocess, "run", self)

    def __call__(self, *arguments: Any, **values: Any) -> Any:
        self.count += 1
        return self.run(*arguments, **values)


@pytest.mark.parametrize(("code", "pause"), [("disk", 600), ("busy", 600), ("build", 86_400)])
def test_what_root_refused_is_offered_once_more_after_its_time_and_no_oftener(
    code: str, pause: float, machine: Machine, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    choosing = Choosing(monkeypatch)
    for attempt in range(3):
        assert machine.go(served) == "ready"
        assert (machine.ready, choosing.count) == (True, attempt + 1)
        machine.refuse(code)
        machine.now += pause - 1
        assert machine.go(served) == f"refused {code}"
        assert (machine.ready, choosing.count) == (False, attempt + 1)
        machine.now += 2
    assert sum(asked == "bytes=0-65535" for _, asked in served.asked) == 1


def test_an_offer_that_vanished_without_a_word_is_made_again_after_ten_minutes(
    machine: Machine, served: Served
) -> None:
    assert machine.go(served) == "ready"
    (machine.state / "update" / "ready").unlink()
    assert machine.go(served) == "waiting interrupted"
    machine.now += 590
    assert machine.go(served) == "waiting interrupted"
    assert not machine.ready
    machine.now += 20
    assert machine.go(served) == "ready"


def test_a_refusal_from_a_clock_that_was_far_ahead_does_not_hold_for_ever(
    machine: Machine, served: Served
) -> None:
    machine.now += 1e8
    machine.refuse("build")
    machine.now -= 1e8
    assert machine.go(served) == "ready"


def test_after_a_look_at_the_release_the_next_step_is_not_at_once(machine: Machine, served: Served) -> None:
    steps = [machine.updates.step(Wanted(release=VERSION), served) for _ in range(3)]
    assert steps[2] >= 1.0


def test_the_look_runs_nothing_of_the_folder_that_the_agent_was_started_in(
    machine: Machine, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "foreign"
    (foreign / "agent").mkdir(parents=True)
    (foreign / "agent" / "__init__.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(foreign)
    assert machine.go(served) == "ready"


def test_a_version_that_starts_again_and_again_is_told(machine: Machine) -> None:
    for _ in range(8):
        machine.start()
        machine.now += 60
    assert machine.updates.tell() == {}
    machine.start()
    assert machine.updates.tell() == {"starts": 10}
    machine.now += 86_400
    assert machine.updates.tell() == {}
    (machine.state / "update" / "starts.json").write_text('{"version": "0.0.1", "at": [1, 2, 3]}')
    machine.start()
    assert json.loads((machine.state / "update" / "starts.json").read_bytes())["at"] == [machine.now]


@pytest.mark.parametrize("written", [b"", b"[" * 4000, b'{"version": 1, "at": "x"}', b" " * 100_000])
def test_starts_that_cannot_be_read_are_counted_anew(written: bytes, machine: Machine) -> None:
    path = machine.state / "update" / "starts.json"
    path.write_bytes(written)
    machine.start()
    assert json.loads(path.read_bytes())["at"] == [machine.now]
