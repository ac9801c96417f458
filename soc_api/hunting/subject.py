"""What a hunt is about: a rule with all that belongs to it (filters, a correlation's rules), ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from collector.errors import NotFoundError
from collector.store.schema import FIELD_COLUMNS
from rules.catalogue import rule_info
from rules.engine import Engine
from rules.engine.loading import Loader
from rules.history.plan import HuntPlan, plan_of
from rules.history.ways import ways_to
from rules.logsources import Pipeline, shipped
from soc_api.hunting.errors import HuntError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from collector.rulebook.models import Book, Entry
    from collector.rulebook.sources import Rulebook
    from rules.engine.ruleset import RuleSet

MAX_TEXT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Subject:
    """``key``: the rule whose findings are wanted. ``texts``: it and what it needs, as YAML."""

    key: str
    title: Mapping[str, str]
    texts: tuple[str, ...]
    plan: HuntPlan
    correlation: bool
    pipelines: tuple[Pipeline, ...]

    def engine(self) -> Engine:
        """An engine of this rule alone; correlations begin with no memory."""
        return Engine(self.texts, report_all=True)


class Subjects:
    """Makes subjects. ``book``: the known rules, for references and filters (``None``: there are none). ``pipelines``:
    those that the live worker reads events by (``None``: the shipped ones)."""

    def __init__(
        self,
        book: Book | None = None,
        rulebook: Rulebook | None = None,
        session: Session | None = None,
        pipelines: Sequence[Pipeline] | None = None,
    ) -> None:
        self._pipelines = shipped() if pipelines is None else tuple(pipelines)
        self._book = book
        self._rulebook = rulebook
        self._session = session

    def by_id(self, rule_id: str) -> Subject:
        """A known rule, disabled ones too.

        Raises:
            NotFoundError: there is none with this id or name.
            HuntError: it cannot be run.
        """
        entry = None if self._book is None else self._book.named(rule_id)
        if entry is None or entry.kind == "filter":
            raise NotFoundError(f"there is no rule {rule_id[:80]}")
        return self._make(self._text(entry), entry.id)

    def by_text(self, text: str) -> Subject:
        """A rule's YAML: one rule; or a correlation, with or without the rules it refers to.

        Raises:
            HuntError: it cannot be run, with the line.
        """
        if len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
            raise HuntError(f"longer than {MAX_TEXT_BYTES >> 10} KB, which no rule is")
        return self._make(text, "")

    def _make(self, text: str, wanted: str) -> Subject:
        texts = [text]
        rules = Loader().load(texts)
        if rules.refused:
            first = rules.refused[0]
            raise HuntError(first.reason, getattr(first, "line", 0) or 0)
        key = wanted or _wanted(rules)
        correlation = rules.correlations.get(key)
        if correlation is None and key not in rules.rules:
            raise HuntError("there is no rule in this text")
        texts += [*(self._referenced(rules) if correlation is not None else ()), *self._filters()]
        if len(texts) > 1:
            rules = Loader().load(texts)
        effective = rules.effective()
        asked = [effective[key]] if correlation is None else list(effective.values())
        if not asked:
            raise HuntError("none of the rules that the correlation refers to is known here")
        if correlation is not None:
            self._demand_running(texts, key)
        plan = plan_of([(rule, ways_to(rule.logsource, self._pipelines)) for rule in asked], FIELD_COLUMNS)
        return Subject(key, _title(text, key), tuple(texts), plan, correlation is not None, self._pipelines)

    def _demand_running(self, texts: list[str], key: str) -> None:
        for refusal in Engine(texts, report_all=True).unsupported:
            if refusal.id == key:
                raise HuntError(refusal.reason, getattr(refusal, "line", 0) or 0)

    def _referenced(self, rules: RuleSet) -> list[str]:
        """Texts of the rules that correlations refer to, and of what those refer to, that are not there yet."""
        have = {*rules.rules, *rules.correlations, *rules.names()}
        waiting = [name for plan in rules.correlations.values() for name in plan.rules]
        texts: list[str] = []
        while waiting:
            name = waiting.pop()
            entry = None if name in have or self._book is None else self._book.named(name)
            have.add(name)
            if entry is None or entry.id in have:
                continue
            have.update((entry.id, entry.info.name))
            texts.append(self._text(entry))
            waiting.extend(entry.info.references)
        return texts

    def _filters(self) -> list[str]:
        if self._book is None:
            return []
        return [self._text(each) for each in self._book.values() if each.kind == "filter" and each.active]

    def _text(self, entry: Entry) -> str:
        assert self._rulebook is not None  # noqa: S101 - where there is a book, there is what it was read from
        assert self._session is not None  # noqa: S101 - likewise
        return self._rulebook.text(self._session, entry)


def _wanted(rules: RuleSet) -> str:
    """The correlation that no other one refers to; else the only rule."""
    referenced = {name for plan in rules.correlations.values() for name in plan.rules}
    outermost = [key for key, plan in rules.correlations.items() if not {key, plan.name} & referenced]
    candidates = outermost or list(rules.rules)
    if len(candidates) != 1:
        kind = "correlations" if outermost else "rules"
        raise HuntError(
            f"{len(candidates)} {kind} in this text: one at a time" if candidates else "no rule in this text"
        )
    return candidates[0]


def _title(text: str, key: str) -> Mapping[str, str]:
    try:
        documents: list[Any] = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        documents = []
    for document in documents:
        info = rule_info(document, "")
        if info is not None and (info.id == key or len(documents) == 1):
            return info.title
    return {"vi": key, "en": key}
