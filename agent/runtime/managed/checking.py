"""Whether settings from the collector may be used: signed for this endpoint, newer than any before, within what this
machine's collectors bear."""

from __future__ import annotations

import subprocess  # with our own interpreter and module
import sys
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from agent import reasons
from agent.runtime.errors import AgentError
from agent.steered import SettingsDocument  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.collectors.registry import Collector
    from agent.settings import StateDirectory
    from agent.steered import SignedSettings

_VERIFY_SECONDS: Final = 60.0
#: A collector may run so many times as often as it would by itself, and no oftener than once a second.
_OFTENER: Final = 10
_SELDOM_SECONDS: Final = 86_400.0
#: So far a number may be ahead of the last: one at the very end of what there is would be the last for ever.
_AHEAD: Final = 1_000_000


class RefusedError(AgentError):
    """These settings will never be used; ``str()`` is a sentence of :mod:`agent.reasons`."""


class UncheckedError(AgentError):
    """They could not be looked at now."""


class Checked(Struct, frozen=True):
    """As :class:`agent.runtime.managed.verify.Verdict`, which this process cannot import."""

    document: SettingsDocument | None = None
    reason: str = ""


def verified(state: StateDirectory, endpoint_id: str, signed: Sequence[SignedSettings]) -> list[Checked]:
    """What a process of its own says of each, in order.

    Raises:
        UncheckedError: it could not.
    """
    order = {"ca": str(state.ca.absolute()), "endpoint_id": endpoint_id, "signed": signed}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "agent.runtime.managed.verify"],
            cwd="/" if sys.platform != "win32" else None,
            input=msgspec.json.encode(order),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_VERIFY_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            answers = msgspec.json.decode(done.stdout, type=list[Checked])
            if len(answers) == len(signed):
                return answers
        said = done.stdout.decode(errors="replace").strip()[:200]
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        said = str(error)[:200]
    raise UncheckedError(said or "no answer")


def fits(
    document: SettingsDocument, *, taken: int, now: float, collectors: Sequence[Collector]
) -> SettingsDocument:
    """The document, where it may be tried. ``now``: the time of day, by the collector's clock where that is known.

    Raises:
        RefusedError: it may not; says why.
    """
    if document.number <= taken:
        raise RefusedError(reasons.SETTINGS_OLD(number=document.number, taken=taken))
    if document.number > taken + _AHEAD:
        raise RefusedError(reasons.SETTINGS_AHEAD(number=document.number, taken=taken))
    if not document.issued_at <= now <= document.valid_until:
        raise RefusedError(reasons.SETTINGS_EXPIRED())
    intervals = document.settings.intervals or {}
    for each in collectors:
        seconds = intervals.get(each.name)
        if seconds is None:
            continue
        least = max(1.0, each.interval_seconds / _OFTENER)
        most = max(_SELDOM_SECONDS, each.interval_seconds)
        if not least <= seconds <= most:
            raise RefusedError(
                reasons.SETTINGS_INTERVAL(name=each.name, least=f"{least:g}", most=f"{most:g}")
            )
    return document
