"""What a release of the agent is: a signed manifest that names the wheels, for any number of platforms.

As one file (``*.vgrelease``) it is a zip without compression: ``manifest.json``, ``manifest.sig``, ``wheels/<name>``.
The signature is Ed25519 (RFC 8032), raw, 64 bytes, over :data:`CONTEXT` and the manifest's bytes as they stand. Every
wheel is bound to the manifest by size and SHA-256.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from agent.messages import UNREADABLE
from agent.update.errors import ReleaseError

FORMAT: Final = 1
PRODUCT: Final = "vonggac"
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
SUFFIX: Final = ".vgrelease"
#: What is signed begins with this, so that a signature of the key over anything else is none of a release.
CONTEXT: Final = b"vonggac agent release 1\n"
SIGNATURE_BYTES: Final = 64
MOST_MANIFEST_BYTES: Final = 60_000
#: Of all wheels together: several platforms and Pythons.
MOST_BYTES: Final = 512 << 20

MOST_VERSION_CHARACTERS: Final = 40

_VERSION: Final = r"^(?:0|[1-9][0-9]{0,5})(?:\.(?:0|[1-9][0-9]{0,5})){1,3}(?:(?:a|b|rc)[0-9]{1,4})?$"
_PARTS: Final = re.compile(r"([0-9.]+?)(?:(a|b|rc)([0-9]+))?")
_BEFORE: Final = {"a": 0, "b": 1, "rc": 2, None: 3}

Version = Annotated[str, Meta(pattern=_VERSION, max_length=MOST_VERSION_CHARACTERS)]
WheelName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]{0,200}\.whl$")]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Wheel(Struct, frozen=True):
    """Sizes in bytes, digest in hex."""

    name: WheelName
    size: Annotated[int, Meta(ge=1, le=128 << 20)]
    sha256: Digest


class Manifest(Struct, frozen=True, omit_defaults=True):
    """``schema``: the wire contract that this version speaks. ``step_back``: it is meant to replace newer versions,
    too; without it a release never does. Unknown fields are of later makers, and change nothing."""

    format: int
    product: str
    version: Version
    schema: int
    made_at: float
    wheels: Annotated[list[Wheel], Meta(min_length=1, max_length=200)]
    step_back: bool = False
    notes: Annotated[str, Meta(max_length=2000)] = ""

    @property
    def own_wheel(self) -> str:
        """How the name of the agent's own wheel begins."""
        return f"{PRODUCT}-{self.version}-"


def is_version(text: str) -> bool:
    return len(text) <= MOST_VERSION_CHARACTERS and re.fullmatch(_VERSION, text) is not None


def version_key(version: str) -> tuple[tuple[int, ...], int, int]:
    """Sorts versions; of one that is none (as a foreign agent may tell) it is the lowest."""
    match = _PARTS.fullmatch(version) if is_version(version) else None
    if match is None:
        return ((), 0, 0)
    numbers = [int(each) for each in match[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers), _BEFORE[match[2]], int(match[3] or 0)


def read_manifest(data: bytes) -> Manifest:
    """The manifest in ``data``, whose signature the caller has verified.

    Raises:
        ReleaseError: it is none, or does not hold together.
    """
    if len(data) > MOST_MANIFEST_BYTES:
        raise ReleaseError("form", f"{MANIFEST}: larger than {MOST_MANIFEST_BYTES} bytes")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except UNREADABLE as error:
        raise ReleaseError("form", f"{MANIFEST}: {error}") from error
    names = [each.name for each in manifest.wheels]
    if manifest.format != FORMAT or manifest.product != PRODUCT:
        raise ReleaseError(
            "form", f"{MANIFEST}: format {manifest.format} of {manifest.product!r} is not known"
        )
    if len(set(names)) != len(names):
        raise ReleaseError("form", f"{MANIFEST}: names a wheel twice")
    if sum(name.startswith(manifest.own_wheel) for name in names) != 1:
        raise ReleaseError("form", f"{MANIFEST}: does not name one wheel of the agent {manifest.version}")
    if sum(each.size for each in manifest.wheels) > MOST_BYTES:
        raise ReleaseError("form", f"{MANIFEST}: more than {MOST_BYTES} bytes of wheels")
    return manifest
