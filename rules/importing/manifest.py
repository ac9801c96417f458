"""What a taken release holds, rule by rule: ``manifest.json`` beside the rules."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct

FORMAT: Final = 1
#: Why a rule was not chosen. ``broken``: cannot be loaded; ``duplicate``: another rule has its id; ``own``: one of our
#: own rules has; ``not_received``: its data does not arrive here; ``level``, ``status``: by choice; ``reference``: of a
#: correlation, a rule that it needs is not there.
Reason = Literal["", "broken", "duplicate", "own", "not_received", "level", "status", "reference"]


class Related(Struct, frozen=True):
    id: str
    type: str


class ManifestRule(Struct, frozen=True, omit_defaults=True):
    """One rule of a release. ``file`` is relative to the release's ``rules``; ``sha256`` is the file's, ``logic`` that
    of its log source, detection, correlation and filter alone. ``detail`` says more of ``reason``, as a sentence."""

    file: str
    title: str
    level: str
    status: str
    logsource: str
    sha256: str
    logic: str
    chosen: bool
    reason: Reason = ""
    detail: str = ""
    line: int = 0
    related: tuple[Related, ...] = ()


class Choice(Struct, frozen=True):
    """What was asked for. ``sources``: ``received``, ``agents`` or ``all``."""

    level: str
    statuses: tuple[str, ...]
    sources: str


class Unreadable(Struct, frozen=True):
    file: str
    reason: str


class Manifest(Struct, frozen=True):
    """``name`` is the folder's; ``release`` what the person brought; ``rules`` by id."""

    format: int
    name: str
    release: str
    digest: str
    choice: Choice
    rules: dict[str, ManifestRule]
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def chosen(self) -> dict[str, ManifestRule]:
        return {key: rule for key, rule in self.rules.items() if rule.chosen}

    def encoded(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    @staticmethod
    def decoded(data: bytes) -> Manifest:
        """Raise :class:`msgspec.MsgspecError` for another form."""
        return msgspec.json.decode(data, type=Manifest)
