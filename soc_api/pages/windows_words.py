"""The words for what an agent sees on a Windows machine: its firewall, disk encryption, lost events."""

from __future__ import annotations

from typing import Final

from soc_api.i18n import N_

#: Closed words of status documents.
WINDOWS_FACTS: Final = {
    "windows_firewall": "Windows Firewall",
    "other_product": N_("Another product"),
    "bitlocker": "BitLocker",
    "encrypted": N_("Encrypted"),
    "decrypted": N_("Not encrypted"),
    "encrypting": N_("Being encrypted"),
    "decrypting": N_("Being decrypted"),
    "encrypting_paused": N_("Encryption paused"),
    "decrypting_paused": N_("Decryption paused"),
    "system": N_("System volume"),
    "fixed": N_("Data volume"),
    "removable": N_("Removable volume"),
}

WINDOWS_SOURCES: Final = {"vonggac/disk_encryption": N_("Disk encryption")}

WINDOWS_ACTIONS: Final = {"events_lost": N_("Events overwritten before they were read")}

#: Fields of the events (``previous.`` is said of its own).
WINDOWS_FIELDS: Final = {
    "disk_encryption.volume": N_("Volume"),
    "disk_encryption.state": N_("Disk encryption"),
    "disk_encryption.conversion": N_("Encryption's progress"),
    "firewall.profiles.domain": N_("Firewall in the domain"),
    "firewall.profiles.private": N_("Firewall in private networks"),
    "firewall.profiles.public": N_("Firewall in public networks"),
}
