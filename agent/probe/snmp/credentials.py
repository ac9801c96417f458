"""Reads communities and keys out of their files, which nobody but the agent's user (and root) may read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from agent.probe.snmp.settings import Credential

_MOST: Final = 1_024
#: RFC 3414, 11.2: a password is of eight characters at least.
_SHORTEST_PASSWORD: Final = 8


class CredentialError(Exception):
    """A secret that cannot be used; ``str()`` names its file and what to do, never what stands in it."""


@dataclass(frozen=True)
class Secret:
    """A :class:`Credential` with what stands in its files."""

    kind: Credential
    community: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    privacy: str = field(default="", repr=False)


def read_secret(kind: Credential) -> Secret:
    """Raise :class:`CredentialError`."""
    if kind.version == "2c":
        return Secret(kind, community=_read(kind.community_file))
    auth = _password(kind.auth_file)
    return Secret(kind, auth=auth, privacy="" if kind.privacy == "none" else _password(kind.privacy_file))


def _password(path: str) -> str:
    found = _read(path)
    if len(found) < _SHORTEST_PASSWORD:
        raise CredentialError(f"{path}: a password of SNMPv3 has 8 characters at least")
    return found


def _read(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise CredentialError(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise CredentialError(f"{path}: not a plain file")
        if facts.st_mode & 0o077:
            raise CredentialError(f"{path}: others may read it; chmod 600")
        data = file.read(_MOST + 1)
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        raise CredentialError(f"{path}: not text") from None
    if not text or len(data) > _MOST or not text.isprintable():
        raise CredentialError(f"{path}: not one line of text")
    return text
