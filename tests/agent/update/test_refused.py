"""What must not change a machine: foreign signatures, files that are not what was signed, older versions, links."""

from __future__ import annotations

import errno
import os
import time
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agent.runtime.status import Link, Status, write_status
from agent.update import environment
from agent.update.applying import Apply
from agent.update.choosing import choose, own_tags
from agent.update.errors import ReleaseError
from agent.update.health import Health
from agent.update.manifest import Wheel, is_version, read_manifest, version_key
from agent.update.place import DONE, GOING_BACK, REFUSED, ROLLED_BACK, SWITCHING, Installation, Record
from agent.update.sources import Folder, ReleaseFile
from tests.support.releases import Signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """What passes for wheels where nothing is built."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "vonggac-0.2.0-py3-none-any.whl").write_bytes(b"agent" * 1000)
    (folder / "msgspec-0.22.0-py3-none-any.whl").write_bytes(b"msgspec" * 1000)
    return folder


class Machine:
    """An installation of 0.1.0 whose environments are empty folders, and a service that is a function. The clock goes
    on only while somebody waits; whatever runs then writes its status anew.

    ``works``: the code of a version's link; empty: it writes nothing. ``lasts``: for how many seconds of the clock a
    version goes on writing; ``restarts``: whether something starts it again then.
    """

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.place = Installation(folder / "opt")
        self.status = folder / "status.json"
        self.starts: list[str] = []
        self.processes = 0
        self.works: Callable[[str], str] = lambda _version: "ok"
        self.lasts: dict[str, float] = {}
        self.restarts = False
        self.clock = self.started = 0.0
        self.place.environment("0.1.0").mkdir(parents=True)
        self.place.switch("0.1.0")
        self.apply = Apply(
            self.place,
            signer.public,
            Health(self.status, 300.0, clock=lambda: self.clock, sleep=lambda seconds: self.wait(seconds)),
            config=None,
            restart=self.restart,
            say=lambda _line: None,
        )
        self.restart()
        self.starts.clear()

    def restart(self) -> None:
        self.starts.append(self.place.current_version)
        self.start()

    def start(self) -> None:
        self.processes += 1
        self.started = self.clock
        self.write()

    def write(self) -> None:
        version = self.place.current_version
        link = self.works(version)
        if link:
            status = Status(version, self.processes, 1e9, self.clock, link=Link(code=link))
            write_status(self.status, status)

    def wait(self, seconds: float) -> None:
        self.clock += seconds
        if self.clock - self.started <= self.lasts.get(self.place.current_version, 1e9):
            self.write()
        elif self.restarts:
            self.start()

    def take(self, release: Path, *, again: bool = False) -> Record:
        with closing(ReleaseFile(release)) as source:
            return self.apply.apply(source, again=again)

    @property
    def versions(self) -> list[str]:
        return sorted(each.name for each in self.place.versions.iterdir())

    @property
    def untouched(self) -> bool:
        return self.place.current_version == "0.1.0" and not self.starts and self.versions == ["0.1.0"]


@pytest.fixture
def machine(tmp_path: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Building is tested with real wheels in ``test_update``."""

    def build(made: Path, _wheels: Path, _version: str, _extra: str) -> None:
        made.mkdir()

    monkeypatch.setattr(environment, "build", build)
    monkeypatch.setattr(environment, "check", lambda *_: None)
    return Machine(tmp_path / "machine", signer)


