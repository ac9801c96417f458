"""What an event store remembers of what was done to it, in its own table, so that nothing is done twice."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class Notes:
    """Over one client of the engine, whose errors calls raise. A note is a ``detail`` about something (``subject``),
    by task; the newest counts."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def of(self, task: str) -> dict[str, str]:
        """The details of a task, by subject."""
        rows = self._client.query(
            "SELECT partition_id, argMax(detail, noted_at) FROM notes WHERE task = {task:String} GROUP BY partition_id",
            parameters={"task": task},
        ).result_rows
        return {str(subject): str(detail) for subject, detail in rows}

    def add(self, task: str, subjects: Iterable[str], detail: str) -> None:
        """The same detail about each of these; durable when it returns."""
        self._client.command(
            "INSERT INTO notes (task, partition_id, detail)"
            " SELECT {task:String}, arrayJoin({subjects:Array(String)}), {detail:String}",
            parameters={"task": task, "subjects": list(subjects), "detail": detail},
        )


def digest(text: str) -> str:
    """Enough of a text to notice that it is another one."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
