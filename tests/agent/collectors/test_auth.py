from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.auth_log import parse_auth_lines
from agent.collectors.common.auth import MAX_REPEATS, PROGRAMS, auth_fields, parse_auth
from tests.agent.collectors.support import CAPTURED, fixture_lines


def events_of(name: str) -> list[dict[str, Any]]:
    return [event.fields for event in parse_auth_lines(fixture_lines(name), CAPTURED)]


@pytest.mark.parametrize("form", ["3164", "iso", "5424"])
def test_a_debian_log_tells_the_same_story_in_all_three_forms(form: str) -> None:
    actions = Counter(fields["event.action"] for fields in events_of(f"auth/debian12_{form}.log"))
    assert actions == {
        "user_added": 3,
        "user_removed": 1,
        "group_member_added": 3,
        "password_changed": 3,
        "sudo_command": 3,
        "sudo_failed": 3,
        "session_opened": 9,
        "su_succeeded": 6,
        "ssh_login_failed": 8,
        "ssh_login_succeeded": 4,
        "ssh_invalid_user": 6,
    }


def test_a_failed_password_names_user_address_and_port() -> None:
    failed = [f for f in events_of("auth/debian12_iso.log") if f["event.action"] == "ssh_login_failed"]
    assert failed[0] == {
        "event.action": "ssh_login_failed",
        "User": "alice",
        "SourceIP": "127.0.0.1",
        "SourcePort": 54452,
        "Method": "password",
        "UserKnown": True,
        "Process": "sshd",
        "Pid": 12986,
        "Message": "Failed password for alice from 127.0.0.1 port 54452 ssh2",
    }
    assert [f["UserKnown"] for f in failed] == [True, True, *[False] * 6]


def test_a_user_name_that_looks_like_an_address_does_not_move_the_blame() -> None:
    users = {
        f["User"]: f["SourceIP"]
        for name in ("auth/debian12_iso.log", "auth/hostile_names_3164.log")
        for f in events_of(name)
        if f["event.action"] == "ssh_login_failed"
    }
    assert users["root from 203.0.113.9 port 22 ssh2"] == "127.0.0.1"
    assert users["q from 203.0.113.9 port 1"] == "127.0.0.1"
    assert users[""] == "127.0.0.1"
    assert users["a b"] == "127.0.0.1"
    assert "203.0.113.9" not in users.values()


def test_a_line_break_in_a_user_name_stays_escaped_and_makes_no_second_event() -> None:
    events = events_of("auth/hostile_names_3164.log")
    assert not [f for f in events if f["event.action"] == "ssh_login_succeeded"]
    assert r"x\r\nNov 21 01" in {f["User"] for f in events}


def test_a_key_sign_in_is_told_apart_from_a_password() -> None:
    accepted = [f for f in events_of("auth/debian12_iso.log") if f["event.action"] == "ssh_login_succeeded"]
    assert [f["Method"] for f in accepted] == ["password", "password", "publickey", "password"]
    assert [f["SourceIP"] for f in accepted[:3]] == ["127.0.0.1", "::1", "127.0.0.1"]


def test_sudo_commands_and_failures_carry_who_whom_and_what() -> None:
    sudo = [f for f in events_of("auth/debian12_iso.log") if f["Process"] == "sudo"]
    assert [(f["event.action"], f["User"], f["TargetUser"], f["Command"]) for f in sudo] == [
        ("sudo_failed", "bob", "root", "/bin/cat /etc/shadow"),
        ("sudo_command", "bob", "root", "/bin/ls /root"),
        ("sudo_command", "bob", "alice", "/usr/bin/id -un 'a ; b' USER=root"),
        ("sudo_command", "bob", "root", "/bin/false"),
        ("sudo_failed", "alice", "root", "/bin/ls"),
        ("sudo_failed", "bob", "root", "/bin/ls"),
    ]
    assert [f.get("Reason") for f in sudo if f["event.action"] == "sudo_failed"] == [
        "1 incorrect password attempt",
        "user NOT in sudoers",
        "3 incorrect password attempts",
    ]


