"""Rules written inline, and the events they meet."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rules.engine import Engine, Event
from rules.logsources import WindowsReader, seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rules.engine.routing import Sources

#: Test data beside the project, where this machine has it.
SHARED = Path(__file__).resolve().parents[3] / "shared"


def rule(detection: str, *, number: int = 1, name: str = "", logsource: str = "{category: test}") -> str:
    """A rule's YAML around ``detection`` (indentation is stripped)."""
    body = textwrap.indent(textwrap.dedent(detection).strip("\n"), "  ")
    named = f"name: {name}\n" if name else ""
    return (
        f"title: Rule {number}\nid: 00000000-0000-4000-8000-{number:012d}\n{named}status: test\n"
        f"logsource: {logsource}\ndetection:\n{body}\n"
    )


def rule_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def event(fields: Mapping[str, Any], *, time: float = 0.0, number: int = 0, category: str = "test") -> Event:
    return Event(str(number), time, "", category, "", fields)


def fires(detection: str, fields: Mapping[str, Any]) -> bool:
    """Whether a rule with this detection section fires on the event; fails where the rule is refused."""
    engine = Engine([rule(detection)])
    assert engine.unsupported == []
    return bool(engine.process(event(fields)))


def selects(item: str, fields: Mapping[str, Any]) -> bool:
    """The same for one selection of the lines ``item``."""
    lines = textwrap.indent(textwrap.dedent(item).strip("\n"), "  ")
    return fires(f"selection:\n{lines}\ncondition: selection", fields)


def refusal(detection: str) -> str:
    """Why a rule with this detection section is refused."""
    engine = Engine([rule(detection)])
    assert len(engine.unsupported) == 1
    assert engine.rules_loaded == 0
    return engine.unsupported[0].reason


class WindowsEvents:
    """Windows events of both forms, with their time read at once."""

    def __init__(self) -> None:
        self._reader = WindowsReader()

    def read(self, record: object, event_id: str) -> tuple[Event, Sources] | None:
        """The event and its log sources, or ``None`` where ``record`` has no channel or no event id."""
        found = self._reader.read(record)
        if found is None:
            return None
        time = seconds_of(found.time) if isinstance(found.time, str) else float("nan")
        return Event(event_id, time, found.sources.product, "", "", found.fields), found.sources
