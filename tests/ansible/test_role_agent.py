"""The role ``agent`` run for real against this machine, with a real agents' port to install and enrol from.

There is no systemd where tests run, so the unit is checked by systemd's own tools where they are there, and the
service is not started.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
import yaml
from click.testing import CliRunner

from collector.bootstrap import prepare
from collector.settings import DataDirectory, load
from soc_api.cli import main
from soc_api.local import free_port
from tests.support.debian import program, root
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSIBLE = Path(__file__).resolve().parents[2] / "ansible"
ROLE = ANSIBLE / "roles" / "agent"
_BIN = Path(sys.executable).parent
AGENCY = "so-y-te"


def _vonggac(*arguments: str) -> str:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.output


class Port:
    """The agents' port of a collector with one agency and a bundle."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder
        self.data = DataDirectory(folder)
        folder.mkdir(mode=0o700)
        (folder / "vonggac.toml").write_text(f"[ingest]\nport = {self.port}\n")
        prepare(self.data, load(self.data))
        agencies = folder / "agencies.csv"
        agencies.write_text(f"code,name,level,officials\n{AGENCY},Sở Y tế,tinh,50\n")
        _vonggac("agency", "import", str(agencies), "--data", str(folder))
        self.authority = self.data.ca / "ca.crt"
        self.url = f"https://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "collector.process", "ingest", "--data", str(folder)]
        with (folder / "ingest.log").open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)
        wait_until(self._answers, seconds=60, what="the agents' port")

    def get(self, path: str) -> Any:
        trust = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(self.url + path, context=trust, timeout=5) as answer:
            return json.load(answer)

    def _answers(self) -> bool:
        try:
            return "files" in self.get("/v1/bundle")
        except OSError:
            return False

    def token(self) -> str:
        made: str = json.loads(
            _vonggac("token", "create", "--agency", AGENCY, "--json", "--data", str(self.folder))
        )["token"]
        return made

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, built once. It needs the package index, or a cache of it."""
    folder = tmp_path_factory.mktemp("bundle")
    _vonggac("bundle", "--data", str(folder))
    return folder / "bundle"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Port]:
    made = Port(tmp_path_factory.mktemp("collector") / "data")
    shutil.copytree(wheels, made.data.bundle)
    yield made
    made.stop()


class Play:
    """The role against this machine, in folders below ``folder``; no service is started."""

    def __init__(self, folder: Path, port: Port) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.settings = folder / "etc" / "agent.toml"
        self.agent = folder / "opt" / "current" / "venv" / "bin" / "vonggac-agent"
        self.variables: dict[str, object] = {
            "agent_collector_url": port.url,
            "agent_ca_file": str(port.authority),
            "agent_python": sys.executable,
            "agent_manage_packages": False,
            "agent_install_dir": str(folder / "opt"),
            "agent_config_dir": str(folder / "etc"),
            "agent_state_dir": str(self.state),
            "agent_user": "root",
            "agent_service_manager": "none",
        }

    def run(self, *, tasks_from: str = "", **variables: object) -> subprocess.CompletedProcess[str]:
        """The role, or one of its lists of tasks."""
        book = self.folder / "play.yml"
        included = {"ansible.builtin.include_role": {"name": "agent", "tasks_from": tasks_from}}
        play = {
            "name": "Test",
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            **({"tasks": [included]} if tasks_from else {"roles": ["agent"]}),
        }
        book.write_text(yaml.safe_dump([play]))
        extra = self.folder / "variables.json"
        extra.write_text(json.dumps({**self.variables, **variables}))
        environment = {
            **os.environ,
            "ANSIBLE_ROLES_PATH": str(ANSIBLE / "roles"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "tmp"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "PYTHONWARNINGS": "ignore",
        }
        return subprocess.run(
            [str(_BIN / "ansible-playbook"), "-i", "localhost,", "-e", f"@{extra}", str(book)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    @staticmethod
    def counts(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
        recap = done.stdout.rsplit("PLAY RECAP", 1)[1]
        return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", recap)}


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory, port: Port) -> Play:
    root("the role makes folders and files as root")
    return Play(tmp_path_factory.mktemp("play"), port)


@pytest.fixture(scope="module")
def installed(play: Play, port: Port) -> Play:
    done = play.run(agent_token=port.token(), agent_disabled_collectors=["processes"])
    assert done.returncode == 0, done.stdout[-4000:]
    return play


def test_the_role_installs_and_enrols_the_machine(installed: Play, port: Port) -> None:
    identity = json.loads((installed.state / "identity.json").read_text())
    assert identity["collector_url"].rstrip("/") == port.url
    assert stat.S_IMODE(installed.state.stat().st_mode) == 0o700
    assert stat.S_IMODE((installed.state / "agent.key").stat().st_mode) == 0o600
    shown = subprocess.run(
        [installed.agent, "check-config", "--json", "--config", installed.settings],
        capture_output=True,
        text=True,
        check=True,
    )
    collectors = {each["name"]: each["enabled"] for each in json.loads(shown.stdout)["collectors"]}
    assert not collectors["processes"]
    assert collectors["host"]


def test_what_was_installed_reports_to_the_collector(installed: Play, port: Port) -> None:
    done = subprocess.run(
        [installed.agent, "once", "--json", "--config", installed.settings],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert json.loads(done.stdout)["waiting"] == 0, done.stdout + done.stderr


def _look(agent: Path, *before: str) -> dict[str, dict[str, Any]]:
    """What the collectors that need a right find, by name, when the agent is started by the command ``before``."""
    needy = ("antivirus_clamav_log", "auth_log", "firewall_local", "host", "lan", "processes")
    only = [word for name in needy for word in ("--only", name)]
    done = subprocess.run(
        [*before, str(agent), "once", "--dry-run", "--json", *only],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout, done.stderr
    return {each["collector"]: each for each in json.loads(done.stdout)}


def test_the_rights_that_the_unit_gives_are_enough_for_every_collector(installed: Play) -> None:
    setpriv = program("setpriv", "util-linux")
    rights = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())["agent_capabilities"]
    sets = ",".join(["-all", *(f"+{right.removeprefix('CAP_').lower()}" for right in rights)])
    user = ("--reuid=daemon", "--regid=daemon", "--clear-groups", "--no-new-privs")
    capabilities = (f"--inh-caps={sets}", f"--ambient-caps={sets}", f"--bounding-set={sets}")
    as_root = _look(installed.agent)
    as_the_unit = _look(installed.agent, setpriv, *user, *capabilities)
    assert as_the_unit.keys() == as_root.keys()
    for name, found in as_the_unit.items():
        assert found["failure"] == as_root[name]["failure"], name
    states = [
        {
            document["kind"]: document["body"].get("state")
            for document in found["firewall_local"]["output"]["documents"]
        }
        for found in (as_root, as_the_unit)
    ]
    assert states[0] == states[1]


def test_a_second_run_changes_nothing(installed: Play) -> None:
    done = installed.run(agent_disabled_collectors=["processes"])
    assert done.returncode == 0, done.stdout[-4000:]
    assert installed.counts(done)["changed"] == 0, done.stdout


def test_a_machine_with_the_key_of_releases_is_not_brought_further_by_the_bundle(
    installed: Play, tmp_path: Path
) -> None:
    """``installed.json`` says another bundle, as after a new one; only without the key it is installed again."""
    noted, key = installed.folder / "opt" / "installed.json", tmp_path / "release.pub"
    key.write_text("a key\n")
    before = noted.read_bytes()
    noted.write_text("[]")
    try:
        done = installed.run(agent_disabled_collectors=["processes"], agent_release_key_file=str(key))
        assert done.returncode == 0, done.stdout[-4000:]
        assert noted.read_text() == "[]"
    finally:
        noted.write_bytes(before)


def test_the_unit_that_applies_releases_never_gives_up_and_starts_with_the_machine() -> None:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    lines = _template("vonggac-agent-update.service.j2", defaults).splitlines()
    assert {"StartLimitIntervalSec=0", "Restart=on-failure", "After=vonggac-agent.service"} <= set(lines)
    assert "WantedBy=multi-user.target" in lines
    # Before the agent it would wait for what waits for it: it restarts the agent.
    assert not any(line.startswith("Before=") for line in lines)


@pytest.mark.parametrize("name", ["vonggac-agent.service", "vonggac-agent-update.service"])
def test_both_units_first_run_what_stands_outside_the_versions(name: str, installed: Play) -> None:
    """As root, whatever the unit is confined to, and without being kept from starting by its fault."""
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    lines = _template(f"{name}.j2", defaults | {"agent_install_dir": "/opt/x"}).splitlines()
    assert "ExecStartPre=+-/opt/x/launch" in lines
    launch = installed.folder / "opt" / "launch"
    status = launch.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o755, 0)
    version = subprocess.run([launch, "--version"], capture_output=True, text=True, check=True, timeout=30)
    assert version.stdout.strip() == (installed.folder / "opt" / "current").readlink().name


def test_the_token_is_never_shown(installed: Play, tmp_path: Path) -> None:
    token = f"vg1.0123456789abcdef.{'A' * 43}.{'0' * 64}"
    done = installed.run(
        agent_token=token, agent_state_dir=str(tmp_path / "state"), agent_config_dir=str(tmp_path / "etc")
    )
    assert done.returncode != 0
    assert "is not the collector that made this token" in " ".join(done.stdout.split())
    assert token not in done.stdout + done.stderr
    assert "A" * 43 not in done.stdout + done.stderr
    assert not (tmp_path / "state" / "identity.json").exists()


def test_without_token_and_identity_it_says_what_to_do(tmp_path: Path, port: Port, play: Play) -> None:
    done = Play(tmp_path, port).run()
    assert done.returncode != 0
    assert "vonggac token create" in done.stdout.replace("\n", " ")


def test_an_enrolled_machine_is_not_moved_to_another_collector(
    installed: Play, tmp_path: Path, port: Port
) -> None:
    other = f"https://localhost:{port.port}"
    done = installed.run(agent_collector_url=other, agent_disabled_collectors=["processes"])
    assert done.returncode != 0
    assert "is enrolled with" in done.stdout


def test_a_collector_with_another_authority_is_refused(tmp_path: Path, port: Port, play: Play) -> None:
    other = tmp_path / "other"
    prepare(DataDirectory(other), load(DataDirectory(other)))
    (tmp_path / "play").mkdir()
    done = Play(tmp_path / "play", port).run(agent_ca_file=str(other / "ca" / "ca.crt"), agent_token="x")
    assert done.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in done.stdout


def test_a_machine_without_systemd_is_refused_in_plain_words(tmp_path: Path, port: Port, play: Play) -> None:
    if Path("/run/systemd/system").exists():
        pytest.skip("this machine runs systemd")
    done = Play(tmp_path, port).run(agent_service_manager="systemd", agent_token="x")
    assert done.returncode != 0
    assert "not booted with systemd" in done.stdout
    assert not (tmp_path / "opt").exists()


def test_settings_that_the_agent_refuses_are_not_written(installed: Play) -> None:
    before = installed.settings.read_bytes()
    done = installed.run(agent_settings={"agent": {"hartbeat_seconds": 5}})
    assert done.returncode != 0
    assert "heartbeat_seconds" in done.stdout
    assert installed.settings.read_bytes() == before


def test_further_settings_reach_the_agent(tmp_path: Path) -> None:
    import tomllib

    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    defaults |= {
        "agent_intervals": {"host": 60},
        "agent_settings": {"agent": {"heartbeat_seconds": 5}, "collector": {"url": 'https://x"y:1'}},
    }
    parsed = tomllib.loads(_template("agent.toml.j2", defaults))
    assert parsed["agent"] == {"state_dir": "/var/lib/vonggac-agent", "heartbeat_seconds": 5}
    assert parsed["collectors"] == {"disabled": [], "intervals": {"host": 60}}
    assert parsed["collector"]["url"] == 'https://x"y:1'


def test_a_probe_gets_its_parts_and_may_open_packet_sockets_and_others_may_not() -> None:
    import tomllib

    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    assert "probe" not in tomllib.loads(_template("agent.toml.j2", defaults))
    assert "AF_PACKET" not in _template("vonggac-agent.service.j2", defaults)
    defaults["agent_probe_parts"] = ["lan"]
    parsed = tomllib.loads(_template("agent.toml.j2", defaults))
    assert parsed["probe"] == {"parts": ["lan"], "folder": "/etc/vonggac-agent/probe"}
    assert "AF_NETLINK AF_PACKET\n" in _template("vonggac-agent.service.j2", defaults)


def _template(name: str, variables: dict[str, Any]) -> str:
    """Rendered as Ansible does, with the two filters of its own that our templates use."""

    def combine(first: dict[str, Any], second: dict[str, Any], recursive: bool = False) -> dict[str, Any]:
        return first | {
            key: combine(first[key], value, recursive)
            if recursive and isinstance(value, dict) and isinstance(first.get(key), dict)
            else value
            for key, value in second.items()
        }

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"combine": combine, "to_json": lambda value, **_: json.dumps(value)}
    return environment.get_template(name).render(variables)


def test_an_installation_of_the_role_is_one_that_updates_itself(installed: Play) -> None:
    done = subprocess.run(
        [installed.agent, "update", "apply", "--config", installed.settings],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("nothing to do: ")


def test_removing_leaves_nothing_behind_and_says_what_to_revoke(installed: Play) -> None:
    """The last that is done with the installation."""
    identity = json.loads((installed.state / "identity.json").read_text())["endpoint_id"]
    done = installed.run(tasks_from="remove")
    assert done.returncode == 0, done.stdout[-4000:]
    assert identity in done.stdout
    left = {each.name for each in installed.folder.iterdir()}
    assert left.isdisjoint({"opt", "etc", "state"})


def test_what_cannot_be_the_agents_own_folder_is_not_removed(tmp_path: Path, port: Port) -> None:
    done = Play(tmp_path, port).run(tasks_from="remove", agent_install_dir="/etc")
    assert done.returncode != 0
    assert "not a folder of the agent alone" in done.stdout


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    executable = tmp_path / "current" / "venv" / "bin" / "vonggac-agent"
    executable.parent.mkdir(parents=True)
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    path = tmp_path / "vonggac-agent.service"
    path.write_text(
        _template(
            "vonggac-agent.service.j2",
            defaults | {"agent_install_dir": str(tmp_path), "agent_user": "daemon"},
        )
    )
    return path


@pytest.fixture
def update_units(unit: Path) -> list[Path]:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    found = []
    for name in ("vonggac-agent-update.service", "vonggac-agent-update.path"):
        path = unit.parent / name
        path.write_text(_template(f"{name}.j2", defaults | {"agent_install_dir": str(unit.parent)}))
        found.append(path)
    return found


def test_systemd_finds_the_units_of_updates_sound_and_little_exposed(update_units: list[Path]) -> None:
    analyze = program("systemd-analyze", "systemd")
    done = subprocess.run(
        [analyze, "verify", "--man=no", *map(str, update_units)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "vonggac-agent-update" not in done.stderr
    command = [analyze, "security", "--offline=true", "--no-pager", "--threshold=35", str(update_units[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-3000:]


def test_systemd_finds_the_unit_sound(unit: Path) -> None:
    done = subprocess.run(
        [program("systemd-analyze", "systemd"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert done.returncode == 0, done.stderr
    assert not ours, ours


def test_systemd_finds_the_unit_little_exposed(unit: Path) -> None:
    command = [
        program("systemd-analyze", "systemd"),
        "security",
        "--offline=true",
        "--no-pager",
        "--threshold=35",
        str(unit),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_agent_gets_no_right_that_is_not_named(unit: Path) -> None:
    lines = dict(
        line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line and line[0] != "#"
    )
    assert (
        lines["CapabilityBoundingSet"]
        == lines["AmbientCapabilities"]
        == "CAP_NET_ADMIN CAP_NET_RAW CAP_DAC_READ_SEARCH"
    )
    assert lines["NoNewPrivileges"] == "yes"
    assert lines["ProtectSystem"] == "strict"
    assert {"MemoryMax", "CPUQuota", "User"} <= lines.keys()


def test_every_variable_has_a_default_or_is_required_and_is_in_the_readme() -> None:
    options = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    required = {name for name, option in options.items() if option.get("required")}
    assert options.keys() == defaults.keys() | required
    assert {name: option["default"] for name, option in options.items() if name not in required} == defaults
    readme = (ROLE / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in options)


@pytest.mark.parametrize(
    "playbook", sorted((ANSIBLE / "playbooks").glob("*.yml")), ids=lambda path: path.stem
)
def test_playbooks_are_sound(playbook: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [_BIN / "ansible-playbook", "--syntax-check", playbook],
        cwd=ANSIBLE,
        env={**os.environ, "ANSIBLE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
