"""Every refusal as an RFC 9457 problem document; for a browser, as the console's own error page."""

import logging
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from collector.errors import CollectorError, ConflictError, NotFoundError
from collector.store.errors import QueryError, StoreError
from soc_api.errors import InvalidError, SignInRequiredError, SocError, TooManyTriesError

MEDIA_TYPE: Final = "application/problem+json"
#: (request, status, title, detail) -> an HTML page; given by ``soc_api.pages`` as ``error_page``.
ErrorPage = Callable[[Request, int, str, str], Response]

_log = logging.getLogger(__name__)


def problem(
    status: int,
    title: str,
    detail: str = "",
    *,
    kind: str = "about:blank",
    faults: Sequence[dict[str, str]] = (),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The document. ``faults`` are ``{"where": …, "reason": …}`` under the member ``errors``."""
    body: dict[str, Any] = {"type": kind, "title": title, "status": status}
    if detail:
        body["detail"] = detail
    if faults:
        body["errors"] = list(faults)
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI, error_page: ErrorPage | None) -> Callable[[Request, Exception], Response]:
    """Make ``app`` answer every error so. Requests outside ``/api/`` that accept HTML get ``error_page``.

    Returns what answers an exception that nobody expected (for the guard around the application).
    """

    def answer(request: Request, document: JSONResponse, title: str, detail: str) -> Response:
        if error_page is None or not wants_html(request):
            return document
        page = error_page(request, document.status_code, title, detail)
        for name in ("retry-after", "allow"):
            if name in document.headers:
                page.headers[name] = document.headers[name]
        return page

    def on_soc(request: Request, error: Exception) -> Response:
        assert isinstance(error, SocError)  # noqa: S101 - how it was registered
        if isinstance(error, SignInRequiredError) and wants_html(request):
            return to_sign_in(request)
        faults = [{"where": fault.where, "reason": fault.reason} for fault in getattr(error, "faults", ())]
        headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooManyTriesError) else None
        detail = str(error)
        document = problem(
            error.status, error.title, detail, kind=error.problem, faults=faults, headers=headers
        )
        return answer(request, document, error.title, detail)

    def on_collector(request: Request, error: Exception) -> Response:
        status, name = next(
            (found for kind, found in _COLLECTOR if isinstance(error, kind)), (422, "invalid")
        )
        title = HTTPStatus(status).phrase
        where = getattr(error, "field", None) or getattr(error, "column", None)
        faults = [{"where": str(where), "reason": str(error)}] if where else []
        headers = {"Retry-After": "5"} if status == 503 else None
        document = problem(
            status, title, str(error), kind=f"urn:vonggac:problem:{name}", faults=faults, headers=headers
        )
        return answer(request, document, title, str(error))

    def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - how it was registered
        faults = [
            {"where": ".".join(str(part) for part in item["loc"]), "reason": str(item["msg"])}
            for item in error.errors()[:20]
        ]
        detail = "; ".join(f"{fault['where']}: {fault['reason']}" for fault in faults)
        document = problem(422, InvalidError.title, detail, kind=InvalidError.problem, faults=faults)
        return answer(request, document, InvalidError.title, detail)

    def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - how it was registered
        title = HTTPStatus(error.status_code).phrase
        detail = "" if error.detail == title else str(error.detail)
        document = problem(error.status_code, title, detail, headers=dict(error.headers or {}))
        return answer(request, document, title, detail)

    def on_busy(request: Request, error: Exception) -> Response:
        _log.error("the state store failed: %s %s", request.method, request.url.path, exc_info=error)
        title, detail = "The state store is busy", "nothing was changed; try again in a moment"
        kind = "urn:vonggac:problem:busy"
        document = problem(503, title, detail, kind=kind, headers={"Retry-After": "5"})
        return answer(request, document, title, detail)

    def on_unexpected(request: Request, error: Exception) -> Response:
        _log.error("request failed: %s %s", request.method, request.url.path, exc_info=error)
        title, detail = (
            "Something went wrong on the server",
            "it has been logged; try again, then tell the administrator",
        )
        return answer(request, problem(500, title, detail), title, detail)

    app.add_exception_handler(SocError, on_soc)
    app.add_exception_handler(CollectorError, on_collector)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(OperationalError, on_busy)
    return on_unexpected


_COLLECTOR: Final[tuple[tuple[type[CollectorError], tuple[int, str]], ...]] = (
    (NotFoundError, (404, "not-found")),
    (ConflictError, (409, "conflict")),
    (QueryError, (422, "invalid")),
    (StoreError, (503, "busy")),
)


def wants_html(request: Request) -> bool:
    """A person's browser asks for a page (not the API, not the event stream, not a script's fetch)."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def to_sign_in(request: Request) -> Response:
    """Send a browser to the sign-in page, and back afterwards; ``next`` is always a path of our own."""
    target = "/sign-in"
    if request.method == "GET" and request.url.path != "/":
        query = f"?{request.url.query}" if request.url.query else ""
        target += "?next=" + quote(request.url.path + query, safe="")
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": target})
    return RedirectResponse(target, 303)
