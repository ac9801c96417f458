"""An update on Windows without Windows: everything but the service manager and the Python is real."""

from __future__ import annotations

import argparse
import functools
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from pip._vendor.packaging import tags

from agent.settings import StateDirectory
from agent.update import windows_environment
from agent.update.errors import ReleaseError
from agent.update.place import DONE, ROLLED_BACK, SWITCHING, Record
from agent.update.windows_commands import attempt, take_offer
from agent.update.windows_place import WindowsInstallation, installation_of
from agent.update.windows_tags import tags_of_python
from agent.windows.scm import Commands, command_line
from tests.agent.windows.service_manager import RunningManager
from tests.support.releases import Signer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: Stands for ``python.exe``: the real Python with nothing but the packages beside it, as the ``._pth`` file makes it.
_PYTHON = f"""#!/bin/sh
[ "$1" = -I ] || exit 9
shift
PYTHONPATH="$(dirname "$0")/Lib/site-packages" exec {sys.executable} -P -s "$@"
"""
_AGENT = """
import sys
from pathlib import Path
assert Path(__file__).parts[-4:-1] == ("Lib", "site-packages", "agent")
if sys.argv[1] == "--version":
    print("{version}")
"""


def write_wheel(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return path


def agent_wheel(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    info = f"vonggac-{version}.dist-info"
    write_wheel(
        folder / f"vonggac-{version}-py3-none-any.whl",
        {
            "agent/__init__.py": "",
            "agent/cli.py": _AGENT.format(version=version),
            "soc_api/__init__.py": "",
            f"{info}/METADATA": f"Name: vonggac\nVersion: {version}\n",
        },
    )
    return folder


class Machine:
    def __init__(self, folder: Path, dead: tuple[str, ...] = ()) -> None:
        self.signer = Signer(folder / "signer")
        self.state = StateDirectory(folder / "state")
        self.state.root.mkdir()
        self.manager = RunningManager(self.state.status, dead)
        self.place = WindowsInstallation(folder / "Program Files" / "vonggac-agent", self.manager)
        self.home = self.place.of_version("0.1.0")
        (self.home / "Lib").mkdir(parents=True)
        (self.home / "python.exe").write_text(_PYTHON)
        (self.home / "python.exe").chmod(0o755)
        run = command_line(
            self.place.python("0.1.0"), ["-m", "agent.cli", "service", "run", "--state", "D:\\s"]
        )
        self.manager.define(Commands(run))
        self.manager.start()
        self.wheels = folder / "wheels"

    def apply(self, release: Path | None = None, **options: object) -> tuple[Record | None, str]:
        given = {"file": release, "key": self.signer.public, "config": None, "restart": "", "again": False}
        arguments = argparse.Namespace(**{**given, "health_seconds": 3.0, **options})
        self.place.lock.unlink(
            missing_ok=True
        )  # a process holds it to its end, and here one makes several attempts
        make = functools.partial(windows_environment.make, home=self.home)
        return attempt(arguments, self.state, self.place, self.manager, make)


@pytest.fixture
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    made = Machine(tmp_path, getattr(request, "param", ()))
    yield made
    made.manager.stop()


def test_a_release_is_laid_out_beside_the_version_that_runs_and_the_service_runs_it(machine: Machine) -> None:
    for version in ("0.0.8", "0.0.9"):
        machine.place.of_version(version).mkdir()
        (machine.place.of_version(version) / "python.exe").touch()
    machine.place.packaged.write_text("0.0.8")
    release = machine.signer.make(agent_wheel(machine.wheels, "0.2.0"))
    record, words = machine.apply(release, health_seconds=8.0)
    assert record is not None
    assert (record.state, record.previous, words) == (DONE, "0.1.0", "0.2.0 runs")
    assert machine.place.current_version == machine.manager.version == "0.2.0"
    assert machine.manager.command().endswith('python.exe" -m agent.cli service run --state D:\\s')
    assert machine.manager.commands is not None
    before = machine.place.of_version("0.1.0") / "python.exe"
    rescue = f'"{before}" -I -X utf8 -m agent.cli update apply --state D:\\s'
    assert machine.manager.rescues == ["", rescue, ""]  # else the third failure a day would leave it down
    assert machine.manager.commands.rescue == ""
    assert b"versions\\0.2.0\\python.exe" in machine.place.command.read_bytes()
    # The version of the package stays: its programs take the service away when the package goes.
    assert sorted(each.name for each in machine.place.versions.iterdir()) == ["0.0.8", "0.1.0", "0.2.0"]
    made = machine.place.of_version("0.2.0")
    found = sorted(str(each.relative_to(made)) for each in made.rglob("*") if each.is_file())
    digits = "{}{}".format(*sys.version_info)
    assert [each for each in found if "__pycache__" not in each] == [
        "Lib/site-packages/agent/__init__.py",
        "Lib/site-packages/agent/cli.py",
        "Lib/site-packages/vonggac-0.2.0.dist-info/METADATA",
        "python.exe",
        f"python{digits}._pth",
    ]
    assert (
        made / f"python{digits}._pth"
    ).read_bytes() == f"python{digits}.zip\r\n.\r\nLib\\site-packages\r\n".encode()


@pytest.mark.parametrize("machine", [("0.2.0",)], indirect=True)
def test_a_version_that_does_not_come_up_is_taken_back(machine: Machine) -> None:
    record, _ = machine.apply(machine.signer.make(agent_wheel(machine.wheels, "0.2.0")))
    assert record is not None
    assert (record.state, record.code, record.failed) == (ROLLED_BACK, "silent", {"0.2.0": "silent"})
    assert machine.place.current_version == machine.manager.version == "0.1.0"
    assert machine.manager.running
    assert not machine.place.of_version("0.2.0").exists()
    assert b"versions\\0.1.0\\" in machine.place.command.read_bytes()


@pytest.mark.parametrize("machine", [("0.2.0",)], indirect=True)
def test_after_a_power_cut_the_version_before_goes_back_from_one_that_cannot_start(machine: Machine) -> None:
    """What Windows runs at the third failure: ``update apply`` of the version before, which finds the switch."""
    machine.place.of_version("0.2.0").mkdir()
    machine.place.switch("0.2.0")
    machine.place.write_record(Record("0.2.0", "0.1.0", SWITCHING))
    record, _ = machine.apply()
    assert record is not None
    assert record.state == ROLLED_BACK
    assert machine.place.current_version == "0.1.0"
    assert machine.manager.commands is not None
    assert machine.manager.commands.rescue == ""


def test_what_the_service_offers_is_taken_once(machine: Machine, tmp_path: Path) -> None:
    folder = machine.state.root / "update"
    folder.mkdir()
    (folder / "ready").write_text("../../elsewhere")
    assert take_offer(machine.state.root) is None
    assert not (folder / "ready").exists()
    (folder / "ready").write_text("0.2.0")
    record, _ = machine.apply()  # nothing lies there: refused, and not looked at again
    assert record is not None
    assert (record.state, record.code) == ("refused", "form")
    assert machine.apply()[1] == "nothing to do: 0.1.0 runs, and no release waits"


def test_another_key_and_another_service_are_refused(machine: Machine, tmp_path: Path) -> None:
    stranger = Signer(tmp_path / "stranger")
    record, _ = machine.apply(stranger.make(agent_wheel(machine.wheels, "0.2.0")))
    assert record is not None
    assert (record.state, record.code) == ("refused", "signature")
    with pytest.raises(ReleaseError, match="--restart"):
        machine.apply(restart="net start vonggac-agent")
    machine.manager.commands = Commands(r'"C:\Windows\System32\svchost.exe" -k x')
    with pytest.raises(ReleaseError, match="service install"):
        machine.apply()


def test_an_installation_is_known_by_its_form(tmp_path: Path) -> None:
    found = installation_of(tmp_path / "versions" / "0.1.0")
    assert found is not None
    assert found.root == tmp_path
    assert installation_of(tmp_path / "versions" / "bin") is None
    assert installation_of(tmp_path / "Python311") is None


@pytest.mark.parametrize("version", [(3, 11), (3, 13)])
@pytest.mark.parametrize("platform", ["win-amd64", "win32", "win-arm64"])
def test_tags_are_those_that_pip_knows(version: tuple[int, int], platform: str) -> None:
    plain = platform.replace("-", "_")
    known = [*tags.cpython_tags(version, [f"cp{version[0]}{version[1]}"], [plain])]
    interpreter = f"cp{version[0]}{version[1]}"
    known += tags.compatible_tags(version, interpreter, [plain])
    assert tags_of_python(version, platform) == [str(each) for each in known]


@pytest.mark.parametrize(
    "name",
    [
        "/agent/cli.py",
        "../agent/cli.py",
        "agent/../../cli.py",
        "agent\\cli.py",
        "C:/agent/cli.py",
        "agent/cli.py:stream",
        "agent/con.py",
        "agent/dot.",
        "agent//cli.py",
        "agent/cli\n.py",
    ],
)
def test_a_wheel_does_not_write_elsewhere(tmp_path: Path, name: str) -> None:
    wheel = write_wheel(tmp_path / "vonggac-0.2.0-py3-none-any.whl", {name: ""})
    with zipfile.ZipFile(wheel) as archive:
        if archive.namelist() != [name]:
            pytest.skip("a zip cannot hold this name")
    with pytest.raises(ReleaseError, match="not a path"):
        list(windows_environment.members(wheel))


def test_of_a_wheel_only_packages_are_taken(tmp_path: Path) -> None:
    wheel = write_wheel(
        tmp_path / "zstandard-0.25.0-cp311-cp311-win_amd64.whl",
        {
            "zstandard/backend_c.cp311-win_amd64.pyd": b"MZ",
            "zstandard-0.25.0.data/platlib/zstandard/more.py": "",
            "zstandard-0.25.0.data/scripts/zstd.exe": b"MZ",
            "zstandard-0.25.0.data/data/etc/zstd.conf": "",
            "zstandard-0.25.0.dist-info/RECORD": "",
        },
    )
    assert [path for path, _ in windows_environment.members(wheel)] == [
        "zstandard/more.py",
        "zstandard-0.25.0.dist-info/RECORD",
        "zstandard/backend_c.cp311-win_amd64.pyd",
    ]
    broken = tmp_path / "broken-1-py3-none-any.whl"
    broken.write_bytes(wheel.read_bytes()[:-30])
    with pytest.raises(ReleaseError, match="broken"):
        list(windows_environment.members(broken))
