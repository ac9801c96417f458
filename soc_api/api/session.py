"""Signing in and out, and the signed-in user's own account."""

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from soc_api.accounts import sessions
from soc_api.accounts.dependencies import CurrentUser, RequestServices, client_address
from soc_api.accounts.service import change_password
from soc_api.accounts.sign_in import sign_in
from soc_api.api.shapes import require_json

router = APIRouter(tags=["session"])


class SignIn(BaseModel):
    """All three at once; which of them was wrong is never said."""

    model_config = ConfigDict(extra="forbid")

    username: str = Field(max_length=64, examples=["minh.anh"])
    password: str = Field(max_length=256)
    code: str = Field(
        max_length=16, description="The authenticator app's present six digits.", examples=["123456"]
    )


class OpenedSession(BaseModel):
    csrf_token: str = Field(
        description="Goes into the header `X-CSRF-Token` of every request that changes something."
    )


class Me(BaseModel):
    username: str
    role: str
    agency_id: int | None = Field(description="The one agency that an officer reaches; null: all.")
    permissions: list[str]
    csrf_token: str


class PasswordChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    old_password: str = Field(max_length=256)
    new_password: str = Field(max_length=256, description="At least 12 characters.")


@router.post("/session", status_code=201, dependencies=[Depends(require_json)])
def open_session(
    body: SignIn, request: Request, response: Response, services: RequestServices
) -> OpenedSession:
    """Sign in. The session is in the cookie that comes back (`__Host-vonggac`: HttpOnly, Secure,
    SameSite=Strict)."""
    made = sign_in(
        services,
        body.username,
        body.password,
        body.code,
        address=client_address(request),
        user_agent=request.headers.get("user-agent", ""),
        previous=request.cookies.get(sessions.COOKIE),
    )
    sessions.set_cookie(response, made.value)
    return OpenedSession(csrf_token=made.csrf_token)


@router.delete("/session", status_code=204)
def close_session(
    request: Request, response: Response, services: RequestServices, principal: CurrentUser
) -> None:
    """Sign out: the session ends on the server."""
    sessions.sign_out(services, principal, request.cookies.get(sessions.COOKIE, ""))
    sessions.clear_cookie(response)


@router.get("/me")
def me(principal: CurrentUser) -> Me:
    """Who is signed in, and what that allows."""
    return Me(
        username=principal.username,
        role=principal.role,
        agency_id=principal.agency_id,
        permissions=sorted(principal.permissions),
        csrf_token=principal.csrf_token,
    )


@router.post("/me/password", status_code=204)
def new_password(
    body: PasswordChange, response: Response, services: RequestServices, principal: CurrentUser
) -> None:
    """Change one's own password. All of one's sessions end, this one too."""
    change_password(services, principal, body.old_password, body.new_password)
    sessions.clear_cookie(response)
