"""The process of the part ``backups``: looks at each system's files again and again, and says what is so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent.collectors.registry import Output, StatusDocument
from agent.probe.backups.files import judge

if TYPE_CHECKING:
    from agent.probe.backups.settings import BackupsSettings
    from agent.probe.contract import PartContext

SOURCE: Final = "backups"
KIND: Final = "backup"


def run(context: PartContext[BackupsSettings]) -> None:
    """Returns when told to stop."""
    while True:
        look(context)
        if context.stopping.wait(context.settings.look.seconds):
            return


def look(context: PartContext[BackupsSettings]) -> None:
    """Look at all systems once, and tell."""
    now = context.now()
    summed: dict[str, Any] = context.memory(SOURCE).get("summed", {})
    kept: dict[str, Any] = {}
    documents = []
    for system in context.settings.backups.system:
        body, known = judge(system, now, summed.get(system.name, {}))
        if "identity" in known:
            kept[system.name] = known
        documents.append(StatusDocument(kind=KIND, item=system.name, observed_at=now, body=body))
    context.tell(SOURCE, Output(documents=documents), memory={"summed": kept})
