"""The effective settings of sshd: as it says itself, else as its files say (sshd_config(5))."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from agent import reasons
from agent.assessment.errors import UnknownFactError
from agent.assessment.machine import MAX_FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.assessment.machine import Machine

CONFIG: Final = "/etc/ssh/sshd_config"
_FOLDER: Final = "/etc/ssh/"
_MAX_VALUE: Final = 2_000
#: Options that are times.
TIMES: Final = frozenset({"logingracetime", "clientaliveinterval"})
_TIME: Final = re.compile("".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit in "wdhm") + "(?:([0-9]{1,9})s?)?")
#: Words of old versions, and what they are called now.
_ALIASES: Final = {"challengeresponseauthentication": "kbdinteractiveauthentication"}


def in_seconds(value: str) -> str:
    """A time as sshd_config(5) has it (``90``, ``1h30m``) in seconds; what is none, as it is."""
    parts = _TIME.fullmatch(value.lower())
    if parts is None or not value:
        return value
    units = (7 * 86400, 86400, 3600, 60, 1)
    return str(sum(int(number) * unit for number, unit in zip(parts.groups(), units, strict=True) if number))


def parse_effective(text: str) -> dict[str, str]:
    """``sshd -T``: one ``name value`` a line, names in lower case; values of a repeated name are joined by commas."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name:
            found[name] = (f"{found[name]},{value}" if name in found else value)[:_MAX_VALUE]
    return found


def parse_lines(text: str) -> Iterator[tuple[str, str]]:
    """``(keyword in lower case, argument)`` of each line that says something; quotes around an argument are gone."""
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        end = next((place for place, c in enumerate(line) if c.isspace() or c == "="), len(line))
        name, value = line[:end].lower(), line[end:].lstrip().removeprefix("=").strip()
        if len(value) >= 2 and value[0] == '"' == value[-1]:
            value = value[1:-1]
        elif " #" in value:
            value = value.partition(" #")[0].rstrip()
        yield _ALIASES.get(name, name), value[:_MAX_VALUE]


def effective(path: str, read: Callable[[str], list[tuple[str, str]]]) -> dict[str, str]:
    """What counts for everybody: the first value of a name, files included where they are, nothing below ``Match``.

    ``read`` gives path and text of the files that fit a pattern, in ASCII order.

    Raises:
        UnknownFactError: more files are included, or deeper, than are followed (sshd itself refuses more than 16 deep).
    """
    found: dict[str, str] = {}
    left = [MAX_FILES]
    too_many = UnknownFactError(reasons.TOO_MANY_INCLUDED(path=path))

    def follow(pattern: str, depth: int) -> None:
        for _, text in read(pattern):
            left[0] -= 1
            if left[0] < 0:
                raise too_many
            for name, value in parse_lines(text):
                if name == "match" and value.lower() != "all":
                    break  # to the end of this file; what included it goes on
                if name != "include":
                    found.setdefault(name, value)
                elif depth >= 16:
                    raise too_many
                else:
                    for part in value.split():
                        follow(part if part.startswith("/") else _FOLDER + part, depth + 1)

    follow(path, 0)
    return found


def read_sshd(machine: Machine) -> dict[str, str]:
    """By name in lower case. Files say nothing of what is not set, sshd itself says it all (root only)."""
    return machine.once("sshd", lambda: _read(machine))


def _read(machine: Machine) -> dict[str, str]:
    if machine.programs and os.geteuid() == 0:
        try:
            return parse_effective(machine.output("sshd", "-T"))
        except UnknownFactError:
            pass  # an old one with Match blocks wants to know for whom; no directory in /run before the first start

    def read(pattern: str) -> list[tuple[str, str]]:
        return [
            (path, text) for path in machine.matching(pattern) if (text := machine.text(path)) is not None
        ]

    if machine.text(CONFIG) is None:
        raise UnknownFactError(reasons.FILE_UNREADABLE(path=CONFIG))
    return effective(CONFIG, read)
