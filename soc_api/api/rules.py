"""The rules that are running, and the plan's targets that they serve."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from collector.errors import NotFoundError
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Page, Paging, Shape, cursor

if TYPE_CHECKING:
    from rules.catalogue import RuleInfo

router = APIRouter(prefix="/rules", tags=["rules"])
Reader = Annotated[Principal, Depends(require(Permission.RULES_READ))]


class RuleShape(Shape):
    id: str
    title: Mapping[str, str] = Field(description="By language: `vi`, `en`.")
    level: str
    status: str
    logsource: Mapping[str, str]
    tags: list[str]
    targets: list[str] = Field(description="Ids of the plan's targets that it serves.")


class WholeRule(RuleShape):
    description: Mapping[str, str]
    falsepositives: Mapping[str, list[str]]
    triage: Mapping[str, list[str]] = Field(description="What to do, step by step.")
    subject: list[str]
    clears: bool
    author: str
    references: list[str] = Field(description="Of a correlation: the rules that it correlates.")
    source: str = Field(description="The rule's own text (YAML).")


@router.get("")
def list_rules(services: RequestServices, principal: Reader, paging: Paging) -> Page[RuleShape]:  # noqa: ARG001
    """In the order of their files."""
    start = paging.after_id() or 0
    every = list(services.catalogue.values())
    rows = every[start : start + paging.limit]
    end = start + len(rows)
    return Page(
        items=[RuleShape.model_validate(rule) for rule in rows],
        next=cursor(end) if end < len(every) else None,
    )


@router.get("/{rule_id}")
def get_rule(rule_id: str, services: RequestServices, principal: Reader) -> WholeRule:  # noqa: ARG001
    """One with its triage guide and its text."""
    rule: RuleInfo | None = services.catalogue.get(rule_id)
    if rule is None:
        raise NotFoundError(f"there is no rule {rule_id}")
    source = Path(rule.path).read_text(encoding="utf-8", errors="replace")
    shape = {name: getattr(rule, name) for name in WholeRule.model_fields if name != "source"}
    return WholeRule.model_validate({**shape, "source": source})
