"""The words for a rule's origin, state and changes; one table each, translated where shown."""

from __future__ import annotations

from typing import Final

from soc_api.i18n import N_

STATES: Final = {
    "ok": N_("Runs"),
    "slow": N_("Slow"),
    "noisy": N_("Noisy"),
    "refused": N_("Does not run"),
    "disabled": N_("Disabled"),
}
STATE_MEANINGS: Final = {
    "ok": N_("The rule runs, and is neither slow nor noisy"),
    "slow": N_("The rule takes too long an event, on average over the last hour"),
    "noisy": N_("The rule finds too much in an hour for anybody to read"),
    "refused": N_("The engine could not take the rule; what ran before runs on"),
    "disabled": N_("Somebody has switched the rule off"),
}
#: As the states of machines and alerts look: a class of the style sheet each.
STATE_TAGS: Final = {
    "ok": "resolved",
    "slow": "open",
    "noisy": "open",
    "refused": "open",
    "disabled": "closed",
}
STATE_ICONS: Final = {"ok": "check", "slow": "clock", "noisy": "high", "refused": "x", "disabled": "mute"}

ORIGINS: Final = {
    "own": N_("Shipped with Vọng Gác"),
    "folder": N_("From a folder of the settings"),
    "imported": N_("Imported release"),
    "local": N_("Written here"),
}

KINDS: Final = {"rule": N_("Rule"), "correlation": N_("Correlation"), "filter": N_("Filter")}

CHANGES: Final = {
    "write": N_("New text"),
    "revert": N_("Taken back to an earlier text"),
    "enable": N_("Enabled"),
    "disable": N_("Disabled"),
    "throttle": N_("Limit changed"),
    "import": N_("Release imported"),
}

SORTS: Final = {
    "level": N_("By level"),
    "matches": N_("Most matches"),
    "seconds": N_("Most time"),
    "last_match": N_("Last match"),
    "state": N_("By state"),
}
