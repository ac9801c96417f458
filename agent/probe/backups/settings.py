"""Settings of the part ``backups``: ``/etc/vonggac-agent/probe/backups.toml``."""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta, Struct

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class Look(Struct, frozen=True):
    seconds: Annotated[float, Meta(ge=60, le=86_400, description="How often the files are looked at.")] = (
        600.0
    )


class System(Struct, frozen=True, forbid_unknown_fields=True):
    """A system, by the name that the console's register gives it. ``files``: patterns of whole paths; ``*`` and ``?``
    in the last part only. The newest file that fits is the backup."""

    name: Annotated[str, Meta(description="The system's name in the register.")]
    files: Annotated[
        tuple[str, ...],
        Meta(min_length=1, max_length=16, description="Whole paths, with `*` in the last part."),
    ]
    least_bytes: Annotated[int, Meta(ge=0, description="A smaller file is no backup.")] = 1
    hours: Annotated[float, Meta(gt=0, le=2_208, description="An older one is overdue here, too.")] = 26.0
    checksum: Annotated[
        str,
        Meta(
            description="Ending of a file beside it with its SHA-256 (`.sha256`); empty: none is looked for."
        ),
    ] = ""

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ValueError(f"name: {self.name[:80]!r} is not small letters, digits and hyphens")
        if self.checksum and (
            "/" in self.checksum or not self.checksum.startswith(".") or len(self.checksum) > 16
        ):
            raise ValueError(f"checksum: {self.checksum[:80]!r} is no ending of a file, as .sha256")
        for each in self.files:
            folder, _, last = each.rpartition("/")
            if not each.startswith("/") or not last or "\0" in each or any(sign in folder for sign in "*?["):
                raise ValueError(
                    f"files: {each[:200]!r} is no whole path with patterns in its last part only"
                )


class Systems(Struct, frozen=True):
    system: Annotated[
        tuple[System, ...], Meta(max_length=200, description="The systems, each `[[backups.system]]`.")
    ] = ()

    def __post_init__(self) -> None:
        names = [each.name for each in self.system]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the system {name!r} is there twice")


class BackupsSettings(Struct, frozen=True):
    look: Look = Look()
    backups: Systems = Systems()
