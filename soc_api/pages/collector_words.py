"""The words for the collector's own working: its processes, and what it watches of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.watch.concerns import CONCERNS
from collector.watch.processes import NEVER_DAYS
from soc_api.i18n import N_

if TYPE_CHECKING:
    from soc_api.i18n import Translator

#: What each concern is called.
CONCERN_NAMES: Final = {
    "queue_lag": N_("Detection is behind by"),
    "checkpoint_age": N_("Progress last confirmed"),
    "correlate_lag": N_("Correlation is behind by"),
    "rule_lag": N_("A change of rules waits for"),
    "dead_letters": N_("Batches that could not be read"),
    "refused_batches": N_("Batches that agents had to keep"),
    "store_latency": N_("Time to make something durable"),
    "store_damage": N_("Damaged parts of the event store"),
    "disk_runway": N_("Time until the disk is full"),
    "disk_free": N_("Free room on the disk"),
    "clock_jump": N_("The clock was set by"),
    "clock_unsynchronised": N_("Clock without NTP for"),
    "certificate": N_("Certificate ends in"),
    "agent_certificates": N_("Agents whose certificate is about to end"),
    "process_silence": N_("Process not heard of for"),
    "process_restarts": N_("Starts of the process"),
    "export_lag": N_("Metrics wait for the outside store"),
    "export_loss": N_("Metrics that did not reach the outside store"),
    "rollout_halted": N_("Machines for which a rollout of the agent halted"),
    "agency_silence": N_("Nothing heard of an agency for"),
    "source_silence": N_("Log source silent for"),
}

PROCESS_KINDS: Final = {
    "ingest": N_("Takes batches in"),
    "detect": N_("Runs the rules"),
    "correlate": N_("Puts findings together"),
    "store": N_("Keeps events"),
    "web": N_("Console and API"),
    "export": N_("Carries metrics outside"),
    "vulnerabilities": N_("Matches software with known vulnerabilities"),
}

#: Fields of the events that the watch makes (``product: vonggac, category: collector``).
COLLECTOR_FIELDS: Final = {
    **{f"collector.{name}.{CONCERNS[name].unit}": words for name, words in CONCERN_NAMES.items()},
    **{f"collector.{name}.subject": N_("What it is about") for name in CONCERN_NAMES},
    **{f"collector.{name}.mark": N_("Limit that was passed") for name in CONCERN_NAMES},
    "collector.rollout_halted.ring": N_("Ring"),
    "collector.rollout_halted.failed": N_("Failed"),
    "collector.rollout_halted.silent": N_("Silent beyond the usual"),
    "collector.agency_silence.agency": N_("Agency"),
    "collector.agency_silence.endpoints": N_("Machines"),
    "collector.agency_silence.servers": N_("Servers"),
    "collector.source_silence.agency": N_("Agency"),
    "collector.source_silence.source": N_("Log source"),
    "collector.source_silence.longest_pause_seconds": N_("Longest pause before"),
}


def measured(t: Translator, concern: str, value: float | None) -> str:
    """A concern's value in its unit; an em dash where there is none."""
    known = CONCERNS.get(concern)
    if value is None or known is None:
        return "—"
    if known.unit == "seconds":
        return t.span(value) if value >= 60 else t("%(num)s s", num=t.number(value, 1))
    if known.unit == "days":
        if value >= NEVER_DAYS:
            return t("not foreseeable")
        return t.span(max(0.0, value) * 86_400)
    if known.unit == "ratio":
        return t.percent(value)
    if known.unit == "an_hour":
        return t("%(num)s an hour", num=t.number(value))
    return t.number(value)


def limit_passed(t: Translator, concern: str, mark: float) -> str:
    """In which way a value is beyond the mark that it has passed."""
    known = CONCERNS.get(concern)
    limit = measured(t, concern, mark)
    if known is not None and known.falling:
        return t("below %(limit)s", limit=limit)
    return t("beyond %(limit)s", limit=limit)
