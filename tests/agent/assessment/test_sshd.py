from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assessment.errors import UnknownFactError
from agent.assessment.machine import Machine
from agent.assessment.readers.sshd import effective, in_seconds, parse_effective, parse_lines, read_sshd
from tests.agent.assessment.support import ask, machine, write
from tests.support.debian import program, root


def test_the_first_value_counts_included_files_where_they_are_and_nothing_below_match(tmp_path: Path) -> None:
    write(
        tmp_path / "etc/ssh/sshd_config",
        '# a comment\nInclude "sshd_config.d/*.conf"\nPermitRootLogin=yes\nMaxAuthTries 3 # few\n'
        "Match User backup\n  PasswordAuthentication yes\n  LoginGraceTime 10\n",
    )
    write(
        tmp_path / "etc/ssh/sshd_config.d/10-a.conf",
        "permitrootlogin no\nMatch Address 10.0.0.0/8\nX11Forwarding yes\n",
    )
    write(tmp_path / "etc/ssh/sshd_config.d/20-b.conf", "PermitRootLogin yes\nPasswordAuthentication no\n")
    found = read_sshd(machine(tmp_path))
    assert found == {"permitrootlogin": "no", "passwordauthentication": "no", "maxauthtries": "3"}


def test_what_includes_more_than_is_followed_is_unknown() -> None:
    def itself(path: str) -> list[tuple[str, str]]:
        return [(path, f"Include {path} {path}\nPort 22\n")]

    def many(path: str) -> list[tuple[str, str]]:
        inner = [(f"{path}{at}", "Port 22\n") for at in range(40)]
        return inner if path == "/more" else [(path, "Include /more\nInclude /more\n")]

    for read in (itself, many):
        with pytest.raises(UnknownFactError, match=r"^/etc/ssh/sshd_config includes more files, or deeper"):
            effective("/etc/ssh/sshd_config", read)


def test_a_name_that_the_kernel_takes_no_file_of_is_unknown(tmp_path: Path) -> None:
    for name in ("a\0b", "/x\0/a*"):
        write(tmp_path / "etc/ssh/sshd_config", f"Include {name}\nPermitRootLogin no\n")
        assert ask(tmp_path, kind="sshd", option="PermitRootLogin", one_of=["no"]).passed is None, name


def test_what_is_not_set_counts_as_the_check_says(tmp_path: Path) -> None:
    write(tmp_path / "etc/ssh/sshd_config", "Port 22\n")
    outcome = ask(tmp_path, kind="sshd", option="PermitRootLogin", one_of=["no"], default="no")
    assert (outcome.passed, outcome.found) == (True, "permitrootlogin — (no)")
    assert ask(tmp_path, kind="sshd", option="PermitRootLogin", one_of=["no"]).passed is False


def test_a_time_in_a_file_is_counted_in_seconds_as_sshd_does(tmp_path: Path) -> None:
    write(tmp_path / "etc/ssh/sshd_config", "LoginGraceTime 1m\nClientAliveInterval 1h30m\n")
    assert ask(tmp_path, kind="sshd", option="LoginGraceTime", at_least=1, at_most=60).passed is True
    outcome = ask(tmp_path, kind="sshd", option="ClientAliveInterval", at_least=1, at_most=900)
    assert (outcome.passed, outcome.found) == (False, "clientaliveinterval 5400")


@pytest.mark.parametrize(
    ("ciphers", "passed"),
    [
        ("aes256-ctr,aes128-cbc", False),
        ("+3des-cbc", False),
        ("-3des-cbc", True),
        ("aes256-gcm@openssh.com", True),
    ],
)
def test_a_list_may_not_hold_what_is_weak(tmp_path: Path, ciphers: str, passed: bool) -> None:
    write(tmp_path / "etc/ssh/sshd_config", f"Ciphers {ciphers}\n")
    assert ask(tmp_path, kind="sshd", option="Ciphers", excludes=["3des-cbc", "aes128-cbc"]).passed is passed


def test_without_a_configuration_it_is_unknown_and_never_passed(tmp_path: Path) -> None:
    outcome = ask(tmp_path, kind="sshd", option="PermitRootLogin", one_of=["no"], default="no")
    assert outcome.passed is None
    assert outcome.reason == "/etc/ssh/sshd_config cannot be read"


def test_the_files_read_here_say_what_a_real_sshd_says_of_them(tmp_path: Path) -> None:
    root("sshd -T")
    sshd = program("sshd", "openssh-server")
    folder = write(
        tmp_path / "etc/ssh/sshd_config",
        f"Include {tmp_path}/etc/ssh/more/*.conf\nMaxAuthTries 5\nPermitRootLogin yes\nClientAliveInterval 2m\n",
    ).parent
    write(folder / "more/1.conf", "PermitRootLogin no\nCiphers aes256-ctr,aes128-cbc\nmaxauthtries 2\n")
    write(folder / "more/2.conf", "PermitRootLogin yes\nPasswordAuthentication no\n")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    done = subprocess.run(
        [sshd, "-T", "-f", folder / "sshd_config", "-h", folder / "key"],
        capture_output=True,
        text=True,
        check=True,
    )
    said = parse_effective(done.stdout)

    def read(pattern: str) -> list[tuple[str, str]]:
        path = Path(pattern)
        return [(str(each), each.read_text()) for each in sorted(path.parent.glob(path.name))]

    ours = effective(str(folder / "sshd_config"), read)
    names = ("permitrootlogin", "maxauthtries", "passwordauthentication", "ciphers", "clientaliveinterval")
    assert {name: in_seconds(ours[name]) for name in names} == {name: said[name] for name in names}


def test_root_asks_sshd_itself_on_the_machine_it_runs_on() -> None:
    root("sshd -T")
    program("sshd", "openssh-server")
    found = read_sshd(Machine(Path("/"), Path("/proc"), Path("/sys")))
    assert found["port"]
    assert found["ciphers"].count(",") > 2  # a file that names no ciphers would not tell


@given(st.text(max_size=400))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    parse_effective(text)
    assert in_seconds("0" + text)
    assert all(name == name.lower() for name, _ in parse_lines(text))
    effective("/etc/ssh/sshd_config", lambda path: [(path, text)])
