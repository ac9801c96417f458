"""Makes the log's stream ready before anybody writes or reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.log.jetstream.link import Link
from collector.log.jetstream.stream import make, start_behind

if TYPE_CHECKING:
    from collector.settings import Log


def prepare_stream(settings: Log, checkpoint: int) -> bool:
    """Make the stream, or change it to what the settings say; whether its offsets had to be raised above
    ``checkpoint``. Rows that it holds go behind the checkpoint too, as nobody can tell whether they were read.

    Raises:
        LogError: the servers do not answer or refuse; try again later.
        LogDamagedError: there is such a stream, but it is not ours.
    """
    link = Link(settings, "prepare")
    try:
        stream = link.wait(make(link, settings))
        if stream.last_offset >= checkpoint:
            return False
        link.wait(start_behind(link, settings, stream.base + checkpoint))
        return True
    finally:
        link.close()
