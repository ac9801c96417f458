"""FastAPI dependencies: who is asking, may they, and is it really their own form.

Every route names what it needs by ``Depends(require(Permission.…))`` (no permission: any signed-in user). A
test walks all routes and fails on one that names nothing and is not in ``PUBLIC_PATHS`` (``soc_api.app``).
"""

import hmac
from functools import cache
from typing import Annotated, Final

from fastapi import Depends, Request

from soc_api.accounts import sessions
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.errors import CsrfError, SignInRequiredError
from soc_api.services import Services

CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "X-CSRF-Token"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


def services(request: Request) -> Services:
    """What ``create_app`` put together for the whole process."""
    found = request.app.state.services
    assert isinstance(found, Services)  # noqa: S101 - create_app put it there
    return found


RequestServices = Annotated[Services, Depends(services)]


def client_address(request: Request) -> str:
    """The peer's address. Nothing that the client can write (``X-Forwarded-For``) is believed."""
    return request.client.host if request.client else ""


def principal(request: Request, services: RequestServices) -> Principal:
    """Whose session the cookie is; runs in a worker thread because it asks the state store."""
    value = request.cookies.get(sessions.COOKIE)
    found = None
    if value:
        found = sessions.find(
            services.state, value, client_address(request), services.settings.web, services.clock()
        )
    if found is None:
        raise SignInRequiredError("nobody is signed in, or the session has ended")
    return found


class Require:
    """A dependency that gives the :class:`Principal`, once it holds ``permissions`` and, where the request
    changes something, has shown the session's CSRF token (form field ``csrf_token`` or header
    ``X-CSRF-Token``)."""

    def __init__(self, *permissions: Permission) -> None:
        self.permissions = permissions

    async def __call__(
        self, request: Request, principal: Annotated[Principal, Depends(principal)]
    ) -> Principal:
        if request.method not in _SAFE:
            await _check_csrf(request, principal)
        principal.demand(self.permissions)
        return principal


@cache
def require(*permissions: Permission) -> Require:
    return Require(*permissions)


#: Any signed-in user, whatever the role.
CurrentUser = Annotated[Principal, Depends(require())]


async def _check_csrf(request: Request, principal: Principal) -> None:
    token: object = request.headers.get(CSRF_HEADER)
    if token is None and request.headers.get("content-type", "").startswith(_FORMS):
        token = (await request.form()).get(CSRF_FIELD)
    if not isinstance(token, str) or not hmac.compare_digest(token.encode(), principal.csrf_token.encode()):
        raise CsrfError("the form does not belong to this session: load the page again and repeat")
