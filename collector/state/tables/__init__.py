"""Every table, one module a subject. Importing this package fills ``Base.metadata``."""

from collector.state.tables.accounts import AuditEntry, User, UserSession
from collector.state.tables.agencies import Agency, AgencyName, AgencyNetwork, AgencySuccession
from collector.state.tables.alerts import Alert, AlertEvidence, Incident, IncidentNote
from collector.state.tables.assessment import CheckException
from collector.state.tables.devices import DeviceAddress, DeviceApproval, DeviceCensus
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
from collector.state.tables.firewalls import Firewall
from collector.state.tables.identity import (
    EndpointEvidence,
    EndpointOrigin,
    IdentityNote,
    MachineLink,
    RekeyOrder,
)
from collector.state.tables.network import NetworkDevice
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
from collector.state.tables.releases import AgencyRing, EndpointRing, Release, Rollout, RolloutNote
from collector.state.tables.rulebook import (
    RuleChange,
    RuleFigures,
    RuleRevision,
    RuleSetting,
    WorkerFigures,
)
from collector.state.tables.services import (
    AvailabilityLook,
    AvailabilitySpan,
    Service,
    ServiceContent,
    ServiceMaintenance,
)
from collector.state.tables.sources import BackupRecord, BackupSystem, LogSource, LogSourceLook
from collector.state.tables.steering import EndpointSettings, SettingsPublication
from collector.state.tables.vulnerabilities import (
    Advisory,
    AdvisoryPackage,
    EndpointVulnerabilities,
    Vulnerability,
    VulnerabilityFeed,
    VulnerabilityTally,
)

__all__ = [
    "Advisory",
    "AdvisoryPackage",
    "Agency",
    "AgencyName",
    "AgencyNetwork",
    "AgencyRing",
    "AgencySuccession",
    "Alert",
    "AlertEvidence",
    "Assignment",
    "AuditEntry",
    "AvailabilityLook",
    "AvailabilitySpan",
    "BackupRecord",
    "BackupSystem",
    "Certificate",
    "CheckException",
    "Checkpoint",
    "DeadLetter",
    "Device",
    "DeviceAddress",
    "DeviceApproval",
    "DeviceCensus",
    "Document",
    "DocumentChange",
    "Endpoint",
    "EndpointEvidence",
    "EndpointMac",
    "EndpointOrigin",
    "EndpointRing",
    "EndpointSettings",
    "EndpointVulnerabilities",
    "EnrolmentToken",
    "Firewall",
    "Handover",
    "IdentityNote",
    "Incident",
    "IncidentNote",
    "Installation",
    "IpBinding",
    "Lease",
    "LogSource",
    "LogSourceLook",
    "MachineLink",
    "NetworkDevice",
    "ProcessHealth",
    "RekeyOrder",
    "Release",
    "Rollout",
    "RolloutNote",
    "RuleChange",
    "RuleFigures",
    "RuleRevision",
    "RuleSetting",
    "Service",
    "ServiceContent",
    "ServiceMaintenance",
    "SettingsPublication",
    "SourceActivity",
    "Stream",
    "Throttled",
    "User",
    "UserSession",
    "Vulnerability",
    "VulnerabilityFeed",
    "VulnerabilityTally",
    "WatchState",
    "WorkerFigures",
]
