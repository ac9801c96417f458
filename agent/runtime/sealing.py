"""The agent's key on disk: in a plain file, or sealed to this machine's TPM.

Sealed, ``agent.key`` holds what only the TPM can open, in the usual form of such files (``TSS2 PRIVATE KEY``, type
sealed data, of *ASN.1 Specification for TPM 2.0 Key Files*): the key as RFC 5915 has it. Plain, it is PKCS #8. Which of
the two it is, the file says.
"""

from __future__ import annotations

import binascii
import os
from typing import TYPE_CHECKING, Final

from agent import reasons
from agent.runtime.errors import TpmError
from agent.runtime.files import read_own
from agent.runtime.tpm import MOST_SEALED, OWNER, Sealed, seal, unseal

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

_BEGIN: Final = b"-----BEGIN TSS2 PRIVATE KEY-----\n"
_END: Final = b"-----END TSS2 PRIVATE KEY-----\n"
_MOST_BYTES: Final = 1 << 16
#: By :attr:`agent.runtime.identity.Identity.unsealed`.
UNSEALED: Final = {
    "off": reasons.KEY_OFF,
    "absent": reasons.KEY_NO_TPM,
    "denied": reasons.KEY_TPM_DENIED,
    "locked": reasons.KEY_TPM_LOCKED,
    "failed": reasons.KEY_TPM_FAILED,
}
#: 2.23.133.10.1.5, sealed data.
_TYPE: Final = bytes.fromhex("6781050a0105")
_OF_EMPTY_PASSWORD: Final = bytes.fromhex("0101ff")
_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_IDENTIFIER: Final = 0x06
_SEQUENCE: Final = 0x30
_EMPTY_AUTH: Final = 0xA0


def is_sealed(path: Path) -> bool:
    """Raise :class:`OSError` where it cannot be read."""
    return read_own(path, _MOST_BYTES).startswith(_BEGIN)


def seal_key(device: Path, der: bytes) -> bytes:
    """What to keep in a file of the key ``der`` (RFC 5915, P-256: 121 bytes); tried before it is given.

    Raises:
        TpmError: this TPM does not do it.
    """
    if len(der) > MOST_SEALED:
        raise TpmError("failed", f"a key of {len(der)} bytes, a TPM takes {MOST_SEALED}")
    sealed = seal(device, der)
    if unseal(device, sealed) != der:
        raise TpmError("failed", "the TPM gives back another key than it was given")
    return encode(sealed)


def open_key(device: Path, path: Path) -> bytes:
    """The key in the file ``path`` as PEM, unsealed where it is sealed.

    Raises:
        OSError: it cannot be read.
        TpmError: it is sealed, and cannot be unsealed.
    """
    content = read_own(path, _MOST_BYTES)
    if not content.startswith(_BEGIN):
        return content
    return _pem(b"EC PRIVATE KEY", unseal(device, decode(content)))


def load_key(context: ssl.SSLContext, certificate: Path, key: Path, device: Path) -> None:
    """Let ``context`` show ``certificate`` by ``key``; what was sealed goes there through memory, never through a disk.

    Raises:
        OSError, ssl.SSLError: a file is missing, or key and certificate do not belong together.
        TpmError: it is sealed, and cannot be unsealed.
    """
    if not is_sealed(key):
        context.load_cert_chain(certificate, key)
        return
    pem = open_key(device, key)
    descriptor = os.memfd_create("vonggac-agent-key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(certificate, f"/proc/self/fd/{descriptor}")
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)


def encode(sealed: Sealed) -> bytes:
    """The file's content."""
    inner = (
        _element(_IDENTIFIER, _TYPE)
        + _element(_EMPTY_AUTH, _OF_EMPTY_PASSWORD)
        + _element(_INTEGER, OWNER.to_bytes(4))
        + _element(_OCTETS, sealed.public)
        + _element(_OCTETS, sealed.private)
    )
    return _pem(b"TSS2 PRIVATE KEY", _element(_SEQUENCE, inner))


def decode(content: bytes) -> Sealed:
    """Take apart what :func:`encode` made; raise :class:`TpmError` where it is something else."""
    if not (content.startswith(_BEGIN) and content.endswith(_END)):
        raise TpmError("damaged", "cut off")
    try:
        der = binascii.a2b_base64(content[len(_BEGIN) : -len(_END)])
        inner, rest = _take(der, _SEQUENCE)
        kind, inner = _take(inner, _IDENTIFIER)
        auth, inner = _take(inner, _EMPTY_AUTH)
        parent, inner = _take(inner, _INTEGER)
        public, inner = _take(inner, _OCTETS)
        private, inner = _take(inner, _OCTETS)
    except ValueError as error:
        raise TpmError("damaged", str(error)) from error
    if (kind, auth) != (_TYPE, _OF_EMPTY_PASSWORD) or int.from_bytes(parent) != OWNER or rest or inner:
        raise TpmError("damaged", "not what this agent sealed")
    return Sealed(public=public, private=private)


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


def _take(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError(f"no element 0x{tag:02x}")
    size, start = data[1], 2
    if size & 0x80:
        start = 2 + (size & 0x7F)
        size = int.from_bytes(data[2:start])
    if len(data) < start + size:
        raise ValueError("cut off")
    return data[start : start + size], data[start + size :]


def _pem(label: bytes, der: bytes) -> bytes:
    lines = [binascii.b2a_base64(der[at : at + 48]) for at in range(0, len(der), 48)]
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label, b"".join(lines), label)
