"""What a pipeline adds to an event before rules see it. Nothing here changes or removes what the event has: a field
that is there stays, so that doing it twice does no more than once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import re2

from rules.engine.fields import MISSING, lookup, text_of
from rules.logsources.stepping import MAX_ELEMENTS, MAX_TEXT, Fields, Step
from rules.logsources.texts import PAIR_FORMS, Columns, Merge, Pairs, Tell
from rules.logsources.when import hold, read_conditions

if TYPE_CHECKING:
    from rules.logsources.strict_yaml import Place
    from rules.logsources.when import Conditions

#: The key that says what a step does, and the other keys that belong to it.
_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "steps": (),
    "lift": (),
    "set": ("to", "from", "join", "kinds", "hex", "instead"),
    "spread": ("as",),
    "read": ("pattern",),
    "pairs": ("form",),
    "columns": ("names",),
    "tell": ("as", "by"),
    "merge": (),
}
_MAX_DEPTH: Final = 3
STEP_KEYS: Final = (*_KINDS, *dict.fromkeys(key for keys in _KINDS.values() for key in keys))
_SET_FROM: Final = ("to", "from", "join", "kinds")
_NUMBER = re.compile(r"0x[0-9a-f]+")
_HEX = re.compile(r"(?:[0-9A-F]{2}){3,}")


@dataclass(frozen=True, slots=True)
class Group(Step):
    """Several steps under one ``where``: what does not concern an event is passed over at once."""

    steps: tuple[Step, ...]

    def apply(self, fields: Fields) -> None:
        for step in self.steps:
            if hold(step.where, fields):
                step.apply(fields)


@dataclass(frozen=True, slots=True)
class Lift(Step):
    """The entries of the map at ``path`` become fields, spaces in their names left out."""

    path: str

    def apply(self, fields: Fields) -> None:
        value = lookup(fields, self.path)
        if isinstance(value, Mapping):
            for name, each in value.items():
                fields.setdefault(name.replace(" ", ""), each)
        prefix = self.path + "."
        for name in [name for name in fields if name.startswith(prefix)]:  # the same, written with dots
            fields.setdefault(name[len(prefix) :].replace(" ", ""), fields[name])


@dataclass(frozen=True, slots=True)
class SetTo(Step):
    """``name`` gets the text ``value``, or the list of texts."""

    name: str
    value: str | tuple[str, ...]

    def apply(self, fields: Fields) -> None:
        if self.name not in fields:
            fields[self.name] = self.value if isinstance(self.value, str) else list(self.value)


@dataclass(frozen=True, slots=True)
class SetFrom(Step):
    """``name`` gets the value of the first of ``paths`` that has one other than null. ``instead``: also where the
    event has a map of that name (whose entries are reached by it no more: lift them before)."""

    name: str
    paths: tuple[str, ...]
    instead: bool

    def apply(self, fields: Fields) -> None:
        if self.name in fields and not (self.instead and isinstance(fields[self.name], Mapping)):
            return
        for path in self.paths:
            value = lookup(fields, path)
            if value is not MISSING and value is not None:
                fields[self.name] = value
                return


@dataclass(frozen=True, slots=True)
class SetJoined(Step):
    """``name`` gets the words of the first of ``paths`` that has any, joined by spaces. A path is a field (text, or a
    list of texts), or ``a*``: the row ``a0``, ``a1`` … ``hex``: words that auditd wrote in hexadecimal are read."""

    name: str
    paths: tuple[str, ...]
    hex: bool

    def apply(self, fields: Fields) -> None:
        if self.name in fields:
            return
        for path in self.paths:
            words = _row(fields, path[:-1]) if path.endswith("*") else _words(lookup(fields, path))
            if words:
                text = " ".join(unhex(word) if self.hex else word for word in words)
                fields[self.name] = text[:MAX_TEXT]
                return


@dataclass(frozen=True, slots=True)
class SetKinds(Step):
    """``name`` gets those of ``keys`` that are fields of the event: the kinds of records that it holds."""

    name: str
    keys: tuple[str, ...]

    def apply(self, fields: Fields) -> None:
        if self.name not in fields:
            found = [key for key in self.keys if key in fields]
            if found:
                fields[self.name] = found


@dataclass(frozen=True, slots=True)
class Spread(Step):
    """The elements of the list at ``path`` become the fields ``name`` + 0, 1 …, numbers in hexadecimal without 0x
    (as the audit daemon itself writes arguments of system calls)."""

    path: str
    name: str

    def apply(self, fields: Fields) -> None:
        value = lookup(fields, self.path)
        if isinstance(value, list):
            for at, each in enumerate(value[:MAX_ELEMENTS]):
                bare = each[2:] if isinstance(each, str) and _NUMBER.fullmatch(each) else each
                fields.setdefault(f"{self.name}{at}", bare)


@dataclass(frozen=True, slots=True)
class Read(Step):
    """The named groups of ``pattern``, where it is found in the text (of a list, the first) of one of ``paths``, become
    fields."""

    paths: tuple[str, ...]
    pattern: Any

    def apply(self, fields: Fields) -> None:
        for path in self.paths:
            value = lookup(fields, path)
            text = value[0] if isinstance(value, list) and value else value
            if not isinstance(text, str):
                continue
            try:
                found = self.pattern.search(text[:MAX_TEXT])
            except UnicodeError:  # lone surrogates, which RE2 cannot take
                continue
            if found is not None:
                for name, each in found.groupdict().items():
                    if each is not None:
                        fields.setdefault(name, each)
                return


def prepare(steps: tuple[Step, ...], fields: Fields) -> Fields:
    """``fields`` with what ``steps`` add; the same object where there is nothing to do, else a copy."""
    made = fields
    for step in steps:
        if hold(step.where, made):
            if made is fields:
                made = dict(fields)
            step.apply(made)
    return made


def replaced(steps: tuple[Step, ...]) -> frozenset[str]:
    """The names of fields that steps put something in place of where they are maps (``instead``)."""
    found: set[str] = set()
    for step in steps:
        if isinstance(step, Group):
            found |= replaced(step.steps)
        elif isinstance(step, SetFrom) and step.instead:
            found.add(step.name)
    return frozenset(found)


def unhex(word: str) -> str:
    """A word as auditd means it: what holds a space, a quote or anything beyond printable ASCII it writes in
    hexadecimal (``audit_log_n_untrustedstring``). Other words are given back as they are.

    The quotes that tell the two apart are lost in most JSON. So only what reads as text that *had* to be written so
    counts, with something besides white space in it: ``2020`` stays a number.
    """
    if not _HEX.fullmatch(word):
        return word
    try:
        text = bytes.fromhex(word).decode()
    except UnicodeDecodeError:
        return word
    text = text.rstrip("\0").replace("\0", " ")
    needed = any(c == '"' or c < "!" or c > "~" for c in text)
    return text if needed and text.strip() and all(c.isprintable() or c in "\t\n" for c in text) else word


def _words(value: object) -> list[str]:
    elements = value[:MAX_ELEMENTS] if isinstance(value, list) else [value]
    return [text for text in map(text_of, elements) if text is not None]


def _row(fields: Fields, name: str) -> list[str]:
    words: list[str] = []
    for at in range(MAX_ELEMENTS):
        word = text_of(lookup(fields, f"{name}{at}"))
        if word is None:
            break
        words.append(word)
    return words


def read_step(place: Place, depth: int = 0) -> Step:
    """The step of one entry of ``prepare``."""
    found = place.mapping(known=(*STEP_KEYS, "where"))
    where = read_conditions(found.pop("where")) if "where" in found else ()
    kinds = [key for key in found if key in _KINDS]
    if len(kinds) != 1:
        place.fail(f"a step has exactly one of {', '.join(_KINDS)}")
    kind = kinds[0]
    for key in found:
        if key != kind and key not in _KINDS[kind]:
            found[key].fail(f"{key!r} does not belong to {kind!r}")
    subject = found[kind]
    match kind:
        case "steps":
            if depth >= _MAX_DEPTH:
                subject.fail("steps within steps within steps")
            return Group(where, tuple(read_step(each, depth + 1) for each in subject.items()))
        case "lift":
            return Lift(where, subject.text())
        case "spread":
            return Spread(where, subject.text(), _needed(place, found, "as").text())
        case "read":
            return Read(where, subject.texts(), _pattern(_needed(place, found, "pattern")))
        case "pairs":
            return Pairs(where, subject.text(), _needed(place, found, "form").choice(*PAIR_FORMS))
        case "columns":
            return Columns(where, subject.text(), _needed(place, found, "names").texts())
        case "tell":
            return _tell(where, subject, _needed(place, found, "as"), _needed(place, found, "by"))
        case "merge":
            return Merge(where, subject.text())
    sources = [key for key in _SET_FROM if key in found]
    if len(sources) != 1:
        place.fail(f"'set' takes exactly one of {', '.join(_SET_FROM)}")
    source, name = sources[0], subject.text()
    for flag, of in (("hex", "join"), ("instead", "from")):
        if flag in found and source != of:
            found[flag].fail(f"{flag!r} belongs to {of!r}")
    names = found[source].texts()
    match source:
        case "to":
            return SetTo(where, name, names[0] if len(names) == 1 else names)
        case "from":
            return SetFrom(where, name, names, "instead" in found and found["instead"].flag())
        case "join":
            return SetJoined(where, name, names, "hex" in found and found["hex"].flag())
        case _:
            return SetKinds(where, name, names)


def _needed(place: Place, found: dict[str, Place], key: str) -> Place:
    if key not in found:
        place.fail(f"the key {key!r} is missing")
    return found[key]


def _tell(where: Conditions, subject: Place, name: Place, by: Place) -> Tell:
    words = by.mapping()
    for each in words.values():
        if _compiled(each, each.text()).groupindex:
            each.fail("a named group has no use here: (…) or (?:…)")
    # One expression of all: the first of them that is found where the text is searched once.
    joined = "|".join(f"(?P<w{at}>{each.text()})" for at, each in enumerate(words.values()))
    return Tell(where, subject.text(), name.text(), tuple(words), _compiled(by, joined))


def _pattern(place: Place) -> Any:
    pattern = _compiled(place, place.text())
    if not pattern.groupindex:
        place.fail("the expression names no group: (?P<field>…)")
    return pattern


def _compiled(place: Place, text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    try:
        return re2.compile(text, options)
    except re2.error as problem:
        reason = problem.args[0]
        place.fail(f"no RE2 expression: {reason.decode() if isinstance(reason, bytes) else reason}")
