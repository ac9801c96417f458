"""Writes the coverage report as an official document: sentences and tables, in one language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.reasons import translate
from collector.coverage.models import STATES, percent
from soc_api.i18n import LOCAL_ZONE, translator
from soc_api.reports.blocks import Appendix, Block, Column, Heading, OfficialDocument, Paragraph, Table
from soc_api.reports.clean import clean
from soc_api.reports.numbers import NOTHING, percent_text
from soc_api.reports.wording import SENTENCES, say

if TYPE_CHECKING:
    from collector.coverage.models import Counts, Machine, Reason
    from collector.settings import Report as ReportSettings
    from soc_api.reports.content import CoverageReport

_BLANK_NUMBER: Final = "……"


def write(
    report: CoverageReport, head: ReportSettings, lang: str, number: int | None = None
) -> OfficialDocument:
    """The official document that says ``report``; issuer, place and signatory are settings.
    ``number`` is the one in the office's register, left to be filled in by hand where None."""
    return _Writer(report, head, lang, number).write()


def meaning(report: CoverageReport, state: str, lang: str) -> str:
    """What a state stands for, with the limits that were in force."""
    limits = report.limits
    silent = translator(lang).span(limits.silent_after_seconds)
    return say(lang, f"means_{state}", days=limits.national_signature_days, silent=silent)


def reason_sentence(reason: Reason, lang: str) -> str:
    """Why a machine is in its state. The parameters are partly an agent's own words, and cleaned here."""
    values = {name: clean(str(value)) or NOTHING for name, value in reason.parameters.items()}
    if "detail" in reason.parameters:  # the agent's own words
        words = translate(str(reason.parameters["detail"]), "en" if lang == "en" else "vi")
        values["detail"] = clean(words) or NOTHING
    if "seconds" in reason.parameters:
        values["span"] = translator(lang).span(float(reason.parameters["seconds"]))
    key = f"reason_{reason.code}"
    if reason.code == "copy_not_confirmed" and "hostname" not in values:
        key = "reason_copy_of_another"
    return say(lang, key, **values) if key in SENTENCES else reason.code


def reason_of(machine: Machine, lang: str) -> str:
    """:func:`reason_sentence`; of network equipment, what it was recognised by."""
    if machine.counted:
        return reason_sentence(machine.reason, lang)
    values = {
        name: clean(str(machine.reason.parameters.get(name, ""))) or NOTHING for name in ("mac", "seen_by")
    }
    return say(lang, "reason_gateway", **values)


