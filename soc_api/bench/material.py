"""What measurements need beside the program: SigmaHQ's rules and Windows events, next to the project's checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import zstandard

SHARED: Final = Path(__file__).parents[3] / "shared"
EVENTS: Final = SHARED / "events" / "windows_open.jsonl.zst"
EXPECTED: Final = SHARED / "events" / "windows_open.expected.jsonl"
_FOLDERS: Final = ("rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance")


class MissingMaterialError(RuntimeError):
    """What is measured is not here."""


def rule_folders() -> list[Path]:
    """The four folders of SigmaHQ's rules.

    Raises:
        MissingMaterialError: they, or the events, are not there.
    """
    folders = [SHARED / "sigmahq" / name for name in _FOLDERS]
    if not all(folder.is_dir() for folder in folders) or not EVENTS.is_file():
        raise MissingMaterialError(f"SigmaHQ's rules and events are not in {SHARED}: nothing to measure with")
    return folders


def event_lines() -> list[bytes]:
    """The Windows events, one JSON object each."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(EVENTS.read_bytes()).splitlines()


def firing() -> set[int]:
    """The places of the events that some rule fires on."""
    return {msgspec.json.decode(line)["event"] for line in EXPECTED.read_bytes().splitlines()}
