"""Rows that the pages about settings for agents share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from collector.registry.service import list_agencies
from collector.state.tables import Endpoint
from collector.steering.settings.groups import AGENCY, ENDPOINT, ROLE, Group
from soc_api.pages import agent_settings_words as words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.orm import Session

    from collector.steering.settings.publishing import Change
    from soc_api.i18n import Translator
    from soc_api.pages.visit import Visit


@dataclass(frozen=True)
class Said:
    """One setting in words; ``before`` where it is a change. May be hostile."""

    name: str
    value: str
    before: str = ""


@dataclass(frozen=True)
class GroupRow:
    """``word`` says what kind of group it is; ``title`` which (a name of an agency, role or machine; hostile)."""

    kind: str
    key: str
    word: str
    title: str


class Titles:
    """What the groups ``wanted`` are called, read at once."""

    def __init__(self, session: Session, visit: Visit, wanted: Iterable[Group]) -> None:
        self._t = visit.t
        self._role = visit.words.endpoint_role
        agencies = list_agencies(session, visit.principal.scope)
        self._agencies = {agency.code: agency.name for agency in agencies}
        ids = sorted({group.key for group in wanted if group.kind == ENDPOINT})
        found = session.execute(select(Endpoint.id, Endpoint.hostname).where(Endpoint.id.in_(ids)))
        self._machines = {row.id: row.hostname for row in found}

    def row(self, group: Group) -> GroupRow:
        title = ""
        if group.kind == AGENCY:
            title = self._agencies.get(group.key, group.key)
        elif group.kind == ROLE:
            title = self._role(group.key)
        elif group.kind == ENDPOINT:
            title = self._machines.get(group.key, group.key)
        word = self._t(words.GROUPS[group.kind]) if group.kind in words.GROUPS else group.kind
        return GroupRow(group.kind, group.key, word, title)


def said(t: Translator, settings: Mapping[str, Any]) -> list[Said]:
    """Settings by dotted name, in words."""
    return [Said(words.setting(t, name), words.value(t, name, value)) for name, value in settings.items()]


def changed(t: Translator, changes: Sequence[Change]) -> list[Said]:
    return [
        Said(
            words.setting(t, each.name),
            words.value(t, each.name, each.after),
            words.value(t, each.name, each.before),
        )
        for each in changes
    ]
