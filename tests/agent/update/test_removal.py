"""Taking the agent off a machine: nothing of it stays, nothing else goes."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent import cli
from agent.runtime.locking import hold, hold_state
from agent.settings import StateDirectory
from agent.update import removal
from agent.update.errors import ReleaseError
from agent.update.place import Installation
from agent.update.removal import UNITS, Places, remove, survey
from tests.support.debian import program, root

if TYPE_CHECKING:
    from pathlib import Path

_USERS = "root:x:0:0:root:/root:/bin/bash\n"
_SYSTEMCTL = '#!/bin/sh\necho "$*" >> "$CALLS"\n[ "$1" != stop ]\n'


def tree(folder: Path) -> dict[str, str]:
    """Every file, link and folder below, with what is in it; backups of the tables of users left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.endswith("-") or path.name == ".pwd.lock":
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = "folder" if path.is_dir() else path.read_text()
    return found


def write(path: Path, text: str = "x\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine without an agent, and a ``systemctl`` that notes its calls: none runs where tests do."""
    made = tmp_path / "system"
    write(made / "etc/passwd", _USERS)
    write(made / "etc/group", "root:x:0:\n")
    write(made / "etc/shadow", "root:*:20000::::::\n")
    write(made / "etc/gshadow", "root:*::\n")
    write(made / "etc/systemd/system/other.service")
    for folder in ("etc/systemd/system/multi-user.target.wants", "opt", "var/lib"):
        (made / folder).mkdir(parents=True)
    (made / "etc/systemd/system/multi-user.target.wants/other.service").symlink_to("../other.service")
    write(tmp_path / "bin/systemctl", _SYSTEMCTL)
    (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}:/usr/sbin")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return made


def places_in(system: Path, name: str = "vonggac-agent") -> Places:
    return Places(
        Installation(system / "opt" / name),
        system / "etc" / name / "agent.toml",
        StateDirectory(system / "var/lib" / name),
        system=system,
        systemd=system,
    )


def install(places: Places, *, user: bool = True) -> None:
    """As the role leaves it, after some months of work."""
    place, state, units = places.installation, places.state, places.units
    for version in ("0.1.0", "0.2.0"):
        write(place.environment(version) / "bin/vonggac-agent")
    place.switch("0.2.0")
    for name in (
        "installed.json",
        "update.json",
        "update.json.tmp",
        "update.lock",
        "launch",
        "launches.json",
    ):
        write(place.root / name)
    for name in ("agent.toml", "release.pub"):
        write(places.config.parent / name)
    for name in ("agent.key", "agent.key.new", "agent.crt", "ca.crt", "identity.json", "agent.lock"):
        write(state.root / name)
    for name in (
        "cursors.json",
        "settings.json",
        "status.json",
        "spool/1.batch",
        "update/0.3.0/manifest.json",
    ):
        write(state.root / name)
    for unit in UNITS:
        write(units / unit)
        (units / "multi-user.target.wants" / unit).symlink_to(units / unit)
    write(units / "vonggac-agent.service.d/local.conf")
    if user:
        line = f"vonggac-agent:x:991:991::{state.root}:/usr/sbin/nologin\n"
        for table, more in (
            ("passwd", line),
            ("group", "vonggac-agent:x:991:\n"),
            ("shadow", "vonggac-agent:!:20000::::::\n"),
            ("gshadow", "vonggac-agent:!::\n"),
        ):
            with (places.system / "etc" / table).open("a") as file:
                file.write(more)


@pytest.mark.parametrize("name", ["vonggac-agent", "agent-of-the-province"])
def test_the_machine_is_as_it_was_before_the_agent(name: str, system: Path, tmp_path: Path) -> None:
    root("tables of users are root's")
    program("userdel", "passwd")
    before = tree(system)
    places = places_in(system, name)
    install(places)
    found = survey(places)
    assert found.user == "vonggac-agent"
    shown = tree(system)
    assert survey(places) == found
    assert tree(system) == shown
    assert remove(places) == []
    assert tree(system) == before
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls == [
        *(f"disable --now {unit}" for unit in UNITS),
        "daemon-reload",
        f"reset-failed {' '.join(UNITS)}",
    ]
    assert survey(places).lines() == []
    assert remove(places) == []


def test_half_an_agent_is_removed_too(system: Path) -> None:
    root("tables of users are root's")
    before = tree(system)
    places = places_in(system)
    install(places)
    places.installation.current.unlink()
    for path in (places.config, places.state.identity, places.units / UNITS[0]):
        path.unlink()
    assert remove(places) == []
    assert tree(system) == before


def test_what_is_not_known_stays_in_a_folder_that_is_not_the_agents_alone(system: Path) -> None:
    places = places_in(system, "shared")
    install(places, user=False)
    for folder in (places.installation.root, places.config.parent, places.state.root):
        write(folder / "of-others")
    assert [each.split(":")[0] for each in remove(places)] == [
        str(places.state.root),
        str(places.installation.root),
    ]
    for folder in (places.installation.root, places.config.parent, places.state.root):
        assert [each.name for each in folder.iterdir()] == ["of-others"]


@pytest.mark.parametrize("name", ["opt", "etc", "var/lib"])
def test_a_link_in_a_folders_place_goes_and_what_it_leads_to_stays(
    name: str, system: Path, tmp_path: Path
) -> None:
    places = places_in(system)
    install(places, user=False)
    elsewhere, here = tmp_path / "elsewhere", system / name / "vonggac-agent"
    here.rename(elsewhere)
    here.symlink_to(elsewhere)
    shown = tree(elsewhere)
    assert remove(places) == [f"{elsewhere}: {here} led there; no link is followed"]
    assert tree(elsewhere) == shown
    assert not os.path.lexists(here)


def test_links_that_the_agents_user_made_lead_nowhere(system: Path, tmp_path: Path) -> None:
    places = places_in(system)
    install(places, user=False)
    write(tmp_path / "precious/file")
    (places.state.spool / "link").symlink_to(tmp_path / "precious")
    (places.state.root / "update" / "ready").symlink_to(tmp_path / "precious/file")
    assert remove(places) == []
    assert tree(tmp_path / "precious") == {"file": "x\n"}


def test_the_agents_of_others_and_users_that_are_people_are_not_removed(system: Path) -> None:
    places = places_in(system)
    install(places, user=False)
    home = places.state.root
    (system / "etc/passwd").write_text(
        f"{_USERS}lan:x:1000:1000::{home}:/usr/sbin/nologin\nsvc:x:992:992::{home}:/bin/sh\nodd:x\n"
    )
    assert survey(places).user == ""


def test_while_an_agent_runs_or_an_update_is_at_work_nothing_is_removed(system: Path) -> None:
    places = replace(places_in(system), systemd=system / "absent")
    install(places, user=False)
    shown = tree(system)
    held = hold_state(places.state)
    try:
        with pytest.raises(ReleaseError, match="still runs"):
            remove(places)
    finally:
        os.close(held)
    with closing(places.installation.lock.open("r+")) as lock:
        assert hold(lock.fileno())
        with pytest.raises(ReleaseError, match="at work"):
            remove(places)
    assert tree(system) == shown


def test_a_unit_that_cannot_be_stopped_is_said(system: Path, tmp_path: Path) -> None:
    places = places_in(system)
    install(places, user=False)
    write(tmp_path / "bin/systemctl", "#!/bin/sh\necho no bus >&2\nexit 1\n")
    left = remove(places)
    assert f"systemctl disable --now {UNITS[0]}: no bus" in left
    assert not places.state.root.exists()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["remove", *arguments])
    return int(ended.value.code or 0)


