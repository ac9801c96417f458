"""Why a machine is in its state of the coverage ledger, as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.reasons import translate
from soc_api.i18n import N_

if TYPE_CHECKING:
    from collector.coverage.models import Reason
    from soc_api.i18n import Translator

#: One sentence a code of :data:`collector.coverage.models.REASONS`; a test keeps the two alike.
SENTENCES: Final = {
    "signatures_current": N_("Antivirus runs; age of its signatures: %(age)s"),
    "signatures_old": N_("Age of the signatures: %(age)s; the limit is %(limit)s"),
    "antivirus_off": N_("%(product)s is installed but does not run"),
    "antivirus_not_installed": N_("No antivirus product was found"),
    "not_heard_from": N_("Not heard from for %(span)s"),
    "never_reported": N_("Enrolled %(span)s ago and never reported"),
    "no_agent": N_("Seen on the network as %(ip)s (%(mac)s) by %(seen_by)s, without an agent"),
    "retired_but_seen": N_("%(hostname)s was retired, but is still seen on the network as %(ip)s (%(mac)s)"),
    "waiting_for_first_report": N_("Enrolled; its first report has not come yet"),
    "copy_not_confirmed": N_(
        "It came with a copy of the key of %(hostname)s, and nobody has confirmed it yet"
    ),
    "no_antivirus_report": N_("The agent has not said anything about antivirus"),
    "antivirus_unknown": N_("The agent cannot tell the state of %(product)s: %(detail)s"),
    "signature_age_unknown": N_("%(product)s runs, but the date of its signatures is not known"),
    "signatures_said_old": N_("%(product)s runs, but calls its own signatures out of date"),
    "signature_time_in_future": N_("The signatures of %(product)s are dated in the future"),
    "collector_failing": N_("The agent's collector %(collector)s fails: %(detail)s"),
}


#: Where nobody's name stands beside it (the machine that saw it is gone).
_SEEN_BY_NOBODY: Final = N_("Seen on the network as %(ip)s (%(mac)s), without an agent")
#: Where the one that it was copied from is not of the same agency.
_COPY_OF_ANOTHER: Final = N_("It came with a copy of another machine's key, and nobody has confirmed it yet")
_GATEWAY: Final = N_("Default gateway of a local network, %(ip)s (%(mac)s): needs no agent")


def sentence(t: Translator, reason: Reason, *, counted: bool = True) -> str:
    """Plain text; parameters may be hostile, so it is shown through the filter ``visible``. What is not ``counted`` is
    network equipment."""
    message = SENTENCES.get(reason.code)
    if reason.code == "no_agent" and not counted:
        message = _GATEWAY
    elif reason.code == "no_agent" and not reason.parameters.get("seen_by"):
        message = _SEEN_BY_NOBODY
    elif reason.code == "copy_not_confirmed" and "hostname" not in reason.parameters:
        message = _COPY_OF_ANOTHER
    if message is None:
        return reason.code
    values: dict[str, object] = {name: value or "?" for name, value in reason.parameters.items()}
    if "detail" in reason.parameters:
        values["detail"] = translate(str(reason.parameters["detail"]), t.lang) or "?"
    for name, parameter in (("age", "days"), ("limit", "limit")):
        values[name] = t.plural("%(num)s day", "%(num)s days", int(reason.parameters.get(parameter, 0)))
    values["span"] = t.span(int(reason.parameters.get("seconds", 0)))
    for name in ("product", "detail", "ip", "mac", "seen_by", "hostname", "collector"):
        values.setdefault(name, "?")
    return t(message, **values)
