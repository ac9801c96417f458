"""What a collector may settle for an agent: the closed set of settings, their bounds, and the signed document that
carries them (``GET /v1/settings``).

Nothing here names an address, a path, a key or a program. The worst that a collector gone bad can do with it is to
make an agent quieter or busier within these bounds.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from agent.messages import Name  # noqa: TC001 - msgspec reads the annotation

#: The most a signed document may weigh on the wire.
MAX_SETTINGS_BYTES: Final = 32 << 10
#: Goes before the document's bytes where they are signed: the same key signs other things too.
SIGNED_AS: Final = b"vonggac agent settings 1\n"
#: Collectors that cannot be switched off from afar: by what they tell, the machine is known and put in its groups.
ALWAYS_ON: Final = ("host",)
#: How long an agent tries settings where none say.
TRIAL_SECONDS: Final = 600


class Steered(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``None``: not said here, so what is less particular holds. Of ``intervals`` that is so name by name."""

    heartbeat_seconds: (
        Annotated[float, Meta(ge=10, le=600, description="How often the agent says that it lives.")] | None
    ) = None
    metrics_seconds: (
        Annotated[float, Meta(ge=10, le=3600, description="How long metrics may wait for company.")] | None
    ) = None
    spool_bytes: (
        Annotated[
            int, Meta(ge=8 << 20, le=4 << 30, description="What may wait on disk while nobody answers.")
        ]
        | None
    ) = None
    spool_hours: (
        Annotated[float, Meta(ge=1, le=720, description="How long what cannot be delivered is kept.")] | None
    ) = None
    disabled: (
        Annotated[tuple[Name, ...], Meta(max_length=64, description="Collectors that shall not run.")] | None
    ) = None
    intervals: (
        Annotated[
            dict[Name, Annotated[float, Meta(ge=1, le=604_800)]],
            Meta(max_length=64, description="Seconds between two runs, by collector."),
        ]
        | None
    ) = None
    trial_seconds: (
        Annotated[
            int, Meta(ge=5, le=3600, description="How long new settings are tried before they are kept.")
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        for name in ALWAYS_ON:
            if name in (self.disabled or ()):
                raise ValueError(f"disabled: {name} always runs")

    def over(self, general: Steered) -> Steered:
        """These settings, and where they say nothing, the more ``general`` ones."""
        values = {
            field: getattr(general if getattr(self, field) is None else self, field)
            for field in self.__struct_fields__
        }
        if self.intervals is not None and general.intervals is not None:
            values["intervals"] = {**general.intervals, **self.intervals}
        return Steered(**values)


class SettingsDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed. For one endpoint alone, taken until ``valid_until`` and only where ``number`` is higher than any
    taken before; once taken it holds until another does. Times in seconds since the Unix epoch."""

    endpoint_id: str
    number: Annotated[int, Meta(ge=1, lt=10**15)]
    issued_at: float
    valid_until: float
    settings: Steered


class SignedSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """``document`` is the JSON of a :class:`SettingsDocument`, ``signature`` ECDSA (P-256, SHA-256, DER) of
    :data:`SIGNED_AS` and it by the key of the authority that signs the endpoints' certificates."""

    document: bytes
    signature: bytes


def read_steered(value: object) -> Steered:
    """Of JSON's own types. Raises :class:`msgspec.ValidationError`, with the place, for what is out of bounds."""
    return msgspec.convert(value, Steered)
