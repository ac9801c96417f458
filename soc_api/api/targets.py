"""The plans' targets, by their own wording, and the rules that serve each."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from rules.targets import load_targets
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Shape

router = APIRouter(prefix="/targets", tags=["targets"])
Reader = Annotated[Principal, Depends(require(Permission.RULES_READ))]


class DocumentShape(Shape):
    key: str
    title: str
    province: str
    date: date
    period: str


class TargetShape(Shape):
    id: str
    document: DocumentShape
    kind: str = Field(description="`target` (to be reached), `status` (said to be so), `task` (to be done).")
    topic: str
    quote: str = Field(description="Verbatim, Vietnamese.")
    value: str
    levels: list[str]
    scope: str
    due: str
    current: str
    mode: str = Field(description="`A` measured automatically, `P` partly, `M` a register kept by hand.")
    measure: str
    rules: list[str] = Field(description="Ids of the rules that serve it.")


@router.get("")
def list_targets(
    services: RequestServices,
    principal: Reader,  # noqa: ARG001 - the permission
    document: Annotated[
        str | None, Query(max_length=16, description="Only this document's (its key).")
    ] = None,
) -> list[TargetShape]:
    """By document in the order of their dates, then as the document lists them."""
    serving: dict[str, list[str]] = {}
    book = services.rules.book
    for rule in services.catalogue.values():
        entry = book.get(rule.id)
        if entry is not None and not entry.active:
            continue  # a rule that was switched off serves nothing
        for target_id in rule.targets:
            serving.setdefault(target_id, []).append(rule.id)
    fields = [name for name in TargetShape.model_fields if name != "rules"]
    return [
        TargetShape.model_validate(
            {**{name: getattr(target, name) for name in fields}, "rules": serving.get(target.id, [])}
        )
        for target in load_targets()
        if document is None or target.document.key == document
    ]
