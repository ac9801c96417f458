"""A small machine made of files, and a run of checks on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agent.assessment import form
from agent.assessment.judge import evaluate
from agent.assessment.machine import Machine
from tests.agent.collectors.support import write

if TYPE_CHECKING:
    from pathlib import Path

    from agent.assessment.values import Outcome
    from agent.windows.registry import Registry

__all__ = ["ask", "machine", "test_of", "write"]


def test_of(**fields: Any) -> form.Test:
    """A test as a file of checks says it."""
    made: form.Test = msgspec.convert(fields, form.Test)
    return made


test_of.__test__ = False  # type: ignore[attr-defined] # its name is no test's


def machine(root: Path, *tests: form.Test, registry: Registry | None = None) -> Machine:
    asked = tuple(leaf for test in tests for leaf in form.leaves(test))
    return Machine(root, root / "proc", root / "sys", registry=registry, tests=asked)


def ask(root: Path, *, registry: Registry | None = None, **fields: Any) -> Outcome:
    test = test_of(**fields)
    return evaluate(test, machine(root, test, registry=registry))
