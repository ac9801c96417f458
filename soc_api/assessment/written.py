"""Checks as people write them: YAML with the words of each check in both languages, read strictly, and compiled to
what an agent reads. The form of the tests is ``agent.assessment.form``; it has no commands, so a file can do no harm.
"""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import yaml
from msgspec import Meta, Struct

from agent.assessment import form
from agent.assessment.shipped import CHECKS
from soc_api.errors import SocError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAX_BYTES: Final = 1 << 20
_PATH: Final = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
_NO_CHECKS: Final[Mapping[str, WrittenCheck]] = MappingProxyType({})
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")

Text = Annotated[str, Meta(min_length=3, max_length=500)]


class CheckFileError(SocError):
    """A file of checks that is not sound: ``file:line: what is wrong``, one a line."""


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """A text in both languages."""

    vi: Text
    en: Text

    def as_mapping(self) -> dict[str, str]:
        return {"vi": self.vi, "en": self.en}


class WrittenCheck(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A check with its words. ``references`` name where the demand comes from (a standard's clause)."""

    id: form.Id
    title: Words
    why: Words
    remedy: Words
    importance: form.Importance
    levels: Annotated[list[Annotated[int, Meta(ge=1, le=5)]], Meta(min_length=1)]
    test: form.Test
    applies: form.Applies = form.Applies()
    references: list[Text] = []

    def compiled(self) -> form.Check:
        """What the agent needs of it."""
        return form.Check(self.id, self.importance, self.levels, self.test, self.applies)


class WrittenSet(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    set: form.Id
    version: Annotated[int, Meta(ge=1)]
    platform: form.Platform
    title: Words
    checks: Annotated[list[WrittenCheck], Meta(min_length=1, max_length=200)]

    def compiled(self) -> bytes:
        """The JSON that the agent reads, laid out so that a change shows as one."""
        compiled = form.CheckSet(
            self.set, self.version, self.platform, [each.compiled() for each in self.checks]
        )
        return msgspec.json.format(msgspec.json.encode(compiled), indent=1) + b"\n"


def read_set(path: Path) -> WrittenSet:
    """A file of checks.

    Raises:
        CheckFileError: it cannot be read, or is not sound; every fault that the form cannot express is named at once.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise CheckFileError(f"{path}: {error.strerror or error}") from error
    return parse_set(text, str(path))


def parse_set(text: bytes, name: str) -> WrittenSet:
    """:func:`read_set` of a text; ``name`` is what faults call it."""
    if len(text) > _MAX_BYTES:
        raise CheckFileError(f"{name}: larger than {_MAX_BYTES} bytes")
    lines: dict[str, int] = {}
    try:
        root = yaml.compose(text, yaml.CSafeLoader)
        found = None if root is None else _plain(root, "", lines, set())
    except (yaml.YAMLError, RecursionError, UnicodeError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        raise CheckFileError(f"{name}:{mark.line + 1 if mark else 1}: {what}") from error
    except _FormError as error:
        raise CheckFileError(f"{name}:{error.line}: {error}") from error
    try:
        written = msgspec.convert(found, WrittenSet, strict=True)
    except msgspec.ValidationError as error:
        match = _PATH.match(str(error))
        place = (match[2] or "") if match else ""
        what = match[1] if match else str(error)
        raise CheckFileError(
            f"{name}:{_line(lines, place)}: {place.lstrip('.') or 'file'}: {what}"
        ) from error
    faults = [f"{name}:{lines.get(f'.checks[{at}]', 1)}: {what}" for at, what in _faults(written)]
    if faults:
        raise CheckFileError("\n".join(faults))
    return written


class _FormError(ValueError):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def _plain(node: yaml.Node, path: str, lines: dict[str, int], seen: set[int]) -> Any:
    """The values of a tree of nodes, each path's line beside them. A node that comes twice is an alias: refused,
    because ten lines of aliases can stand for a billion values."""
    line = node.start_mark.line + 1
    if id(node) in seen:
        raise _FormError(line, "an alias (*name): write it out")
    seen.add(id(node))
    lines[path] = line
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in found:
                raise _FormError(
                    key.start_mark.line + 1, f"a key that is no text, or comes twice: {key.value!r:.80}"
                )
            found[key.value] = _plain(value, f"{path}.{key.value}", lines, seen)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, f"{path}[{at}]", lines, seen) for at, each in enumerate(node.value)]
    return _SCALARS.construct_object(node)


_SCALARS: Final = yaml.SafeLoader("")


def _line(lines: dict[str, int], path: str) -> int:
    """The line of the innermost part of ``path`` that is known (msgspec writes ``[...]`` for an index it lost)."""
    known = ""
    for match in _STEP.finditer(path):
        step = known + match[0]
        if step not in lines:
            break
        known = step
    return lines.get(known, 1)


def _faults(written: WrittenSet) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    seen: set[str] = set()
    for at, check in enumerate(written.checks):
        if check.id in seen:
            found.append((at, f"{check.id}: there is another check of this id"))
        seen.add(check.id)
        if fault := form.fault_of(check.compiled(), written.platform):
            found.append((at, f"{check.id}: {fault}"))
    return found


@cache
def shipped_sets() -> dict[str, WrittenSet]:
    """The sets that come with the program, by name."""
    sets = (read_set(path) for path in sorted(CHECKS.glob("*.yml")))
    return {each.set: each for each in sets}


@cache
def _checks_by_set() -> dict[str, dict[str, WrittenCheck]]:
    return {name: {check.id: check for check in found.checks} for name, found in shipped_sets().items()}


def shipped_checks(name: str) -> Mapping[str, WrittenCheck]:
    """The checks of a shipped set by id; empty where there is no such set (a newer agent's)."""
    return _checks_by_set().get(name, _NO_CHECKS)


@cache
def shipped_ids() -> frozenset[str]:
    """The ids of all shipped checks, of every set."""
    return frozenset(check for checks in _checks_by_set().values() for check in checks)


def stale_sets() -> list[Path]:
    """The compiled files that do not say what the written ones say."""
    stale = []
    for name, written in shipped_sets().items():
        path = CHECKS / f"{name}.json"
        if not path.exists() or path.read_bytes() != written.compiled():
            stale.append(path)
    return stale