def test_the_command_shows_asks_and_removes(
    system: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = places_in(system)
    install(places, user=False)
    monkeypatch.setattr(removal, "places_of", lambda *_: places)
    shown = tree(system)
    assert run("--dry-run") == 0
    said = capsys.readouterr().out
    assert {str(places.units / UNITS[2]), str(places.state.root), str(places.config.parent)} <= set(
        said.split()
    )
    assert run() == 2
    assert "--yes" in capsys.readouterr().err
    assert tree(system) == shown
    assert run("--yes") == 0
    assert "nothing of the agent is left" in capsys.readouterr().out
    assert run("--yes") == run("--dry-run") == 0
    assert "there is no agent" in capsys.readouterr().out


def test_the_command_fails_where_something_is_left(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = places_in(system)
    install(places, user=False)
    (tmp_path / "elsewhere").mkdir()
    (places.config.parent / "agent.toml").unlink()
    (places.config.parent / "release.pub").unlink()
    places.config.parent.rmdir()
    places.config.parent.symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr(removal, "places_of", lambda *_: places)
    assert run("--yes") == 1
    assert "no link is followed" in capsys.readouterr().err


def test_settings_that_cannot_be_read_do_not_keep_an_agent_from_being_removed(tmp_path: Path) -> None:
    root("the command is root's")
    config = tmp_path / "agent.toml"
    config.write_text("[agent\n")
    places = removal.places_of(config, None)
    assert (places.config, str(places.state.root)) == (config, "/var/lib/vonggac-agent")
    config.write_text(f'[agent]\nstate_dir = "{tmp_path}/state"\n')
    assert removal.places_of(config, None).state.root == tmp_path / "state"
    assert removal.places_of(config, tmp_path / "other").state.root == tmp_path / "other"


def test_only_root_removes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run("--dry-run") == 1
    assert "root" in capsys.readouterr().err
