"""Ed25519 over a manifest. Needs ``cryptography``: for commands and short processes, never for the running agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent.update.errors import ReleaseError
from agent.update.manifest import CONTEXT, Manifest, read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def make_key(password: bytes) -> tuple[bytes, bytes]:
    """A new key: the private half as encrypted PEM (PKCS 8), the public half as PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


def load_private(pem: bytes, password: bytes) -> Ed25519PrivateKey:
    """Raise :class:`ReleaseError` where it is no such key, or the password is another."""
    try:
        key = serialization.load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ReleaseError("key", f"the key cannot be opened: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseError("key", "the key is not an Ed25519 key")
    return key


def load_public(path: Path) -> list[Ed25519PublicKey]:
    """The keys of a file, one or (while a key is being replaced) several PEM blocks.

    Raises:
        ReleaseError: there is no such file, or no such key in it.
    """
    try:
        text = path.read_bytes()[:65536]
    except OSError as error:
        raise ReleaseError("key", f"{path}: {error.strerror}") from error
    end = b"-----END PUBLIC KEY-----"
    keys = []
    for block in text.split(end)[:-1]:
        try:
            key = serialization.load_pem_public_key(block + end + b"\n")
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ReleaseError("key", f"{path}: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ReleaseError("key", f"{path}: not an Ed25519 key")
        keys.append(key)
    if not keys:
        raise ReleaseError("key", f"{path}: holds no public key")
    return keys


def sign(key: Ed25519PrivateKey, manifest: bytes) -> bytes:
    return key.sign(CONTEXT + manifest)


def verified(keys: Sequence[Ed25519PublicKey], manifest: bytes, signature: bytes) -> Manifest:
    """The manifest, where one of the keys has signed it.

    Raises:
        ReleaseError: none has, or what was signed is not a manifest.
    """
    for key in keys:
        try:
            key.verify(signature, CONTEXT + manifest)
        except InvalidSignature:
            continue
        return read_manifest(manifest)
    raise ReleaseError("signature", "the signature is not one of the keys that this machine trusts")
