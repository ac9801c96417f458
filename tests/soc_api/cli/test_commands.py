"""``vonggac`` as people and programs call it, over a real data directory."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pyotp
import pytest
from click.testing import CliRunner, Result

from agent.messages import TokenParts
from collector import locks
from collector.detect.checkpoints import save_places
from collector.state.base import utcnow
from collector.state.database import StateStore
from soc_api.accounts.sign_in import sign_in
from soc_api.cli import main
from soc_api.cli._place import Place
from soc_api.cli.serve import make_ready
from soc_api.local import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from soc_api.services import Services

    Vonggac = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VONGGAC_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def vonggac(data: Path) -> Vonggac:
    def call(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, arguments, input=stdin, prog_name="vonggac")

    return call


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A data directory after its first start (slow: made once), and what that printed."""
    root = tmp_path_factory.mktemp("first") / "data"
    result = CliRunner().invoke(main, ["serve", "--prepare-only", "--data", str(root)])
    assert result.exit_code == 0, result.output
    return root, result


@pytest.fixture
def ready(data: Path, first_start: tuple[Path, Result]) -> Result:
    """A copy of that directory, for one test."""
    shutil.copytree(first_start[0], data)
    return first_start[1]


def commands() -> list[list[str]]:
    found: list[list[str]] = []
    context = None
    for name in main.list_commands(context):  # type: ignore[arg-type]  # it needs none
        command: Any = main.get_command(context, name)  # type: ignore[arg-type]  # it needs none
        inner = getattr(command, "commands", {})
        found += [[name, sub] for sub in inner] if inner else [[name]]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(vonggac: Vonggac, words: list[str]) -> None:
    result = vonggac(*words, "--help")
    assert result.exit_code == 0
    assert re.search(rf"vonggac {' '.join(words)}\b", result.output.split("Usage:")[1].split("\n", 1)[1])


def test_the_list_of_commands_says_what_each_is_for(vonggac: Vonggac) -> None:
    lines = vonggac("--help").output.split("Commands:")[1].splitlines()
    described = [line for line in lines if re.match(r"  [a-z]+ +\S", line)]
    assert len(described) >= 14


def test_the_first_start_prints_an_administrator_once_and_never_again(
    vonggac: Vonggac, ready: Result
) -> None:
    password = re.search(r"password: +(\S+)", ready.output)
    secret = re.search(r"OTP secret: +(\S+)", ready.output)
    assert password
    assert secret
    assert "otpauth://totp/" in ready.output
    for vietnamese, english in (("Mật khẩu", "password"), ("Chỉ hiện một lần", "shown only once")):
        assert re.search(f"{vietnamese}.* / {english}", ready.output)
    assert "█" in ready.output
    again = vonggac("serve", "--prepare-only")
    assert again.exit_code == 0
    assert again.output == ""
    assert password[1] not in vonggac("audit", "list", "--json").output


def test_what_user_create_prints_signs_in(
    vonggac: Vonggac, ready: Result, data: Path, services: Services
) -> None:
    made = json.loads(vonggac("user", "create", "lan", "--role", "analyst", "--json").output)
    state = StateStore(data / "state.db")
    here = type(services)(**{**_fields(services), "state": state})
    code = pyotp.TOTP(made["totp_secret"]).at(here.clock())
    session = sign_in(here, "lan", made["password"], code, address="127.0.0.1", user_agent="test")
    state.close()
    assert session.value


def _fields(services: Services) -> dict[str, Any]:
    return {name: getattr(services, name) for name in services.__dataclass_fields__}


def test_a_password_from_standard_input_is_not_printed(vonggac: Vonggac, ready: Result) -> None:
    result = vonggac(
        "user", "create", "lan", "--role", "analyst", "--password-stdin", stdin="tower on the hill\n"
    )
    assert result.exit_code == 0
    assert "tower on the hill" not in result.output
    assert "password:" not in result.output
    short = vonggac("user", "create", "mai", "--role", "analyst", "--password-stdin", stdin="short\n")
    assert (short.exit_code, short.output.count("\n")) == (1, 1)


def test_users_are_listed_disabled_and_reset(vonggac: Vonggac, ready: Result) -> None:
    vonggac("agency", "builtin", "thanh-hoa")
    vonggac("user", "create", "lan", "--role", "officer", "--agency", "so-y-te")
    assert vonggac("user", "disable", "lan").exit_code == 0
    listed = {row["username"]: row for row in json.loads(vonggac("user", "list", "--json").output)}
    assert listed["lan"]["agency"] == "so-y-te"
    assert listed["lan"]["disabled_at"]
    assert json.loads(vonggac("user", "reset", "lan", "--json").output)["password"]
    last = vonggac("user", "disable", "admin")
    assert last.exit_code == 1
    assert "last administrator" in last.output


