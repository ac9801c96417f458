"""Which log sources an installation receives, and whether a rule's is among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rules.catalogue import load_catalogue
from rules.logsources import LogSources, shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rules.logsources import Pipeline

OWN_PRODUCT: Final = "vonggac"


class Source(NamedTuple):
    """Product, category and service; empty where it is not said (of a rule: any; of events: none)."""

    product: str = ""
    category: str = ""
    service: str = ""

    def __str__(self) -> str:
        return " / ".join(part for part in self if part) or "any"

    def is_met_by(self, have: Source) -> bool:
        """Whether a rule of this log source is for events of ``have``. Our own documents share the names of some
        categories (``firewall``) with logs that they are not, so a rule means them only by their product."""
        if have.product == OWN_PRODUCT and self.product != OWN_PRODUCT:
            return False
        return all(not want or want == has for want, has in zip(self, have, strict=True))

    @classmethod
    def of(cls, logsource: Mapping[str, Any]) -> Source:
        return cls(*(str(logsource.get(name) or "").strip().lower() for name in cls._fields))


@dataclass(frozen=True)
class Received:
    """What arrives. ``counted``: events a source, where they were counted (0: known, not counted).

    A service stands for the categories too that pipelines find among its events: ``pipelines``, or the shipped ones.
    """

    counted: Mapping[Source, int]
    pipelines: Sequence[Pipeline] | None = None
    _reach: set[Source] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        pipelines = shipped() if self.pipelines is None else self.pipelines
        for source in self.counted:
            self._reach.update((source, *_told_by(source, pipelines)))

    @classmethod
    def everything(cls) -> Received:
        """Stands for "do not ask": every rule's source is among it."""
        return _Everything({})

    def misses(self, wanted: Source) -> str:
        """Why nothing that arrives is offered to a rule with this log source; empty where something is."""
        if any(wanted.is_met_by(source) for source in self._reach):
            return ""
        if wanted.product and not any(source.product == wanted.product for source in self._reach):
            return f"nothing of {wanted.product} arrives"
        return f"nothing of {wanted} arrives"


class _Everything(Received):
    def misses(self, wanted: Source) -> str:  # noqa: ARG002 - the same question
        return ""


def known_sources(folders: Iterable[Path] | None = None) -> Received:
    """What our own rules are written for, which is what our agents and the collector send."""
    catalogue = load_catalogue() if folders is None else load_catalogue(folders)
    return Received({Source.of(info.logsource): 0 for info in catalogue.values() if info.logsource})


class Sampler:
    """Finds out what events are by the pipelines (none given: the shipped ones), from events themselves."""

    def __init__(self, pipelines: Sequence[Pipeline] | None = None) -> None:
        self._read = LogSources(shipped() if pipelines is None else pipelines).read

    def sources_of(self, source: Source, fields: Mapping[str, Any]) -> set[Source]:
        """Every log source that an event of ``source`` with these fields has. Never raises for what they hold."""
        _, found = self._read(*source, dict(fields))
        categories = {category for category, _ in found.categories} | {""}
        return {
            Source(found.product, category, service)
            for category in categories
            for service in (*found.services, "")
            if category or service
        }


def _told_by(source: Source, pipelines: Sequence[Pipeline]) -> tuple[Source, ...]:
    """The categories that pipelines find among events of this very service; others only a look at events tells."""
    return tuple(
        Source(source.product, category, source.service)
        for pipeline in pipelines
        if pipeline.product == source.product
        for category, ways in pipeline.categories.items()
        if any(way.service and way.service == source.service for way in ways)
    )
