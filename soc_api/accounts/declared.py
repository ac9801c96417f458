"""Default deny: what every route of the application demands, read from its dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi.routing import iter_route_contexts

from soc_api.accounts.dependencies import Require

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from fastapi import FastAPI
    from fastapi.dependencies.models import Dependant

    from soc_api.accounts.permissions import Permission


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    """``permissions`` None: nothing declared. Empty: any signed-in user."""

    method: str
    path: str
    permissions: frozenset[Permission] | None


class UndeclaredRouteError(Exception):
    """A route that neither names a permission nor is public: a programming error, found at start."""


def declared_routes(app: FastAPI) -> list[DeclaredRoute]:
    """Every method of every route, mounted applications included."""
    found: list[DeclaredRoute] = []
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        needs = [] if dependant is None else list(_requirements(dependant))
        permissions = frozenset(p for need in needs for p in need.permissions) if needs else None
        methods = sorted(context.methods or {"*"})
        found.extend(DeclaredRoute(method, context.path or "", permissions) for method in methods)
    return found


def refuse_undeclared(app: FastAPI, public: Collection[str], prefixes: tuple[str, ...]) -> None:
    """Raise :class:`UndeclaredRouteError` for the first route that is neither declared nor public."""
    for route in declared_routes(app):
        if route.permissions is None and route.path not in public and not route.path.startswith(prefixes):
            raise UndeclaredRouteError(f"{route.method} {route.path} declares no permission")


def _requirements(dependant: Dependant) -> Iterator[Require]:
    for child in dependant.dependencies:
        if isinstance(child.call, Require):
            yield child.call
        yield from _requirements(child)
