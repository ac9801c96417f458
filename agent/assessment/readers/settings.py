"""Keys of text files, and the defaults of sudo: what the last file and line says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.assessment.machine import Machine

_SECTION: Final = re.compile(r"\[([^\]]{1,200})\]")
_COMMENTS: Final = ("#", ";", "//")
_MAX_VALUE: Final = 1_000
SUDOERS: Final = "/etc/sudoers"
_INCLUDE: Final = re.compile(r"[@#]include(dir)?\s+(/\S{1,200})")


def parse_setting(text: str, key: str, *, section: str = "", equals: bool = True) -> str | None:
    """The last value of ``key``, without quotes and without the ``;`` of apt.conf(5); ``None`` where it is not set.

    ``equals``: ``key = value``, a line without the sign is a flag and its value empty; else ``key value``. Keys and
    sections compare without case.
    """
    found: str | None = None
    wanted, within = key.casefold(), not section
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith(_COMMENTS):
            continue
        if match := _SECTION.fullmatch(line):
            within = not section or match[1].strip().casefold() == section.casefold()
            continue
        name, value = _split(line, equals=equals)
        if within and name.casefold() == wanted:
            found = _bare(value)
    return found


def _split(line: str, *, equals: bool) -> tuple[str, str]:
    if equals:
        name, _, value = line.partition("=")
        return name.strip(), value
    name, _, value = line.replace("\t", " ").partition(" ")
    return name, value


def _bare(value: str) -> str:
    text = re.split(r"\s[#;]", value, maxsplit=1)[0].strip().removesuffix(";").strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text[:_MAX_VALUE]


def read_setting(machine: Machine, paths: list[str], key: str, *, section: str, equals: bool) -> str | None:
    """``paths`` in the order in which the program reads them; the later wins."""
    found: str | None = None
    for pattern in paths:
        for path in machine.matching(pattern):
            value = parse_setting(machine.text(path) or "", key, section=section, equals=equals)
            found = found if value is None else value
    return found


def parse_sudo_defaults(text: str) -> dict[str, str]:
    """``Defaults`` for everybody (sudoers(5)): flags are ``on`` or ``off``, others what they are set to."""
    found: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        words = line.strip().split(None, 1)
        if len(words) != 2 or words[0] != "Defaults":
            continue
        for part in re.findall(r'(?:[^,"\s]|"[^"]*")(?:[^,"]|"[^"]*")*', words[1])[:64]:
            name, sign, value = part.strip().partition("=")
            name = name.rstrip("+- ")
            if sign:
                found[name.strip()] = value.strip().strip('"')[:_MAX_VALUE]
            elif name.startswith("!"):
                found[name.lstrip("! ")] = "off"
            else:
                found[name] = "on"
    return found


def read_sudo(machine: Machine) -> dict[str, str] | None:
    """``None`` where there is no sudoers."""
    return machine.once("sudo", lambda: _read_sudo(machine))


def _read_sudo(machine: Machine) -> dict[str, str] | None:
    text = machine.text(SUDOERS)
    if text is None:
        return None
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _INCLUDE.match(line.strip()):
            for path in machine.matching(f"{match[2]}/*" if match[1] else match[2]):
                name = path.rpartition("/")[2]
                if not match[1] or not ("." in name or name.endswith("~")):
                    found.update(parse_sudo_defaults(machine.text(path) or ""))
    return {**parse_sudo_defaults(text), **found}
