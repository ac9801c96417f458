"""Who decides what is wanted of the endpoints: every :class:`~collector.steering.board.Source` there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.identity.source import RekeySource
from collector.steering.releases.source import Releases
from collector.steering.settings.source import SettingsSource

if TYPE_CHECKING:
    from collector.steering.board import Source


def all_sources() -> list[Source]:
    return [SettingsSource(), Releases(), RekeySource()]
