"""Why an alert cannot be found or moved on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.errors import CollectorError, ConflictError, NotFoundError

if TYPE_CHECKING:
    from collector.state.tables import Alert


class AlertNotFoundError(NotFoundError):
    def __init__(self, alert_id: int) -> None:
        super().__init__(f"no alert {alert_id}")
        self.alert_id = alert_id


class AlertStateError(ConflictError):
    """Somebody was first: the alert is no longer in a state from which it can be moved so. ``by`` says
    who.
    """

    def __init__(self, alert: Alert) -> None:
        self.status = alert.status
        self.by = (alert.closed_by if alert.status == "closed" else alert.acknowledged_by) or ""
        super().__init__(
            f"alert {alert.id} is already {alert.status}, by {self.by}; reload to see it as it is"
        )


class AlertInputError(CollectorError):
    """A close reason, note, sort order or cursor that is not one; ``field`` names which."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