def test_the_builtin_registry_has_49_agencies_and_loads_once(vonggac: Vonggac, ready: Result) -> None:
    assert json.loads(vonggac("agency", "builtin", "thanh-hoa", "--json").output)["created"] == 49
    assert json.loads(vonggac("agency", "builtin", "thanh-hoa", "--json").output)["unchanged"] == 49
    agencies = json.loads(vonggac("agency", "list", "--json").output)
    assert sum(agency["officials"] for agency in agencies) == 1400 + 2120
    assert "so-y-te" in vonggac("agency", "list", "y te").output


def test_agencies_from_a_file_name_row_and_column_of_what_is_wrong(
    vonggac: Vonggac, ready: Result, tmp_path: Path
) -> None:
    file = tmp_path / "agencies.csv"
    file.write_text("code,name,level,officials\na-b,Cơ quan,tinh,x\n", encoding="utf-8")
    result = vonggac("agency", "import", str(file))
    assert result.exit_code == 1
    assert "row 2, column 'officials'" in result.output
    file.write_bytes("code,name\nx,Cơ".encode("utf-16"))
    assert "not UTF-8" in vonggac("agency", "import", str(file)).output


def test_tokens_are_made_listed_and_revoked(vonggac: Vonggac, ready: Result) -> None:
    vonggac("agency", "builtin", "thanh-hoa")
    made = json.loads(vonggac("token", "create", "--agency", "so-y-te", "--count", "3", "--json").output)
    assert len(made["tokens"]) == 3
    token = TokenParts.decode(made["token"])
    assert token.secret not in vonggac("token", "list", "--json").output
    assert vonggac("token", "revoke", token.id).exit_code == 0
    assert len(json.loads(vonggac("token", "list", "--json").output)) == 2
    assert len(json.loads(vonggac("token", "list", "--all", "--json").output)) == 3
    near = vonggac("token", "create", "--agency", "so-y-tê")
    assert (near.exit_code, "so-y-te" in near.output) == (1, True)


def test_a_broken_audit_log_is_found_and_said_with_exit_status_1(
    vonggac: Vonggac, ready: Result, data: Path
) -> None:
    vonggac("agency", "builtin", "thanh-hoa")
    whole = json.loads(vonggac("audit", "verify", "--json").output)
    assert whole["whole"]
    assert vonggac("audit", "verify", "--contains", whole["head"]).exit_code == 0
    with closing(sqlite3.connect(data / "state.db")) as connection, connection:
        connection.execute("UPDATE audit_entry SET actor = 'nobody' WHERE id = 1")
    broken = vonggac("audit", "verify")
    assert broken.exit_code == 1
    assert "BROKEN at entry 1" in broken.output


def test_hostile_text_cannot_drive_the_terminal(vonggac: Vonggac, ready: Result, data: Path) -> None:
    with closing(sqlite3.connect(data / "state.db")) as connection, connection:
        connection.execute("UPDATE audit_entry SET actor = ?", ("\x1b]0;owned\x07\r\nadmin",))
    output = vonggac("audit", "list").output
    assert "\x1b" not in output
    assert "\r" not in output
    assert "\\u001b" in output


@pytest.mark.parametrize(
    "words",
    [
        ["user", "list"],
        ["agency", "list"],
        ["token", "create", "--agency", "x"],
        ["audit", "verify"],
        ["simulate", "--remove"],
        ["backup", "b.tar"],
    ],
    ids=" ".join,
)
def test_without_a_data_directory_one_line_says_what_to_do(vonggac: Vonggac, words: list[str]) -> None:
    result = vonggac(*words)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert "--data" in result.output


def test_wrong_settings_are_one_line_with_the_nearest_key(
    vonggac: Vonggac, ready: Result, data: Path
) -> None:
    (data / "vonggac.toml").write_text("[web]\nprot = 8443\n")
    result = vonggac("user", "list")
    assert result.exit_code == 1
    assert "did you mean 'web.port'" in result.output


