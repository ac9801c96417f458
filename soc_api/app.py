"""Puts the web process together: services, JSON API, pages, reports, and the guard around them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from collector.errors import CollectorError
from collector.rulebook.live import LiveCatalogue
from collector.state.database import open_state
from collector.store.client import StoreClient
from soc_api import guard, metering, problems
from soc_api.accounts.declared import refuse_undeclared
from soc_api.api import metrics
from soc_api.api import router as api
from soc_api.pages import router as pages
from soc_api.reports import routes as reports
from soc_api.services import Services, live_book

if TYPE_CHECKING:
    from collector.settings import DataDirectory, Settings

#: Paths that anyone may ask for; every other route declares a permission (``require``) or it does not start.
PUBLIC_PATHS: Final = frozenset(
    {
        "/healthz",
        "/pulse",
        "/sign-in",
        "/api/v1/session",
        "/api/v1/backup-reports",
        "/language",
        "/theme",
        "/metrics",
    }
)
#: Folders of files without secrets.
PUBLIC_PREFIXES: Final = ("/static/",)


def create_app(data: DataDirectory, settings: Settings) -> FastAPI:
    """The application on the stores of ``data``; the state store must have been migrated."""
    return assemble(open_services(data, settings))


def open_services(data: DataDirectory, settings: Settings) -> Services:
    """Open the stores. Whoever calls closes ``state`` and ``store``.

    Raises:
        CollectorError: a setting names what is no address.
    """
    state = open_state(settings, data)
    rules = live_book(data, settings, state)
    services = Services(
        state=state,
        store=StoreClient(data.store_socket),
        settings=settings,
        catalogue=LiveCatalogue(rules),
        data=data,
        live=rules,
    )
    try:
        _ = services.metrics_readers
    except ValueError as error:
        raise CollectorError(f"[web] metrics_from: {error}") from error
    return services


def assemble(services: Services) -> FastAPI:
    """The application around ready services: what tests use."""
    app = FastAPI(title="Vọng Gác", version="1", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.services = services
    app.state.closing = False
    for router in (api.router, metrics.router, reports.router, pages.router):
        app.include_router(router)
    refuse_undeclared(app, PUBLIC_PATHS, PUBLIC_PREFIXES)
    unexpected = problems.install(app, pages.error_page)
    app.add_middleware(metering.Metering, metrics=services.metrics)
    app.add_middleware(guard.Guard, hosts=guard.allowed_hosts(services.settings.web), unexpected=unexpected)
    return app
