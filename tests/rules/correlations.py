"""Correlations of rules written inline, without an engine around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from sigma.correlations import SigmaCorrelationRule

from rules.engine.correlation import Correlations
from rules.engine.correlation_plan import CorrelationPlan, plan_of

if TYPE_CHECKING:
    from rules.engine.errors import Refusal

LIMITS: dict[str, Any] = {"state_limit": 100_000, "group_limit": 2_000, "lateness_seconds": 3_600.0}


def plan(text: str) -> CorrelationPlan:
    document = yaml.safe_load(text)
    return plan_of(SigmaCorrelationRule.from_dict(document), document)


def correlations_of(*texts: str, rules: str = "abc", **limits: Any) -> Correlations:
    """Those of the YAML texts, over plain rules whose keys are the letters of ``rules``."""
    refused: list[Refusal] = []
    correlations = Correlations(
        [plan(text) for text in texts],
        set(rules),
        {each: each for each in rules},
        refused,
        **{**LIMITS, **limits},
    )
    assert refused == []
    return correlations
