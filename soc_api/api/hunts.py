"""Hunts: a rule run over stored events."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field, model_validator

from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Shape
from soc_api.hunting.desk import HuntDesk
from soc_api.hunting.models import MOST_FOUND, Answer

router = APIRouter(prefix="/hunts", tags=["hunts"])
Hunter = Annotated[Principal, Depends(require(Permission.RULES_READ, Permission.HUNTS_RUN))]


class HuntBody(Body):
    rule_id: str = Field(default="", max_length=200, description="A known rule's id or name; or give `rule`.")
    rule: str = Field(default="", max_length=1 << 20, description="A rule's YAML; or give `rule_id`.")
    since: str = Field(
        default="30d", max_length=40, description="How long back (`90m`, `12h`, `30d`, `2w`), or ISO 8601."
    )
    until: str = Field(default="", max_length=40, description="The same; empty: now.")
    limit: int = Field(default=100, ge=0, le=MOST_FOUND, description="Found events to give, the newest.")
    preview: bool = Field(default=False, description="Only the hits a day, no events.")
    simulated: bool = Field(default=False, description="Look at events of simulated machines too.")
    seconds: float = Field(default=60, ge=1, le=300, description="Stop after so long, with what was found.")

    @model_validator(mode="after")
    def _one_rule(self) -> "HuntBody":
        if bool(self.rule_id) == bool(self.rule):
            raise ValueError("give rule_id or rule, not both")
        return self


class DayShape(Shape):
    day: str = Field(description="Of receipt, Indochina time.")
    hits: int


class FoundShape(Shape):
    event_id: str
    time: datetime
    received_at: datetime
    endpoint_id: str
    agency_id: int
    product: str
    category: str
    service: str
    fields: Mapping[str, Any]
    group: Mapping[str, str] = Field(description="Of a correlation: its group-by values.")
    events: int = Field(description="Of a correlation: how many events are evidence.")


class AnswerShape(Shape):
    rule_id: str
    title: Mapping[str, str]
    since: datetime
    until: datetime
    days: list[DayShape] = Field(description="Every day of the time, oldest first.")
    found: list[FoundShape] = Field(description="The newest first.")
    hits: int
    complete: bool = Field(description="False: a bound stopped it, and only the covered time was looked at.")
    stopped: str = Field(description="`time`, `rows` or `cancelled`; empty where complete.")
    covered_since: datetime
    covered_until: datetime
    method: str = Field(
        description="`sql`: SQL alone told; `checked`: the engine looked at doubtful events too; `correlated`."
    )
    checked: int = Field(description="Events that the engine looked at one by one.")
    seconds: float


@router.post("")
async def hunt(request: Request, body: HuntBody, services: RequestServices, principal: Hunter) -> AnswerShape:
    """What a rule would have found in stored events: hits a day, and the newest of them. One hunt at a time (503 while
    another runs); it ends when the client goes away."""
    desk = HuntDesk.of(services, principal)
    limit = 0 if body.preview else body.limit
    question = desk.question(
        body.since, body.until, limit=limit, simulated=body.simulated, seconds=body.seconds
    )
    answer: Answer = await desk.answer(request, question, rule_id=body.rule_id, text=body.rule)
    return AnswerShape.model_validate(answer)
