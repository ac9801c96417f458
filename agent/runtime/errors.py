"""What the agent's runtime raises. Every ``str()`` is one line that says what to do next."""

from __future__ import annotations

import ssl


class AgentError(Exception):
    """Root of the agent's own exceptions."""


class NotEnrolledError(AgentError):
    """The state directory holds no identity, or one that cannot be used."""


class AlreadyRunningError(AgentError):
    """Another process holds the state directory."""


class UnusableSettingsError(AgentError):
    """Settings that are sound by themselves name something that is not there."""


class SpoolError(AgentError):
    """The spool cannot be written: nothing was committed, the same content may be offered again."""


class TornFileError(AgentError):
    """A spool file that is not what was written: cut off, overwritten, or of another program."""


class EnrolmentError(AgentError):
    """Enrolment or renewal was refused, or the collector is not who the token says."""


class RefusedError(EnrolmentError):
    """The collector answered, and will not have it, however often it is asked."""


class TpmError(AgentError):
    """The TPM cannot do what it is asked. ``code``: ``absent``, ``denied`` (who runs may not use it), ``locked`` (its
    owner has set a password or turned it off), ``other`` (it did not seal this, or was cleared since), ``damaged`` (the
    file) or ``failed``."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class SealedKeyError(NotEnrolledError):
    """The key is sealed, and cannot be had. ``code`` is that of :class:`TpmError`."""

    def __init__(self, code: str, line: str) -> None:
        super().__init__(line)
        self.code = code


class TransportError(AgentError):
    """No answer came. ``code`` is a status code of :mod:`agent.runtime.status`: why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def words_of(error: BaseException) -> str:
    """What a failed connection failed for, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
