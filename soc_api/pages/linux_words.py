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
    "accounts.count": N_("Number of accounts"),
    "accounts.administrators": N_("Administrators"),
    "accounts.other_superusers": N_("User number 0 beside root"),
    "accounts.without_password": N_("Accounts without a password"),
    "accounts.untold_count": N_("More changes, not told one by one"),
    "accounts.user.name": N_("Account"),
    "accounts.user.uid": N_("User number"),
    "accounts.user.gid": N_("Group number"),
    "accounts.user.home": N_("Home folder"),
    "accounts.user.shell": N_("Shell"),
    "accounts.user.groups": N_("Groups"),
    "accounts.user.administrator": N_("Is an administrator"),
    "accounts.user.sign_in": N_("Has a shell to sign in with"),
    "accounts.user.password": N_("Password's state"),
    "accounts.user.password_changed": N_("Password since"),
    "accounts.user.expires": N_("Account expires"),
    "accounts.group.name": N_("Group"),
    "accounts.group.gid": N_("Group number"),
    "accounts.group.others": N_("Members that are no local accounts"),
    "listening.count": N_("Number of listening ports"),
    "listening.untold_count": N_("More changes, not told one by one"),
    "listening.port.name": N_("Listening port"),
    "listening.port.protocol": N_("Protocol"),
    "listening.port.port": N_("Port number"),
    "listening.port.addresses": N_("Listens at"),
    "listening.port.scope": N_("Reached from"),
    "listening.port.process": N_("Process"),
    "listening.port.path": N_("Program"),
    "listening.port.user": N_("User"),
    "services.count": N_("Number of services that start by themselves"),
    "services.untold_count": N_("More changes, not told one by one"),
    "services.unit.name": N_("Service"),
    "services.unit.wanted_by": N_("Started with"),
    "services.unit.path": N_("Unit file"),
    "services.unit.description": N_("Description"),
    "services.unit.command": N_("Command"),
    "services.unit.user": N_("Runs as"),
    "usb.name": N_("Disk's name in the system"),
    "usb.vendor_id": N_("USB maker (number)"),
    "usb.product_id": N_("USB model (number)"),
    "usb.manufacturer": N_("Maker"),
    "usb.model": N_("Model"),
    "usb.serial_number": N_("Serial number"),
    "usb.port": N_("USB port"),
    "usb.size_bytes": N_("Size"),
}

#: What happened, in ``event.action``.
LINUX_ACTIONS: Final = {
    "created": N_("File created"),
    "modified": N_("File modified"),
    "deleted": N_("File deleted"),
    "attributes": N_("File's rights or owner changed"),
    "moved": N_("File moved"),
    "created_and_deleted": N_("File created and deleted at once"),
    "added": N_("Added"),
    "usb_storage_connected": N_("USB storage connected"),
    "usb_storage_disconnected": N_("USB storage taken away"),
}

LINUX_SOURCES: Final = {
    "vonggac/file_integrity": N_("Watch over files"),
    "vonggac/accounts": N_("Local accounts"),
    "vonggac/listening": N_("Listening ports"),
    "vonggac/services": N_("Services that start by themselves"),
    "linux/usb": N_("Linux: USB storage"),
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

PASSWORD_STATES: Final = {
    "set": N_("Has a password"),
    "locked": N_("Locked"),
    "none": N_("No password opens it"),
    "empty": N_("Opens without a password"),
    "unknown": N_("Unknown"),
}

#: From where a listening port is reached.
SCOPES: Final = {
    "network": N_("Other machines"),
    "loopback": N_("This machine alone"),
}

#: Fields whose values are words of these tables.
LINUX_TABLES: Final = {
    "DetectedBy": DETECTED_BY,
    "file.type": FILE_TYPES,
    "accounts.user.password": PASSWORD_STATES,
    "listening.port.scope": SCOPES,
}
