"""Passwords: Argon2id (RFC 9106), at argon2-cffi's recommended cost, few at a time."""

from __future__ import annotations

import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from soc_api.errors import Fault, InvalidError

SHORTEST = 12
LONGEST = 256


class Passwords:
    """Hashes and checks. A hash takes 64 MiB, so at most ``at_once`` run together; the others wait their
    turn."""

    def __init__(self, hasher: PasswordHasher | None = None, at_once: int = 2) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = threading.BoundedSemaphore(at_once)
        self._nobody = self._hasher.hash(secrets.token_urlsafe(24))

    def hash(self, password: str) -> str:
        with self._turn:
            return self._hasher.hash(password)

    def check(self, password_hash: str | None, password: str) -> bool:
        """True where the password is right. ``None`` (no such user) takes just as long and is always
        false."""
        with self._turn:
            try:
                right = self._hasher.verify(password_hash or self._nobody, password[:LONGEST])
            except (VerificationError, InvalidHashError):
                return False
        return right and password_hash is not None

    def is_stale(self, password_hash: str) -> bool:
        """True where the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)


def refuse_weak(password: str, username: str) -> None:
    """Raise :class:`InvalidError` for a password that is too short, too long, or made of the user's name."""
    if len(password) < SHORTEST:
        raise InvalidError(Fault("password", f"at least {SHORTEST} characters"))
    if len(password) > LONGEST:
        raise InvalidError(Fault("password", f"at most {LONGEST} characters"))
    if username.casefold() in password.casefold():
        raise InvalidError(Fault("password", "must not contain the user name"))
    if len(set(password)) < 5:
        raise InvalidError(Fault("password", "must not repeat the same few characters"))


def make_password() -> str:
    """A new random password of 20 letters and digits in groups, 100 bits, without look-alikes."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))
