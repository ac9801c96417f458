"""Whether a value is as wanted, and how that is written: ``PASS_MAX_DAYS 99999``, wanted ``PASS_MAX_DAYS ≤ 365``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.collectors.common.files import clean_text

if TYPE_CHECKING:
    from agent.assessment.form import Valued

#: The most of a value, or of several, that is shown as evidence.
MAX_FOUND: Final = 160
_UNSET: Final = "—"


class Outcome(Struct, frozen=True):
    """``passed`` is None where it cannot be told: then ``reason`` says why. ``found`` and ``wanted`` are evidence."""

    passed: bool | None
    found: str = ""
    wanted: str = ""
    reason: str = ""


def outcome(wanted: Valued, name: str, value: str | None) -> Outcome:
    """``value`` is None where the setting is not set."""
    found = f"{name} {_UNSET if value is None else clean_text(value, MAX_FOUND) or repr('')}"
    if value is None and wanted.default is not None:
        found = f"{name} {_UNSET} ({wanted.default})"
    judged = wanted.default if value is None else value
    return Outcome(judged is not None and holds(wanted, judged), found[:MAX_FOUND], spelt(wanted, name))


def holds(wanted: Valued, value: str) -> bool:
    """Whether every condition holds. A value that is no number keeps no limit."""
    text = value.strip().casefold()
    if wanted.one_of and text not in {each.casefold() for each in wanted.one_of}:
        return False
    if text in {each.casefold() for each in wanted.none_of}:
        return False
    if wanted.excludes and {each.casefold() for each in wanted.excludes} & _listed(text):
        return False
    if wanted.at_least is None and wanted.at_most is None:
        return True
    number = whole(text)
    return (
        number is not None
        and (wanted.at_least is None or number >= wanted.at_least)
        and (wanted.at_most is None or number <= wanted.at_most)
    )


def _listed(text: str) -> set[str]:
    """The members of a list; one that is added to a default (``+3des-cbc``) is a member."""
    return {each.lstrip("+^") for each in text.replace(",", " ").split()}


def whole(text: str) -> int | None:
    """A whole decimal number, with a sign or without."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 19 else None


def spelt(wanted: Valued, name: str) -> str:
    """What is wanted, in signs that need no translation."""
    parts = []
    if wanted.one_of:
        parts.append("= " + " | ".join(wanted.one_of))
    if wanted.none_of:
        parts.append("≠ " + ", ".join(wanted.none_of))
    if wanted.excludes:
        parts.append("∌ " + ", ".join(wanted.excludes))
    if wanted.at_least is not None:
        parts.append(f"≥ {wanted.at_least}")
    if wanted.at_most is not None:
        parts.append(f"≤ {wanted.at_most}")
    return clean_text(f"{name} {', '.join(parts)}", MAX_FOUND)
