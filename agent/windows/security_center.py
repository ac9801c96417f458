"""Security Center's rows: the number that says how a product fares.

Microsoft does not document its layout. Known from observation: ``& 0xF000`` is off, on, snoozed or expired, ``&
0x0F00`` tells Windows' own product from others, ``& 0x00F0`` whether the signatures are out of date.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Power = Literal["off", "on", "snoozed", "expired", "unknown"]
_POWERS: tuple[Power, ...] = ("off", "on", "snoozed", "expired")


class ProductState(Struct, frozen=True):
    """``current`` is what the product says of its signatures; ``None`` where that is neither of the two known words."""

    power: Power
    current: bool | None
    own: bool

    @property
    def on(self) -> bool:
        return self.power == "on"


def parse_state(state: int) -> ProductState:
    """``productState``: 397568 is Defender, on and current; 266256 another product, on, out of date."""
    power = (state & 0xF000) >> 12
    dated = state & 0x00F0
    return ProductState(
        power=_POWERS[power] if power < len(_POWERS) else "unknown",
        current={0x00: True, 0x10: False}.get(dated),
        own=state & 0x0F00 == 0x0100,
    )
