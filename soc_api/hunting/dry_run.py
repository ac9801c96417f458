"""What a rule's text would have found lately, before anybody is bothered by it: a small hunt. No rule is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from collector.errors import CollectorError
from collector.rulebook.sources import parse_document
from soc_api.accounts.permissions import Permission
from soc_api.errors import SocError
from soc_api.hunting.desk import HuntDesk
from soc_api.i18n import N_

if TYPE_CHECKING:
    from soc_api.accounts.principal import Principal
    from soc_api.services import Services

HOURS: Final = 24
_SAMPLES: Final = 5
#: People wait for the answer, and the hunt is beside their work: bounds are small.
_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class DryRun:
    """``matches`` among the events received in the last ``hours``; ``samples`` are ids of the newest of them. Not
    ``complete``: a bound stopped it, so there may be more. ``not_made``: why it was not tried; the rest is void.
    """

    hours: int = HOURS
    matches: int = 0
    samples: list[str] = field(default_factory=list)
    complete: bool = True
    not_made: str = ""


def dry_run(services: Services, principal: Principal, text: str, *, simulated: bool = False) -> DryRun | None:
    """Try a sound text; None for a filter, which finds nothing by itself. That it could not be tried is no fault of the
    text, so nothing is raised."""
    head = parse_document(text)
    if head is not None and head.kind == "filter":
        return None
    if not principal.may(Permission.HUNTS_RUN):
        return DryRun(not_made=N_("it takes the permission hunts.run"))
    desk = HuntDesk.of(services, principal)
    try:
        question = desk.question(f"{HOURS}h", "", limit=_SAMPLES, simulated=simulated, seconds=_SECONDS)
        answer = desk.run(question, text=text, patience=_PATIENCE_SECONDS)
    except (CollectorError, SocError) as error:
        return DryRun(not_made=str(error))
    return DryRun(HOURS, answer.hits, [each.event_id for each in answer.found], answer.complete)
