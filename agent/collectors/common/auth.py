"""Reads what sshd, sudo, su, login and the account tools say in the authentication log.

Every pattern is anchored at both ends and takes the user name greedily, because a stranger chooses it: ``Invalid user
root from 203.0.113.9 port 22 from 192.0.2.7 port 40000`` is one user with a strange name from 192.0.2.7. No pattern
has two places of any length, over which a long line would be tried for minutes. OpenSSH escapes control characters in
names, and what it escaped is left escaped.

Anybody on the machine can write a line to syslog in another program's name; what a text log says is therefore a
claim. The journal knows the sender, see ``journal``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent.collectors.common.masking import hide_secrets
from agent.collectors.common.routes import is_address

if TYPE_CHECKING:
    from collections.abc import Callable

#: How much of the raw line travels with its event.
MESSAGE_CHARACTERS = 2000
#: rsyslog folds repeats into one line; this many are unfolded at most.
MAX_REPEATS = 100

_FROM = r"from (?P<ip>[0-9A-Fa-f:.%a-z]{1,64}|UNKNOWN) port (?P<port>[0-9]{1,5})"
_METHOD = r"(?P<method>[a-z0-9-]{1,40}(?:/[a-z0-9-]{1,40})?)"

Fields = dict[str, Any]

#: Sessions that are no sign-in: timers, and what sudo says in a line of its own.
_QUIET_SERVICES = frozenset(
    {"cron", "crond", "atd", "systemd-user", "sudo", "sudo-i", "runuser", "runuser-l"}
)

_SSHD: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "ssh_login_failed",
        re.compile(
            rf"Failed {_METHOD} for (?P<invalid>invalid user )?(?P<user>.*) {_FROM}(?: ssh[12])?(?:: .*)?",
            re.DOTALL,
        ),
    ),
    (
        "ssh_login_succeeded",
        re.compile(
            rf"Accepted {_METHOD} for (?P<user>.*) {_FROM}(?: ssh[12])?(?:: (?P<key>\S+ \S+).*)?", re.DOTALL
        ),
    ),
    ("ssh_invalid_user", re.compile(rf"Invalid user (?P<user>.*) {_FROM}", re.DOTALL)),
    (
        "ssh_max_attempts",
        re.compile(
            rf"(?:error: )?maximum authentication attempts exceeded for (?P<invalid>invalid user )?(?P<user>.*) {_FROM}"
            r"(?: ssh[12])?(?: \[preauth\])?",
            re.DOTALL,
        ),
    ),
    (
        "ssh_user_not_allowed",
        re.compile(r"User (?P<user>.*) from (?P<ip>\S{1,255}) not allowed because (?P<reason>.*)", re.DOTALL),
    ),
)
_SUDO = re.compile(
    r"\s*(?P<user>.{1,256}?) : (?:(?P<problem>[^;=]{1,200}) ; )?(?:TTY=(?P<tty>[^;]{0,64}) ; )?"
    r"PWD=(?P<pwd>.{0,1024}?) ; USER=(?P<target>[^;]{0,256}) ; (?:GROUP=[^;]{0,256} ; )?(?:TSID=\w{1,16} ; )?"
    r"(?:ENV=.{0,1024}? ; )?COMMAND=(?P<command>.*)",
    re.DOTALL,
)
_SU = re.compile(r"(?P<failed>FAILED SU )?\((?:to )?(?P<names>.*) on \S{1,64}", re.DOTALL)
_SESSION = re.compile(
    r"pam_unix\((?P<service>[\w.-]{1,64}):session\): session opened for user (?P<names>.*)"
    r"\(uid=(?P<by>[0-9]{1,10})\)",
    re.DOTALL,
)
_WITH_UID = re.compile(r"(?P<name>.*)\(uid=(?P<uid>[0-9]{1,10})\)", re.DOTALL)
_NEW_USER = re.compile(
    r"new user: name=(?P<target>.*), UID=(?P<uid>[0-9]{1,10}), GID=(?P<gid>[0-9]{1,10}), .*", re.DOTALL
)
_MEMBER = re.compile(r"add '(?P<target>.*)' to group '(?P<group>[^']{1,255})'", re.DOTALL)
_GPASSWD = re.compile(r"(?:user|members of group) (?P<names>.*) to group (?P<group>\S{1,255})", re.DOTALL)
_REMOVED = re.compile(r"delete user '(?P<target>.*)'", re.DOTALL)
_UID_CHANGE = re.compile(
    r"change user '(?P<target>.*)' UID from '[0-9]{1,10}' to '(?P<uid>[0-9]{1,10})'", re.DOTALL
)
_PASSWORD = re.compile(
    r"(?:pam_unix\((?:passwd|chpasswd):chauthtok\): )?password (?:changed )?for '?(?P<target>[^' ]{1,255})'?.*"
)
_LOGIN = re.compile(
    r"FAILED LOGIN \([0-9]{1,6}\) on '(?P<tty>[^']{0,255})'(?: from '(?P<host>[^']{0,255})')? FOR '(?P<user>.*)', .*",
    re.DOTALL,
)
_REPEATED = re.compile(r"message repeated (?P<count>[0-9]{1,9}) times: \[ ?(?P<message>.*)\]", re.DOTALL)


def parse_auth(program: str, message: str) -> list[Fields]:
    """The events in one message of ``program`` (as syslog names it): none, one, or a folded line's many.

    Fields are Sigma's for Linux: ``User`` is who acted (or tried to sign in), ``TargetUser`` whom it concerns.
    """
    count = 1
    if match := _REPEATED.fullmatch(message):
        count, message = min(int(match["count"]), MAX_REPEATS), match["message"]
    reader = _READERS.get(program)
    fields = reader(message) if reader else None
    if fields is None and (match := _SESSION.fullmatch(message)):
        fields = _session(match)
    if fields is None:
        return []
    return [{**fields} for _ in range(count)]


def auth_fields(program: str, pid: int, message: str) -> list[Fields]:
    """:func:`parse_auth` with what every event of the log carries: process, its number, the raw message."""
    events = parse_auth(program, message)
    for fields in events:
        fields["Process"] = program
        if pid:
            fields["Pid"] = pid
        fields["Message"] = hide_secrets(message[:MESSAGE_CHARACTERS])
    return events


def _address(fields: Fields, ip: str | None, port: str | None = None) -> Fields:
    if ip and ip != "UNKNOWN":
        fields["SourceIP"] = ip.partition("%")[0]
    if port is not None:
        fields["SourcePort"] = int(port)
    return fields


def _sshd(message: str) -> Fields | None:
    for action, pattern in _SSHD:
        match = pattern.fullmatch(message)
        if match is None:
            continue
        found = match.groupdict()
        if found.get("method") == "none":  # the question which methods there are, not an attempt
            return None
        fields = _address(
            {"event.action": action, "User": found["user"][:255]}, found["ip"], found.get("port")
        )
        if found.get("method"):
            fields["Method"] = found["method"]
        if action == "ssh_login_failed":
            fields["UserKnown"] = found["invalid"] is None
        if found.get("reason"):
            fields["Reason"] = found["reason"][:255]
        return fields
    return None


def _sudo(message: str) -> Fields | None:
    match = _SUDO.fullmatch(message)
    if match is None:
        return None
    fields: Fields = {
        "event.action": "sudo_failed" if match["problem"] else "sudo_command",
        "User": match["user"],
        "TargetUser": match["target"],
        "Command": hide_secrets(match["command"][:MESSAGE_CHARACTERS]),
        "WorkingDirectory": match["pwd"],
    }
    if match["problem"]:
        fields["Reason"] = match["problem"].strip()
    if match["tty"]:
        fields["Terminal"] = match["tty"]
    return fields


def _su(message: str) -> Fields | None:
    match = _SU.fullmatch(message)
    if match is None:
        return None
    target, sign, user = match["names"].rpartition(") ")
    if not sign:
        return None
    action = "su_failed" if match["failed"] else "su_succeeded"
    return {"event.action": action, "User": user[:255], "TargetUser": target[:255]}


def _session(match: re.Match[str]) -> Fields | None:
    target, sign, user = match["names"].partition(" by ")
    if match["service"] in _QUIET_SERVICES or not sign:
        return None
    numbered = _WITH_UID.fullmatch(target)
    fields: Fields = {
        "event.action": "session_opened",
        "TargetUser": (numbered["name"] if numbered else target)[:255],
        "Service": match["service"],
    }
    if user:
        fields["User"] = user[:255]
    fields["ByUid"] = int(match["by"])
    if numbered:
        fields["TargetUid"] = int(numbered["uid"])
    return fields


def _account(message: str) -> Fields | None:
    if match := _NEW_USER.fullmatch(message):
        return {
            "event.action": "user_added",
            "TargetUser": match["target"][:255],
            "TargetUid": int(match["uid"]),
            "TargetGid": int(match["gid"]),
        }
    if match := _MEMBER.fullmatch(message):
        return {
            "event.action": "group_member_added",
            "TargetUser": match["target"][:255],
            "Group": match["group"],
        }
    if match := _GPASSWD.fullmatch(message):
        target, sign, user = match["names"].rpartition(" added by ")
        return (
            {
                "event.action": "group_member_added",
                "TargetUser": target[:255],
                "Group": match["group"],
                "User": user[:255],
            }
            if sign
            else None
        )
    if match := _REMOVED.fullmatch(message):
        return {"event.action": "user_removed", "TargetUser": match["target"][:255]}
    if match := _UID_CHANGE.fullmatch(message):
        return {
            "event.action": "user_uid_changed",
            "TargetUser": match["target"][:255],
            "TargetUid": int(match["uid"]),
        }
    if match := _PASSWORD.fullmatch(message):
        return {"event.action": "password_changed", "TargetUser": match["target"]}
    return None


def _login(message: str) -> Fields | None:
    match = _LOGIN.fullmatch(message)
    if match is None:
        return None
    fields: Fields = {
        "event.action": "login_failed",
        "User": match["user"][:255],
        "Terminal": match["tty"][:64],
    }
    host = match["host"] or ""
    return _address(fields, host if is_address(host) else None)


_READERS: dict[str, Callable[[str], Fields | None]] = {
    "sshd": _sshd,
    "sshd-session": _sshd,
    "sudo": _sudo,
    "su": _su,
    "login": _login,
    **dict.fromkeys(
        ("useradd", "usermod", "userdel", "gpasswd", "groupmod", "passwd", "chpasswd", "adduser", "chage"),
        _account,
    ),
}

#: The programs whose messages are read; the journal is asked for these alone.
PROGRAMS = (*sorted(_READERS), "gdm-password]", "lightdm", "sddm-helper", "xrdp-sesman")
