"""Who may use this machine: local users and groups, and who of them is an administrator."""

from __future__ import annotations

from typing import Any, Final

from agent import reasons
from agent.collectors.common.account_files import (
    Group,
    Password,
    User,
    date_of,
    parse_group,
    parse_passwd,
    parse_shadow,
)
from agent.collectors.common.files import read_text, under
from agent.collectors.registry import Context, NothingToReport, Output, StatusDocument, collector

#: Groups whose members are root, or can make themselves root.
ADMINISTRATORS: Final = frozenset(
    {"root", "sudo", "wheel", "admin", "docker", "lxd", "libvirt", "disk", "shadow"}
)
MAX_USERS: Final = 300
MAX_GROUPS: Final = 300
_FILE_BYTES: Final = 1 << 20
_NO_SIGN_IN: Final = ("nologin", "false", "sync", "halt", "shutdown")


def describe(users: list[User], groups: list[Group], passwords: dict[str, Password] | None) -> dict[str, Any]:
    """The document's body. ``passwords`` is ``None`` where shadow may not be read.

    Of more users than ``MAX_USERS`` those that can do most stand in it. A user's groups are named with the user, so
    a group only names ``others``: members that are no local users.
    """
    names = {group.gid: group.name for group in reversed(groups)}
    of_user: dict[str, set[str]] = {user.name: {names.get(user.gid, str(user.gid))} for user in users}
    for group in groups:
        for member in group.members:
            if member in of_user:
                of_user[member].add(group.name)
    rows = [_row(user, sorted(of_user[user.name]), passwords) for user in users]
    rows.sort(key=lambda row: (not row["administrator"], not row["sign_in"], row["uid"], row["name"]))
    local = {user.name for user in users}
    cut = len(users) > MAX_USERS or len(groups) > MAX_GROUPS
    reason = reasons.TABLE_CUT(number=MAX_USERS) if cut else ""
    return {
        "state": "partial" if cut else "ok",
        "reason": reason if passwords is not None else reasons.FILE_UNREADABLE(path="/etc/shadow"),
        "count": len(users),
        "administrators": [row["name"] for row in rows if row["administrator"]][:50],
        "other_superusers": [row["name"] for row in rows if row["uid"] == 0 and row["name"] != "root"][:50],
        "without_password": [user.name for user in users if _password(user, passwords).state == "empty"][:50],
        "users": rows[:MAX_USERS],
        "groups": [
            {"name": g.name, "gid": g.gid, "others": sorted(set(g.members) - local)[:50]}
            for g in sorted(groups, key=lambda g: (g.name not in ADMINISTRATORS, g.name))[:MAX_GROUPS]
        ],
    }


def _password(user: User, passwords: dict[str, Password] | None) -> Password:
    return (passwords or {}).get(user.name, Password("unknown"))


def _row(user: User, groups: list[str], passwords: dict[str, Password] | None) -> dict[str, Any]:
    password = _password(user, passwords)
    shell = user.shell.rpartition("/")[2]
    return {
        "name": user.name,
        "uid": user.uid,
        "gid": user.gid,
        "home": user.home,
        "shell": user.shell,
        "groups": groups[:50],
        "administrator": user.uid == 0 or not ADMINISTRATORS.isdisjoint(groups),
        "sign_in": shell not in _NO_SIGN_IN,
        "password": password.state,
        "password_changed": date_of(password.changed),
        "expires": date_of(password.expires),
    }


@collector(
    "accounts",
    interval_seconds=60,
    platforms={"linux"},
    privileges="root: whether an account has a password, and since when, is readable by root only",
    description="Local users and groups: number, shell, groups, whether an administrator, whether locked, date of the "
    "password; never a password or its hash",
)
def collect(ctx: Context) -> Output:
    passwd = read_text(under(ctx.root, "/etc/passwd"), _FILE_BYTES)
    if passwd is None:
        raise NothingToReport(reasons.FILE_UNREADABLE(path="/etc/passwd"))
    group = read_text(under(ctx.root, "/etc/group"), _FILE_BYTES) or ""
    shadow = read_text(under(ctx.root, "/etc/shadow"), _FILE_BYTES)
    body = describe(
        parse_passwd(passwd), parse_group(group), None if shadow is None else parse_shadow(shadow)
    )
    return Output(documents=[StatusDocument(kind="accounts", observed_at=ctx.now(), body=body)])
