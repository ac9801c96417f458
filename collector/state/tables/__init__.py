"""Every table, one module a subject. Importing this package fills ``Base.metadata``."""

from collector.state.tables.accounts import AuditEntry, User, UserSession
from collector.state.tables.agencies import Agency, AgencyName, AgencyNetwork, AgencySuccession
from collector.state.tables.alerts import Alert, AlertEvidence, Incident, IncidentNote
from collector.state.tables.endpoints import (
    Assignment,
    Certificate,
    Device,
    Document,
    DocumentChange,
    Endpoint,
    EndpointMac,
    EnrolmentToken,
    IpBinding,
    Throttled,
)
from collector.state.tables.pipeline import (
    Checkpoint,
    DeadLetter,
    Handover,
    Installation,
    Lease,
    ProcessHealth,
    SourceActivity,
    Stream,
    WatchState,
)
from collector.state.tables.rulebook import (
    RuleChange,
    RuleFigures,
    RuleRevision,
    RuleSetting,
    WorkerFigures,
)

__all__ = [
    "Agency",
    "AgencyName",
    "AgencyNetwork",
    "AgencySuccession",
    "Alert",
    "AlertEvidence",
    "Assignment",
    "AuditEntry",
    "Certificate",
    "Checkpoint",
    "DeadLetter",
    "Device",
    "Document",
    "DocumentChange",
    "Endpoint",
    "EndpointMac",
    "EnrolmentToken",
    "Handover",
    "Incident",
    "IncidentNote",
    "Installation",
    "IpBinding",
    "Lease",
    "ProcessHealth",
    "RuleChange",
    "RuleFigures",
    "RuleRevision",
    "RuleSetting",
    "SourceActivity",
    "Stream",
    "Throttled",
    "User",
    "UserSession",
    "WatchState",
    "WorkerFigures",
]
