"""YAML read against a closed form: whatever is unknown, twice or of the wrong kind is an error with its line.

PyYAML's loaders forget where a value stood and let the second of two equal keys win; here both matter. Values are
read as the text that is written (``1`` is ``"1"``), since everything they are compared with is text as well.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml

from rules.engine.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_BYTES: Final = 1 << 20
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Place:
    """One value and where it stands. Every reader raises :class:`RuleError` with file, line and way to it."""

    __slots__ = ("_node", "path", "where")

    def __init__(self, node: yaml.Node, path: str, where: str = "") -> None:
        self._node = node
        self.path = path
        self.where = where

    def fail(self, reason: str) -> NoReturn:
        where = f"{self.where}: " if self.where else ""
        raise RuleError(where + reason, self.path, self._node.start_mark.line + 1)

    def mapping(self, *, known: Iterable[str] = (), required: Iterable[str] = ()) -> dict[str, Place]:
        """The keys in their order. ``known`` empty: any key but the empty one."""
        if not isinstance(self._node, yaml.MappingNode):
            self.fail("a mapping is expected")
        found: dict[str, Place] = {}
        names = list(known)
        for key, value in self._node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                Place(key, self.path, self.where).fail("a key must be plain text")
            name: str = key.value
            at = Place(key, self.path, self.where)
            if names and name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
                at.fail(f"unknown key {name!r}; {hint}")
            if name in found:
                at.fail(f"the key {name!r} is there twice")
            found[name] = Place(value, self.path, f"{self.where}.{name}" if self.where else name)
        for name in required:
            if name not in found:
                self.fail(f"the key {name!r} is missing")
        return found

    def items(self) -> list[Place]:
        """A sequence's elements; any other value stands for a list of itself."""
        if isinstance(self._node, yaml.SequenceNode):
            return [Place(each, self.path, f"{self.where}[{at}]") for at, each in enumerate(self._node.value)]
        return [self]

    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    def text(self) -> str:
        if not isinstance(self._node, yaml.ScalarNode) or not self._node.value.strip():
            self.fail("text is expected")
        value: str = self._node.value
        return value

    def texts(self) -> tuple[str, ...]:
        """One text or a list of them, at least one."""
        found = tuple(each.text() for each in self.items())
        if not found:
            self.fail("at least one is expected")
        return found

    def flag(self) -> bool:
        if not isinstance(self._node, yaml.ScalarNode) or self._node.value not in ("true", "false"):
            self.fail("true or false is expected")
        value: str = self._node.value
        return value == "true"

    def choice(self, *choices: str) -> str:
        text = self.text()
        if text not in choices:
            near = difflib.get_close_matches(text, choices, n=1, cutoff=0.5)
            self.fail(
                f"{text!r} is none of {', '.join(choices)}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
        return text


def read_yaml(path: Path) -> Place:
    """The one document of a file. Raise :class:`RuleError` where it cannot be read or is no YAML."""
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """A file's text. Raise :class:`RuleError` where it cannot be read or is larger than any pipeline."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RuleError(f"larger than {MAX_BYTES:,} bytes", str(path))
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise RuleError(f"cannot be read: {problem}", str(path)) from problem


def parse_yaml(text: str, path: str = "") -> Place:
    """The same for text; ``path`` stands in errors."""
    try:
        node: Any = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        reason = getattr(problem, "problem", None) or problem
        line = mark.line + 1 if mark is not None else 0
        raise RuleError(f"not YAML: {' '.join(str(reason).split())}", path, line) from problem
    if node is None:
        raise RuleError("the file is empty", path)
    return Place(node, path)
