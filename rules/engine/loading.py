"""Rule files to pySigma objects; what is broken is refused by itself, with file and reason, and the others go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule

from rules.engine import modifiers as _modifiers  # noqa: F401 - registers what pySigma's table lacks
from rules.engine.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Evidence lies beside its rule and is no rule.
EVIDENCE_SUFFIX: Final = ".evidence.yml"
_SUFFIXES: Final = (".yml", ".yaml")
_MAX_RULE_BYTES: Final = 1 << 20
_YAML: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

SigmaObject = SigmaRule | SigmaCorrelationRule | SigmaFilter


@dataclass(frozen=True, slots=True)
class Loaded:
    """One parsed object, the document it came from, and where that lies (``""`` for inline YAML)."""

    key: str
    sigma: SigmaObject
    document: dict[str, Any]
    path: str


@dataclass(slots=True)
class Loading:
    """What a load gave. ``refused`` grows while rules are compiled."""

    rules: list[Loaded] = field(default_factory=list)
    correlations: list[Loaded] = field(default_factory=list)
    filters: list[Loaded] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def rule_files(source: Path) -> Iterator[Path]:
    """``source`` itself, or every rule file under it, sorted; evidence left out."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix in _SUFFIXES and not path.name.endswith(EVIDENCE_SUFFIX) and path.is_file():
                yield path
    else:
        yield source


def load(sources: Iterable[Path | str]) -> Loading:
    """Read all sources; a ``Path`` is a file or folder, a ``str`` is YAML text. Never raises for what they hold."""
    loading = Loading()
    seen_files: set[Path] = set()
    seen_keys: dict[str, str] = {}
    for source in sources:
        if isinstance(source, str):
            _load_text(source, "", loading, seen_keys)
            continue
        for path in rule_files(source):
            resolved = path.resolve()
            if resolved in seen_files:
                continue
            seen_files.add(resolved)
            try:
                size = path.stat().st_size
                text = path.read_text(encoding="utf-8") if size <= _MAX_RULE_BYTES else None
            except (OSError, ValueError) as problem:
                loading.refused.append(Refusal(path.name, f"cannot be read: {problem}", str(path)))
                continue
            if text is None:
                reason = f"larger than {_MAX_RULE_BYTES:,} bytes, which no rule is"
                loading.refused.append(Refusal(path.name, reason, str(path)))
                continue
            _load_text(text, str(path), loading, seen_keys)
    return loading


def _load_text(text: str, path: str, loading: Loading, seen: dict[str, str]) -> None:
    name = Path(path).name or "inline"
    try:
        documents = [each for each in yaml.load_all(text, Loader=_YAML) if each is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        loading.refused.append(Refusal(name, f"not YAML: {_one_line(problem)}", path))
        return
    whole = any(isinstance(each, dict) and "action" in each for each in documents)
    for group in [documents] if whole else [[each] for each in documents]:
        _load_documents(group, name, path, loading, seen)


def _load_documents(
    documents: list[Any], name: str, path: str, loading: Loading, seen: dict[str, str]
) -> None:
    first = documents[0] if isinstance(documents[0], dict) else {}
    label = str(first.get("id") or first.get("name") or name)
    if not all(isinstance(each, dict) for each in documents):
        loading.refused.append(Refusal(label, "a rule is a YAML mapping", path))
        return
    try:
        collection = SigmaCollection.from_dicts(documents, collect_filters=True, resolve_references=False)
    except SigmaError as problem:
        loading.refused.append(Refusal(label, _one_line(problem), path))
        return
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, RecursionError) as problem:
        # pySigma trusts the shape of what it is given in places.
        loading.refused.append(Refusal(label, f"malformed: {_one_line(problem)}", path))
        return
    for sigma in [*collection.rules, *collection.filters]:
        key = str(sigma.id or sigma.name or f"{name}#{len(seen)}")
        if key in seen:
            loading.refused.append(Refusal(key, f"the id is taken by {seen[key] or 'an earlier rule'}", path))
            continue
        seen[key] = path
        document = first if len(documents) == 1 else {}
        loaded = Loaded(key, sigma, document, path)
        if isinstance(sigma, SigmaRule):
            loading.rules.append(loaded)
        elif isinstance(sigma, SigmaCorrelationRule):
            loading.correlations.append(loaded)
        else:
            loading.filters.append(loaded)


def apply_filters(loading: Loading) -> None:
    """Join each filter's condition to the rules it names (Sigma filters); a filter that fits none is refused."""
    for each in loading.filters:
        assert isinstance(each.sigma, SigmaFilter)  # noqa: S101 - by construction above
        used = False
        for rule in loading.rules:
            before = list(rule.sigma.detection.condition) if isinstance(rule.sigma, SigmaRule) else []
            try:
                each.sigma.apply_on_rule(rule.sigma)  # type: ignore[arg-type]  # rules hold no filters
            except SigmaError as problem:
                loading.refused.append(Refusal(each.key, _one_line(problem), each.path))
                break
            used = used or (isinstance(rule.sigma, SigmaRule) and before != rule.sigma.detection.condition)
        if not used:
            reason = "the filter fits no loaded rule (names and log source)"
            loading.refused.append(Refusal(each.key, reason, each.path))


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
