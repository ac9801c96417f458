"""The words for what an agent sees on a Linux machine: changed files, accounts, listening ports, services, USB."""

from __future__ import annotations

from typing import Final

from soc_api.i18n import N_

#: Fields of the events (``previous.`` is said of its own).
LINUX_FIELDS: Final = {
    "TargetFilename": N_("File"),
    "SourceFilename": N_("Moved from"),
    "DetectedBy": N_("How it was noticed"),
    "PackageManager": N_("Package manager at work"),
    "file.path": N_("File"),
    "file.type": N_("File's kind"),
    "file.mode": N_("File's rights"),
    "file.owner": N_("File's owner"),
    "file.uid": N_("File's owner (number)"),
    "file.group": N_("File's group"),
    "file.gid": N_("File's group (number)"),
    "file.size": N_("File's size (bytes)"),
    "file.hash.sha256": N_("File's digest (SHA-256)"),
    "file.target_path": N_("Where the link leads"),
    "file_integrity.state": N_("Watch over files"),
    "file_integrity.reason": N_("Reason"),
    "file_integrity.folders": N_("Folders watched"),
    "file_integrity.files": N_("Files watched"),
    "file_integrity.left_out": N_("Files too many to be watched"),
}

#: What happened, in ``event.action``.
LINUX_ACTIONS: Final = {
    "created": N_("File created"),
    "modified": N_("File modified"),
    "deleted": N_("File deleted"),
    "attributes": N_("File's rights or owner changed"),
    "moved": N_("File moved"),
    "created_and_deleted": N_("File created and deleted at once"),
}

LINUX_SOURCES: Final = {
    "vonggac/file_integrity": N_("Watch over files"),
    "linux/file_event": N_("Linux: watched files"),
    "linux/file_change": N_("Linux: rights of watched files"),
    "linux/file_delete": N_("Linux: watched files deleted"),
}

#: How a change of a file was noticed.
DETECTED_BY: Final = {
    "watch": N_("As it happened"),
    "comparison": N_("By a later comparison"),
}

FILE_TYPES: Final = {
    "file": N_("Ordinary file"),
    "symlink": N_("Symbolic link"),
    "other": N_("Neither file nor link"),
}
