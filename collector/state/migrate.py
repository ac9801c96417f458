"""Brings the state store's tables to what this program expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.state.base import Base
from collector.state.database import StateStore

if TYPE_CHECKING:
    from pathlib import Path


def upgrade(path: Path) -> None:
    """Make or alter the tables in ``path``; idempotent."""
    store = StateStore(path)
    Base.metadata.create_all(store.engine)
    store.close()
