"""Who may do what: the permissions, and the roles that are made of them. Nothing is allowed that is not
listed."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    ALERTS_READ = "alerts.read"
    ALERTS_WORK = "alerts.work"
    ENDPOINTS_READ = "endpoints.read"
    ENDPOINTS_REVOKE = "endpoints.revoke"
    IDENTITIES_MANAGE = "identities.manage"
    IDENTITIES_UNDO = "identities.undo"
    CHECKS_EXCEPT = "checks.except"
    SERVICES_MANAGE = "services.manage"
    FIREWALLS_MANAGE = "firewalls.manage"
    DEVICES_APPROVE = "devices.approve"
    LOG_SOURCES_MANAGE = "log_sources.manage"
    BACKUPS_MANAGE = "backups.manage"
    COVERAGE_READ = "coverage.read"
    REPORTS_READ = "reports.read"
    INCIDENTS_READ = "incidents.read"
    INCIDENTS_WORK = "incidents.work"
    AGENCIES_READ = "agencies.read"
    AGENCIES_MANAGE = "agencies.manage"
    TOKENS_CREATE = "tokens.create"
    USERS_MANAGE = "users.manage"
    AUDIT_READ = "audit.read"
    RULES_READ = "rules.read"
    RULES_MANAGE = "rules.manage"
    HUNTS_RUN = "hunts.run"
    SYSTEM_READ = "system.read"
    RELEASES_MANAGE = "releases.manage"
    AGENTS_STEER = "agents.steer"


class Role(StrEnum):
    """``officer`` reaches one agency only; the others reach all. ``auditor`` reads all and changes
    nothing."""

    ADMIN = "admin"
    ANALYST = "analyst"
    OFFICER = "officer"
    AUDITOR = "auditor"


_OFFICER = frozenset(
    {
        Permission.ALERTS_READ,
        Permission.ALERTS_WORK,
        Permission.ENDPOINTS_READ,
        Permission.IDENTITIES_UNDO,
        Permission.FIREWALLS_MANAGE,
        Permission.DEVICES_APPROVE,
        Permission.LOG_SOURCES_MANAGE,
        Permission.BACKUPS_MANAGE,
        Permission.COVERAGE_READ,
        Permission.REPORTS_READ,
        Permission.INCIDENTS_READ,
        Permission.AGENCIES_READ,
        Permission.RULES_READ,
    }
)
_ANALYST = _OFFICER | {
    Permission.IDENTITIES_MANAGE,
    Permission.INCIDENTS_WORK,
    Permission.SYSTEM_READ,
    Permission.RULES_MANAGE,
    Permission.HUNTS_RUN,
    Permission.CHECKS_EXCEPT,
    Permission.SERVICES_MANAGE,
}
_AUDITOR = frozenset(permission for permission in Permission if permission.value.endswith(".read"))

PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    Role.ADMIN: frozenset(Permission),
    Role.ANALYST: _ANALYST,
    Role.OFFICER: _OFFICER,
    Role.AUDITOR: _AUDITOR,
}
