"""Refusals, as RFC 9457 problem documents."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from agent.messages import (
    PROBLEM_BUSY,
    PROBLEM_ENVELOPE,
    PROBLEM_REVOKED,
    PROBLEM_TOKEN,
    PROBLEM_TOO_LARGE,
    TAKES_HEADER,
    Problem,
)
from collector.errors import CollectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.messages import Importance

NO_TYPE = "about:blank"


class RefusalError(CollectorError):
    """One refused request. ``reason`` is a word for metrics; ``detail`` says what was wrong and where."""

    def __init__(
        self,
        status: HTTPStatus,
        reason: str,
        detail: str,
        *,
        kind: str = NO_TYPE,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})
        self.problem = Problem(type=kind, title=status.phrase, status=status.value, detail=detail)

    def body(self) -> bytes:
        return msgspec.json.encode(self.problem)


def envelope(detail: str, status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY) -> RefusalError:
    """What came is not what the contract says; the same request will be refused again."""
    return RefusalError(status, "envelope", detail, kind=PROBLEM_ENVELOPE)


def too_large(detail: str) -> RefusalError:
    return RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail, kind=PROBLEM_TOO_LARGE)


def busy(reason: str, detail: str, retry_seconds: int, *, takes: Importance | None = None) -> RefusalError:
    """Not now: the sender keeps what it has and comes again. ``takes``: from this importance on it may come now."""
    headers = {"retry-after": str(retry_seconds)}
    if takes is not None:
        headers[TAKES_HEADER.lower()] = takes.word
    return RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, reason, detail, kind=PROBLEM_BUSY, headers=headers)


def too_many(reason: str, detail: str, retry_seconds: int) -> RefusalError:
    return RefusalError(
        HTTPStatus.TOO_MANY_REQUESTS,
        reason,
        detail,
        kind=PROBLEM_BUSY,
        headers={"retry-after": str(retry_seconds)},
    )


def conflict(detail: str) -> RefusalError:
    """It cannot be had as things stand; what the sender has goes on working."""
    return RefusalError(HTTPStatus.CONFLICT, "conflict", detail)


def token_refused() -> RefusalError:
    """One answer for every bad token: a guesser learns nothing."""
    return RefusalError(
        HTTPStatus.FORBIDDEN,
        "token",
        "the enrolment token is unknown, used or expired: ask for a new one (`vonggac token create`)",
        kind=PROBLEM_TOKEN,
    )


def revoked(detail: str) -> RefusalError:
    return RefusalError(HTTPStatus.FORBIDDEN, "revoked", detail, kind=PROBLEM_REVOKED)


def unauthenticated(detail: str) -> RefusalError:
    return RefusalError(HTTPStatus.UNAUTHORIZED, "certificate", detail)


def not_found() -> RefusalError:
    return RefusalError(HTTPStatus.NOT_FOUND, "path", "no such resource")


def not_allowed(allowed: str) -> RefusalError:
    return RefusalError(
        HTTPStatus.METHOD_NOT_ALLOWED, "method", f"only {allowed} here", headers={"allow": allowed}
    )
