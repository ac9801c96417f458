"""The words for settings of agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from soc_api.i18n import N_

if TYPE_CHECKING:
    from soc_api.i18n import Translator

SETTINGS: Final = {
    "heartbeat_seconds": N_("Sign of life every"),
    "metrics_seconds": N_("Metrics travel at the latest after"),
    "spool_bytes": N_("Room on disk while nobody answers"),
    "spool_hours": N_("What waits on disk is kept for"),
    "disabled": N_("Collectors switched off"),
    "intervals": N_("Intervals of collectors"),
    "trial_seconds": N_("New settings are tried for"),
}
_INTERVAL: Final = N_("Interval of %(name)s")

GROUPS: Final = {
    "all": N_("All machines"),
    "agency": N_("Agency"),
    "role": N_("Role"),
    "endpoint": N_("Single machine"),
}

STATES: Final = {
    "rolled_back": N_("Taken back by the machine"),
    "refused": N_("Refused by the machine"),
    "trying": N_("On trial"),
    "waiting": N_("Not there yet"),
    "in_force": N_("In force"),
    "none": N_("Nothing meant for it"),
}

#: Fields of the events about an agent (``product: vonggac, category: agent``).
AGENT_FIELDS: Final = {
    "agent.version": N_("Agent's version"),
    "agent.key.place": N_("Where the agent's key is"),
    "agent.key.reason": N_("Why it is not in the TPM"),
    "agent.settings.number": N_("Settings in use"),
    "agent.settings.state": N_("State of the settings"),
    "agent.settings.failed": N_("Settings not in use"),
    "agent.settings.failure": N_("What became of them"),
    "agent.settings.reason": N_("Reason"),
    "agent.settings.stated": N_("Said by the machine's own file"),
    "agent.update.wanted": N_("Release meant for it"),
    "agent.update.state": N_("State of the release"),
    "agent.update.code": N_("Code of the reason"),
    "agent.update.detail": N_("Reason"),
    "agent.update.starts": N_("Starts within a day"),
    "agent.update.last.version": N_("Release tried last"),
    "agent.update.last.before": N_("Version before it"),
    "agent.update.last.state": N_("How it ended"),
    "agent.update.last.code": N_("Code of the reason"),
    "agent.update.last.detail": N_("Reason"),
    "agent.update.last.at": N_("When it ended"),
}
#: Of a release that is wanted, and of the last one that was tried.
AGENT_UPDATE_STATES: Final = {
    "fetching": N_("Being fetched"),
    "ready": N_("Fetched, not applied yet"),
    "waiting": N_("Waiting"),
    "refused": N_("Refused by the machine"),
    "switching": N_("On trial"),
    "going_back": N_("Being taken back"),
    "done": N_("In force"),
    "rolled_back": N_("Taken back by the machine"),
}
AGENT_SETTINGS_STATES: Final = {
    "own": N_("Own settings alone"),
    "trying": N_("On trial"),
    "in_force": N_("In force"),
}


def setting(t: Translator, name: str) -> str:
    """What a setting is called; the name of a collector within it may be hostile."""
    if name.startswith("intervals."):
        return t(_INTERVAL, name=name.removeprefix("intervals."))
    return t(SETTINGS[name]) if name in SETTINGS else name


def value(t: Translator, name: str, said: Any) -> str:
    """A setting's value in words."""
    if said is None:
        return t("Not said")
    if name == "disabled":
        return ", ".join(said) if said else t("None")
    if name == "spool_hours":
        return t.plural("%(num)s hour", "%(num)s hours", int(said)) if said == int(said) else f"{said:g} h"
    if name == "spool_bytes":
        return f"{t.number(said / (1 << 20), 0)} MB"
    return t.plural("%(num)s second", "%(num)s seconds", int(said)) if said == int(said) else f"{said:g} s"