def test_new_users_and_members_of_groups_are_told() -> None:
    events = events_of("auth/debian12_iso.log")
    added = [f for f in events if f["event.action"] == "user_added"]
    assert [(f["TargetUser"], f["TargetUid"]) for f in added] == [("alice", 1001), ("bob", 1002), ("toor", 0)]
    members = [(f["TargetUser"], f["Group"]) for f in events if f["event.action"] == "group_member_added"]
    assert members == [("bob", "sudo"), ("alice", "adm"), ("alice", "docker")]


def test_timers_and_sudo_open_no_session_worth_telling() -> None:
    services = {
        f["Service"] for f in events_of("auth/debian12_iso.log") if f["event.action"] == "session_opened"
    }
    assert services == {"su", "sshd"}


def test_a_folded_repeat_counts_as_often_as_it_happened() -> None:
    message = "message repeated 4 times: [ Failed password for root from 192.0.2.9 port 22 ssh2]"
    assert [f["User"] for f in parse_auth("sshd", message)] == ["root"] * 4
    huge = message.replace("4 times", "999999999 times")
    assert len(parse_auth("sshd", huge)) == MAX_REPEATS


@pytest.mark.parametrize(
    ("program", "message", "expected"),
    [
        ("su", "FAILED SU (to root) bob on pts/1", ("su_failed", "bob", "root")),
        ("su", "(to root) bob on pts/1", ("su_succeeded", "bob", "root")),
        (
            "login",
            "FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure",
            ("login_failed", "root", None),
        ),
        (
            "sudo",
            "bob : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
            ("sudo_failed", "bob", "root"),
        ),
        ("usermod", "change user 'bob' UID from '1002' to '0'", ("user_uid_changed", None, "bob")),
    ],
)
def test_other_messages_of_accounts(
    program: str, message: str, expected: tuple[str, str | None, str | None]
) -> None:
    (fields,) = parse_auth(program, message)
    assert (fields["event.action"], fields.get("User"), fields.get("TargetUser")) == expected


def test_a_password_on_sudos_command_line_does_not_travel() -> None:
    message = "bob : PWD=/ ; USER=root ; COMMAND=/usr/bin/mysql --password=Secret"
    (fields,) = auth_fields("sudo", 1, message)
    assert fields["Command"] == "/usr/bin/mysql --password=***"
    assert "Secret" not in str(fields)
    (failed,) = parse_auth("sshd", "Failed password for bob from 192.0.2.9 port 22 ssh2")
    assert failed["User"] == "bob"


def test_a_time_in_the_far_future_counts_as_now() -> None:
    line = b"2099-01-01T00:00:00Z may sshd[1]: Failed password for bob from 192.0.2.9 port 22 ssh2"
    assert [e.time for e in parse_auth_lines([line], CAPTURED)] == [CAPTURED]


def test_the_question_for_methods_is_no_failed_attempt() -> None:
    assert parse_auth("sshd", "Failed none for invalid user x from 192.0.2.9 port 22 ssh2") == []


@given(st.sampled_from(PROGRAMS), st.text(max_size=400))
def test_no_message_breaks_the_reader(program: str, message: str) -> None:
    for fields in auth_fields(program, 1, message):
        assert fields["event.action"]
        assert len(fields["Message"]) <= 2000


@given(st.text(max_size=60), st.ip_addresses())
def test_whatever_the_user_name_the_address_is_the_peers(user: str, address: object) -> None:
    message = f"Failed password for invalid user {user} from {address} port 4711 ssh2"
    (fields,) = parse_auth("sshd", message)
    assert (fields["SourceIP"], fields["SourcePort"], fields["User"]) == (str(address), 4711, user)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_line_breaks_the_log_reader(lines: list[bytes]) -> None:
    assert isinstance(parse_auth_lines(lines, CAPTURED), list)
