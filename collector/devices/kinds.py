"""What a device is, as a person says: which of these count as machines to be protected."""

from __future__ import annotations

from typing import Final

#: They run programs that people install: in the denominator of coverage, as is what nobody has looked at yet.
COUNTED: Final = ("", "computer", "server")
#: They take no agent: listed, not counted.
UNCOUNTED: Final = ("network", "printer", "phone", "camera", "appliance")
KINDS: Final = (*COUNTED, *UNCOUNTED)


def is_counted(kind: str, assigned_kind: str) -> bool:
    """``kind`` as it was found out (``gateway``), ``assigned_kind`` as a person says, who is believed first."""
    return assigned_kind in COUNTED if assigned_kind else kind != "gateway"
