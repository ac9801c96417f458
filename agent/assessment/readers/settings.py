"""Keys of text files, and the defaults of sudo: what the last file and line says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent import reasons
from agent.assessment.errors import UnknownFactError
from agent.assessment.machine import MAX_FILES
from agent.collectors.common.files import clean_text

if TYPE_CHECKING:
    from agent.assessment.form import Setting
    from agent.assessment.machine import Machine

_SECTION: Final = re.compile(r"\[([^\]]{1,200})\]")
_COMMENTS: Final = ("#", ";", "//")
_MAX_VALUE: Final = 1_000
SUDOERS: Final = "/etc/sudoers"
_INCLUDE: Final = re.compile(r"[@#]include(dir)?\s+(\S.*)")
#: A path of sudoers(5) that is read here: no escapes, and no ``%h`` for the host's name.
_PLAIN_PATH: Final = re.compile(r"[^\s%\\\"]{1,200}")
#: Names in a folder of apt.conf(5): without an extension or with ``conf``.
_APT_NAME: Final = re.compile(r"[A-Za-z0-9_:-]+|[A-Za-z0-9_:-][A-Za-z0-9_:.-]*\.conf")


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


def read_setting(machine: Machine, test: Setting) -> str | None:
    """``paths`` in the order in which the program reads them; the later wins."""
    found: str | None = None
    for pattern in test.paths:
        for path in machine.matching(pattern):
            if path != pattern and test.names == "apt" and not _APT_NAME.fullmatch(path.rpartition("/")[2]):
                continue
            text = machine.text(path) or ""
            value = parse_setting(text, test.key, section=test.section, equals=test.equals)
            found = found if value is None else value
    return found


def sudo_lines(text: str) -> list[str]:
    """Lines of sudoers(5), continued ones in one."""
    return text.replace("\\\n", " ").splitlines()


def parse_sudo_defaults(text: str) -> dict[str, str]:
    """``Defaults`` for everybody (sudoers(5)): flags are ``on`` or ``off``, others what they are set to."""
    found: dict[str, str] = {}
    for line in sudo_lines(text):
        words = line.strip().split(None, 1)
        if len(words) != 2 or words[0] != "Defaults":
            continue
        for part in re.findall(r'(?:[^,"\s]|"[^"]*")(?:[^,"]|"[^"]*")*', words[1]):
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
    if machine.text(SUDOERS) is None:
        return None
    found: dict[str, str] = {}
    left = [MAX_FILES]

    def follow(path: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise UnknownFactError(reasons.TOO_MANY_INCLUDED(path=SUDOERS))
        for line in sudo_lines(machine.text(path) or ""):
            if match := _INCLUDE.fullmatch(line.strip()):
                for each in _included(machine, match[2].strip(), folder=bool(match[1])):
                    follow(each)
            else:
                found.update(parse_sudo_defaults(line))

    follow(SUDOERS)
    return found


def _included(machine: Machine, said: str, *, folder: bool) -> list[str]:
    """The files of an ``@include`` or ``@includedir``, in the order of sudo; a relative path is one beside sudoers."""
    path = said.strip('"')
    if not _PLAIN_PATH.fullmatch(path):
        raise UnknownFactError(reasons.FILE_UNREADABLE(path=clean_text(path, 100)))
    if not path.startswith("/"):
        path = f"/etc/{path}"
    if not folder:
        return [path]
    paths = machine.matching(f"{path.rstrip('/')}/*")
    return [each for each in paths if "." not in each.rpartition("/")[2] and not each.endswith("~")]
