"""The words of configuration assessment, and the titles of its checks where an event names one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soc_api.assessment.written import shipped_checks, shipped_sets
from soc_api.i18n import N_

if TYPE_CHECKING:
    from soc_api.i18n import Translator

ASSESSMENT_RESULTS: Final = {
    "passed": N_("Passed"),
    "failed": N_("Failed"),
    "unknown": N_("Unknown"),
    "excepted": N_("Excepted"),
    "not_applicable": N_("Not applicable"),
}
IMPORTANCES: Final = {
    "high": N_("High importance"),
    "medium": N_("Medium importance"),
    "low": N_("Low importance"),
}
ASSESSMENT_FIELDS: Final = {
    "assessment.set": N_("Set of checks"),
    "assessment.check": N_("Check"),
    "assessment.result": N_("Result of the check"),
    "assessment.importance": N_("Importance"),
    "assessment.found": N_("Found"),
    "assessment.wanted": N_("Wanted"),
    "assessment.passed": N_("Checks passed"),
    "assessment.failed": N_("Checks failed"),
    "assessment.unknown": N_("Checks unknown"),
    "assessment.not_applicable": N_("Checks not applicable"),
}
ASSESSMENT_ACTIONS: Final = {
    "worse": N_("Setting got worse"),
    "better": N_("Setting got better"),
}


def check_title(t: Translator, check: str) -> str:
    """The title of a check of any shipped set (ids that two sets share mean the same); else the id as it is."""
    for name in shipped_sets():
        if (written := shipped_checks(name).get(check)) is not None:
            return t.either(written.title.as_mapping())
    return check


def set_title(t: Translator, name: str) -> str:
    found = shipped_sets().get(name)
    return name if found is None else t.either(found.title.as_mapping())
