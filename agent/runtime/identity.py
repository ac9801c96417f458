"""Who this endpoint is: what enrolment left in the state directory, and how it is changed without a gap."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from agent.messages import UNREADABLE, HostFacts
from agent.runtime.errors import NotEnrolledError, SealedKeyError, TpmError
from agent.runtime.files import read_own, write_atomically
from agent.runtime.sealing import is_sealed, load_key
from agent.runtime.transport import trusting_context

if TYPE_CHECKING:
    from pathlib import Path

    from agent.settings import StateDirectory

#: A certificate is renewed when this share of its life has passed.
RENEW_AT_RATIO: Final = 2 / 3
_MOST_BYTES: Final = 1 << 20


class Identity(Struct, frozen=True):
    """``identity.json``. Times in seconds since the epoch; ``ca_sha256`` is of the CA certificate's DER. ``machine``:
    what the machine was that it was given to; ``rekeyed``: the last order to change keys that was followed;
    ``unsealed``: why the key is in a file, ``off`` or a code of :class:`agent.runtime.errors.TpmError` (empty: it is
    sealed, or of a version that did not seal)."""

    endpoint_id: str
    collector_url: str
    ca_sha256: str
    enrolled_at: float
    not_before: float
    not_after: float
    machine: HostFacts | None = None
    rekeyed: int = 0
    unsealed: str = ""

    @property
    def renew_at(self) -> float:
        return self.not_before + (self.not_after - self.not_before) * RENEW_AT_RATIO


def load_identity(state: StateDirectory, *, finish: bool = True) -> Identity:
    """Raise :class:`NotEnrolledError` where there is none that can be used; :class:`SealedKeyError`, which is one,
    where a renewal cannot be finished for want of the TPM.

    ``finish``: also end a renewal that was cut off. Who only looks must not: it may be under way, and the key that
    waits for its certificate would be taken for one that never gets it.
    """
    try:
        if finish:
            _finish_renewal(state)
        return msgspec.json.decode(read_own(state.identity, _MOST_BYTES), type=Identity)
    except FileNotFoundError as error:
        raise NotEnrolledError(
            f"{state.root}: this endpoint has not enrolled: run 'vonggac-agent enroll' with a token"
        ) from error
    except PermissionError as error:
        raise NotEnrolledError(f"{state.identity}: not allowed to read it: run as root") from error
    except (OSError, *UNREADABLE) as error:
        raise NotEnrolledError(f"{state.identity}: {error}: enrol again with a new token") from error


def own_context(state: StateDirectory) -> ssl.SSLContext:
    """What to speak by: believes the collector's CA alone, shows this endpoint's certificate.

    Raises:
        SealedKeyError: the TPM does not give the key.
        NotEnrolledError: key, certificate and CA cannot be used together.
    """
    try:
        context = trusting_context(state.ca.read_text(encoding="ascii"))
        load_key(context, state.certificate, state.key, state.tpm)
    except TpmError as error:
        raise _sealed(state.key, error) from error
    except (OSError, ValueError) as error:
        raise NotEnrolledError(
            f"{state.root}: key, certificate or CA unusable ({error}): enrol again with a new token"
        ) from error
    return context


def waiting_key(state: StateDirectory) -> Path:
    """Where a renewed key waits until its certificate is in place."""
    return state.key.with_name(state.key.name + ".new")


def store_renewed(state: StateDirectory, key_pem: bytes, certificate_pem: bytes, identity: Identity) -> None:
    """Put a new key, certificate and ``identity.json`` in place of the old ones.

    Three files cannot change at once: the new key and identity wait beside the old until the new certificate is there,
    and whoever opens the directory to work with it finishes the job (:func:`load_identity`).
    """
    write_atomically(waiting_key(state), key_pem)
    write_atomically(_waiting_identity(state), msgspec.json.encode(identity), mode=0o644)
    write_atomically(state.certificate, certificate_pem, mode=0o644)
    waiting_key(state).replace(state.key)
    _waiting_identity(state).replace(state.identity)


def remember_machine(state: StateDirectory, identity: Identity, machine: HostFacts) -> Identity:
    """Note what the machine is now; raise :class:`OSError` where the disk does not take it."""
    noted = msgspec.structs.replace(identity, machine=machine)
    write_atomically(state.identity, msgspec.json.encode(noted), mode=0o644)
    return noted


def _sealed(key: Path, error: TpmError) -> SealedKeyError:
    return SealedKeyError(
        error.code,
        f"{key} is sealed to a TPM that does not open it ({error.detail}): see 'vonggac-agent status'",
    )


def _waiting_identity(state: StateDirectory) -> Path:
    return state.identity.with_name(state.identity.name + ".new")


def _finish_renewal(state: StateDirectory) -> None:
    key, identity = waiting_key(state), _waiting_identity(state)
    if key.exists():
        try:
            load_key(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), state.certificate, key, state.tpm)
        except (TpmError, OSError, ValueError) as error:
            if isinstance(error, TpmError) and error.code != "damaged" and not _has_plain_key(state):
                raise _sealed(key, error) from error  # whether it belongs to the certificate is not known
            identity.unlink(missing_ok=True)  # first: alone it would count as what is left of a renewal
            key.unlink()
            return
        key.replace(state.key)
    if identity.exists():
        identity.replace(state.identity)


def _has_plain_key(state: StateDirectory) -> bool:
    """Whether the certificate's key is there and needs no TPM: no other belongs to it then."""
    try:
        if is_sealed(state.key):
            return False
        load_key(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), state.certificate, state.key, state.tpm)
    except (OSError, ValueError):
        return False
    return True
