"""One request for a page: who asks, in which language, about which address; and the answer around the content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.responses import RedirectResponse, Response

from collector.alerts.service import count_alerts
from collector.errors import ConflictError, NotFoundError
from collector.registry.service import list_agencies
from soc_api.accounts.permissions import Permission
from soc_api.pages.query import SIMULATED, Query
from soc_api.pages.render import Live, render, shell_of, translator_of
from soc_api.pages.words import Words

if TYPE_CHECKING:
    from datetime import datetime

    from fastapi import Request
    from sqlalchemy.orm import Session

    from collector.state.tables import Agency
    from soc_api.accounts.principal import Principal
    from soc_api.i18n import Translator
    from soc_api.services import Services

_SEE_OTHER: Final = 303


class Visit:
    """Made at the start of each page's route. ``now`` is the same throughout."""

    def __init__(self, request: Request, services: Services, principal: Principal) -> None:
        self.request: Final = request
        self.services: Final = services
        self.principal: Final = principal
        self.t: Final[Translator] = translator_of(request)
        self.now: Final[datetime] = services.clock()
        self.words: Final = Words(self.t)
        #: Whether simulated machines and alerts count here: the address says so, and links carry it on.
        self.simulated: Final = request.query_params.get("simulated") in SIMULATED

    def query(self, *known: str) -> Query:
        return Query.of(self.request.url.path, self.request.query_params, known)

    def back_to(self, path: str) -> Response:
        """Redirect after a change to a page of ours, with what the address carried."""
        return back_to(path + ("?simulated=1" if self.simulated else ""))

    def agencies(self, session: Session) -> list[Agency]:
        """Those within reach; none where there is no choice to make."""
        found = list_agencies(session, self.principal.scope)
        return found if len(found) > 1 else []

    def answer(
        self, template: str, page: object, *, shows_alerts: bool = False, status: int = 200
    ) -> Response:
        """The page within the shell. ``shows_alerts``: the page itself would show new alerts when loaded again."""
        counts = None
        if self.principal.may(Permission.ALERTS_READ):
            with self.services.state.read() as session:
                counts = count_alerts(session, self.principal.scope, include_simulated=self.simulated)
        shell = shell_of(
            self.request,
            self.services,
            self.principal,
            open_alerts=None if counts is None else counts.by_status.get("open", 0),
            live=None if counts is None else Live(counts.newest_id, shows_alerts),
        )
        return render(self.request, template, page, shell, status)


def status_of(refusal: Exception) -> int:
    """Of the page that says why a form was refused."""
    if isinstance(refusal, ConflictError):
        return 409
    return 404 if isinstance(refusal, NotFoundError) else 422


def back_to(target: str) -> Response:
    """Redirect after a change, only to a path of our own (never to another site)."""
    return RedirectResponse(own_path(target), _SEE_OTHER)


def own_path(target: str, otherwise: str = "/") -> str:
    """``target`` where it is a plain path of this site (with a query), else ``otherwise``."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return otherwise
    plain = (
        not parts.scheme
        and not parts.netloc
        and target.startswith("/")
        and not target.startswith(("//", "/\\"))
        and "\\" not in target
        and target.isprintable()
        and len(target) < 2000
    )
    return target if plain else otherwise
