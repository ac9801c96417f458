"""The house rules that our own detection content keeps: names of files, both languages, targets that exist, evidence
beside the rule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from rules.attack import attack
from rules.catalogue import LANGUAGES, LEVELS, Catalogue, RuleInfo, load_catalogue
from rules.engine.errors import RuleError
from rules.engine.loading import EVIDENCE_SUFFIX
from rules.evidence import evidence_path, load_evidence
from rules.lint import Issue
from rules.targets import load_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rules.lint import Checked

#: Words of ours beside ATT&CK's tactics, for rules about a state rather than a behaviour.
STATES: Final = ("posture", "availability")
_TAG: Final = re.compile(
    r"attack\.(t[0-9]{4}(\.[0-9]{3})?|[sg][0-9]{4}|[a-z-]+)|cve\.[0-9]{4}-[0-9]+|detection\.[a-z-]+"
)
_NO_TACTIC: Final = re.compile(r"attack\.[tsg][0-9]|cve|detection")
_STATUSES: Final = ("stable", "test", "experimental")
_OWN_KEYS: Final = {
    "title_vi", "description_vi", "falsepositives_vi", "triage", "targets", "subject", "clears",
}  # fmt: skip
#: A key path, and what is wrong there.
Fault = tuple[tuple[str | int, ...], str]


def own_issues(folders: Sequence[Path], checked: Sequence[Checked]) -> Iterator[Issue]:
    """Everything by which rules under ``folders`` depart from the house rules: all of it errors."""
    try:
        catalogue = load_catalogue(folders)
    except RuleError as problem:
        yield Issue("error", problem.path, "", problem.reason, check="house")
        return
    targets = {target.id for target in load_targets()}
    found = {each.key: each for each in checked}
    for info in catalogue.values():
        each = found.get(info.id)
        if each is None:
            continue
        for path, message in _rule_faults(info, each.document, targets):
            line = each.positions.line(path, each.number)
            yield Issue("error", info.path, info.id, message, line, "house")
        for message in _evidence_faults(info):
            yield Issue("error", info.path, info.id, message, 1, "evidence")
    yield from _corpus_faults(folders, catalogue)


def _rule_faults(info: RuleInfo, document: Mapping[str, Any], targets: set[str]) -> Iterator[Fault]:
    tactics = {key.replace("-", "_") for key in attack().tactics}
    name = rf"({'|'.join([*sorted(tactics), *STATES])})_[a-z0-9]+(_[a-z0-9]+)*\.yml"
    if not re.fullmatch(name, Path(info.path).name):
        yield (), "the file's name is not <tactic>_<behaviour>.yml"
    if not _is_uuid4(info.id):
        yield ("id",), "the id is no version 4 UUID in lower case"
    for key in ("title", "description", "author", "date", "level", "status", "falsepositives", "tags"):
        if key not in document:
            yield (), f"{key} is missing"
    if info.level not in LEVELS or info.status not in _STATUSES:
        place = "status" if info.level in LEVELS else "level"
        yield (place,), f"level {info.level} or status {info.status} is not one of ours"
    for number, tag in enumerate(info.tags):
        if not _TAG.fullmatch(tag):
            yield ("tags", number), f"the tag {tag} is not of a known form"
        elif tag[7:].replace("-", "_") not in tactics and not _NO_TACTIC.match(tag):
            yield ("tags", number), f"the tag {tag} names no ATT&CK tactic"
    own = document.get("vonggac")
    if not isinstance(own, dict):
        yield (), "the block vonggac is missing"
        return
    for key in sorted(map(str, own.keys() - _OWN_KEYS)):
        yield ("vonggac", key), f"vonggac.{key} is unknown"
    for key in ("title_vi", "description_vi", "falsepositives_vi", "targets", "subject"):
        if not own.get(key):
            yield ("vonggac",), f"vonggac.{key} is missing"
    for language in LANGUAGES:
        if not info.triage[language]:
            yield ("vonggac", "triage"), f"vonggac.triage.{language} is missing"
    for key, place in (("falsepositives", "falsepositives_vi"), ("triage", "triage")):
        lines: Mapping[str, tuple[str, ...]] = getattr(info, key)
        if len(lines["vi"]) != len(lines["en"]):
            yield ("vonggac", place), f"{key} differ in number between Vietnamese and English"
    for number, each in enumerate(info.targets):
        if each not in targets:
            yield ("vonggac", "targets", number), f"the target {each} is not in rules/targets"


def _evidence_faults(info: RuleInfo) -> Iterator[str]:
    try:
        cases = load_evidence(info, evidence_path(Path(info.path)))
    except RuleError as problem:
        yield problem.reason
        return
    if not any(case.fires for case in cases):
        yield "evidence has no case that fires"
    if all(case.fires for case in cases):
        yield "evidence has no near miss"


def _corpus_faults(folders: Sequence[Path], catalogue: Catalogue) -> Iterator[Issue]:
    rules = {info.path for info in catalogue.values()}
    for folder in folders:
        for path in sorted(folder.rglob(f"*{EVIDENCE_SUFFIX}")) if folder.is_dir() else ():
            rule = path.with_name(path.name.removesuffix(EVIDENCE_SUFFIX) + ".yml")
            if str(rule) not in rules:
                yield Issue("error", str(path), "", "evidence without its rule", 1, "evidence")
    titles: dict[str, str] = {}
    for info in catalogue.values():
        for title in info.title.values():
            if titles.setdefault(title, info.id) != info.id:
                yield Issue("error", info.path, info.id, f"the title {title!r} is taken", 1, "house")


def _is_uuid4(text: str) -> bool:
    try:
        return str(UUID(text)) == text and UUID(text).version == 4
    except ValueError:
        return False
