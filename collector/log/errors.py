"""Why a row could not be made durable. Whoever gets one of these must not acknowledge."""

from __future__ import annotations

from collector.errors import CollectorError


class LogError(CollectorError):
    """The row is not in the log; the sender must try again later."""


class LogFull(LogError):  # noqa: N818 - the state that it names is known by this name
    """No room on the disk. Rows already in the log are safe; room returns when old ones are trimmed."""


class LogBusy(LogError):  # noqa: N818 - as above
    """More bytes wait to be written than the bound allows; the disk is slower than the senders."""


class LogDamagedError(CollectorError):
    """The log's file cannot be used as it is; ``str()`` says what to do."""
