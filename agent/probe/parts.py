"""Which parts there are: every folder here with a ``part.py``. And their files of settings."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from agent.settings_file import SettingsError, load_settings

if TYPE_CHECKING:
    from agent.probe.contract import Part
    from agent.settings import Settings

PREFIX: Final = "VONGGAC_PROBE"
_HERE: Final = Path(__file__).parent


class Chosen(Struct, frozen=True):
    """A part that shall run, with its own settings."""

    part: Part
    settings: Struct


def part_names() -> list[str]:
    return sorted(path.parent.name for path in _HERE.glob("*/part.py"))


def part_named(name: str) -> Part:
    """Raise ``KeyError`` where there is none of that name."""
    if name not in part_names():
        raise KeyError(name)
    found: Part = import_module(f"agent.probe.{name}.part").PART
    return found


def chosen_parts(settings: Settings) -> list[Chosen]:
    """The parts of ``[probe] parts``, each with its settings: ``<folder>/<part>.toml``, or defaults where there is no
    such file, and ``VONGGAC_PROBE_<PART>_<SECTION>_<KEY>`` over them.

    Raises:
        SettingsError: no such part, or the first thing wrong in a part's file.
    """
    chosen = []
    for name in dict.fromkeys(settings.probe.parts):
        try:
            part = part_named(name)
        except KeyError:
            raise SettingsError(
                f"[probe] parts: there is no part {name!r}; known: {', '.join(part_names())}"
            ) from None
        path = Path(settings.probe.folder) / f"{name}.toml"
        own = load_settings(
            part.settings, path if path.exists() else None, os.environ, f"{PREFIX}_{name.upper()}"
        )
        chosen.append(Chosen(part, own))
    return chosen
