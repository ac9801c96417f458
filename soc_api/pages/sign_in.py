"""Signing in and out, language and colours: what works before anybody is known."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from soc_api.accounts import sessions
from soc_api.accounts.dependencies import CurrentUser, RequestServices, client_address
from soc_api.accounts.sign_in import sign_in
from soc_api.errors import SignInRefusedError, TooManyTriesError
from soc_api.i18n import LANGUAGES
from soc_api.pages.render import THEMES, render, set_preference, shell_of, translator_of
from soc_api.pages.visit import back_to, own_path

router = APIRouter()
_SEE_OTHER = 303


@dataclass(frozen=True)
class SignInPage:
    """``next`` is where the reader wanted to go; ``refused`` why it did not work, in the reader's language."""

    next: str
    username: str = ""
    refused: str = ""


@router.get("/sign-in")
def show(request: Request, services: RequestServices, next: str = "/") -> Response:  # noqa: A002 - the address says so
    return render(request, "sign_in.html", SignInPage(own_path(next)), shell_of(request, services, None))


@router.post("/sign-in")
def enter(
    request: Request,
    services: RequestServices,
    username: Annotated[str, Form(max_length=256)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    code: Annotated[str, Form(max_length=32)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002 - the form says so
) -> Response:
    t = translator_of(request)
    try:
        made = sign_in(
            services,
            username,
            password,
            code,
            address=client_address(request),
            user_agent=request.headers.get("user-agent", ""),
            previous=request.cookies.get(sessions.COOKIE),
        )
    except TooManyTriesError as error:
        refused, status = (
            t("Too many failed tries from this address. Wait %(span)s.", span=t.span(error.retry_after)),
            429,
        )
    except SignInRefusedError:
        refused, status = (
            t(
                "User name, password or code is wrong, or the account is locked. Wait for a new code and try again."
            ),
            401,
        )
    else:
        response = RedirectResponse(own_path(next), _SEE_OTHER)
        sessions.set_cookie(response, made.value)
        return response
    page = SignInPage(own_path(next), username[:64], refused)
    return render(request, "sign_in.html", page, shell_of(request, services, None), status)


@router.post("/sign-out")
def leave(request: Request, services: RequestServices, principal: CurrentUser) -> Response:
    sessions.sign_out(services, principal, request.cookies.get(sessions.COOKIE, ""))
    response = RedirectResponse("/sign-in", _SEE_OTHER)
    sessions.clear_cookie(response)
    return response


@router.post("/language")
def choose_language(
    lang: Annotated[str, Form(max_length=8)],
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002 - the form says so
) -> Response:
    response = back_to(next)
    if lang in LANGUAGES:
        set_preference(response, "lang", lang)
    return response


@router.post("/theme")
def choose_theme(
    theme: Annotated[str, Form(max_length=8)],
    next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002 - the form says so
) -> Response:
    response = back_to(next)
    if theme in THEMES:
        set_preference(response, "theme", theme)
    return response
