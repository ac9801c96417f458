"""Keys of the agent as they are made and kept, sealed or in a plain file. Only for processes that end soon: it needs
``cryptography``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from agent.runtime.errors import EnrolmentError, TpmError
from agent.runtime.files import write_atomically
from agent.runtime.sealing import open_key, seal_key

if TYPE_CHECKING:
    from pathlib import Path

    from agent.settings import TpmPolicy


class Kept(Struct, frozen=True):
    """A key, the content of its file, and why that is not sealed, as in :class:`agent.runtime.identity.Identity`."""

    key: ec.EllipticCurvePrivateKey
    content: bytes
    unsealed: str


def keep_key(key: ec.EllipticCurvePrivateKey, policy: TpmPolicy, device: Path) -> Kept:
    """How the key is to lie on disk.

    Raises:
        EnrolmentError: the TPM must have it, and does not take it.
    """
    unsealed = "off"
    if policy != "off":
        try:
            return Kept(key, seal_key(device, _der(key)), "")
        except TpmError as error:
            if policy == "require":
                raise EnrolmentError(
                    f"the key cannot be sealed to the TPM: {error.detail}: make it usable for this user, "
                    'or say tpm = "auto" in [agent]'
                ) from error
            unsealed = error.code
    return Kept(key, plain_pem(key), unsealed)


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def plain_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS #8, under no password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def asking_key(path: Path, policy: TpmPolicy, device: Path) -> Kept:
    """The key that was asked with before, or a new one; kept as ``policy`` says now."""
    try:
        key = serialization.load_pem_private_key(open_key(device, path), password=None)
    except (OSError, ValueError, TpmError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        key = ec.generate_private_key(ec.SECP256R1())
    kept = keep_key(key, policy, device)
    write_atomically(path, kept.content)
    return kept
