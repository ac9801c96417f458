"""The words for machines' identity: events, kinds of pairs, and what spoke for and against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soc_api.i18n import N_

if TYPE_CHECKING:
    from soc_api.i18n import Translator

IDENTITY_ACTIONS: Final = {
    "two_places": N_("One key used in two places"),
    "went_back": N_("Went back to an earlier state"),
    "hardware_changed": N_("Reports from other hardware"),
    "copy_on_its_own": N_("A copy got an identity of its own"),
    "same_evidence": N_("Two machines say that they are the same"),
    "linked": N_("Record linked with an older one"),
    "unlinked": N_("Link of two records undone"),
}

IDENTITY_FIELDS: Final = {
    "host.machine_id": N_("Number of the installed system"),
    "host.board_serial": N_("Serial number of the mainboard"),
    "host.chassis_serial": N_("Serial number of the case"),
    "host.disk_serials": N_("Serial numbers of disks"),
    "identity.found_by": N_("Found by"),
    "identity.places": N_("Places"),
    "identity.returns": N_("Times they took turns"),
    "identity.since_time": N_("Since when"),
    "identity.stream": N_("Stream"),
    "identity.cause": N_("Cause"),
    "identity.kind": N_("How the two belong together"),
    "identity.score": N_("Score"),
    "identity.same": N_("What is the same"),
    "identity.other_id": N_("The other record"),
    "identity.other_name": N_("The other machine"),
    "identity.automatic": N_("Without anybody"),
    "identity.uuid": N_("Machine's UUID"),
    "identity.serial": N_("Serial number"),
    "identity.board_serial": N_("Serial number of the mainboard"),
    "identity.chassis_serial": N_("Serial number of the case"),
    "identity.disk_serial": N_("Serial numbers of disks"),
    "identity.machine_id": N_("Number of the installed system"),
}

#: By kind of ``collector.identity.matching.MATCHES``: what happened, as a sentence.
KINDS: Final = {
    "reimaged": N_("The same hardware, with a system that was installed anew"),
    "reenrolled": N_("The same hardware and system, enrolled again"),
    "renamed": N_("The same hardware and system under another name, enrolled again"),
    "disk_moved": N_("The same system on other hardware: a moved disk, a copy, or a new mainboard"),
    "replaced": N_("The same name on other hardware: perhaps a new machine in the old one's place"),
    "parts_shared": N_("Some parts are the same"),
}

#: By kind of ``collector.identity.evidence.KINDS``.
EVIDENCE: Final = {
    "uuid": N_("Machine's UUID"),
    "serial": N_("Serial number"),
    "board_serial": N_("Serial number of the mainboard"),
    "chassis_serial": N_("Serial number of the case"),
    "disk_serial": N_("Serial numbers of disks"),
    "mac": N_("Network card"),
    "machine_id": N_("Number of the installed system"),
}

STATES: Final = {
    "proposed": N_("Proposed"),
    "linked": N_("Linked"),
    "rejected": N_("Two machines"),
    "undone": N_("Undone"),
}

CAUSES: Final = {
    "moved": N_("The machine itself said that its disk is a copy of the other's"),
    "rekeyed": N_("The keys of all copies were changed"),
}

IDENTITY_VALUES: Final = {
    "identity.found_by": {
        "numbers": N_("Numbers of its batches"),
        "evidence": N_("What it says of its hardware"),
        "renewals": N_("Renewals of one certificate with different keys"),
    },
    "identity.kind": KINDS,
    "identity.cause": CAUSES,
}


def listed(t: Translator, kinds: list[str]) -> str:
    """Kinds of evidence, in words."""
    return ", ".join(t(EVIDENCE[each]) if each in EVIDENCE else each for each in kinds)
