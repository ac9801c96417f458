"""Makes Vietnamese names comparable.

«Thanh Hóa» and «Thanh Hoá» are one name: Unicode has two forms of every accented letter, and Vietnamese has
two habits of placing the tone mark in ``oa``, ``oe`` and ``uy``. A syllable has one tone, so the key takes
the tone mark out of the syllable and puts it at its end; where it stood is then of no matter.
"""

from __future__ import annotations

import re
import unicodedata

# Grave, acute, tilde, hook above, dot below. The breve, the circumflex and the horn change the vowel, not
# the tone.
_TONES = frozenset("\u0300\u0301\u0303\u0309\u0323")
_WORD = re.compile(r"\w+")


def search_key(name: str) -> str:
    """The key under which two spellings of one name are equal: case, Unicode form, tone place, blanks and
    dashes.
    """
    decomposed = unicodedata.normalize("NFD", name.casefold())
    return " ".join(_syllable(word) for word in _words(decomposed))


def plain_key(name: str) -> str:
    """As people type without a Vietnamese keyboard: no marks at all, ``đ`` as ``d``."""
    decomposed = unicodedata.normalize("NFD", name.casefold())
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(_WORD.findall(bare.replace("đ", "d")))


def has_marks(text: str) -> bool:
    """Whether ``text`` was typed with Vietnamese marks, so that they are to be taken seriously."""
    folded = text.casefold()
    return "đ" in folded or unicodedata.normalize("NFD", folded) != folded


def _words(decomposed: str) -> list[str]:
    # \w does not hold combining marks: put them aside as part of the word they follow.
    word: list[str] = []
    words: list[str] = []
    for letter in decomposed:
        if unicodedata.combining(letter):
            if word:
                word.append(letter)
        elif letter.isalnum() or letter == "_":
            word.append(letter)
        elif word:
            words.append("".join(word))
            word = []
    if word:
        words.append("".join(word))
    return words


def _syllable(word: str) -> str:
    tones = "".join(sorted(letter for letter in word if letter in _TONES))
    rest = "".join(letter for letter in word if letter not in _TONES)
    return unicodedata.normalize("NFC", rest + tones)