class _Writer:
    def __init__(self, report: CoverageReport, head: ReportSettings, lang: str, number: int | None) -> None:
        self.report = report
        self.total = report.ledger.total
        self.head = head
        self.lang = lang
        self.t = translator(lang)
        self.number = _BLANK_NUMBER if number is None else f"{number:02d}"
        self.many = not report.scope_code
        self.list_label = self.say("appendix", roman="II" if self.many else "I")

    def write(self) -> OfficialDocument:
        report, head = self.report, self.head
        appendices = []
        if self.many:
            note = Paragraph(self.say("abbreviations"), "note")
            appendices.append(self.appendix("I", "by_agency", [self.agencies(), note]))
        listing: Block = (
            self.machines() if report.ledger.machines else Paragraph(self.say("list_empty"), "note")
        )
        appendices.append(self.appendix("II" if self.many else "I", "list", [listing]))
        simulated = report.simulated_counted
        return OfficialDocument(
            lang=self.lang,
            country=self.say("country"),
            motto=self.say("motto"),
            parent_body=head.parent_body,
            issuer=head.issuer,
            number=self.say("number", number=self.number, symbol=head.symbol),
            place_and_date=self.say("place_and_date", place=head.place, **self.date_parts()),
            kind=self.say("kind"),
            subject=[
                self.say("subject"),
                self.say("subject_all")
                if self.many
                else self.say("subject_agency", agency=report.scope_name),
                self.say("cut_off", time=self.t.time(report.ledger.as_of)),
            ],
            banner=self.say("banner", count=self.t.number(simulated)) if simulated else "",
            body=self.body(),
            recipients_title=self.say("recipients_title"),
            recipients=[f"- {line}" for line in [*head.recipients, self.say("archive")]],
            signatory_title=head.signatory_title,
            signatory_name=head.signatory_name,
            made_at=report.ledger.as_of,
            appendices=appendices,
        )

    def say(self, sentence: str, **values: object) -> str:
        """Numbers are written as the language writes them."""
        shown = {
            name: self.t.number(value) if isinstance(value, int) else value for name, value in values.items()
        }
        return say(self.lang, sentence, **shown)

    def percent(self, value: float | None) -> str:
        return percent_text(value, self.lang)

    def date_parts(self) -> dict[str, str]:
        """Day below 10 and months 1 and 2 with a leading zero, as the decree writes them."""
        local = self.report.ledger.as_of.astimezone(LOCAL_ZONE)
        month = f"{local.month:02d}" if local.month <= 2 else str(local.month)
        return {"day": f"{local.day:02d}", "month": month, "year": str(local.year)}

    def body(self) -> list[Block]:
        limits = self.report.limits
        return [
            Heading(self.say("result")),
            Paragraph(self.result()),
            self.states(),
            Heading(self.say("denominator")),
            Paragraph(self.say("denominator_sentence", days=limits.device_forgotten_days)),
            Paragraph(self.left_out()),
            Paragraph(self.say("rounding")),
            Heading(self.say("officials")),
            *(Paragraph(text) for text in self.officials()),
            Heading(self.say("target")),
            *self.target(),
            Heading(self.say("national")),
            Paragraph(
                self.say(
                    "national_sentence",
                    days=limits.national_signature_days,
                    count=self.report.beyond_national_limit,
                    local=limits.local_signature_days,
                    late=self.report.beyond_local_limit,
                    outdated=self.say("state_outdated"),
                )
            ),
            Paragraph(self.say("end")),
        ]

    def result(self) -> str:
        total = self.total
        scope = self.report.scope_name or self.say("scope_all", count=len(self.report.agencies))
        if not total.known:
            return self.say("result_nothing", scope=scope)
        return self.say(
            "result_sentence",
            scope=scope,
            known=total.known,
            protected=total.protected,
            percent=self.percent(total.percent_of_known),
            rest=total.known - total.protected,
            list=self.list_label,
        )

    def states(self) -> Table:
        total = self.total
        rows = [
            [
                self.say(f"state_{state}"),
                meaning(self.report, state, self.lang),
                self.t.number(total.by_state[state]),
                self.percent(percent(total.by_state[state], total.known)),
            ]
            for state in STATES
        ]
        rows.append(
            [
                self.say("total"),
                "",
                self.t.number(total.known),
                self.percent(percent(total.known, total.known)),
            ]
        )
        columns = [
            Column(self.say("state"), 32),
            Column(self.say("meaning"), 62),
            Column(self.say("machines"), 14, "right"),
            Column(self.say("share"), 16, "right"),
        ]
        return Table(columns, rows, bold_last=True)

    def left_out(self) -> str:
        network, retired = self.total.network_equipment, self.report.retired
        if self.report.ledger.include_simulated:
            counted = self.report.simulated_counted
            return self.say(
                "excluded_sentence_simulated", network=network, retired=retired, simulated=counted
            )
        left_out = self.report.simulated_left_out
        return self.say("excluded_sentence", network=network, retired=retired, simulated=left_out)

    def officials(self) -> list[str]:
        declared, known = self.total.declared, self.report.known_where_declared
        if not declared:
            return [self.say("officials_none")]
        texts = [
            self.say(
                "officials_sentence",
                officials=declared,
                known_share=self.percent(self.report.known_of_declared_percent),
                protected_share=self.percent(self.total.percent_of_declared),
            )
        ]
        if known < declared:
            texts.append(self.say("officials_gap", gap=declared - known))
        if self.report.agencies_without_officials:
            texts.append(self.say("officials_missing", count=self.report.agencies_without_officials))
        return texts

    def target(self) -> list[Block]:
        ledger, target = self.report.ledger, self.report.target
        by_agency = self.say(
            "reading_agencies",
            count=ledger.agencies_with_protection,
            agencies=ledger.agencies_total,
            percent=self.percent(ledger.percent_of_agencies),
            empty=self.report.agencies_without_machines,
        )
        by_machine = self.say(
            "reading_machines",
            protected=self.total.protected,
            known=self.total.known,
            percent=self.percent(self.total.percent_of_known),
            complete=self.report.agencies_complete,
            agencies=ledger.agencies_total,
        )
        quote = self.say("target_quote", quote=target.quote, source=target.source[self.lang], id=target.id)
        return [
            Paragraph(quote, "quote"),
            Paragraph(self.say("target_readings")),
            Paragraph(by_agency),
            Paragraph(by_machine),
            Paragraph(self.say("target_caveat")),
        ]

    def appendix(self, roman: str, title: str, blocks: list[Block]) -> Appendix:
        reference = self.say(
            "appendix_reference", number=self.number, symbol=self.head.symbol, **self.date_parts()
        )
        return Appendix(self.say("appendix", roman=roman), self.say(title), reference, blocks)

    def agencies(self) -> Table:
        columns = [
            Column(self.say("col_order"), 9, "center"),
            Column(self.say("col_agency"), 60),
            Column(self.say("col_officials"), 15, "right"),
            Column(self.say("col_known"), 14, "right"),
            *(Column(self.say(f"state_{state}"), 18, "right") for state in STATES),
            Column(self.say("col_percent_known"), 18, "right"),
            Column(self.say("col_percent_officials"), 18, "right"),
        ]
        rows = []
        for order, agency in enumerate(self.report.ledger.agencies, 1):
            known = agency.agency_id is not None
            name = agency.name if known else self.say("no_agency")
            rows.append([str(order) if known else "", name, *self.figures(agency.counts)])
        rows.append(["", self.say("total"), *self.figures(self.total)])
        return Table(columns, rows, bold_last=True)

    def figures(self, counts: Counts) -> list[str]:
        return [
            NOTHING if counts.declared is None else self.t.number(counts.declared),
            self.t.number(counts.known),
            *(self.t.number(counts.by_state[state]) for state in STATES),
            self.percent(counts.percent_of_known),
            self.percent(counts.percent_of_declared),
        ]

    def machines(self) -> Table:
        columns = [
            Column(self.say("col_order"), 10, "center"),
            *([Column(self.say("col_agency"), 46)] if self.many else []),
            Column(self.say("col_name"), 40),
            Column(self.say("state"), 32),
            Column(self.say("col_reason"), 55),
            Column(self.say("col_product"), 20),
            Column(self.say("col_signatures"), 21, "center"),
            Column(self.say("col_age"), 13, "right"),
            Column(self.say("col_last_seen"), 26, "center"),
        ]
        rows = [self.machine(order, machine) for order, machine in enumerate(self.report.ledger.machines, 1)]
        return Table(columns, rows)

    def machine(self, order: int, machine: Machine) -> list[str]:
        state, name = self.say(f"state_{machine.state}"), clean(machine.name)
        return [
            str(order),
            *([machine.agency_name or self.say("no_agency")] if self.many else []),
            self.say("simulated_mark", name=name) if machine.simulated else name,
            state if machine.counted else self.say("not_counted_mark", state=self.say("network_equipment")),
            reason_of(machine, self.lang),
            clean(machine.antivirus) or NOTHING,
            self.t.date(machine.signature_time),
            NOTHING if machine.age_days is None else str(machine.age_days),
            self.t.time(machine.last_seen),
        ]
