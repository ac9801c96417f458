"""The words for what the system knows by a code: levels, states, reasons. One table each, translated where shown."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from agent.reasons import translate
from soc_api.i18n import N_
from soc_api.pages.agent_settings_words import AGENT_SETTINGS_STATES, AGENT_UPDATE_STATES
from soc_api.pages.agent_settings_words import STATES as SETTINGS_STATES
from soc_api.pages.assessment_words import ASSESSMENT_RESULTS, IMPORTANCES, check_title, set_title
from soc_api.pages.availability_words import AVAILABILITY
from soc_api.pages.collector_words import CONCERN_NAMES, PROCESS_KINDS, limit_passed, measured
from soc_api.pages.event_words import ACTIONS, FIELDS, MALWARE_ACTIONS, METHODS, PROTECTION_REASONS, SOURCES
from soc_api.pages.identity_words import IDENTITY_VALUES
from soc_api.pages.linux_words import LINUX_TABLES
from soc_api.pages.vulnerability_words import FEED_KINDS, PACKAGE_REASONS, SEVERITIES
from soc_api.pages.vulnerability_words import STATUSES as VULNERABILITY_STATUSES
from soc_api.pages.windows_words import WINDOWS_FACTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soc_api.i18n import Translator

#: Sigma's levels, most severe first.
LEVELS: Final = {
    "critical": N_("Critical"),
    "high": N_("High"),
    "medium": N_("Medium"),
    "low": N_("Low"),
    "informational": N_("Informational"),
}

#: The states of the coverage ledger, and the picture of each.
STATES: Final = {
    "protected": N_("Protected"),
    "outdated": N_("Out of date"),
    "off": N_("Antivirus off"),
    "none": N_("No antivirus"),
    "silent": N_("Silent"),
    "unmanaged": N_("Unmanaged"),
    "unknown": N_("Unknown"),
}
STATE_MEANINGS: Final = {
    "protected": N_("Antivirus runs, and its signatures are within the national limit"),
    "outdated": N_("Antivirus runs, but its signatures are older than the national limit"),
    "off": N_("Antivirus is installed but does not run"),
    "none": N_("No antivirus is installed"),
    "silent": N_("The machine has not reported for too long, so what it said last no longer counts"),
    "unmanaged": N_("A device seen on the agency's network that has no agent"),
    "unknown": N_("It cannot be known yet; it never counts as compliant"),
}
STATE_ICONS: Final = {
    "protected": "shield-check",
    "outdated": "shield-clock",
    "off": "shield-off",
    "none": "shield-x",
    "silent": "mute",
    "unmanaged": "device",
    "unknown": "help",
}

ALERT_STATUSES: Final = {
    "open": N_("Open"),
    "acknowledged": N_("Acknowledged"),
    "closed": N_("Closed"),
}

CLOSE_REASONS: Final = {
    "true_positive_fixed": N_("True alert, remedied"),
    "true_positive_accepted": N_("True alert, risk accepted"),
    "false_positive": N_("False alert"),
    "benign": N_("True, but legitimate activity"),
    "duplicate": N_("Duplicate of another alert"),
}

INCIDENT_STATUSES: Final = {
    "open": N_("New"),
    "in_progress": N_("In progress"),
    "resolved": N_("Resolved"),
    "closed": N_("Closed"),
}

INCIDENT_CLOSE_REASONS: Final = {
    "fixed": N_("Remedied"),
    "risk_accepted": N_("Risk accepted"),
    "false_positive": N_("No incident"),
    "duplicate": N_("Duplicate of another incident"),
}

#: The clocks of ``soc_api/incidents/deadlines.toml``: what is due, and where it stands.
DEADLINES: Final = {
    "initial_notice": (
        N_("Initial notification"),
        N_("Decree 331/2026, Article 31(2)(d), serious incidents"),
    ),
    "cause_scope_remedy": (
        N_("Cause, scope of impact and remedy"),
        N_("Decree 331/2026, Article 31(2)(d), serious incidents"),
    ),
    "personal_data": (
        N_("Notice of a breach of personal data"),
        N_("Law 91/2025 on personal data, Article 23"),
    ),
}

ROLES: Final = {
    "admin": N_("Administrator"),
    "analyst": N_("SOC analyst"),
    "officer": N_("Agency IT officer"),
    "auditor": N_("Auditor"),
}

ENDPOINT_ROLES: Final = {
    "workstation": N_("Workstation"),
    "server": N_("Server"),
    "unknown": N_("Unknown role"),
}

AGENCY_LEVELS: Final = {
    "tinh": N_("Provincial"),
    "huyen": N_("District"),
    "xa": N_("Commune"),
}

#: Closed words of status documents.
FACTS: Final = {
    "on": N_("On"),
    "partial": N_("Partly"),
    "off": N_("Off"),
    "ok": N_("OK"),
    "unknown": N_("Unknown"),
    "not_installed": N_("Not installed"),
    "known": N_("Known"),
    "never": N_("Never"),
    "none": N_("None"),
    "accept": N_("Accept"),
    "drop": N_("Drop"),
    "reject": N_("Reject"),
    "true": N_("Yes"),
    "false": N_("No"),
    "nftables": "nftables",
    "iptables": "iptables",
    **WINDOWS_FACTS,
}

_REASONS: Final = (".reason", "_reason")
#: Fields whose values are words of a table of their own.
_TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "event.action": ACTIONS,
    "Action": MALWARE_ACTIONS,
    "Method": METHODS,
    **LINUX_TABLES,
    **IDENTITY_VALUES,
    "protection.state": STATES,
    "protection.reason": PROTECTION_REASONS,
    "host.role": ENDPOINT_ROLES,
    "agent.settings.state": AGENT_SETTINGS_STATES,
    "agent.settings.failure": SETTINGS_STATES,
    "agent.update.state": AGENT_UPDATE_STATES,
    "agent.update.last.state": AGENT_UPDATE_STATES,
    "assessment.result": ASSESSMENT_RESULTS,
    "assessment.importance": IMPORTANCES,
    "vulnerability.severity": SEVERITIES,
}
#: Fields whose values are words of the tables above, by the end of their names.
_CLOSED: Final = (".state", "_state", ".real_time", ".input_policy", ".backend", ".virtualization")


class Words:
    """The tables in one language, for templates. An unknown code is shown as it is."""

    def __init__(self, t: Translator) -> None:
        self._t = t
        self.t: Final = t
        self.levels: Final = LEVELS
        self.states: Final = STATES
        self.alert_statuses: Final = ALERT_STATUSES
        self.close_reasons: Final = CLOSE_REASONS
        self.incident_statuses: Final = INCIDENT_STATUSES
        self.severities: Final = SEVERITIES

    def _of(self, table: Mapping[str, str], code: object) -> str:
        text = str(code).lower() if isinstance(code, bool) else str(code)
        return self._t(table[text]) if text in table else text

    def level(self, code: str) -> str:
        return self._of(LEVELS, code)

    def state(self, code: str) -> str:
        return self._of(STATES, code)

    def state_meaning(self, code: str) -> str:
        return self._of(STATE_MEANINGS, code)

    def state_icon(self, code: str) -> str:
        return STATE_ICONS.get(code, "help")

    def alert_status(self, code: str) -> str:
        return self._of(ALERT_STATUSES, code)

    def close_reason(self, code: str) -> str:
        return self._of(CLOSE_REASONS, code)

    def incident_status(self, code: str) -> str:
        return self._of(INCIDENT_STATUSES, code)

    def incident_close_reason(self, code: str) -> str:
        return self._of(INCIDENT_CLOSE_REASONS, code)

    def deadline(self, key: str) -> str:
        return self._t(DEADLINES[key][0]) if key in DEADLINES else key

    def deadline_source(self, key: str, source: str) -> str:
        return self._t(DEADLINES[key][1]) if key in DEADLINES else source

    def concern(self, code: str) -> str:
        """What the collector watches of itself."""
        return self._of(CONCERN_NAMES, code)

    def measured(self, concern: str, value: float | None) -> str:
        return measured(self._t, concern, value)

    def limit_passed(self, concern: str, mark: float) -> str:
        return limit_passed(self._t, concern, mark)

    def process_kind(self, code: str) -> str:
        return self._of(PROCESS_KINDS, code)

    def assessment_result(self, code: str) -> str:
        """How a check of configuration assessment came out."""
        return self._of(ASSESSMENT_RESULTS, code)

    def importance(self, code: str) -> str:
        return self._of(IMPORTANCES, code)

    def check_set(self, name: str) -> str:
        """The title of a set of checks; its name, which may be hostile, where it is none of ours."""
        return set_title(self._t, name)

    def severity(self, code: str) -> str:
        """How grave a known vulnerability is."""
        return self._of(SEVERITIES, code)

    def vulnerability_status(self, code: str) -> str:
        return self._of(VULNERABILITY_STATUSES, code)

    def package_reason(self, code: str) -> str:
        """Why nothing can be said of a package."""
        return self._of(PACKAGE_REASONS, code)

    def feed_kind(self, code: str) -> str:
        return self._of(FEED_KINDS, code)

    def role(self, code: str) -> str:
        return self._of(ROLES, code)

    def endpoint_role(self, code: str) -> str:
        return self._of(ENDPOINT_ROLES, code)

    def agency_level(self, code: str) -> str:
        return self._of(AGENCY_LEVELS, code)

    def fact(self, code: object) -> str:
        """A closed word of a status document; None is not known."""
        return self._t("Unknown") if code is None else self._of(FACTS, code)

    def reason(self, text: object) -> str:
        """Why an agent cannot know or do something, as it was sent or in the reader's language; hostile."""
        return translate(str(text), self._t.lang)

    def field(self, name: str) -> str:
        if name.startswith("previous."):
            return self._t("%(field)s, before", field=self._of(FIELDS, name.removeprefix("previous.")))
        if name not in FIELDS and name.endswith(_REASONS):
            return self._t("Reason")
        return self._of(FIELDS, name)

    def source(self, product: str, category: str, service: str) -> str:
        """Sigma's log source in words where we have them, else as written."""
        parts = [part for part in (product, category or service) if part]
        key = "/".join(parts)
        return self._t(SOURCES[key]) if key in SOURCES else " / ".join(parts)

    def availability(self, table: str, code: str) -> str:
        """A closed word of services and links (:mod:`soc_api.pages.availability_words`)."""
        return self._of(AVAILABILITY[table], code)

    def kind(self, code: str) -> str:
        """What a status document is about."""
        return self._t(SOURCES[f"vonggac/{code}"]) if f"vonggac/{code}" in SOURCES else code

    def day(self, text: object) -> str:
        """A day that an agent writes by ISO 8601, as days are written here; anything else as it stands."""
        try:
            return self._t.date(date.fromisoformat(str(text)))
        except ValueError:
            return str(text)

    def value(self, name: str, text: str) -> str:
        """A field's closed word in the reader's language; any other text as it is."""
        name = name.removeprefix("previous.")
        table = _TABLES.get(name)
        if table is not None:
            return self._of(table, text)
        if name == "assessment.check":
            return check_title(self._t, text)
        if name == "assessment.set":
            return set_title(self._t, text)
        if name.endswith(_REASONS) or name.startswith("host.empty."):
            return self.reason(text)
        return self._of(FACTS, text) if name.endswith(_CLOSED) else text
