"""Whoever makes a request, as the services and pages see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soc_api.errors import ForbiddenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.state.scope import Scope
    from soc_api.accounts.permissions import Permission, Role


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in user. ``scope`` goes into every query; ``address`` is where the request came from (for the
    audit log); ``csrf_token`` goes into every form (field ``csrf_token``) or header ``X-CSRF-Token``."""

    user_id: int
    username: str
    role: Role
    agency_id: int | None
    scope: Scope
    permissions: frozenset[Permission]
    csrf_token: str
    address: str

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    def demand(self, permissions: Iterable[Permission]) -> None:
        """Raise :class:`ForbiddenError` naming the first permission that is missing."""
        for permission in permissions:
            if permission not in self.permissions:
                raise ForbiddenError(f"the role {self.role} does not hold the permission {permission}")