def test_a_damaged_state_store_is_one_line_not_a_traceback(
    vonggac: Vonggac, ready: Result, data: Path
) -> None:
    for leftover in data.glob("state.db-*"):
        leftover.unlink()
    (data / "state.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
    result = vonggac("user", "list")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "vonggac doctor" in result.output


def test_wrong_usage_ends_with_status_2(vonggac: Vonggac, ready: Result) -> None:
    assert vonggac("user", "create", "lan", "--role", "king").exit_code == 2
    assert vonggac("simulate").exit_code == 2
    assert vonggac("simulate", "--count", "5", "--remove").exit_code == 2
    assert vonggac("no-such-command").exit_code == 2


def test_doctor_says_what_is_wrong_and_what_to_do(vonggac: Vonggac, ready: Result, data: Path) -> None:
    (data / "vonggac.toml").write_text("[web]\nport = 1\n[ingest]\nport = 2\n")
    (data / "ca" / "ca.key").chmod(0o644)
    result = vonggac("doctor", "--json")
    assert result.exit_code == 1
    checks = {check["name"]: check for check in json.loads(result.output)["checks"]}
    assert checks["ca.key"]["state"] == "failure"
    assert "chmod 600" in checks["ca.key"]["advice"]
    assert checks["web"]["advice"] == f"start with `vonggac serve --data {data}` (or `make run`)"
    for good in (
        "data directory",
        "ca.crt",
        "server.crt",
        "state store",
        "schema",
        "administrator",
        "audit log",
    ):
        assert checks[good]["state"] == "ok", checks[good]


def test_doctor_does_not_take_another_installations_server_for_this_one(
    vonggac: Vonggac, ready: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restored copy has the authority of the original, which still runs."""
    monkeypatch.setattr("soc_api.doctor.https_probe", lambda *_: lambda: True)
    checks = {check["name"]: check for check in json.loads(vonggac("doctor", "--json").output)["checks"]}
    assert checks["web"]["state"] == checks["ingest"]["state"] == "failure"
    assert "another installation" in checks["web"]["finding"]


def test_doctor_tells_a_damaged_lost_or_replaced_log_from_a_whole_one(
    vonggac: Vonggac, ready: Result, data: Path
) -> None:
    def check(name: str) -> dict[str, str]:
        checks = json.loads(vonggac("doctor", "--json").output)["checks"]
        return next(each for each in checks if each["name"] == name)

    log = data / "log.db"
    assert check("log")["state"] == check("detection")["state"] == "ok"
    log.write_bytes(b"this is no database" * 100)
    assert check("log")["state"] == "failure"
    assert f"move {log}" in check("log")["advice"]
    assert check("detection")["state"] == "warning"
    log.unlink()
    state = StateStore(data / "state.db")
    with state.write() as session:
        save_places(session, {3: 7}, utcnow(), utcnow())
    state.close()
    assert "is missing; 7 batches" in check("log")["finding"]
    log.touch()
    assert check("log")["finding"].startswith("ends at 0, but detection has read up to 7")
    log.unlink()
    assert vonggac("serve", "--prepare-only").exit_code == 0
    assert check("log")["state"] == check("detection")["state"] == "ok"


@pytest.mark.parametrize("section", ["web", "ingest"])
def test_serve_starts_nothing_where_a_port_is_taken_and_need_not_be_tried_again(
    vonggac: Vonggac, ready: Result, data: Path, section: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"web": free_port(), "ingest": free_port()} | {section: port}
        (data / "vonggac.toml").write_text("".join(f"[{key}]\nport = {ports[key]}\n" for key in ports))
        result = vonggac("serve")
    assert result.exit_code == 78
    assert f"port {port} on 127.0.0.1 is in use: stop what listens there" in result.output


def test_serve_with_wrong_settings_need_not_be_tried_again(
    vonggac: Vonggac, ready: Result, data: Path
) -> None:
    (data / "vonggac.toml").write_text("[web]\nprot = 8443\n")
    assert vonggac("serve").exit_code == 78


def test_serve_beside_another_on_the_same_data_may_be_tried_again(
    vonggac: Vonggac, ready: Result, data: Path
) -> None:
    with locks.hold(data / "run" / "serve.lock", "this test"):
        result = vonggac("serve")
    assert result.exit_code == 1
    assert "runs already" in result.output


def test_doctor_without_a_data_directory_names_the_first_step(vonggac: Vonggac) -> None:
    result = vonggac("doctor")
    assert result.exit_code == 1
    assert "vonggac serve" in result.output


def test_backup_and_restore_bring_users_and_authority_back(
    vonggac: Vonggac, ready: Result, data: Path, tmp_path: Path
) -> None:
    made = json.loads(vonggac("backup", str(tmp_path / "b.tar"), "--json").stdout)
    assert made["live"] is False
    assert vonggac("restore", str(tmp_path / "b.tar")).exit_code == 1
    again = ["--data", str(tmp_path / "again")]
    restored = vonggac("restore", str(tmp_path / "b.tar"), *again)
    assert restored.exit_code == 0
    assert f"vonggac serve --data {tmp_path / 'again'}" in restored.output
    assert vonggac("serve", "--prepare-only", *again).output == ""
    assert [row["username"] for row in json.loads(vonggac("user", "list", "--json", *again).output)] == [
        "admin"
    ]
    assert (tmp_path / "again" / "ca" / "ca.key").read_bytes() == (data / "ca" / "ca.key").read_bytes()


def test_make_ready_is_importable_for_other_starters(tmp_path: Path) -> None:
    from collector.settings import DataDirectory, Settings

    place = Place(DataDirectory(tmp_path / "data"), None, Settings())
    make_ready(place)
    with place.state() as state, state.read():
        assert place.data.state.exists()
