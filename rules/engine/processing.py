"""pySigma's processing pipelines, applied to rules as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sigma.processing.pipeline import ProcessingPipeline


def apply(pipelines: Sequence[ProcessingPipeline], rule: Any) -> Any:
    for pipeline in pipelines:
        pipeline.apply(rule)
    return rule
