"""Who this endpoint is: what enrolment left in the state directory, and how it is changed without a gap."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from agent.runtime.errors import NotEnrolledError
from agent.runtime.files import write_atomically
from agent.runtime.transport import identified_context

if TYPE_CHECKING:
    from pathlib import Path

    from agent.settings import StateDirectory

#: A certificate is renewed when this share of its life has passed.
RENEW_AT_RATIO: Final = 2 / 3


class Identity(Struct, frozen=True):
    """``identity.json``. Times in seconds since the epoch; ``ca_sha256`` is of the CA certificate's DER."""

    endpoint_id: str
    collector_url: str
    ca_sha256: str
    enrolled_at: float
    not_before: float
    not_after: float

    @property
    def renew_at(self) -> float:
        return self.not_before + (self.not_after - self.not_before) * RENEW_AT_RATIO


def load_identity(state: StateDirectory, *, finish: bool = True) -> Identity:
    """Raise :class:`NotEnrolledError` where there is none that can be used.

    ``finish``: also end a renewal that was cut off. Who only looks must not: it may be under way, and the key that
    waits for its certificate would be taken for one that never gets it.
    """
    try:
        identity = msgspec.json.decode(state.identity.read_bytes(), type=Identity)
    except FileNotFoundError as error:
        raise NotEnrolledError(
            f"{state.root}: this endpoint has not enrolled: run 'vonggac-agent enroll' with a token"
        ) from error
    except PermissionError as error:
        raise NotEnrolledError(f"{state.identity}: not allowed to read it: run as root") from error
    except (OSError, msgspec.MsgspecError) as error:
        raise NotEnrolledError(f"{state.identity}: {error}: enrol again with a new token") from error
    if finish:
        _finish_renewal(state)
    return identity


def own_context(state: StateDirectory) -> ssl.SSLContext:
    """Raise :class:`NotEnrolledError` where key, certificate and CA cannot be used together."""
    try:
        return identified_context(state.ca, state.certificate, state.key)
    except (OSError, ValueError) as error:
        raise NotEnrolledError(
            f"{state.root}: key, certificate or CA unusable ({error}): enrol again with a new token"
        ) from error


def waiting_key(state: StateDirectory) -> Path:
    """Where a renewed key waits until its certificate is in place."""
    return state.key.with_name(state.key.name + ".new")


def store_renewed(state: StateDirectory, key_pem: bytes, certificate_pem: bytes, identity: Identity) -> None:
    """Put a new key and certificate in place of the old ones.

    Two files cannot change at once: the new key waits beside the old until the new certificate is there, and
    whoever opens the directory to work with it finishes the job (:func:`load_identity`).
    """
    write_atomically(waiting_key(state), key_pem)
    write_atomically(state.certificate, certificate_pem, mode=0o644)
    waiting_key(state).replace(state.key)
    write_atomically(state.identity, msgspec.json.encode(identity), mode=0o644)


def _finish_renewal(state: StateDirectory) -> None:
    waiting = waiting_key(state)
    if not waiting.exists():
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(state.certificate, waiting)
    except (OSError, ValueError):
        waiting.unlink()
    else:
        waiting.replace(state.key)
