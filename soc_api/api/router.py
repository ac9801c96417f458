"""All of the API's routes under one prefix, its OpenAPI document, and the health check."""

from functools import cache
from typing import Any, Final

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from soc_api.accounts.dependencies import CurrentUser, RequestServices
from soc_api.api import (
    agencies,
    agent_settings,
    agent_versions,
    alerts,
    assessment,
    attack,
    audit,
    backups,
    coverage,
    devices,
    endpoints,
    firewalls,
    hunts,
    identity,
    incidents,
    log_sources,
    network,
    rules,
    services,
    session,
    system,
    targets,
    tokens,
    users,
    vulnerabilities,
)
from soc_api.api.shapes import Problem, refusals

PREFIX: Final = "/api/v1"
_DESCRIPTION: Final = """What people and their tools may ask of Vọng Gác.

Sign in with `POST /api/v1/session`, keep the cookie, and send the `csrf_token` of the answer as
`X-CSRF-Token` with everything that changes something. Every list is paged by `limit` and `after`. Times are
ISO 8601 in UTC. Every error is a problem document (RFC 9457). What lies outside the caller's agencies
answers 404, as if it did not exist.
"""

router = APIRouter()
_v1 = APIRouter(prefix=PREFIX, responses=refusals(401, 403, 404, 409, 422))
for _module in (
    session,
    alerts,
    incidents,
    endpoints,
    identity,
    devices,
    log_sources,
    backups,
    assessment,
    coverage,
    agencies,
    rules,
    hunts,
    attack,
    tokens,
    users,
    audit,
    system,
    targets,
    vulnerabilities,
    network,
    firewalls,
    agent_versions,
    agent_settings,
    services,
):
    _v1.include_router(_module.router)


@_v1.get("/openapi.json", tags=["description"], response_class=JSONResponse)
def openapi(principal: CurrentUser) -> JSONResponse:  # noqa: ARG001 - signed-in users only
    """This description, OpenAPI 3.1."""
    return JSONResponse(describe())


@cache
def describe() -> dict[str, Any]:
    """The OpenAPI document of the API's own routes."""
    document = get_openapi(title="Vọng Gác", version="1", description=_DESCRIPTION, routes=router.routes)
    document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    return document


router.include_router(_v1)


@router.get("/healthz", include_in_schema=False)
def healthz(services: RequestServices) -> JSONResponse:
    """200 only when both stores answer."""
    stores = {"state": True, "events": services.store.healthy()}
    try:
        with services.state.read() as transaction:
            transaction.execute(text("SELECT count(*) FROM user"))
    except SQLAlchemyError:
        stores["state"] = False
    return JSONResponse(stores, 200 if all(stores.values()) else 503)
