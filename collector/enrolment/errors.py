"""Why somebody is not let in."""

from __future__ import annotations

from collector.errors import CollectorError


class EnrolmentError(CollectorError):
    """The root of these."""


class TokenRefusedError(EnrolmentError):
    """Unknown, used, expired or mistyped; which of them is for the log, not for the caller."""


class CertificateRequestError(EnrolmentError):
    """The signing request is not one we sign; ``str()`` says why."""


class NotAuthenticatedError(EnrolmentError):
    """The certificate is not one of ours, or is expired."""


class RevokedError(EnrolmentError):
    """The certificate, or the endpoint, was taken out of service."""


class AuthorityError(EnrolmentError):
    """The certificate authority's own files are missing, damaged or do not belong together."""
