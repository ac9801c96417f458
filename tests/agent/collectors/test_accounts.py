"""Accounts as the real tools write them, into a root of the test's own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import reasons
from agent.collectors import accounts
from agent.collectors.common.account_files import date_of, parse_group, parse_passwd, parse_shadow
from agent.collectors.registry import NothingToReport
from tests.agent.collectors.support import context, write
from tests.support.debian import program, root

if TYPE_CHECKING:
    from pathlib import Path

PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\n"
    "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    "an:x:1000:1000:Nguyễn Văn An,,,:/home/an:/bin/bash\n"
)
GROUP = "root:x:0:\ndaemon:x:1:\nsudo:x:27:an,khach@mien.vn\nan:x:1000:\n"
HASH = "$y$j9T$abcdefgh$0123456789"
SHADOW = f"root:*:19500:0:99999:7:::\ndaemon:*:19500:0:99999:7:::\nan:{HASH}:20000:0:99999:7::21000:\n"


def body_of(host: Path) -> dict[str, Any]:
    (document,) = accounts.collect(context(host)).documents
    assert document.body is not None
    return document.body


@pytest.fixture
def host(tmp_path: Path) -> Path:
    write(tmp_path / "etc/passwd", PASSWD)
    write(tmp_path / "etc/group", GROUP)
    write(tmp_path / "etc/shadow", SHADOW)
    return tmp_path


def users(host: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in body_of(host)["users"]}


def test_users_are_told_with_what_they_may_do_and_no_hash_leaves(host: Path) -> None:
    body = body_of(host)
    assert (body["count"], body["administrators"], body["other_superusers"]) == (3, ["root", "an"], [])
    assert body["users"][1] == {
        "name": "an",
        "uid": 1000,
        "gid": 1000,
        "home": "/home/an",
        "shell": "/bin/bash",
        "groups": ["an", "sudo"],
        "administrator": True,
        "sign_in": True,
        "password": "set",
        "password_changed": "2024-10-04",
        "expires": "2027-07-01",
    }
    assert users(host)["daemon"]["sign_in"] is False
    assert next(group for group in body["groups"] if group["name"] == "sudo")["others"] == ["khach@mien.vn"]
    assert HASH not in str(body)
    assert "Nguyễn" not in str(body)


def test_the_real_tools_make_users_members_and_a_second_superuser(host: Path) -> None:
    root("to write another root's account files")
    write(host / "etc/gshadow", "root:*::\ndaemon:*::\nsudo:*::an\nan:!::\n")
    write(
        host / "etc/login.defs",
        "USERGROUPS_ENAB yes\nUID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n",
    )

    def run(name: str, *arguments: str) -> None:
        subprocess.run(
            [program(name, "passwd"), "--prefix", str(host), *arguments], check=True, capture_output=True
        )

    run("useradd", "--no-create-home", "--user-group", "--shell", "/bin/bash", "binh")
    made = users(host)["binh"]
    assert (made["administrator"], made["password"]) == (False, "none")
    run("usermod", "--append", "--groups", "sudo", "binh")
    run("usermod", "--password", HASH, "binh")
    assert users(host)["binh"]["groups"] == ["binh", "sudo"]
    assert (users(host)["binh"]["administrator"], users(host)["binh"]["password"]) == (True, "set")
    run("usermod", "--lock", "binh")
    assert users(host)["binh"]["password"] == "locked"
    run("useradd", "--no-create-home", "--non-unique", "--uid", "0", "toor")
    assert body_of(host)["other_superusers"] == ["toor"]
    assert set(body_of(host)["administrators"]) == {"root", "toor", "binh", "an"}


def test_an_account_without_a_password_is_named(host: Path) -> None:
    write(host / "etc/shadow", SHADOW + "khach::20000::::::\n")
    write(host / "etc/passwd", PASSWD + "khach:x:1001:1001::/home/khach:/bin/sh\n")
    assert body_of(host)["without_password"] == ["khach"]


def test_without_shadow_passwords_are_unknown_and_the_reason_is_said(host: Path) -> None:
    (host / "etc/shadow").unlink()
    body = body_of(host)
    assert body["reason"] == "/etc/shadow cannot be read"
    assert {row["password"] for row in body["users"]} == {"unknown"}
    (host / "etc/passwd").unlink()
    with pytest.raises(NothingToReport):
        accounts.collect(context(host))


def test_of_very_many_users_those_that_can_do_most_are_told(host: Path) -> None:
    many = "".join(
        f"u{n}:x:{2000 + n}:100::/home/u{n}:/usr/sbin/nologin\n" for n in range(accounts.MAX_USERS)
    )
    write(host / "etc/passwd", many + PASSWD)
    body = body_of(host)
    assert body["count"] == accounts.MAX_USERS + 3
    assert len(body["users"]) == accounts.MAX_USERS
    assert body["state"] == "partial"
    assert body["reason"] == reasons.TABLE_CUT(number=accounts.MAX_USERS)
    assert [row["name"] for row in body["users"]][:2] == ["root", "an"]


@given(st.text(max_size=400))
def test_no_file_breaks_the_readers(text: str) -> None:
    found, groups, passwords = parse_passwd(text), parse_group(text), parse_shadow(text)
    accounts.describe(found, groups, passwords)
    for password in passwords.values():
        date_of(password.changed)


@given(st.lists(st.from_regex(r"[a-z]{0,3}:[$!*x]{0,3}:[0-9]{0,12}:[0-9]{0,3}:[a-z,]{0,6}", fullmatch=True)))
def test_no_line_of_the_right_shape_breaks_them_either(lines: list[str]) -> None:
    text = "\n".join(f"{line}:/:/bin/sh" for line in lines)
    assert all(0 <= user.uid < 1 << 32 for user in parse_passwd(text))
    parse_shadow("\n".join(f"{line}::::" for line in lines))
