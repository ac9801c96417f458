"""The words of the rulebook: where a rule comes from, what is set of it, what is wrong with a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from rules.catalogue import RuleInfo

#: ``own``: shipped with the program. ``folder``: of ``[detect] rule_folders``. ``imported``: of a release that was
#: brought in. ``local``: written here.
ORIGINS: Final = ("own", "folder", "imported", "local")
#: ``ok``, ``slow``, ``noisy``: how the worker found it in the last hour. ``refused``: it does not run.
STATES: Final = ("ok", "slow", "noisy", "refused")
KINDS: Final = ("rule", "correlation", "filter")


@dataclass(frozen=True, slots=True)
class TextFault:
    """One thing wrong with a rule's text or its evidence. ``severity`` is ``error`` or ``warning``; ``line`` counts
    from 1, 0 where it is not known; ``part`` is ``rule`` or ``evidence``."""

    message: str
    line: int = 0
    severity: str = "error"
    part: str = "rule"


@dataclass(frozen=True, slots=True)
class Checked:
    """A text that was looked at. ``info`` is None where it is no rule. ``cases`` of evidence were run."""

    info: RuleInfo | None
    faults: tuple[TextFault, ...]
    cases: int = 0

    @property
    def errors(self) -> tuple[TextFault, ...]:
        return tuple(fault for fault in self.faults if fault.severity == "error")


@dataclass(frozen=True, slots=True)
class Setting:
    """What people set of a rule (see ``RuleSetting``); the default is what a rule without a row is."""

    enabled: bool = True
    throttle: int | None = None
    revision: int = 0
    reason: str = ""
    changed_by: str = ""
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule as it is now: the text that runs (or would, were it enabled) and what is set of it.

    ``path`` and ``number`` are the file and the document in it, of shipped texts; ``shipped`` says whether there is
    one. ``fingerprint`` changes whenever the text does. ``whole``: the file's documents only make sense together.
    ``fault``: the file can no longer be read, and this is what it said when it could be.
    """

    info: RuleInfo
    kind: str
    origin: str
    fingerprint: str
    shipped: bool
    path: str = ""
    number: int = 0
    whole: bool = False
    generates: bool = False
    fault: TextFault | None = None
    setting: Setting = field(default_factory=Setting)

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def active(self) -> bool:
        return self.setting.enabled


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file of rules that cannot be read. ``rules``: how many rules of it are known from when it could be."""

    path: str
    fault: TextFault
    rules: int

    def __str__(self) -> str:
        line = f":{self.fault.line}" if self.fault.line else ""
        return f"{self.path}{line}: {self.fault.message}"


class Book(Mapping[str, Entry]):
    """All rules by id, as of change ``change``, in the order own, folders, imported, local. ``broken``: the files that
    cannot be read."""

    def __init__(
        self,
        entries: Mapping[str, Entry],
        change: int = 0,
        release: str = "",
        broken: Iterable[BrokenFile] = (),
    ) -> None:
        self._entries = dict(entries)
        self.change: Final = change
        self.release: Final = release
        self.broken: Final = tuple(broken)
        self._names = {entry.info.name: entry.id for entry in self._entries.values() if entry.info.name}

    def __getitem__(self, key: str) -> Entry:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def named(self, reference: str) -> Entry | None:
        """By id or by the rule's ``name``, as correlations refer to rules."""
        return self._entries.get(self._names.get(reference, reference.lower())) or self._entries.get(
            reference
        )

    def needed_by(self, rule_id: str) -> list[Entry]:
        """The enabled correlations that refer to this rule."""
        found = self.get(rule_id)
        if found is None:
            return []
        names = {rule_id, found.info.name} - {""}
        return [
            entry
            for entry in self._entries.values()
            if entry.active and names.intersection(entry.info.references)
        ]
