"""What a page looks like now, told only when it has become another one.

Whether a change is right is not judged here: the collector compares the sketches with those that somebody accepted.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from agent.probe.services.page import clean, read_page
from agent.probe.services.sketch import difference, sketch_of
from agent.probe.services.words import defacement_words

if TYPE_CHECKING:
    from pathlib import Path

    from agent.probe.services.result import Result
    from agent.probe.services.settings import Service

#: A difference from what was told last that is worth telling.
_WORTH: Final = 0.08
#: A region that changed so often changes rightly (news, a visitor counter), and is left out from then on…
_CHANGES: Final = 3
#: …while all of these together are no more than this of the page: what fills it is never left out.
_MOST_LEFT_OUT: Final = 0.3
_MAX_KEPT: Final = 400


class Content:
    """Of one service. Its file (JSON) holds what was told last and how often each region changed."""

    def __init__(self, service: Service, folder: Path) -> None:
        self._service = service
        self._path = folder / f"content-{service.name}.json"
        kept = _load(self._path)
        told = kept.get("told")
        self.told: dict[str, Any] = told if isinstance(told, dict) and _is_told(told) else {}
        regions = kept.get("regions")
        self._regions: dict[str, list[Any]] = {
            key: each
            for key, each in (regions.items() if isinstance(regions, dict) else ())
            if isinstance(each, list)
            and len(each) == 2
            and isinstance(each[0], str)
            and isinstance(each[1], int)
        }

    def take(self, result: Result, host: str) -> bool:
        """Look at a page that came; whether :attr:`told` is another one now."""
        page = read_page(result.page, result.charset, host, self._service.ignore)
        changing = self._learn(page.blocks)
        now: dict[str, Any] = {
            "title": page.title,
            "excerpt": page.excerpt,
            "text": sketch_of(page.text_features(changing)),
            "structure": sketch_of(page.paths),
            "hosts": list(page.hosts),
            "words": defacement_words(f"{page.title} {page.text}"),
        }
        worth = not self.told or _differs(self.told, now)
        if worth:
            now["digest"] = blake2b(f"{now['text']}{now['structure']}".encode(), digest_size=8).hexdigest()
            self.told = now
        self._save()
        return worth

    def keep_picture(self, picture: dict[str, Any]) -> None:
        """Of what was told last."""
        if picture:
            self.told = {**self.told, "picture": picture}
            self._save()

    def _learn(self, blocks: dict[str, list[str]]) -> set[str]:
        """The regions that change rightly."""
        for key, words in list(blocks.items())[:_MAX_KEPT]:
            digest = blake2b(" ".join(words).encode("utf-8", "replace"), digest_size=8).hexdigest()
            kept = self._regions.get(key)
            if kept is None:
                if len(self._regions) < _MAX_KEPT:
                    self._regions[key] = [digest, 0]
            elif kept[0] != digest:
                self._regions[key] = [digest, kept[1] + 1]
        for key in [key for key in self._regions if key not in blocks]:
            if self._regions[key][1] == 0:
                del self._regions[key]
        left_out: set[str] = set()
        room = _MOST_LEFT_OUT * sum(len(words) for words in blocks.values())
        for key, words in sorted(blocks.items(), key=lambda each: len(each[1])):
            if self._regions.get(key, ["", 0])[1] >= _CHANGES and len(words) <= room:
                left_out.add(key)
                room -= len(words)
        return left_out

    def _save(self) -> None:
        text = json.dumps({"told": self.told, "regions": self._regions}, ensure_ascii=False)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8", errors="replace")
        fresh.replace(self._path)


def contains(result: Result, expected: str, host: str) -> bool:
    """Whether a page's text has ``expected``, spaces and letters' case aside."""
    page = read_page(result.page, result.charset, host)
    return clean(expected).casefold() in f"{page.title} {page.text}".casefold()


def _differs(told: dict[str, Any], now: dict[str, Any]) -> bool:
    if told["words"] != now["words"] or told["hosts"] != now["hosts"]:
        return True
    try:
        return any(difference(told[each], now[each]) >= _WORTH for each in ("text", "structure"))
    except ValueError:
        return True


def _is_told(told: dict[str, Any]) -> bool:
    texts = all(
        isinstance(told.get(each), str) for each in ("title", "excerpt", "text", "structure", "digest")
    )
    return texts and isinstance(told.get("hosts"), list) and isinstance(told.get("words"), list)


def _load(path: Path) -> dict[str, Any]:
    """Empty where there is none, or none that can be read: then everything is learnt anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
