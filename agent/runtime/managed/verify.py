"""Verifies signed settings, in a process of its own: ``python -m agent.runtime.managed.verify``.

``cryptography`` weighs as much as the whole agent, so the running agent never imports it. An :class:`Order` is read as
JSON from standard input, the answer is a JSON list of :class:`Verdict` on standard output, one for each in order.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from agent import reasons
from agent.steered import SIGNED_AS, SettingsDocument, SignedSettings


class Order(Struct, frozen=True):
    """``ca``: the file of the authority's certificate that this endpoint enrolled with."""

    ca: str
    endpoint_id: str
    signed: list[SignedSettings]


class Verdict(Struct, frozen=True):
    """The document where it is sound, else why it is not."""

    document: SettingsDocument | None = None
    reason: str = ""


def verdict(signed: SignedSettings, key: ec.EllipticCurvePublicKey, endpoint_id: str) -> Verdict:
    """Nothing of the document is read before its signature holds."""
    try:
        key.verify(signed.signature, SIGNED_AS + signed.document, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return Verdict(reason=reasons.SETTINGS_UNSIGNED())
    try:
        document = msgspec.json.decode(signed.document, type=SettingsDocument)
    except (ValueError, RecursionError) as error:
        return Verdict(reason=reasons.SETTINGS_UNREADABLE(detail=error))
    if document.endpoint_id != endpoint_id:
        return Verdict(reason=reasons.SETTINGS_FOREIGN())
    return Verdict(document)


def verify(order: Order) -> list[Verdict]:
    """Raises ``OSError`` or ``ValueError`` where the authority's certificate cannot be used."""
    key = x509.load_pem_x509_certificate(Path(order.ca).read_bytes()).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError(f"{order.ca}: not an elliptic-curve key")  # noqa: TRY004 - it is the file that is wrong
    return [verdict(signed, key, order.endpoint_id) for signed in order.signed]


def main() -> int:
    """Exit status 0: answered; 1: cannot verify, with the reason as one line."""
    try:
        verdicts = verify(msgspec.json.decode(sys.stdin.buffer.read(), type=Order))
    except (OSError, ValueError) as error:
        sys.stdout.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(verdicts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