def altered(release: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    target = release.with_suffix(".altered")
    with zipfile.ZipFile(release) as source, zipfile.ZipFile(target, "w") as made:
        for each in source.infolist():
            data = source.read(each)
            made.writestr(each.filename, change(data) if each.filename == name else data)
    return target


def test_a_sound_release_is_taken_and_the_one_before_stays(
    machine: Machine, signer: Signer, wheels: Path
) -> None:
    record = machine.take(signer.make(wheels))
    assert (record.state, record.previous, machine.starts) == (DONE, "0.1.0", ["0.2.0"])
    assert machine.versions == ["0.1.0", "0.2.0"]
    assert not machine.place.incoming.exists()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("manifest.json", "signature"),
        ("manifest.sig", "signature"),
        ("wheels/msgspec-0.22.0-py3-none-any.whl", "digest"),
    ],
)
def test_a_manipulated_file_is_refused_and_nothing_changes(
    name: str, code: str, machine: Machine, signer: Signer, wheels: Path
) -> None:
    bad = altered(signer.make(wheels), name, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    record = machine.take(bad)
    assert (record.state, record.code) == (REFUSED, code)
    assert machine.untouched
    assert not machine.place.incoming.exists()


def test_a_wheel_that_is_longer_than_signed_is_not_read_to_its_end(
    machine: Machine, signer: Signer, wheels: Path
) -> None:
    name = "wheels/msgspec-0.22.0-py3-none-any.whl"
    record = machine.take(altered(signer.make(wheels), name, lambda data: data + b"x" * (4 << 20)))
    assert record.code == "digest"
    assert machine.untouched


def test_another_key_is_not_believed(machine: Machine, wheels: Path, tmp_path: Path) -> None:
    record = machine.take(Signer(tmp_path / "stranger").make(wheels))
    assert (record.state, record.code) == (REFUSED, "signature")
    assert machine.untouched


def test_an_older_version_is_taken_only_where_it_is_signed_as_a_step_back(
    machine: Machine, signer: Signer, wheels: Path
) -> None:
    machine.take(signer.make(wheels))
    older = wheels.parent / "older"
    older.mkdir()
    (older / "vonggac-0.1.5-py3-none-any.whl").write_bytes(b"agent")
    refused = machine.take(signer.make(older))
    assert (refused.state, refused.code, machine.place.current_version) == (REFUSED, "older", "0.2.0")
    assert machine.take(signer.make(older, "--step-back")).state == DONE
    assert machine.place.current_version == "0.1.5"


def test_a_step_back_is_none_once_a_later_release_was_taken(
    machine: Machine, signer: Signer, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = wheels.parent / "older"
    older.mkdir()
    (older / "vonggac-0.1.5-py3-none-any.whl").write_bytes(b"agent")
    back = signer.make(older, "--step-back").rename(wheels.parent / "back.vgrelease")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    machine.take(signer.make(wheels))
    refused = machine.take(back)
    assert (refused.state, refused.code, machine.place.current_version) == (REFUSED, "older", "0.2.0")
    monkeypatch.setattr(time, "time", lambda: now + 200)
    assert machine.take(signer.make(older, "--step-back")).state == DONE


def test_a_version_that_stays_silent_is_rolled_back_and_not_tried_again(
    machine: Machine, signer: Signer, wheels: Path
) -> None:
    machine.works = lambda version: "ok" if version == "0.1.0" else ""
    release = signer.make(wheels)
    record = machine.take(release)
    assert (record.state, record.code, record.failed) == (ROLLED_BACK, "silent", {"0.2.0": "silent"})
    assert machine.starts == ["0.2.0", "0.1.0"]
    assert machine.versions == ["0.1.0"]
    assert machine.take(release).code == "failed_before"
    assert len(machine.starts) == 2
    machine.works = lambda _version: "ok"
    assert machine.take(release, again=True).state == DONE


def test_a_link_that_is_down_for_both_is_not_the_versions_fault(
    machine: Machine, signer: Signer, wheels: Path
) -> None:
    machine.works = lambda _version: "unreachable"
    record = machine.take(signer.make(wheels))
    assert (record.state, record.code, record.failed) == (ROLLED_BACK, "unreachable", {})
    assert machine.place.current_version == "0.1.0"


def test_without_a_link_before_a_version_needs_none(machine: Machine, signer: Signer, wheels: Path) -> None:
    machine.works = lambda _version: "unreachable"
    machine.restart()
    assert machine.take(signer.make(wheels)).state == DONE


@pytest.mark.parametrize(
    "restarts", [False, True], ids=["it does not come again", "it is started again and again"]
)
def test_a_version_that_works_for_a_moment_only_is_rolled_back(
    restarts: bool, machine: Machine, signer: Signer, wheels: Path
) -> None:
    machine.lasts, machine.restarts = {"0.2.0": 20.0}, restarts
    record = machine.take(signer.make(wheels))
    assert (record.state, record.failed) == (ROLLED_BACK, {"0.2.0": "silent"})
    assert machine.place.current_version == "0.1.0"


def test_a_version_that_loses_the_collector_again_is_rolled_back(
    machine: Machine, signer: Signer, wheels: Path
) -> None:
    def link(version: str) -> str:
        return "ok" if version == "0.1.0" or machine.clock - machine.started < 30 else "unreachable"

    machine.works = link
    record = machine.take(signer.make(wheels))
    assert (record.state, record.code) == (ROLLED_BACK, "unreachable")


def test_no_contact_is_forgiven_twice(machine: Machine, signer: Signer, wheels: Path) -> None:
    machine.works = lambda version: "ok" if version == "0.1.0" else "unreachable"
    release = signer.make(wheels)
    failed = [machine.take(release).failed for _ in range(3)]
    assert failed == [{}, {}, {"0.2.0": "unreachable"}]
    assert machine.take(release).code == "failed_before"


class PowerCut(BaseException):
    """Ends the command wherever it stands."""


def cut_at(machine: Machine, version: str) -> None:
    """The next time that ``version`` is waited for, the power goes."""
    wait = machine.wait

    def cut(seconds: float) -> None:
        if machine.place.current_version == version:
            machine.wait = wait  # type: ignore[method-assign]
            raise PowerCut
        wait(seconds)

    machine.wait = cut  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("link", "state", "current"),
    [("ok", DONE, "0.2.0"), ("unreachable", ROLLED_BACK, "0.1.0"), ("", ROLLED_BACK, "0.1.0")],
)
def test_a_power_cut_after_the_switch_is_finished_or_undone_by_the_next_run(
    link: str, state: str, current: str, machine: Machine, signer: Signer, wheels: Path
) -> None:
    machine.works = lambda version: "ok" if version == "0.1.0" else link
    cut_at(machine, "0.2.0")
    with pytest.raises(PowerCut):
        machine.take(signer.make(wheels))
    assert machine.place.read_record().state == SWITCHING
    record = machine.apply.finish()
    assert record is not None
    assert (record.state, machine.place.current_version) == (state, current)
    assert machine.apply.finish() is None


def test_a_power_cut_on_the_way_back_does_not_forget_what_failed(
    machine: Machine, signer: Signer, wheels: Path
) -> None:
    machine.works = lambda version: "ok" if version == "0.1.0" else ""
    release = signer.make(wheels)
    cut_at(machine, "0.1.0")
    with pytest.raises(PowerCut):
        machine.take(release)
    assert machine.place.read_record().state == GOING_BACK
    record = machine.apply.finish()
    assert record is not None
    assert (record.state, record.code, record.failed) == (ROLLED_BACK, "silent", {"0.2.0": "silent"})
    assert machine.versions == ["0.1.0"]
    assert machine.take(release).code == "failed_before"


def test_a_record_that_cannot_be_written_does_not_keep_a_machine_from_going_back(
    machine: Machine, signer: Signer, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.works = lambda version: "ok" if version == "0.1.0" else ""
    write = machine.place.write_record

    def full(record: Record) -> None:
        if record.state != SWITCHING:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(record)

    monkeypatch.setattr(machine.place, "write_record", full)
    with pytest.raises(OSError, match="No space"):  # the command's exit status says it
        machine.take(signer.make(wheels))
    assert machine.place.current_version == "0.1.0"


def test_a_power_cut_before_the_switch_leaves_nothing(machine: Machine) -> None:
    machine.place.environment("0.2.0").mkdir(parents=True)
    machine.place.write_record(Record(version="0.2.0", before="0.1.0", state=SWITCHING))
    record = machine.apply.finish()
    assert record is not None
    assert (record.state, record.code) == (REFUSED, "interrupted")
    assert machine.untouched


def test_a_full_disk_is_seen_before_anything_is_written(
    machine: Machine, signer: Signer, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.update.applying._KEPT_FREE_BYTES", 1 << 60)
    record = machine.take(signer.make(wheels))
    assert (record.state, record.code) == (REFUSED, "disk")
    assert machine.untouched


def test_what_a_folder_of_the_agents_user_holds_is_read_without_links_or_pipes(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("{}")
    (tmp_path / "manifest.json").symlink_to(secret)
    os.mkfifo(tmp_path / "manifest.sig")
    for read in (Folder(tmp_path).manifest, Folder(tmp_path).signature):
        with pytest.raises(ReleaseError):
            read()


def test_a_status_that_is_a_pipe_holds_nobody_up(machine: Machine, signer: Signer, wheels: Path) -> None:
    machine.status.unlink()
    os.mkfifo(machine.status)
    machine.works = lambda _version: ""
    assert machine.take(signer.make(wheels)).state == ROLLED_BACK


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\0" * 100])
def test_what_is_no_release_is_said_to_be_none(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.vgrelease"
    path.write_bytes(data)
    with pytest.raises(ReleaseError):
        ReleaseFile(path)


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.vgrelease"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("manifest.json", b"0" * (64 << 20))
    with closing(ReleaseFile(path)) as release, pytest.raises(ReleaseError):
        release.manifest()


_WINDOWS = [
    "cp312-cp312-win_amd64",
    "cp312-abi3-win_amd64",
    "cp311-abi3-win_amd64",
    "py3-none-win_amd64",
    "py3-none-any",
]


def _wheels(*names: str) -> list[Wheel]:
    return [Wheel(name=name, size=1, sha256="0" * 64) for name in names]


def test_of_many_platforms_the_wheels_of_this_one_are_chosen() -> None:
    found = choose(
        _wheels(
            "vonggac-0.2.0-py3-none-any.whl",
            "cryptography-50.0.2-cp311-abi3-manylinux_2_34_x86_64.whl",
            "cryptography-50.0.2-cp311-abi3-win_amd64.whl",
            "msgspec-0.22.0-cp311-cp311-win_amd64.whl",
            "msgspec-0.22.0-cp312-cp312-win_amd64.whl",
        ),
        _WINDOWS,
    )
    assert [each.name for each in found] == [
        "cryptography-50.0.2-cp311-abi3-win_amd64.whl",
        "msgspec-0.22.0-cp312-cp312-win_amd64.whl",
        "vonggac-0.2.0-py3-none-any.whl",
    ]
    with pytest.raises(ReleaseError, match="msgspec"):
        choose(
            _wheels("vonggac-0.2.0-py3-none-any.whl", "msgspec-0.22.0-cp311-cp311-macosx_11_0_arm64.whl"),
            _WINDOWS,
        )


def test_the_wheels_that_pip_would_take_here_are_taken(bundle: Path) -> None:
    names = sorted(each.name for each in bundle.glob("*.whl"))
    assert sorted(each.name for each in choose(_wheels(*names), own_tags())) == names


def test_versions_sort_as_people_mean_them() -> None:
    right = ["0.9", "0.10.0a1", "0.10.0rc1", "0.10", "0.10.1", "1.0"]
    assert sorted(["1.0", "0.10", "0.9", *right[1:3], "0.10.1"], key=version_key) == right
    assert version_key("1.0") == version_key("1.0.0")
    assert not any(map(is_version, ("", "1", "1.0/..", "01.0", "1.0-1", "..", "1.0\n", "9" * 50)))


def test_a_manifest_is_bounded_in_every_part(signer: Signer, wheels: Path, machine: Machine) -> None:
    release = signer.make(wheels)
    with closing(ReleaseFile(release)) as source:
        manifest: dict[str, Any] = msgspec.json.decode(source.manifest())
    changes: list[dict[str, Any]] = [
        {"format": 2},
        {"product": "other"},
        {"version": "0.2.0/../x"},
        {"wheels": []},
        {"wheels": manifest["wheels"] * 2},
        {"wheels": [{**manifest["wheels"][0], "name": "../evil.whl"}]},
        {"version": "0.3.0"},
        {"notes": "x" * 70_000},
    ]
    for change in changes:
        with pytest.raises(ReleaseError):
            read_manifest(msgspec.json.encode({**manifest, **change}))
