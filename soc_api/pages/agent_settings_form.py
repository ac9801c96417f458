"""The form of settings for agents: its fields as text, there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.steering.settings.errors import SettingsRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: In the form's order, under the settings' names; room on disk is written in MB (2^20).
FIELDS: Final = (
    "heartbeat_seconds",
    "metrics_seconds",
    "spool_bytes",
    "spool_hours",
    "disabled",
    "intervals",
    "trial_seconds",
)
#: Written for an empty list, which is not the same as an empty field: nothing is switched off, whatever others say.
NOTHING: Final = "-"
_MEBI: Final = 1 << 20


def as_form(settings: Mapping[str, Any]) -> dict[str, str]:
    """Of settings as they are stored."""
    values = dict.fromkeys(FIELDS, "")
    for name, said in settings.items():
        if name == "disabled":
            values[name] = " ".join(said) or NOTHING
        elif name == "intervals":
            values[name] = "\n".join(f"{each} = {seconds:g}" for each, seconds in sorted(said.items()))
        elif name == "spool_bytes":
            values[name] = f"{said / _MEBI:g}"
        elif name in values:
            values[name] = f"{said:g}"
    return values


def from_form(values: Mapping[str, str]) -> dict[str, Any]:
    """What the form says, as ``collector.steering.settings.publishing.read_values`` takes it.

    Raises:
        SettingsRefusedError: a field that cannot be read.
    """
    found: dict[str, Any] = {}
    for name in FIELDS:
        text = values.get(name, "").strip()
        if not text:
            continue
        if name == "disabled":
            found[name] = [] if text == NOTHING else sorted(set(text.replace(",", " ").split()))
        elif name == "intervals":
            found[name] = dict(_interval(line) for line in text.splitlines() if line.strip())
        elif name == "spool_bytes":
            found[name] = round(_number(name, text) * _MEBI)
        else:
            number = _number(name, text)
            found[name] = int(number) if number == int(number) else number
    return found


def _interval(line: str) -> tuple[str, float]:
    name, sign, seconds = line.partition("=")
    if not sign:
        raise SettingsRefusedError("intervals", f"write 'name = seconds', not {line.strip()[:80]!r}")
    return name.strip(), _number("intervals", seconds.strip())


def _number(name: str, text: str) -> float:
    if len(text) > 15 or not text.replace(".", "", 1).isascii() or not text.replace(".", "", 1).isdigit():
        raise SettingsRefusedError(name, f"not a number: {text[:80]!r}")
    return float(text)
