"""What systemd starts by itself: enabled units, with the program each of them runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from agent import reasons
from agent.collectors.common.files import clean_text, is_folder, read_text, under
from agent.collectors.common.masking import hide_secrets
from agent.collectors.registry import Context, NothingToReport, Output, StatusDocument, collector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Where the administrator's choices stand, and where units lie, the first counts (systemd.unit(5)).
ENABLED: Final = "/etc/systemd/system"
UNITS: Final = (
    ENABLED,
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
MAX_UNITS: Final = 300
_KINDS: Final = (".service", ".timer", ".socket", ".path")
_UNIT_BYTES: Final = 64 << 10


def parse_unit(text: str) -> dict[str, str]:
    """``Description``, the first ``ExecStart`` (its prefixes taken away, secrets masked) and ``User`` of a unit."""
    found: dict[str, str] = {}
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        key, sign, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if sign and value and key in ("Description", "ExecStart", "User") and key not in found:
            found[key] = value.lstrip("@-:+!") if key == "ExecStart" else value
    command = found.pop("ExecStart", "")
    named = {"description": "Description", "user": "User"}
    result = {ours: clean_text(found[theirs]) for ours, theirs in named.items() if theirs in found}
    if command:
        result["command"] = hide_secrets(clean_text(command, 500))
    return result


def enabled_units(root: Path) -> Iterator[tuple[str, str]]:
    """``(unit, what it is started with)`` of the links in ``*.wants`` and ``*.requires``."""
    try:
        with os.scandir(under(root, ENABLED)) as entries:
            folders = sorted(e.name for e in entries if e.name.endswith((".wants", ".requires")))
    except OSError:
        return
    for folder in folders:
        try:
            with os.scandir(under(root, ENABLED) / folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError:
            continue
        for name in names[: MAX_UNITS * 2]:
            if name.endswith(_KINDS) and name.isprintable():
                yield name, folder.rpartition(".")[0]


def _row(root: Path, name: str, wanted_by: list[str]) -> dict[str, Any]:
    template = f"{name.partition('@')[0]}@.{name.rpartition('.')[2]}" if "@" in name else name
    for folder in UNITS:
        for file in dict.fromkeys((name, template)):
            text = read_text(under(root, folder) / file, _UNIT_BYTES)
            if text is not None:
                path = f"{folder}/{clean_text(file)}"
                return {"name": clean_text(name), "wanted_by": wanted_by, "path": path, **parse_unit(text)}
    return {"name": clean_text(name), "wanted_by": wanted_by, "path": ""}


@collector(
    "services",
    interval_seconds=300,
    platforms={"linux"},
    privileges="none",
    description="Services, timers and sockets that systemd starts by itself, with the command of each and the user it "
    "runs as",
)
def collect(ctx: Context) -> Output:
    if not is_folder(under(ctx.root, ENABLED)):
        raise NothingToReport(reasons.NO_SYSTEMD())
    wanted: dict[str, list[str]] = {}
    for name, by in enabled_units(ctx.root):
        wanted.setdefault(name, []).append(clean_text(by))
    rows = [_row(ctx.root, name, sorted(set(by))[:10]) for name, by in sorted(wanted.items())[:MAX_UNITS]]
    cut = len(wanted) > MAX_UNITS
    body = {
        "state": "partial" if cut else "ok",
        "reason": reasons.TABLE_CUT(number=MAX_UNITS) if cut else "",
        "count": len(wanted),
        "units": rows,
    }
    return Output(documents=[StatusDocument(kind="services", observed_at=ctx.now(), body=body)])
