"""Where in a rule's text something stands, so that a refusal can name the line.

Neither PyYAML's plain values nor pySigma's objects know their lines; YAML's node tree does. Lines count from 1.
Nothing here raises for what the text holds: where a place is not found, the nearest thing around it is named.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Path = tuple[str | int, ...]

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_QUOTED: Final = re.compile(r"'([^']{1,200})'|\"([^\"]{1,200})\"|`([^`]{1,200})`")
_WORD: Final = re.compile(r"[\w|*.-]+")
#: Nesting of maps and lists beyond which nobody looks.
_MAX_DEPTH: Final = 20
#: pySigma names an error after its part of the rule; these parts are called otherwise, or lie deeper.
_PARTS: Final[dict[str, Path]] = {
    "SigmaConditionError": ("detection", "condition"),
    "SigmaCorrelationConditionError": ("correlation", "condition"),
    "SigmaCorrelationTypeError": ("correlation", "type"),
    "SigmaCorrelationRuleError": ("correlation", "rules"),
    "SigmaTimespanError": ("correlation", "timespan"),
    "SigmaFilterConditionError": ("filter", "condition"),
    "SigmaFilterRuleReferenceError": ("filter", "rules"),
    "SigmaIdentifierError": ("id",),
    "SigmaModifierError": ("detection",),
    "SigmaTypeError": ("detection",),
    "SigmaValueError": ("detection",),
    "SigmaRegularExpressionError": ("detection",),
    "SigmaPlaceholderError": ("detection",),
}


class Positions:
    """The node trees of one text. Made lazily, so that the sound rule pays nothing."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def documents(self) -> list[yaml.Node]:
        """The documents as far as the text is YAML; empty ones (``---`` alone) are left out, as when loading."""
        found: list[yaml.Node] = []
        with suppress(yaml.YAMLError, ValueError, RecursionError):
            found.extend(node for node in yaml.compose_all(self.text, Loader=_LOADER) if not _is_null(node))
        return found

    def document_of(self, key: str) -> int:
        """Which document has ``key`` as its id, name or title; 0 where none has."""
        for number, node in enumerate(self.documents):
            if any(
                name.value in ("id", "name", "title") and getattr(value, "value", None) == key
                for name, value in _pairs(node)
            ):
                return number
        return 0

    def line(self, path: Path, document: int = 0) -> int:
        """The line of the key (or list entry) at ``path``; of the nearest one around it where it is missing."""
        if not 0 <= document < len(self.documents):
            return 1
        node: yaml.Node | None = self.documents[document]
        line = _line(self.documents[document])
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return line

    def line_of_word(self, words: Iterable[str], document: int = 0) -> int:
        """The line of the first key or value that is one of ``words`` (of a key also the part before a modifier); 0
        where none is."""
        if not 0 <= document < len(self.documents):
            return 0
        places = list(_walk(self.documents[document], 0))
        for word in words:
            for line, text, is_key in places:
                if text == word or (is_key and text.partition("|")[0] == word):
                    return line
        return 0

    def line_of_problem(self, problem: BaseException | str, document: int = 0) -> int:
        """The line that an error is about: YAML's own mark, else what the error's words name in the document, else
        the part of a rule that this kind of error is about, else the document's first line."""
        mark = getattr(problem, "problem_mark", None) or getattr(problem, "context_mark", None)
        if mark is not None:
            return int(mark.line) + 1
        named = self._named(str(problem), document)
        if named:
            return named
        part = _part(problem)
        return self.line(part, document)

    def _named(self, message: str, document: int) -> int:
        if not 0 <= document < len(self.documents):
            return 0
        places = list(_walk(self.documents[document], 0))
        quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(message)]
        for word in dict.fromkeys([*quoted, *reversed(_WORD.findall(message))]):
            bare = word.strip(".")
            for line, text, is_key in places:
                if is_key and (text == bare or bare in text.split("|")[1:]):
                    return line
            if word in quoted:
                for line, text, _is_key in places:
                    if text == word:
                        return line
        return 0


def line_of(text: str, path: Path, document: int = 0) -> int:
    """The line of the key at ``path`` (keys and list indices) in the document of that number."""
    return _positions(text).line(path, document)


def line_of_problem(text: str, problem: BaseException | str, rule: str = "") -> int:
    """The line that ``problem`` (an exception of YAML or pySigma, or its words) is about.

    ``rule``: the id, name or title of the document that it is about, where the text has several.
    """
    positions = _positions(text)
    return positions.line_of_problem(problem, positions.document_of(rule) if rule else 0)


@lru_cache(maxsize=8)
def _positions(text: str) -> Positions:
    return Positions(text)


def _part(problem: BaseException | str) -> Path:
    if isinstance(problem, str):
        return ()
    name = type(problem).__name__
    if name in _PARTS:
        return _PARTS[name]
    return (name.removeprefix("Sigma").removesuffix("Error").lower(),)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def _child(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return (_line(node.value[step]), node.value[step]) if 0 <= step < len(node.value) else None
    for name, value in _pairs(node):
        if isinstance(name, yaml.ScalarNode) and name.value == str(step):
            return _line(name), value
    return None


def _walk(node: yaml.Node, depth: int, seen: set[int] | None = None) -> Iterator[tuple[int, str, bool]]:
    """Every scalar: its line, its text, whether it is a key. What aliases stand for comes once, where it is written: a
    few lines of aliases of aliases stand for millions."""
    seen = set() if seen is None else seen
    if depth > _MAX_DEPTH or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield _line(node), str(node.value), False
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _walk(each, depth + 1, seen)
    for name, value in _pairs(node):
        if isinstance(name, yaml.ScalarNode):
            yield _line(name), str(name.value), True
        yield from _walk(value, depth + 1, seen)
