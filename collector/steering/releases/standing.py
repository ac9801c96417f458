"""What an agent says of its update, in its document ``agent``. It may be somebody else's agent: nothing is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORD: Final = 64
_TEXT: Final = 300
_MOST_STARTS: Final = 1000


@dataclass(frozen=True)
class Attempt:
    """How a try to bring ``version`` stands or ended: ``code`` and ``detail`` say why, where something was in its way.
    Empty where nothing is said."""

    version: str = ""
    state: str = ""
    code: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Told:
    """``wanted``: fetching and offering, as the running agent does; ``last``: the last time that root's command looked
    at a release. ``starts``: how often the running version started within a day, 0 where that is not worth a word."""

    wanted: Attempt = Attempt()
    last: Attempt = Attempt()
    starts: int = 0


NOTHING: Final = Told()


def told_of(body: Mapping[str, Any] | None) -> Told:
    """The part about updates of an ``agent`` document, whatever it holds."""
    said = body.get("update") if isinstance(body, dict) else None
    if not isinstance(said, dict):
        return NOTHING
    last = said.get("last")
    starts = said.get("starts")
    return Told(
        wanted=_attempt(said, "wanted"),
        last=_attempt(last, "version") if isinstance(last, dict) else Attempt(),
        starts=min(starts, _MOST_STARTS) if type(starts) is int and starts > 0 else 0,
    )


def _attempt(said: Mapping[str, Any], version: str) -> Attempt:
    def text(key: str, most: int = _WORD) -> str:
        value = said.get(key)
        return value[:most] if isinstance(value, str) else ""

    return Attempt(text(version), text("state"), text("code"), text("detail", _TEXT))
