"""House rules for detection content: what ``vonggac sigma check`` says beyond "does it load".

pySigma's own validators serve where they work without the internet; the rest is ours: names of files, both
languages, targets that exist, evidence beside the rule. Everything found is data; nothing here raises for content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import yaml
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule
from sigma.validation import SigmaValidator
from sigma.validators.base import SigmaValidationIssueSeverity
from sigma.validators.core import validators as _all_validators

from rules.catalogue import LANGUAGES, LEVELS, Catalogue, RuleInfo, load_catalogue
from rules.engine.compiling import parsed_objects
from rules.engine.errors import RuleError
from rules.engine.loading import EVIDENCE_SUFFIX, rule_files
from rules.evidence import evidence_path, load_evidence
from rules.targets import load_targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: ATT&CK's tactics (version 19), and two words of ours for rules about a state rather than a behaviour.
TACTICS: Final = (
    "reconnaissance",
    "resource_development",
    "initial_access",
    "execution",
    "persistence",
    "privilege_escalation",
    "stealth",
    "defense_impairment",
    "credential_access",
    "discovery",
    "lateral_movement",
    "collection",
    "command_and_control",
    "exfiltration",
    "impact",
)
STATES: Final = ("posture", "availability")
_FILE_NAME: Final = re.compile(rf"({'|'.join([*TACTICS, *STATES])})_[a-z0-9]+(_[a-z0-9]+)*\.yml")
_TAG: Final = re.compile(
    r"attack\.(t[0-9]{4}(\.[0-9]{3})?|[sg][0-9]{4}|[a-z-]+)|cve\.[0-9]{4}-[0-9]+|detection\.[a-z-]+"
)
_STATUSES: Final = ("stable", "test", "experimental")
_KEEPS_ONLY: Final = (
    "the filter keeps only what it describes, which is nearly always a mistake: to suppress it write "
    "'condition: not selection'"
)
#: These ask the internet for ATT&CK and D3FEND, judge file names by SigmaHQ's habits, or forbid our own block.
_LEFT_OUT: Final = {
    "attacktag",
    "d3_fendtag",
    "d3fendtag",
    "custom_attributes",
    "filename_length",
    "duplicate_filename",
    "fieldname_logsource",
    "specific_instead_of_generic_logsource",
    "namespace_tag",
}


@dataclass(frozen=True, slots=True)
class Issue:
    """``severity`` is ``error`` or ``warning``. ``rule`` is an id, or empty where the file has none."""

    severity: str
    path: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.severity}: {self.message}"


def lint(folders: Iterable[Path], *, own: bool) -> list[Issue]:
    """Check all rules under ``folders``. ``own``: also by the house rules that ours keep and SigmaHQ's need not."""
    folders = list(folders)
    issues = [Issue("error", each.path, each.id, each.reason) for each in _refused(folders)]
    issues.extend(_validator_issues(folders))
    if own:
        issues.extend(_own_issues(folders))
    return sorted(set(issues), key=lambda issue: (issue.path, issue.severity, issue.message))


def _refused(folders: list[Path]) -> list[Any]:
    from rules.engine import Engine

    return Engine(folders).unsupported


def _validator_issues(folders: list[Path]) -> Iterator[Issue]:
    chosen = [each for name, each in _all_validators.items() if name not in _LEFT_OUT]
    validator = SigmaValidator(chosen)
    paths: dict[str, str] = {}
    found: list[Any] = []
    for path in dict.fromkeys(path for folder in folders for path in rule_files(folder)):
        try:
            objects = parsed_objects(path.read_text(encoding="utf-8"), path.name)
        except (OSError, ValueError):
            continue  # told already
        for key, sigma in objects:
            paths.setdefault(key, str(path))
            if isinstance(sigma, SigmaRule):
                found.extend(validator.validate_rule(sigma))
            elif isinstance(sigma, SigmaFilter) and not re.search(r"\bnot\b", sigma.filter.condition[0]):
                yield Issue("warning", str(path), key, _KEEPS_ONLY)
    found.extend(validator.finalize())
    for each in found:
        severity = "error" if each.severity is SigmaValidationIssueSeverity.HIGH else "warning"
        detail = ", ".join(f"{name} {getattr(each, name)}" for name in _extra_fields(each))
        message = f"{each.description}{f' ({detail})' if detail else ''}"
        for rule in each.rules:
            key = str(rule.id or rule.name or "")
            yield Issue(severity, paths.get(key, ""), key, " ".join(message.split())[:300])


