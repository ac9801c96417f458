"""What goes wrong at the web's edge. Each type knows the problem document (RFC 9457) that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong thing in a request: ``where`` is its place (``body.note``, ``query.limit``), ``reason`` one
    sentence."""

    where: str
    reason: str


class SocError(Exception):
    """Cannot go on; ``str()`` is one line for a person, and is sent to the caller."""

    status: ClassVar[int] = 400
    problem: ClassVar[str] = "urn:vonggac:problem:refused"
    title: ClassVar[str] = "The request was refused"


class SignInRequiredError(SocError):
    """Nobody is signed in, or the session has ended."""

    status = 401
    problem = "urn:vonggac:problem:sign-in"
    title = "Sign in first"


class SignInRefusedError(SocError):
    """User name, password or code wrong, or the account locked: deliberately not said which."""

    status = 401
    problem = "urn:vonggac:problem:sign-in-refused"
    title = "Sign-in refused"


class TooManyTriesError(SocError):
    """One address has tried too often. ``retry_after`` is in seconds."""

    status = 429
    problem = "urn:vonggac:problem:too-many-tries"
    title = "Too many tries"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ForbiddenError(SocError):
    """Signed in, but the role does not hold the permission."""

    status = 403
    problem = "urn:vonggac:problem:forbidden"
    title = "Not permitted"


class CsrfError(SocError):
    """A change was asked for without the session's own token, or from another site."""

    status = 403
    problem = "urn:vonggac:problem:csrf"
    title = "The form has expired"


class InvalidError(SocError):
    """The request is readable but wrong; ``faults`` say where."""

    status = 422
    problem = "urn:vonggac:problem:invalid"
    title = "The request is not valid"

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.where}: {fault.reason}" for fault in faults))
        self.faults = faults
