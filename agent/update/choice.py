"""What the short process that looks at a fetched release answers."""

from __future__ import annotations

from msgspec import Struct

from agent.update.manifest import Wheel  # noqa: TC001 - msgspec reads the annotation


class Choice(Struct, frozen=True, omit_defaults=True):
    """The wheels for this machine. ``code`` and ``detail`` say why nothing was chosen; empty where it was."""

    wheels: list[Wheel] = []
    code: str = ""
    detail: str = ""
