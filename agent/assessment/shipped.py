"""The sets of checks that come with the agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.assessment.form import decoder

if TYPE_CHECKING:
    from agent.assessment.form import CheckSet

#: ``NAME.yml`` is written by people, with words; ``NAME.json`` is made of it and is what the agent reads.
CHECKS: Final = Path(__file__).parent / "checks"


def load(name: str) -> CheckSet:
    """``linux`` or ``windows``."""
    return decoder().decode((CHECKS / f"{name}.json").read_bytes())
