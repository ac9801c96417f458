"""All of the console's routes, and the page that an error becomes."""

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from soc_api.accounts.dependencies import services as services_of
from soc_api.i18n import N_
from soc_api.pages import (
    agent_settings,
    agent_settings_edit,
    agent_versions,
    alert,
    alerts,
    assessment,
    attack,
    backups,
    coverage,
    devices,
    endpoint,
    endpoints,
    firewalls,
    hunt,
    identity,
    incidents,
    links,
    live,
    log_sources,
    network,
    overview,
    reports,
    rule,
    rule_edit,
    rules,
    services,
    sign_in,
    static,
    system,
    vulnerabilities,
)
from soc_api.pages.render import render, shell_of, translator_of

router = APIRouter(include_in_schema=False)
for _page in (
    sign_in,
    static,
    overview,
    alerts,
    alert,
    incidents,
    coverage,
    endpoints,
    endpoint,
    identity,
    devices,
    assessment,
    agent_versions,
    agent_settings,
    agent_settings_edit,
    reports,
    rules,
    rule_edit,  # before rule: /rules/new is no rule's page
    rule,
    hunt,
    attack,
    vulnerabilities,
    network,
    firewalls,
    services,
    links,
    log_sources,
    backups,
    system,
    live,
):
    router.include_router(_page.router)

_TITLES: Final = {
    401: N_("Sign in first"),
    403: N_("Not permitted"),
    404: N_("Not found"),
    409: N_("Somebody was first"),
    422: N_("The request is not valid"),
    429: N_("Too many tries"),
    500: N_("Something went wrong"),
    503: N_("Not available at the moment"),
}
_ADVICE: Final = {
    403: N_("Your role does not allow this, or the form has expired. Load the page again and repeat."),
    404: N_("It does not exist, or it belongs to an agency that you do not work for."),
    409: N_("What you wanted to change has changed meanwhile. Load the page again to see it as it is."),
    500: N_("It has been logged. Try again, then tell the administrator."),
}


@dataclass(frozen=True)
class ErrorPage:
    """``title`` and ``advice`` are in the reader's language; ``detail`` is the server's own English sentence."""

    status: int
    title: str
    advice: str
    detail: str


def error_page(request: Request, status: int, title: str, detail: str) -> Response:
    """Any refusal as a page, for a browser. Works without a session and with a broken store."""
    t = translator_of(request)
    page = ErrorPage(
        status=status,
        title=t(_TITLES[status]) if status in _TITLES else title,
        advice=t(_ADVICE[status]) if status in _ADVICE else "",
        detail=detail,
    )
    return render(request, "error.html", page, shell_of(request, services_of(request), None), status)
