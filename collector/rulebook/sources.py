"""Puts the book of all rules together: files of every origin, and over them what people wrote and set."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from sqlalchemy import func, select

from collector.rulebook.files import Head, RuleFile, RuleFiles, document_text, head_of
from collector.rulebook.models import Book, BrokenFile, Entry, Setting
from collector.state.tables import RuleChange, RuleRevision, RuleSetting
from rules.catalogue import OWN_RULES, YAML_LOADER, Catalogue
from rules.importing import Imported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

log = logging.getLogger("vonggac.rulebook")


class Rulebook:
    """The rules of one installation. ``folders`` are those of ``[detect] rule_folders``, ``imported`` the place of
    releases that were brought in; ``cache`` a file of this process's own.

    Cheap to ask again: files are only looked at anew after a change that concerns many rules (an import, a reload).
    Of two rules with one id the first counts, in the order own, folders, imported; a local revision lies over it.
    """

    def __init__(
        self,
        folders: Sequence[str] = (),
        imported: Path | None = None,
        cache: Path | None = None,
        own: Path = OWN_RULES,
    ) -> None:
        self._own = own
        self._folders = [Path(folder) for folder in folders]
        self._releases = None if imported is None else Imported(imported)
        self._files = RuleFiles(cache)
        self._missing: set[Path] = set()
        self._shipped: dict[str, Entry] = {}
        self._broken: list[BrokenFile] = []
        self._scanned: tuple[int, str] | None = None

    def mark(self, session: Session) -> tuple[int, str]:
        """What changes whenever the book may have: the change number, and which release is imported."""
        return session.scalar(select(func.max(RuleChange.id))) or 0, self._revision()

    def read(self, session: Session) -> Book:
        """The book as it is in this transaction."""
        change, release = self.mark(session)
        many = session.scalar(select(func.max(RuleChange.id)).where(RuleChange.rule_id == "")) or 0
        if self._scanned != (many, release):
            self._shipped = self._scan()
            self._scanned = (many, release)
        settings = {row.rule_id: setting_of(row) for row in session.scalars(select(RuleSetting))}
        found = dict(self._shipped)
        for rule_id, setting in settings.items():
            if rule_id in found:
                found[rule_id] = replace(found[rule_id], setting=setting)
        found.update(_local(session, settings, self._shipped))
        return Book(_knowing_internal(found), change, release, self._broken)

    def _scan(self) -> dict[str, Entry]:
        imported = None if self._releases is None else self._releases.folder()
        shipped: dict[str, Entry] = {}
        paths: list[str] = []
        broken: list[BrokenFile] = []
        sources = [("own", self._own), *(("folder", each) for each in self._present())]
        if imported is not None and imported.is_dir():
            sources.append(("imported", imported))
        for origin, folder in sources:
            for file in self._files.read(folder):
                paths.append(str(file.path))
                for head in file.heads:
                    shipped.setdefault(head.info.id, _shipped(head, origin, file))
                if file.fault is not None:
                    broken.append(BrokenFile(str(file.path), file.fault, len(file.heads)))
        for each in broken:
            log.error("a file of rules cannot be read", extra={"file": each.path, "reason": str(each)})
        self._broken = broken
        self._files.save(paths)
        return _knowing_internal(shipped)

    def text(self, session: Session, entry: Entry) -> str:
        """The text of an entry as it was written; ``""`` where its file is gone."""
        if entry.setting.revision:
            query = select(RuleRevision.text).where(
                RuleRevision.rule_id == entry.id, RuleRevision.number == entry.setting.revision
            )
            return session.scalar(query) or ""
        return self.shipped_text(entry)

    def shipped_text(self, entry: Entry) -> str:
        if not entry.path:
            return ""
        try:
            text = Path(entry.path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        # A file that is broken is shown as it is, so that what is wrong can be seen.
        return text if entry.whole or entry.fault is not None else document_text(text, entry.number)

    def _present(self) -> list[Path]:
        for folder in self._folders:
            if folder.exists():
                self._missing.discard(folder)
            elif folder not in self._missing:
                self._missing.add(folder)
                log.error(
                    "a folder of rules is missing: see [detect] rule_folders", extra={"folder": str(folder)}
                )
        return [folder for folder in self._folders if folder not in self._missing]

    def _revision(self) -> str:
        """Which release is in use; asked with every look, so no more than one stat."""
        return "" if self._releases is None else self._releases.revision()


def parse_document(text: str, path: str = "") -> Head | None:
    """What a text of one document says of its rule; None where it is no rule with an id, or several."""
    try:
        documents = [each for each in yaml.load_all(text, Loader=YAML_LOADER) if each is not None]
    except (ValueError, yaml.YAMLError, RecursionError):
        return None
    return head_of(documents[0], path) if len(documents) == 1 else None


def catalogue_of(book: Book) -> Catalogue:
    """What people read about the rules, disabled ones too: their alerts are still there."""
    return Catalogue(entry.info for entry in book.values() if entry.kind != "filter")


def setting_of(row: RuleSetting) -> Setting:
    return Setting(row.enabled, row.throttle, row.revision, row.reason, row.changed_by, row.changed_at)


def _shipped(head: Head, origin: str, file: RuleFile) -> Entry:
    return Entry(
        info=head.info,
        kind=head.kind,
        origin=origin,
        fingerprint=f"{file.path}#{head.number}@{file.mark}",
        shipped=True,
        path=str(file.path),
        number=head.number,
        whole=head.whole,
        generates=head.generates,
        fault=file.fault,
    )


def _local(session: Session, settings: dict[str, Setting], shipped: dict[str, Entry]) -> dict[str, Entry]:
    """Entries whose text is a revision written here."""
    query = select(RuleRevision).join(
        RuleSetting,
        (RuleSetting.rule_id == RuleRevision.rule_id) & (RuleSetting.revision == RuleRevision.number),
    )
    found: dict[str, Entry] = {}
    for row in session.scalars(query.order_by(RuleRevision.id)):
        head = parse_document(row.text)
        if head is None:
            log.error("a revision holds no rule", extra={"rule": row.rule_id, "revision": row.number})
            continue
        under = shipped.get(row.rule_id)
        found[row.rule_id] = Entry(
            info=replace(head.info, id=row.rule_id),
            kind=head.kind,
            origin="local" if under is None else under.origin,
            fingerprint=f"revision {row.id}",
            shipped=under is not None,
            path="" if under is None else under.path,
            number=0 if under is None else under.number,
            whole=False if under is None else under.whole,
            generates=head.generates,
            setting=settings[row.rule_id],
        )
    return found


def _knowing_internal(entries: dict[str, Entry]) -> dict[str, Entry]:
    """The same, each knowing whether it only serves correlations; few change, so few are made anew."""
    generated = {
        each
        for entry in entries.values()
        if entry.generates and entry.active
        for each in entry.info.references
    }
    silent = {each for entry in entries.values() for each in entry.info.references} - generated
    for entry in list(entries.values()):
        internal = entry.id in silent or entry.info.name in silent
        if entry.info.internal != internal:
            entries[entry.id] = replace(entry, info=replace(entry.info, internal=internal))
    return entries
