"""Settings of the part ``eve``: ``/etc/vonggac-agent/probe/eve.toml``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

EventType = Literal["alert", "anomaly", "dns", "http", "tls", "flow"]


class InputSettings(Struct, frozen=True):
    """Where Suricata writes, and what of it is taken."""

    paths: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=4096)]],
        Meta(
            max_length=64,
            description="EVE logs (filetype: regular); several where Suricata writes one a thread",
        ),
    ] = field(default_factory=lambda: ["/var/log/suricata/eve.json"])
    socket: Annotated[
        str,
        Meta(
            max_length=107, description="Where to listen for Suricata (filetype: unix_stream); empty: nowhere"
        ),
    ] = ""
    types: Annotated[
        list[EventType],
        Meta(description="Which types are told; dns, http, tls and flow are many"),
    ] = field(default_factory=lambda: ["alert", "anomaly"])


class EveSettings(Struct, frozen=True):
    """The whole file."""

    input: InputSettings = InputSettings()
