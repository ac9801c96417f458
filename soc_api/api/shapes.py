"""What the API's answers share: pages, cursors, times, problem documents in OpenAPI."""

import base64
import binascii
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from soc_api.errors import Fault, InvalidError
from soc_api.problems import MEDIA_TYPE

T = TypeVar("T")
#: A number that the state store can compare.
Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
MOST_ROWS: Final = 200


class Shape(BaseModel):
    """An answer's part, read from a table's row or a data class by its attributes' names."""

    model_config = ConfigDict(from_attributes=True)


class Body(BaseModel):
    """A request's body: a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Page(BaseModel, Generic[T]):
    """Some rows, and where the next ones begin."""

    items: list[T]
    next: str | None = Field(description="Give it as `after` to get the next page; null: there is none.")


class PageRequest(BaseModel):
    limit: int
    after: str | None

    def after_id(self) -> int | None:
        """The cursor as a number; raise :class:`InvalidError` where it is none of ours."""
        if self.after is None:
            return None
        text = self.after_text()
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise InvalidError(Fault("query.after", "not a cursor of this list"))
        return int(text)

    def after_text(self) -> str:
        try:
            text = base64.b64decode((self.after or "").encode(), altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            text = ""
        if not text:
            raise InvalidError(Fault("query.after", "not a cursor of this list"))
        return text


def page_request(
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows a page.")] = 50,
    after: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
) -> PageRequest:
    return PageRequest(limit=limit, after=after)


Paging = Annotated[PageRequest, Depends(page_request)]


def cursor(value: object) -> str:
    """An opaque cursor of ``value``."""
    return base64.urlsafe_b64encode(str(value).encode()).decode()


async def require_json(request: Request) -> None:
    """Refuse anything but JSON, so that no other site's form can sign a browser in under a foreign
    account."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    if kind != "application/json":
        raise InvalidError(Fault("header.content-type", "must be application/json"))


class Problem(BaseModel):
    """RFC 9457. `errors` says where, one entry for each wrong thing."""

    type: str
    title: str
    status: int
    detail: str | None = None
    errors: list[dict[str, str]] | None = None


_DESCRIPTIONS: Final = {
    401: "Nobody is signed in",
    403: "The role does not allow it, or the CSRF token is missing",
    404: "It does not exist, or the caller does not reach it (which looks the same)",
    409: "The change does not fit the present state",
    413: "The body is too large",
    422: "Something in the request is wrong; `errors` says where",
    429: "Too many tries; Retry-After says how long to wait",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for problem documents."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _DESCRIPTIONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }
