"""Which rules of a release are chosen here, and why the others are not."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rules.catalogue import LEVELS, OWN_RULES, load_catalogue
from rules.engine import Engine
from rules.importing.documents import Document, UnusableError, documents_of
from rules.importing.manifest import FORMAT, Choice, Manifest, ManifestRule, Reason, Unreadable
from rules.positions import line_of_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from rules.engine.errors import Refusal
    from rules.importing.release import Release
    from rules.importing.sources import Received

STATUSES: Final = ("stable", "test", "experimental", "deprecated", "unsupported")
Verdict = tuple[Reason, str, int]
_CHOSEN: Final[Verdict] = ("", "", 0)


@dataclass(frozen=True, slots=True)
class Choices:
    """``level``: the lowest taken. ``statuses``: those taken. ``received``: the data that arrives, and what it is
    called (``received``, ``agents``, ``all``)."""

    level: str
    statuses: tuple[str, ...]
    received: Received
    sources: str

    @property
    def plain(self) -> Choice:
        return Choice(self.level, tuple(sorted(self.statuses)), self.sources)


@dataclass(slots=True)
class Selection:
    """``manifest`` says all; ``texts`` are the files to write (those with at least one chosen rule)."""

    manifest: Manifest
    texts: dict[str, str] = field(default_factory=dict)

    def reasons(self) -> dict[Reason, Counter[str]]:
        """Of the rules not chosen: how many by reason and detail."""
        counted: dict[Reason, Counter[str]] = {}
        for rule in self.manifest.rules.values():
            if rule.reason:
                counted.setdefault(rule.reason, Counter())[rule.detail] += 1
        return counted


def select(
    release: Release,
    choices: Choices,
    staging: Path,
    progress: Callable[[str], None] = lambda _step: None,
) -> Selection:
    """Judge every rule of ``release``. ``staging``: an empty folder for the texts while the engine tries them; whoever
    gives it removes it. A rule that a chosen correlation needs is chosen with it; so is the rest of its file, because
    the engine reads whole files."""
    documents, unreadable = _read(release)
    unreadable.extend(Unreadable(each.name, each.reason) for each in release.passed)
    progress(f"{len(documents):,} rules")
    files = {each.file for each in documents}
    for file in files:
        path = staging / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(release.files[file], encoding="utf-8")
    refused = Engine([staging]).unsupported
    progress("compiled")
    verdicts = _verdicts(documents, choices, release.files, _by_place(refused, staging))
    shas = {file: hashlib.sha256(release.files[file].encode()).hexdigest() for file in files}
    rules = {}
    for each, (reason, detail, line) in zip(documents, verdicts, strict=True):
        if each.id not in rules:
            rules[each.id] = ManifestRule(
                file=each.file,
                title=each.title,
                level=each.level,
                status=each.status,
                logsource=str(each.logsource) if each.kind != "correlation" else "",
                sha256=shas[each.file],
                logic=each.logic,
                chosen=not reason,
                reason=reason,
                detail=detail,
                line=line,
                related=each.related,
            )
        else:
            unreadable.append(Unreadable(each.file, f"{each.id}: {detail}"))
    name = _name(release, choices.plain)
    manifest = Manifest(FORMAT, name, release.name, release.digest, choices.plain, rules, tuple(unreadable))
    texts = {rule.file: release.files[rule.file] for rule in manifest.chosen.values()}
    return Selection(manifest, texts)


def _name(release: Release, choice: Choice) -> str:
    """Of the folder: another selection of the same release is another folder."""
    mark = hashlib.sha256(f"{release.digest} {choice}".encode()).hexdigest()
    return f"{release.name[:60]}-{mark[:12]}"


def _read(release: Release) -> tuple[list[Document], list[Unreadable]]:
    documents: list[Document] = []
    unreadable: list[Unreadable] = []
    for file, text in sorted(release.files.items()):
        try:
            documents.extend(list(documents_of(file, text)))
        except UnusableError as problem:
            where = f"line {problem.line}: " if problem.line else ""
            unreadable.append(Unreadable(file, f"{where}{problem}"))
    return documents, unreadable


def _by_place(refused: list[Refusal], staging: Path) -> dict[tuple[str, str], Refusal]:
    """Refusals by file and id; where a refusal has no id, by file alone."""
    found: dict[tuple[str, str], Refusal] = {}
    for each in refused:
        try:
            file = Path(each.path).relative_to(staging).as_posix()
        except ValueError:
            file = ""
        found.setdefault((file, each.id.lower()), each)
        found.setdefault((file, ""), each)
    return found


def _verdicts(
    documents: list[Document],
    choices: Choices,
    texts: dict[str, str],
    refused: dict[tuple[str, str], Refusal],
) -> list[Verdict]:
    own = {info.id: info.path for info in load_catalogue([OWN_RULES]).values()}
    alone: Counter[str] = Counter(each.file for each in documents)
    first: dict[str, Document] = {}
    verdicts: list[Verdict] = []
    for each in documents:
        taken = first.setdefault(each.id, each)
        refusal = refused.get((each.file, each.id))
        if refusal is None and alone[each.file] == 1:
            refusal = refused.get((each.file, ""))
        if taken is not each:
            verdicts.append(("duplicate", f"the id is taken by {taken.file}", 0))
        elif each.id in own:
            verdicts.append(("own", "one of our own rules has this id", 0))
        elif refusal is not None:
            line = getattr(refusal, "line", None) or line_of_problem(
                texts[each.file], refusal.reason, each.id
            )
            verdicts.append(("broken", refusal.reason, line))
        else:
            verdicts.append(_judged(each, choices))
    _join_correlations(documents, verdicts)
    return verdicts


def _judged(each: Document, choices: Choices) -> Verdict:
    if each.kind == "detection":
        missing = choices.received.misses(each.logsource)
        if missing:
            return ("not_received", missing, 0)
    if each.status not in choices.statuses and each.status:
        return ("status", each.status, 0)
    level = each.level if each.level in LEVELS else "medium"
    if each.kind != "filter" and LEVELS.index(level) < LEVELS.index(choices.level):
        return ("level", level, 0)
    return _CHOSEN


def _join_correlations(documents: list[Document], verdicts: list[Verdict]) -> None:
    """A correlation is worth nothing without its rules: it brings them along whatever their level, and is left out
    where one cannot run here. Correlations over correlations settle from the inside out."""
    places: dict[str, int] = {}
    for at, each in enumerate(documents):
        for key in (each.id, each.name):
            if key and verdicts[at][0] != "duplicate":
                places.setdefault(key, at)
    waiting = [at for at, each in enumerate(documents) if each.kind == "correlation" and not verdicts[at][0]]
    for _round in range(len(waiting) + 1):
        settled = True
        for at in waiting:
            if verdicts[at][0]:
                continue
            for key in documents[at].references:
                needed = places.get(key.lower(), places.get(key))
                why: Verdict = ("reference", f"needs {key}, which is not in the release", 0)
                if needed is not None:
                    reason = verdicts[needed][0]
                    if not reason or reason in ("level", "status"):
                        continue
                    why = ("reference", f"needs {key}: {verdicts[needed][1] or reason}", 0)
                verdicts[at], settled = why, False
                break
        if settled:
            break
    for at in waiting:
        if not verdicts[at][0]:
            _bring_along(at, documents, verdicts, places)


def _bring_along(at: int, documents: list[Document], verdicts: list[Verdict], places: dict[str, int]) -> None:
    open_: list[int] = [at]
    seen: set[int] = set()
    while open_:
        here = open_.pop()
        if here in seen:
            continue
        seen.add(here)
        verdicts[here] = _CHOSEN
        open_.extend(places[key] for key in documents[here].references if key in places)
