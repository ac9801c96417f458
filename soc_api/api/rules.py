"""The rules: what runs and how it fares, and the changes that people make of them while events flow."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import ConfigDict, Field

from collector.rulebook.errors import RuleRefusedError
from collector.rulebook.models import Checked
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Body, Page, Paging, Shape, cursor
from soc_api.errors import Fault, InvalidError
from soc_api.hunting.dry_run import dry_run
from soc_api.rulebook.service import RuleDesk, RuleLine, RuleView, difference, figures_of

router = APIRouter(prefix="/rules", tags=["rules"])
Reader = Annotated[Principal, Depends(require(Permission.RULES_READ))]
Manager = Annotated[Principal, Depends(require(Permission.RULES_READ, Permission.RULES_MANAGE))]
Sort = Literal["title", "matches", "offered", "throttled", "seconds", "last_match", "state"]


class FiguresShape(Shape):
    """Summed over all runs of the worker; written down by it every few seconds."""

    offered: int = Field(description="Events of the rule's log source.")
    candidates: int = Field(description="Of those, the ones whose condition had to be looked at.")
    matches: int
    throttled: int = Field(description="Findings that a limit held back; counted, and seen by correlations.")
    seconds: float = Field(description="Time spent on the rule's own condition.")
    last_match_at: datetime | None
    updated_at: datetime | None


class RuleShape(Shape):
    id: str
    title: Mapping[str, str] = Field(description="By language: `vi`, `en`.")
    kind: str = Field(description="`rule`, `correlation` or `filter`.")
    origin: str = Field(description="`own`, `folder`, `imported` or `local`.")
    level: str
    status: str
    logsource: Mapping[str, str]
    tags: list[str]
    targets: list[str] = Field(description="Ids of the plan's targets that it serves.")
    enabled: bool
    revision: int = Field(description="The text that runs: 0 the shipped one, else a revision written here.")
    throttle: int | None = Field(description="Findings an hour at most; null: no limit.")
    state: str = Field(description="`ok`, `slow`, `noisy`, `refused` (does not run) or `disabled`.")
    hour_matches: int = Field(description="In the last hour.")
    hour_microseconds: float = Field(description="An offered event, on average over the last hour.")
    figures: FiguresShape


class ChangeShape(Shape):
    number: int
    what: str
    detail: str
    made_by: str
    made_at: datetime
    applied_at: datetime | None = Field(description="When the worker took note of it; null: it has yet to.")
    refused: str = Field(description="Why the worker did not take it; empty where it did.")
    refused_line: int | None


class RevisionShape(Shape):
    number: int
    author: str
    comment: str
    created_at: datetime


class WholeRule(RuleShape):
    description: Mapping[str, str]
    falsepositives: Mapping[str, list[str]]
    triage: Mapping[str, list[str]] = Field(description="What to do, step by step.")
    subject: list[str]
    clears: bool
    author: str
    references: list[str] = Field(description="Of a correlation: the rules that it correlates.")
    source: str = Field(description="The rule's own text (YAML), as it runs.")
    shipped: bool = Field(description="Whether there is a shipped text to revert to.")
    refused: str = Field(description="Why it does not run, or runs as it was before; else empty.")
    refused_line: int | None
    reason: str = Field(description="Of the last change.")
    changed_by: str
    changed_at: datetime | None
    revisions: list[RevisionShape]
    changes: list[ChangeShape]


class FaultShape(Shape):
    severity: str
    part: str = Field(description="`rule` or `evidence`.")
    line: int = Field(description="From 1; 0: not known.")
    message: str


class PreviewShape(Shape):
    hours: int = Field(description="How far back: by when the collector received an event.")
    matches: int
    samples: list[str] = Field(description="Ids of the newest events that it holds for.")
    complete: bool = Field(description="False: a bound stopped it; there may be more.")
    not_made: str = Field(
        description="Why it was not tried (another hunt runs, the event store is away …); empty where it was."
    )


class CheckShape(Shape):
    id: str | None
    ok: bool
    faults: list[FaultShape]
    evidence_cases: int
    preview: PreviewShape | None = Field(
        description="A small hunt; null where the text is not sound, or a filter."
    )


class WrittenShape(Shape):
    id: str
    revision: int
    warnings: list[FaultShape]


class RuleText(Body):
    # A text is kept as it was written.
    model_config = ConfigDict(str_strip_whitespace=False)

    text: str = Field(max_length=262_144, description="One Sigma rule, correlation or filter (YAML).")
    evidence: str = Field(
        default="", max_length=262_144, description="What must and must not fire it (YAML)."
    )


class NewText(RuleText):
    comment: str = Field(default="", max_length=500)


class ChangedText(NewText):
    based_on: int = Field(
        ge=0, description="The revision that this text was made from; 409 if another runs by now."
    )


class Reason(Body):
    reason: str = Field(default="", max_length=500)


class Limit(Reason):
    findings_an_hour: int | None = Field(description="null: no limit.")


class Target(Reason):
    revision: int = Field(ge=0, description="0: the shipped text.")


@router.get("")
def list_rules(
    services: RequestServices,
    principal: Reader,
    paging: Paging,
    sort: Annotated[Sort, Query(description="Figures: the highest first.")] = "title",
    state: Annotated[str, Query(max_length=20, description="Only those in this state.")] = "",
    origin: Annotated[str, Query(max_length=20, description="Only those from there.")] = "",
) -> Page[RuleShape]:
    """All rules and how they fare."""
    start = paging.after_id() or 0
    every = [
        line
        for line in RuleDesk.of(services, principal).lines(sort)
        if (not state or line.state == state) and (not origin or line.entry.origin == origin)
    ]
    end = start + paging.limit
    return Page(
        items=[RuleShape.model_validate(_line(line)) for line in every[start:end]],
        next=cursor(end) if end < len(every) else None,
    )


@router.get("/{rule_id}")
def get_rule(rule_id: str, services: RequestServices, principal: Reader) -> WholeRule:
    """One with its triage guide, its text, its figures and its history."""
    return _whole(RuleDesk.of(services, principal), rule_id)


@router.get("/{rule_id}/revisions/{number}")
def get_revision(
    rule_id: str, number: int, services: RequestServices, principal: Reader
) -> dict[str, object]:
    """The text of a revision (0: the shipped one) and how it differs from the one that runs."""
    desk = RuleDesk.of(services, principal)
    text = desk.text_of(rule_id, number)
    return {"number": number, "source": text, "difference": difference(desk.text_of(rule_id), text)}


@router.post("/check")
def check_rule(body: RuleText, services: RequestServices, principal: Manager) -> CheckShape:
    """What is wrong with a text, and what it would have found in the last day. No rule is stored."""
    checked = RuleDesk.of(services, principal).check(body.text, body.evidence)
    tried = None
    if checked.info is not None and not checked.errors:
        tried = dry_run(services, principal, body.text)
    return CheckShape(
        id=None if checked.info is None else checked.info.id,
        ok=not checked.errors,
        faults=_faults(checked),
        evidence_cases=checked.cases,
        preview=None if tried is None else PreviewShape.model_validate(tried),
    )


@router.post("", status_code=201)
def add_rule(body: NewText, services: RequestServices, principal: Manager) -> WrittenShape:
    """A new rule; it runs within a second. 409 where its id is known: change that one by PUT."""
    return _write(RuleDesk.of(services, principal), body, None, "")


@router.put("/{rule_id}")
def change_rule(
    rule_id: str, body: ChangedText, services: RequestServices, principal: Manager
) -> WrittenShape:
    """A new revision of a rule, shipped or local; it runs within a second."""
    desk = RuleDesk.of(services, principal)
    desk.entry(rule_id)
    return _write(desk, body, body.based_on, rule_id)


@router.post("/{rule_id}/enable")
def enable_rule(rule_id: str, body: Reason, services: RequestServices, principal: Manager) -> WholeRule:
    """Run it again."""
    desk = RuleDesk.of(services, principal)
    desk.enable(rule_id, body.reason)
    return _whole(desk, rule_id)


@router.post("/{rule_id}/disable")
def disable_rule(rule_id: str, body: Reason, services: RequestServices, principal: Manager) -> WholeRule:
    """It is not loaded any more. A reason is demanded. 409 while enabled correlations need it."""
    desk = RuleDesk.of(services, principal)
    desk.disable(rule_id, body.reason)
    return _whole(desk, rule_id)


@router.post("/{rule_id}/revert")
def revert_rule(rule_id: str, body: Target, services: RequestServices, principal: Manager) -> WholeRule:
    """Let an earlier revision run again, or the shipped text. The newer ones are kept."""
    desk = RuleDesk.of(services, principal)
    desk.revert(rule_id, body.revision, body.reason)
    return _whole(desk, rule_id)


@router.post("/{rule_id}/throttle")
def throttle_rule(rule_id: str, body: Limit, services: RequestServices, principal: Manager) -> WholeRule:
    """At most so many findings an hour. The rest are counted, and correlations still see them."""
    desk = RuleDesk.of(services, principal)
    desk.throttle(rule_id, body.findings_an_hour, body.reason)
    return _whole(desk, rule_id)


def _write(desk: RuleDesk, body: NewText, based_on: int | None, rule_id: str) -> WrittenShape:
    try:
        revision, checked = desk.write(
            body.text, evidence=body.evidence, comment=body.comment, based_on=based_on, rule_id=rule_id
        )
    except RuleRefusedError as error:
        raise InvalidError(
            *(
                Fault(
                    "body.evidence" if fault.part == "evidence" else "body.text",
                    f"line {fault.line}: {fault.message}" if fault.line else fault.message,
                )
                for fault in error.faults
            )
        ) from error
    return WrittenShape(id=revision.rule_id, revision=revision.number, warnings=_faults(checked))


def _faults(checked: Checked) -> list[FaultShape]:
    return [FaultShape.model_validate(fault) for fault in checked.faults]


def _line(line: RuleLine) -> dict[str, object]:
    entry, info = line.entry, line.entry.info
    return {
        **{
            name: getattr(info, name)
            for name in ("id", "title", "level", "status", "logsource", "tags", "targets")
        },
        "kind": entry.kind,
        "origin": entry.origin,
        "enabled": entry.setting.enabled,
        "revision": entry.setting.revision,
        "throttle": entry.setting.throttle,
        "state": line.state,
        "hour_matches": line.hour_matches,
        "hour_microseconds": line.hour_microseconds,
        "figures": figures_of(line.figures),
    }


def _whole(desk: RuleDesk, rule_id: str) -> WholeRule:
    view: RuleView = desk.view(rule_id)
    info, setting, figures = view.entry.info, view.entry.setting, view.figures
    names = ("description", "falsepositives", "triage", "subject", "clears", "author", "references")
    return WholeRule.model_validate(
        {
            **_line(desk.line(view.entry, figures)),
            **{name: getattr(info, name) for name in names},
            "source": view.text,
            "shipped": view.entry.shipped,
            "refused": "" if view.refused is None else view.refused.message,
            "refused_line": None if view.refused is None else view.refused.line or None,
            "reason": setting.reason,
            "changed_by": setting.changed_by,
            "changed_at": setting.changed_at,
            "revisions": list(view.revisions),
            "changes": [
                {
                    "number": row.id,
                    **{name: getattr(row, name) for name in ChangeShape.model_fields if name != "number"},
                }
                for row in view.changes
            ],
        }
    )
