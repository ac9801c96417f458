"""What goes wrong with a release."""

from __future__ import annotations

from agent.runtime.errors import AgentError


class ReleaseError(AgentError):
    """A release that is not taken. ``code`` is a key of :data:`agent.update.words.REASONS`; ``str()`` says what
    is wrong with what."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
