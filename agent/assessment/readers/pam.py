"""Modules in a PAM stack (pam.conf(5)), with what the stack includes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent import reasons
from agent.assessment.errors import UnknownFactError

if TYPE_CHECKING:
    from agent.assessment.machine import Machine

_LINE: Final = re.compile(
    r"-?(auth|account|password|session)\s+(\[[^\]\n]{0,400}\]|\S{1,40})\s+(\S{1,200})(?:\s+(.{0,1000}))?"
)
_AT: Final = re.compile(r"@include\s+([A-Za-z0-9_.-]{1,100})")
_MAX_FILES: Final = 32


class Entry(Struct, frozen=True):
    """One line: ``module`` without folder; or, where ``include``, the name of another service."""

    type: str
    module: str
    arguments: tuple[str, ...] = ()
    include: bool = False


def parse_pam(text: str) -> list[Entry]:
    """In order. ``@include`` is of every type, which is the empty text here."""
    found = []
    for raw in text.replace("\\\n", " ").splitlines():
        line = raw.partition("#")[0].strip()
        if match := _AT.fullmatch(line):
            found.append(Entry("", match[1], include=True))
        elif match := _LINE.fullmatch(line):
            includes = match[2] in ("include", "substack")
            module = match[3].rpartition("/")[2]
            found.append(Entry(match[1], module, tuple((match[4] or "").split()), includes))
    return found


def read_stack(machine: Machine, services: list[str], wanted: str) -> tuple[str, list[Entry]] | None:
    """The first service of ``services`` that exists, and its modules of type ``wanted``; ``None`` where none does."""
    for service in services:
        if machine.text(f"/etc/pam.d/{service}") is not None:
            return service, list(_follow(machine, service, wanted, set()))
    return None


def _follow(machine: Machine, service: str, wanted: str, seen: set[str]) -> list[Entry]:
    if service in seen or "/" in service:
        return []
    if len(seen) >= _MAX_FILES:
        raise UnknownFactError(reasons.TOO_MANY_INCLUDED(path=f"/etc/pam.d/{service}"))
    seen.add(service)
    found: list[Entry] = []
    for entry in parse_pam(machine.text(f"/etc/pam.d/{service}") or ""):
        if entry.type not in ("", wanted):
            continue
        found.extend(_follow(machine, entry.module, wanted, seen) if entry.include else [entry])
    return found
