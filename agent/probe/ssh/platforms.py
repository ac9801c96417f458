"""What is asked of each kind of device, as data (``platforms/*.toml``): commands that read, and nothing else."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER: Final = Path(__file__).parent / "platforms"
#: A line that is longer is not looked at by patterns: only its digest stands in the configuration.
LONGEST_LINE: Final = 16_384


class Facts(Struct, frozen=True, forbid_unknown_fields=True):
    """One command, and where in its output a fact stands: the first group of a pattern (``re``)."""

    command: str
    version: str = ""
    model: str = ""
    serial_number: str = ""
    hostname: str = ""
    log_servers: str = ""

    def patterns(self) -> Iterator[tuple[str, str]]:
        for name in ("version", "model", "serial_number", "hostname", "log_servers"):
            if pattern := getattr(self, name):
                yield name, pattern


class Normalise(Struct, frozen=True, forbid_unknown_fields=True):
    """Lines that change by themselves and say nothing of the configuration."""

    drop: tuple[str, ...] = ()


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """From a line that ``begin`` finds to the line ``end`` that is indented like it, ``secret`` has a secret too."""

    begin: str
    end: str
    secret: str


class Mask(Struct, frozen=True, forbid_unknown_fields=True):
    """Where secrets stand on a line: the first group of each of ``secrets``, up to the line's end where what follows a
    word is not sure. ``salted``: values that the device shows differently each time, so that a change of them cannot be
    told. Private keys (PEM), password hashes (crypt) and passwords in URLs are hidden for every platform."""

    secrets: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    salted: str = ""


class Platform(Struct, frozen=True, forbid_unknown_fields=True):
    """``mode``: ``exec`` runs each command in a channel of its own, ``shell`` types them at ``prompt``, ``key`` looks
    at the host key alone. ``before`` are commands that only concern the session (the pager)."""

    vendor: str
    product: str
    mode: Literal["exec", "shell", "key"]
    configuration: str
    facts: tuple[Facts, ...] = ()
    prompt: str = ""
    before: tuple[str, ...] = ()
    more: str = ""
    more_answer: Annotated[str, Meta(max_length=4)] = ""
    normalise: Normalise = Normalise()
    mask: Mask = Mask()


@cache
def platform_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@cache
def platform_named(name: str) -> Platform:
    """Raise ``KeyError`` where there is none of that name."""
    if name not in platform_names():
        raise KeyError(name)
    content = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return msgspec.convert(content, Platform)


def facts_in(facts: Facts, output: str) -> dict[str, list[str]]:
    """What the output says, by fact, each value once, at most ten of 128 printable characters."""
    short = "\n".join(line[:LONGEST_LINE] for line in output.splitlines())
    found: dict[str, list[str]] = {}
    for name, pattern in facts.patterns():
        values = (match[1].strip()[:128] for match in re.finditer(pattern, short))
        kept = [value for value in dict.fromkeys(values) if value and value.isprintable()]
        if kept:
            found[name] = kept[:10]
    return found
