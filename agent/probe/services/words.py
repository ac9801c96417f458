"""Words that stand on defaced pages, and hardly ever on a public body's own."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_PHRASES: Final = (
    "hacked by",
    "h4cked by",
    "hack by",
    "defaced by",
    "owned by hacker",
    "pwned by",
    "you have been hacked",
    "your site has been hacked",
    "your security is low",
    "security breached",
    "greetz to",
    "was here hacked",
    "bị hack bởi",
    "đã bị hack",
    "hacked bởi",
    "bị tấn công bởi",
    "trang web này đã bị chiếm quyền",
    "nhà cái uy tín",
    "cá cược bóng đá",
    "tài xỉu online",
    "slot gacor",
    "nổ hũ đổi thưởng",
)
_BETWEEN: Final = re.compile(r"[\s_\-.*|~=]+")


def _plain(text: str) -> str:
    return _BETWEEN.sub(" ", unicodedata.normalize("NFKC", text).casefold())


_PLAIN: Final = tuple(_plain(each) for each in _PHRASES)


def defacement_words(text: str) -> list[str]:
    """The phrases that ``text`` contains, however they are spaced and cased; sorted."""
    plain = _plain(text)
    return sorted(phrase for phrase, sought in zip(_PHRASES, _PLAIN, strict=True) if sought in plain)
