"""The pipelines by which agents' events meet their log sources: the shipped ones and those of the settings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rules.engine import RuleError
from rules.logsources import Pipeline, load_pipelines, shipped

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger("vonggac.detect")


def pipelines(names_or_paths: Iterable[str]) -> tuple[Pipeline, ...]:
    """The shipped pipelines, and those of ``[detect] pipelines`` (files and folders). One of the same name stands in
    place of a shipped one. What is broken is logged; the others work."""
    found = {each.name: each for each in shipped()}
    for name in names_or_paths:
        try:
            found.update((each.name, each) for each in load_pipelines([name]))
        except (RuleError, OSError) as problem:
            log.error(  # noqa: TRY400 - the reason says it all
                "a pipeline cannot be used: see [detect] pipelines",
                extra={"pipeline": name, "reason": str(problem)},
            )
    return tuple(found.values())
