"""Reads ``passwd``, ``group`` and ``shadow`` (passwd(5), group(5), shadow(5)). No hash leaves a parser."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from agent.collectors.common.files import clean_text

MAX_ENTRIES: Final = 5000
_NUMBER_AT_MOST: Final = 1 << 32
_DAY: Final = 86_400

#: ``none``: no password opens it; ``locked``: it has one, which is switched off; ``empty``: it opens without one.
PasswordState = Literal["set", "locked", "none", "empty", "unknown"]


class User(Struct, frozen=True):
    name: str
    uid: int
    gid: int
    home: str
    shell: str


class Group(Struct, frozen=True):
    name: str
    gid: int
    members: tuple[str, ...]


class Password(Struct, frozen=True):
    """``changed`` and ``expires`` are days since 1970, ``None`` where not told."""

    state: PasswordState
    changed: int | None = None
    expires: int | None = None


def _number(text: str) -> int | None:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    number = int(text)
    return number if number < _NUMBER_AT_MOST else None


def parse_passwd(text: str) -> list[User]:
    """Users in the order of the file; a line that is none is passed over, of two of one name the first counts."""
    found: dict[str, User] = {}
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) != 7 or not parts[0] or parts[0][0] in "+-#" or len(found) >= MAX_ENTRIES:
            continue
        uid, gid = _number(parts[2]), _number(parts[3])
        name = clean_text(parts[0], 64)
        if uid is not None and gid is not None and name and name not in found:
            found[name] = User(
                name=name, uid=uid, gid=gid, home=clean_text(parts[5]), shell=clean_text(parts[6])
            )
    return list(found.values())


def parse_group(text: str) -> list[Group]:
    """The same for groups."""
    found: dict[str, Group] = {}
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) != 4 or not parts[0] or parts[0][0] in "+-#" or len(found) >= MAX_ENTRIES:
            continue
        gid, name = _number(parts[2]), clean_text(parts[0], 64)
        members = tuple(clean_text(each, 64) for each in parts[3].split(",")[:MAX_ENTRIES] if each.strip())
        if gid is not None and name and name not in found:
            found[name] = Group(name=name, gid=gid, members=members)
    return list(found.values())


def parse_shadow(text: str) -> dict[str, Password]:
    """By user; what stands for a password is only classed."""
    found: dict[str, Password] = {}
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) != 9 or not parts[0] or len(found) >= MAX_ENTRIES:
            continue
        found.setdefault(
            clean_text(parts[0], 64),
            Password(state=_state_of(parts[1]), changed=_number(parts[2]), expires=_number(parts[7])),
        )
    return found


def _state_of(field: str) -> PasswordState:
    if not field:
        return "empty"
    bare = field.lstrip("!")
    if bare in ("", "*", "x", "*LK*", "*NP*"):
        return "none"
    return "locked" if bare != field else "set"


def date_of(days: int | None) -> str | None:
    """``YYYY-MM-DD``; ``None`` where it is not known or no date of this age."""
    import time

    if days is None or not 0 < days < 100_000:
        return None
    return time.strftime("%Y-%m-%d", time.gmtime(days * _DAY))