def _extra_fields(issue: Any) -> list[str]:
    return [name for name in issue.__dataclass_fields__ if name not in ("rules", "description", "severity")]


def _own_issues(folders: list[Path]) -> Iterator[Issue]:
    try:
        catalogue = load_catalogue(folders)
    except RuleError as problem:
        yield Issue("error", problem.path, "", problem.reason)
        return
    targets = {target.id for target in load_targets()}
    raw = _documents(folders)
    for info in catalogue.values():
        document = raw.get(info.id, {})
        for message in _rule_faults(info, document, targets):
            yield Issue("error", info.path, info.id, message)
    yield from _corpus_faults(folders, catalogue)


def _documents(folders: list[Path]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for folder in folders:
        for path in rule_files(folder):
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                if isinstance(document, dict) and "id" in document:
                    found[str(document["id"])] = document
    return found


def _rule_faults(info: RuleInfo, document: Mapping[str, Any], targets: set[str]) -> Iterator[str]:
    if not _FILE_NAME.fullmatch(Path(info.path).name):
        yield "the file's name is not <tactic>_<behaviour>.yml"
    if not _is_uuid4(info.id):
        yield "the id is no version 4 UUID in lower case"
    for name in ("title", "description", "author", "date", "level", "status", "falsepositives", "tags"):
        if name not in document:
            yield f"{name} is missing"
    if info.level not in LEVELS or info.status not in _STATUSES:
        yield f"level {info.level} or status {info.status} is not one of ours"
    for tag in info.tags:
        if not _TAG.fullmatch(tag):
            yield f"the tag {tag} is not of a known form"
        elif tag[7:].replace("-", "_") not in TACTICS and not re.match(
            r"attack\.[tsg][0-9]|cve|detection", tag
        ):
            yield f"the tag {tag} names no ATT&CK tactic"
    own = document.get("vonggac")
    if not isinstance(own, dict):
        yield "the block vonggac is missing"
        return
    unknown = own.keys() - {
        "title_vi", "description_vi", "falsepositives_vi", "triage", "targets", "subject", "clears",
    }  # fmt: skip
    if unknown:
        yield f"vonggac.{min(unknown)} is unknown"
    for name in ("title_vi", "description_vi", "falsepositives_vi", "targets", "subject"):
        if not own.get(name):
            yield f"vonggac.{name} is missing"
    for language in LANGUAGES:
        if not info.triage[language]:
            yield f"vonggac.triage.{language} is missing"
    for name in ("falsepositives", "triage"):
        lines: Mapping[str, tuple[str, ...]] = getattr(info, name)
        if len(lines["vi"]) != len(lines["en"]):
            yield f"{name} differ in number between Vietnamese and English"
    yield from (f"the target {each} is not in rules/targets" for each in info.targets if each not in targets)
    if document.get("fields") is None and not info.subject:
        yield "vonggac.subject is empty"
    yield from _evidence_faults(info)


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


def _corpus_faults(folders: list[Path], catalogue: Catalogue) -> Iterator[Issue]:
    rules = {info.path for info in catalogue.values()}
    for folder in folders:
        for path in sorted(folder.rglob(f"*{EVIDENCE_SUFFIX}")) if folder.is_dir() else ():
            rule = path.with_name(path.name.removesuffix(EVIDENCE_SUFFIX) + ".yml")
            if str(rule) not in rules:
                yield Issue("error", str(path), "", "evidence without its rule")
    titles: dict[str, str] = {}
    for info in catalogue.values():
        for title in info.title.values():
            if titles.setdefault(title, info.id) != info.id:
                yield Issue("error", info.path, info.id, f"the title {title!r} is taken")


def _is_uuid4(text: str) -> bool:
    try:
        return str(UUID(text)) == text and UUID(text).version == 4
    except ValueError:
        return False
