"""Reads a page as its readers see it: its text, its structure, whom it loads things from. The page is hostile.

Not a parser of HTML: it goes through the text once, from ``<`` to ``>``, so that what it takes grows with the page's
length and with nothing else.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: Of more than this of a page nothing is looked at.
MAX_WORDS: Final = 20_000
MAX_TAGS: Final = 20_000
MAX_HOSTS: Final = 50
_MAX_DEPTH: Final = 200
_MAX_BLOCKS: Final = 400
_LONGEST_TAG: Final = 4_096
_EXCERPT: Final = 300

_VOID: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)
#: What is in them is not shown; they end at their own end tag only.
_RAW: Final = frozenset({"script", "style", "noscript", "template", "textarea"})
_ENDS: Final = {tag: re.compile(f"</{tag}", re.ASCII | re.IGNORECASE) for tag in _RAW}
_NAME: Final = re.compile(r"/?([a-zA-Z][a-zA-Z0-9-]{0,31})")
_ATTRIBUTE: Final = re.compile(r"""([a-zA-Z-]{1,32})\s{0,8}=\s{0,8}(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_LOADS: Final = {
    "script": "src",
    "iframe": "src",
    "frame": "src",
    "link": "href",
    "form": "action",
    "img": "src",
    "embed": "src",
    "object": "data",
    "meta": "content",
}
_DIGITS: Final = re.compile(r"\d+")
_SPACE: Final = re.compile(r"\s+")


class Page(Struct, frozen=True):
    """``blocks``: the words of each region that has an id or a class, in order; a word belongs to the innermost one.
    ``paths``: each tag with the two around it. ``hosts``: where it loads from or sends to, others than its own."""

    title: str
    text: str
    blocks: dict[str, list[str]]
    paths: frozenset[str]
    hosts: tuple[str, ...]

    @property
    def excerpt(self) -> str:
        return self.text[:_EXCERPT]

    def text_features(self, without: Collection[str] = ()) -> Iterator[str]:
        """Three words in a row, regions ``without`` left out."""
        for key, words in self.blocks.items():
            if key in without:
                continue
            if len(words) < 3:
                yield " ".join(words)
            for at in range(len(words) - 2):
                yield " ".join(words[at : at + 3])


def read_page(body: bytes, charset: str, host: str, ignore: Collection[str] = ()) -> Page:
    """``ignore``: ``#id`` and ``.class`` of regions that are passed over. ``host``: the page's own."""
    reader = _Reader(host, frozenset(ignore))
    try:
        text = body.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):  # idna and others decode no pages
        text = body.decode("utf-8", "replace")
    reader.read(text)
    shown = _SPACE.sub(" ", " ".join(reader.shown)).strip()
    return Page(
        title=clean("".join(reader.title))[:200],
        text=clean(shown),
        blocks=reader.blocks,
        paths=frozenset(reader.paths),
        hosts=tuple(sorted(reader.hosts))[:MAX_HOSTS],
    )


def clean(text: str) -> str:
    """One line without control characters and what turns the direction of text around."""
    kept = "".join(" " if unicodedata.category(each)[0] in "CZ" else each for each in text)
    return _SPACE.sub(" ", kept).strip()


class _Reader:
    def __init__(self, host: str, ignore: frozenset[str]) -> None:
        self._host = host.lower()
        self._ignore = ignore
        #: Of each open element: its tag, the block it is in, whether it is passed over.
        self._open: list[tuple[str, str, bool]] = []
        self.title: list[str] = []
        self.shown: list[str] = []
        self.blocks: dict[str, list[str]] = {}
        self.paths: set[str] = set()
        self.hosts: set[str] = set()
        self._words = 0
        self._tags = 0

    def read(self, text: str) -> None:
        at = 0
        while at < len(text) and self._words < MAX_WORDS and self._tags < MAX_TAGS:
            opens = text.find("<", at)
            if opens < 0:
                self._text(text[at:])
                return
            if opens > at:
                self._text(text[at:opens])
            if text.startswith("<!--", opens):
                ends = text.find("-->", opens + 4)
                if ends < 0:
                    return
                at = ends + 3
                continue
            found = _NAME.match(text, opens + 1)
            if found is None and not text.startswith(("<!", "<?", "</"), opens):
                self._text("<")
                at = opens + 1
                continue
            closes = text.find(">", opens)
            if closes < 0:
                return
            at = closes + 1
            if found is None:
                continue
            tag = found[1].lower()
            if text[opens + 1] == "/":
                self._close(tag)
                continue
            self._start(tag, text[found.end() : min(closes, found.end() + _LONGEST_TAG)])
            if tag in _RAW:
                end = _ENDS[tag].search(text, at)
                if end is None:
                    return
                at = end.start()

    def _start(self, tag: str, rest: str) -> None:
        self._tags += 1
        attributes = {
            match[1].lower(): html.unescape(match[2] or match[3] or match[4] or "")
            for match in _ATTRIBUTE.finditer(rest)
        }
        self._load(tag, attributes)
        classes = attributes.get("class", "").split()[:10]
        marks = ["#" + attributes["id"][:100]] if attributes.get("id") else []
        marks += ["." + each[:100] for each in classes]
        block, hidden = (self._open[-1][1], self._open[-1][2]) if self._open else ("", False)
        hidden = hidden or not self._ignore.isdisjoint(marks)
        around = [each[0] for each in self._open[-2:]]
        if not hidden:
            self.paths.add(">".join([*around, tag + (marks[-1] if classes else "")]))
        if tag in _VOID or rest.endswith("/") or len(self._open) >= _MAX_DEPTH:
            return
        if marks and len(self.blocks) < _MAX_BLOCKS:
            block = tag + marks[0]
        self._open.append((tag, block, hidden))

    def _close(self, tag: str) -> None:
        for at in range(len(self._open) - 1, max(-1, len(self._open) - 20), -1):
            if self._open[at][0] == tag:
                del self._open[at:]
                return

    def _text(self, text: str) -> None:
        if not text.strip():
            return
        tag, block, hidden = self._open[-1] if self._open else ("", "", False)
        if tag in _RAW or hidden:
            return
        text = html.unescape(text)
        if tag == "title":
            self.title.append(text)
        else:
            self.shown.append(text)
        # A counter and a date are no change of the page.
        words = _DIGITS.sub("0", text.lower()).split()[: MAX_WORDS - self._words]
        self._words += len(words)
        # Word by word: a long run of combining marks takes time with its square.
        self.blocks.setdefault(block, []).extend(unicodedata.normalize("NFC", word[:100]) for word in words)

    def _load(self, tag: str, attributes: dict[str, str]) -> None:
        address = attributes.get(_LOADS.get(tag, ""), "")
        if tag == "meta":
            refresh = attributes.get("http-equiv", "").lower() == "refresh"
            address = address.partition("=")[2] if refresh else ""
        if not address or len(self.hosts) >= 10 * MAX_HOSTS:
            return
        try:
            host = urlsplit(address.strip()).hostname or ""
        except ValueError:
            return
        if host and host != self._host and len(host) <= 253 and host.isascii() and host.isprintable():
            self.hosts.add(host)
