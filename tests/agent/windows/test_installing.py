"""``service install`` and ``remove``: safe folders first, then the service; and what stays."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import agent
from agent.settings import StateDirectory
from agent.update.windows_place import WindowsInstallation
from agent.windows.folders import PROGRAM, STATE, FolderError
from agent.windows.installing import InstallError, Installing, program_files
from tests.agent.windows.reg_file import RegFile
from tests.agent.windows.service_manager import FakeManager
from tests.agent.windows.test_folders import STRANGER, FakeSecurity

if TYPE_CHECKING:
    from pathlib import Path

VERSION = agent.__version__


class Machine:
    def __init__(self, folder: Path) -> None:
        self.programs, self.data = folder / "Program Files", folder / "ProgramData" / "vonggac-agent"
        self.data.parent.mkdir()
        self.manager, self.security = FakeManager(), FakeSecurity()
        self.place = WindowsInstallation(self.programs / "vonggac-agent", self.manager)
        self.place.of_version(VERSION).mkdir(parents=True)
        (self.place.of_version(VERSION) / "python.exe").write_text("")
        self.state = StateDirectory(self.data / "state")

    def work(self, *options: str) -> Installing:
        return Installing(self.place, self.manager, self.security, self.data, options)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_folders_are_safe_before_there_is_a_service(machine: Machine) -> None:
    machine.work("--config", r"D:\a b\agent.toml").install(machine.state, str(machine.programs))
    assert machine.security.given[machine.place.root] == PROGRAM
    assert machine.security.given[machine.data] == STATE
    assert machine.manager.log == ["stop", "define", "start"]
    python = machine.place.of_version(VERSION) / "python.exe"
    assert machine.manager.command() == (
        f'"{python}" -I -X utf8 -m agent.cli service run --config "D:\\a b\\agent.toml"'
    )
    assert machine.place.current_version == VERSION
    words = machine.place.command.read_bytes()
    assert (
        words == f'@"%~dp0versions\\{VERSION}\\python.exe" -I -X utf8 -m agent.cli %* & exit /b\r\n'.encode()
    )


def test_a_state_elsewhere_is_made_safe_too(machine: Machine, tmp_path: Path) -> None:
    elsewhere = StateDirectory(tmp_path / "state")
    machine.work().install(elsewhere, str(machine.programs))
    assert machine.security.given[elsewhere.root] == STATE


def test_a_service_is_not_made_of_what_users_may_write(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="not below"):
        machine.work().install(machine.state, str(tmp_path / "Other Files"))
    machine.security.owners["vonggac-agent"] = STRANGER
    with pytest.raises(FolderError, match=STRANGER):
        machine.work().install(machine.state, str(machine.programs))
    assert machine.manager.log == []


def test_what_an_installer_leaves_of_an_earlier_version_is_taken_away(machine: Machine) -> None:
    (machine.place.of_version("0.0.9") / "Lib/site-packages/agent/__pycache__").mkdir(parents=True)
    (machine.place.of_version("0.0.8")).mkdir()
    (machine.place.of_version("0.0.8") / "python.exe").write_text("")  # a release that was applied
    machine.work().install(machine.state, str(machine.programs))
    assert sorted(each.name for each in machine.place.versions.iterdir()) == ["0.0.8", VERSION]


def test_which_version_the_package_brought_is_kept_in_mind_while_it_is_there(machine: Machine) -> None:
    machine.place.root.mkdir(exist_ok=True)
    machine.place.packaged.write_text("0.0.8")  # a package that was taken away since
    machine.work().install(machine.state, str(machine.programs))
    assert machine.place.packaged_version == VERSION
    (machine.place.of_version("0.0.9")).mkdir()
    (machine.place.of_version("0.0.9") / "python.exe").write_text("")
    machine.place.packaged.write_text("0.0.9")  # by an update's version, beside the package's
    machine.work().install(machine.state, str(machine.programs))
    assert machine.place.packaged_version == "0.0.9"


def test_the_keys_of_the_package_are_laid_down(machine: Machine) -> None:
    (machine.place.root / "release.pub").write_text("public")
    machine.work().install(machine.state, str(machine.programs))
    assert (machine.data / "release.pub").read_text() == "public"


def test_where_the_new_version_does_not_start_the_service_is_as_it_was(machine: Machine) -> None:
    machine.manager.broken = True
    with pytest.raises(OSError, match="ended as soon as"):
        machine.work().install(machine.state, str(machine.programs))
    assert machine.manager.commands is None
    machine.manager.broken = False
    machine.work().install(machine.state, str(machine.programs))
    before = machine.manager.command()
    machine.manager.broken = True
    with pytest.raises(OSError, match="ended as soon as"):
        machine.work("--state", "D:\\other").install(machine.state, str(machine.programs))
    assert machine.manager.command() == before


def test_removing_leaves_what_the_package_installed_and_the_data(machine: Machine) -> None:
    work = machine.work()
    work.install(machine.state, str(machine.programs))
    own = machine.place.of_version(VERSION)
    (own / "Lib/site-packages/agent/__pycache__").mkdir(parents=True)
    (own / "Lib/site-packages/agent/cli.py").write_text("")
    machine.place.of_version("9.0.0").mkdir()
    machine.place.record.write_text("{}")
    work.remove(purge=False)
    assert machine.manager.log[-2:] == ["stop", "delete"]
    left = sorted(
        str(each.relative_to(machine.place.root)) for each in machine.place.root.rglob("*") if each.is_file()
    )
    assert left == [f"versions/{VERSION}/Lib/site-packages/agent/cli.py", f"versions/{VERSION}/python.exe"]
    assert not (own / "Lib/site-packages/agent/__pycache__").exists()
    assert machine.data.is_dir()
    work.remove(purge=True)
    assert not machine.data.exists()


def test_windows_says_where_programs_stand() -> None:
    key = r"[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion]"
    told = RegFile(
        f'Windows Registry Editor Version 5.00\n\n{key}\n"ProgramFilesDir"="C:\\\\Program Files"\n'
    )
    assert program_files(told) == r"C:\Program Files"
    with pytest.raises(InstallError, match="ProgramFilesDir"):
        program_files(RegFile("Windows Registry Editor Version 5.00\n"))


@pytest.mark.parametrize("act", ["install", "remove", "run"])
def test_elsewhere_the_command_says_that_there_is_none(act: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "service", act], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "on Windows only" in done.stderr
