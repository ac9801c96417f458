"""Sealing a few bytes to this machine's TPM 2.0, by the TPM's own commands (TCG, *TPM 2.0 Library*, parts 2 and 3).

The agent speaks with the kernel's device itself: no program and no library is needed that a distribution may not have,
and what is sealed passes through no other process. What was sealed can be unsealed by this TPM alone, until it is
cleared; it is bound to no state of firmware or system (PCR). The parent is the primary storage key that the TCG's
provisioning guidance describes (ECC P-256), made anew from the owner's seed each time, so that nothing is kept in it.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import struct
import time
from typing import TYPE_CHECKING, Final, NoReturn

from msgspec import Struct

from agent.runtime.errors import TpmError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

#: What a TPM takes at least (MAX_SYM_DATA).
MOST_SEALED: Final = 128
OWNER: Final = 0x40000001
_ANSWER_SECONDS: Final = 30.0
_MOST_BYTES: Final = 4096
_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.1

_NO_SESSIONS: Final = 0x8001
_SESSIONS: Final = 0x8002
_CREATE_PRIMARY: Final = 0x131
_CREATE: Final = 0x153
_LOAD: Final = 0x157
_UNSEAL: Final = 0x15E
_FLUSH: Final = 0x165

#: An empty password (TPM_RS_PW).
_AUTHORIZATION: Final = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
_NOTHING: Final = struct.pack(">H", 0)
#: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt; AES-128 CFB; P-256.
_PRIMARY: Final = struct.pack(
    ">HHIHHHHHHHHH", 0x0023, 0x000B, 0x00030472, 0, 0x0006, 128, 0x0043, 0x0010, 0x0003, 0x0010, 0, 0
)
#: A keyed hash without a scheme: data. fixedTPM, fixedParent, userWithAuth, noDA: a TPM that is locked out because
#: others guessed passwords unseals it nevertheless.
_DATA: Final = struct.pack(">HHIHHH", 0x0008, 0x000B, 0x00000452, 0, 0x0010, 0)

_AGAIN: Final = frozenset((0x908, 0x90A, 0x920, 0x922))  # yielded, testing, NV rate, retry
_LOCKOUT: Final = 0x921
#: Of one handle or parameter (bit 7), without its number: hierarchy, authorisation failed, authorisation wrong.
_LOCKED: Final = frozenset((0x85, 0x8E, 0xA2))
_DISABLED: Final = 0x120
#: Integrity, size and value: what is loaded was not made by this TPM with this seed, or is damaged.
_FOREIGN: Final = frozenset((0x9F, 0x95, 0x84))


class Sealed(Struct, frozen=True):
    """What is kept outside the TPM: TPM2B_PUBLIC and TPM2B_PRIVATE, each with its size in front."""

    public: bytes
    private: bytes


def seal(device: Path, secret: bytes) -> Sealed:
    """``secret``: at most :data:`MOST_SEALED` bytes.

    Raises:
        TpmError: there is no TPM, or it does not do it.
    """
    with Tpm(device) as tpm:
        return tpm.seal(secret)


def unseal(device: Path, sealed: Sealed) -> bytes:
    """Raise :class:`TpmError` where there is no TPM, where it is another one, or where it does not do it."""
    with Tpm(device) as tpm:
        return tpm.unseal(sealed)


class Tpm:
    """An open TPM. ``device``: the kernel's (``/dev/tpmrm0``), or the Unix socket of an emulator that takes the same
    commands (``swtpm socket --server type=unixio``)."""

    def __init__(self, device: Path) -> None:
        self._descriptor = _open(device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def seal(self, secret: bytes) -> Sealed:
        parent = self._primary()
        try:
            data = _sized(_NOTHING + _sized(secret))
            parameters = data + _sized(_DATA) + _NOTHING + struct.pack(">I", 0)
            return sealed_of(self._ask(_CREATE, struct.pack(">I", parent), parameters))
        finally:
            self._flush(parent)

    def unseal(self, sealed: Sealed) -> bytes:
        parent = self._primary()
        try:
            answer = self._ask(_LOAD, struct.pack(">I", parent), sealed.private + sealed.public)
            item = _Reader(answer).number()
        finally:
            self._flush(parent)
        try:
            answer = self._ask(_UNSEAL, struct.pack(">I", item), b"")
        finally:
            self._flush(item)
        reader = _Reader(answer)
        reader.number()
        return reader.sized()

    def _primary(self) -> int:
        parameters = _sized(_NOTHING * 2) + _sized(_PRIMARY) + _NOTHING + struct.pack(">I", 0)
        return _Reader(self._ask(_CREATE_PRIMARY, struct.pack(">I", OWNER), parameters)).number()

    def _flush(self, handle: int) -> None:
        self._ask(_FLUSH, b"", struct.pack(">I", handle), tag=_NO_SESSIONS)

    def _ask(self, command: int, handles: bytes, parameters: bytes, tag: int = _SESSIONS) -> bytes:
        body = handles + (_AUTHORIZATION if tag == _SESSIONS else b"") + parameters
        message = struct.pack(">HII", tag, 10 + len(body), command) + body
        for _ in range(_TRIES):
            code, answer = self._exchange(message)
            if code not in _AGAIN:
                break
            time.sleep(_PAUSE_SECONDS)
        if code:
            _refuse(command, code)
        return answer

    def _exchange(self, message: bytes) -> tuple[int, bytes]:
        try:
            os.write(self._descriptor, message)
            waiting = select.poll()
            waiting.register(self._descriptor, select.POLLIN)
            if not waiting.poll(_ANSWER_SECONDS * 1000):
                raise TpmError("failed", "the TPM does not answer")
            answer = os.read(self._descriptor, _MOST_BYTES)
        except OSError as error:
            raise TpmError("failed", error.strerror or str(error)) from error
        if len(answer) < 10:
            raise TpmError("failed", "the TPM's answer was cut off")
        _, size, code = struct.unpack_from(">HII", answer)
        if size != len(answer):
            raise TpmError("failed", "the TPM's answer was cut off")
        return code, answer[10:]


def sealed_of(answer: bytes) -> Sealed:
    """What TPM2_Create gives, behind the header: how long it is, the private and the public part, and more.

    Raises:
        TpmError: it was cut off.
    """
    reader = _Reader(answer)
    reader.number()
    private, public = reader.sized(), reader.sized()
    return Sealed(public=_sized(public), private=_sized(private))


class _Reader:
    """Takes an answer apart from its beginning."""

    def __init__(self, answer: bytes) -> None:
        self._rest = answer

    def number(self) -> int:
        return int.from_bytes(self._take(4))

    def sized(self) -> bytes:
        return self._take(int.from_bytes(self._take(2)))

    def _take(self, size: int) -> bytes:
        if len(self._rest) < size:
            raise TpmError("failed", "the TPM's answer was cut off")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _open(device: Path) -> int:
    try:
        if stat.S_ISSOCK(device.stat().st_mode):
            with socket.socket(socket.AF_UNIX) as emulator:
                emulator.connect(str(device))
                return emulator.detach()
        return os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        gone = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ECONNREFUSED)
        denied = (errno.EACCES, errno.EPERM)
        code = "absent" if error.errno in gone else "denied" if error.errno in denied else "failed"
        raise TpmError(code, f"{device}: {error.strerror}") from error


def _refuse(command: int, code: int) -> NoReturn:
    plain = code & 0xBF if code & 0x80 else code
    kind = "failed"
    if command == _LOAD and plain in _FOREIGN:
        kind = "other"
    elif plain in _LOCKED or plain in (_LOCKOUT, _DISABLED):
        kind = "locked"
    raise TpmError(kind, f"the TPM refuses command 0x{command:x}: 0x{code:03x}")
