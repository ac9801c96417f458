"""One-time codes: TOTP (RFC 6238), SHA-1, six digits, 30 seconds, as every authenticator app knows it."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

import pyotp

if TYPE_CHECKING:
    from datetime import datetime

STEP_SECONDS: Final = 30
ISSUER: Final = "Vong Gac"
#: A secret that nobody has: what a code is checked against where there is no such user.
NOBODY: Final = "A" * 32


def make_secret() -> str:
    """160 random bits in Base32."""
    return pyotp.random_base32()


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step that ``code`` belongs to, one step early or late allowed (RFC 6238, 5.2), or None.

    All three candidates are always compared, in constant time.
    """
    totp = pyotp.TOTP(secret)
    current = int(now.timestamp()) // STEP_SECONDS
    digits = "".join(code.split()).encode()
    found: int | None = None
    for step in (current - 1, current, current + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), digits):
            found = step
    return found


def uri(secret: str, username: str) -> str:
    """The ``otpauth://`` address that a QR code carries to an authenticator app."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)
