"""What a text must hold, and how long it must be, for a regular expression to match in it.

An expression is only tried on text that holds one of its necessary texts, which are looked for together with all other
texts of a field (:mod:`rules.engine.literals`). Only what is plainly understood of RE2's syntax is used: of anything
else nothing is said to be necessary.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

#: The one letter besides the ASCII ones that RE2 takes for one of them where case does not count, and whose lower case
#: is not that one (the Kelvin sign's is). Text that holds it is to be tried with every expression.
LONG_S: Final = "\u017f"
#: More alternatives than this are not looked for.
_MOST_TEXTS: Final = 16
_DEEPEST: Final = 40
_LONGEST_RUN: Final = 256

_FLAGS: Final = re.compile(r"\(\?[imsU-]+\)")
_GROUP: Final = re.compile(r"\((?:\?(?:[imsU-]*:|P?<\w+>))?(?!\?)")
_TIMES: Final = re.compile(r"\{([0-9]{1,4})(,([0-9]{0,4}))?\}|[*+?]")
_CONTROL: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


class Necessary(NamedTuple):
    """``texts``: one of them is in the lower case of any text that the expression matches in; none: nothing is known.
    ``length``: of the shortest such text, in characters."""

    texts: tuple[str, ...]
    length: int


@lru_cache(maxsize=4_096)
def necessary(source: str) -> Necessary:
    """Of an RE2 expression, with its flags in front (case may count or not). Text with a :data:`LONG_S` is excepted."""
    parser = _Parser(source)
    try:
        found = parser.alternatives(0)
    except _UnclearError:
        return Necessary((), 0)
    return Necessary(found.texts, found.length) if parser.at == len(source) else Necessary((), 0)


class _UnclearError(Exception):
    """Something in the expression is not understood here."""


class _Piece(NamedTuple):
    """A part of an expression. ``whole``: in lower case the one text that it matches, where there is but one."""

    length: int
    texts: tuple[str, ...] = ()
    whole: str | None = None


_NOTHING: Final = _Piece(0, (), "")
_ANY_CHARACTER: Final = _Piece(1)


def _literal(character: str) -> _Piece:
    # A lone surrogate is searched as a question mark, and the lower case of other than ASCII hangs on its surroundings.
    if not character.isascii() or character == "?":
        return _ANY_CHARACTER
    low = character.lower()
    return _Piece(1, (low,), low)


def _better(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The one whose shortest text is longer, and of which there are fewer."""
    return max(one, other, key=lambda texts: (min(map(len, texts), default=0), -len(texts)))


class _Sequence:
    """Pieces one after another."""

    def __init__(self) -> None:
        self._length = 0
        self._texts: tuple[str, ...] = ()
        self._run = ""
        self._whole = True

    def add(self, piece: _Piece, least: int = 1, most: int | None = 1) -> None:
        """``piece``, so often."""
        self._length += piece.length * least
        if piece.whole is None or not least or len(piece.whole) * least > _LONGEST_RUN:
            self._break("")
            if least:
                self._texts = _better(self._texts, piece.texts)
            return
        repeated = piece.whole * least
        self._run += repeated
        if most != least and piece.whole:
            self._break(repeated)

    def piece(self) -> _Piece:
        run = self._run
        texts = _better(self._texts, (run,) if run else ())
        return _Piece(self._length, texts, run if self._whole else None)

    def _break(self, begin: str) -> None:
        if self._run:
            self._texts = _better(self._texts, (self._run,))
        self._run = begin
        self._whole = False


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self.at = 0

    def alternatives(self, depth: int) -> _Piece:
        """Up to the end, or the parenthesis that closes the group."""
        if depth > _DEEPEST:
            raise _UnclearError
        found = [self._sequence(depth)]
        while self._next() == "|":
            self.at += 1
            found.append(self._sequence(depth))
        if len(found) == 1:
            return found[0]
        texts = tuple(dict.fromkeys(text for piece in found for text in piece.texts))
        if len(texts) > _MOST_TEXTS or not all(piece.texts for piece in found):
            texts = ()
        return _Piece(min(piece.length for piece in found), texts)

    def _sequence(self, depth: int) -> _Piece:
        found = _Sequence()
        while (character := self._next()) not in ("", "|", ")"):
            piece = self._piece(character, depth)
            times = _TIMES.match(self._source, self.at)
            if times is None:
                found.add(piece)
                continue
            self.at = times.end()
            if self._next() == "?":
                self.at += 1
            if _TIMES.match(self._source, self.at):
                raise _UnclearError
            if times[0] in "*?":
                found.add(piece, 0, None)
            elif times[0] == "+":
                found.add(piece, 1, None)
            else:
                least = int(times[1])
                found.add(piece, least, least if times[2] is None else None)
        return found.piece()

    def _piece(self, character: str, depth: int) -> _Piece:
        match character:
            case "(":
                return self._group(depth)
            case "[":
                return self._class()
            case "\\":
                return self._escape()
        self.at += 1
        match character:
            case "^" | "$":
                return _NOTHING
            case ".":
                return _ANY_CHARACTER
            case "{" | "*" | "+" | "?":
                raise _UnclearError
        return _literal(character)

    def _group(self, depth: int) -> _Piece:
        flags = _FLAGS.match(self._source, self.at)
        if flags is not None:
            self.at = flags.end()
            if _TIMES.match(self._source, self.at):  # how often what stands before comes
                raise _UnclearError
            return _NOTHING
        opening = _GROUP.match(self._source, self.at)
        if opening is None:
            raise _UnclearError
        self.at = opening.end()
        found = self.alternatives(depth + 1)
        if self._next() != ")":
            raise _UnclearError
        self.at += 1
        return found

    def _escape(self) -> _Piece:
        character = self._source[self.at + 1 : self.at + 2]
        self.at += 2
        if character in _CONTROL:
            return _literal(_CONTROL[character])
        if character in ("d", "D", "s", "S", "w", "W"):
            return _ANY_CHARACTER
        if character in ("b", "B", "A", "z"):
            return _NOTHING
        if not character.isascii() or not character or character.isalnum():
            raise _UnclearError
        return _literal(character)

    def _class(self) -> _Piece:
        """One character of several. Where all are one letter's cases, it is that one."""
        self.at += 1
        negated = self._next() == "^"
        self.at += negated
        members: list[str] = []
        plain = not negated
        first = True
        while (character := self._next()) != "]" or first:
            first = False
            if not character:
                raise _UnclearError
            if self._source.startswith("[:", self.at):
                end = self._source.find(":]", self.at)
                if end < 0:
                    raise _UnclearError
                self.at = end + 2
                plain = False
            elif character == "\\":
                member = self._escape()
                if not member.length:
                    raise _UnclearError
                plain = plain and member.whole is not None
                members.append(member.whole or "")
            else:
                self.at += 1
                plain = plain and character != "-"
                members.append(character)
        self.at += 1
        pieces = {_literal(member) for member in members} if plain else set()
        return pieces.pop() if len(pieces) == 1 else _ANY_CHARACTER

    def _next(self) -> str:
        return self._source[self.at : self.at + 1]
