"""The words of services and links: states, reasons, what is to be mended, fields of their events."""

from __future__ import annotations

from typing import Final

from soc_api.i18n import N_

SERVICE_STATES: Final = {
    "up": N_("Works"),
    "down_for_some": N_("Not for some agencies"),
    "down_for_all": N_("Down for all"),
    "unknown": N_("Nobody can tell"),
    "": N_("Not looked at yet"),
}
LINK_STATES: Final = {
    "connected": N_("Connected"),
    "degraded": N_("Connected, with faults"),
    "lost": N_("Connection lost"),
    "unreachable": N_("Unreachable"),
    "unknown": N_("Nobody can tell"),
    "": N_("Not looked at yet"),
}
#: What one probe says of a service or a link.
PROBE_STATES: Final = {
    "up": N_("Works"),
    "degraded": N_("Works, with faults"),
    "down": N_("Does not work"),
    "unknown": N_("Could not be asked"),
}
CONTENT_STATES: Final = {
    "accepted": N_("As accepted"),
    "changed": N_("Changed, not accepted"),
    "unaccepted": N_("Not accepted yet"),
    "unknown": N_("Nobody can tell"),
}
CERTIFICATE_STATES: Final = {
    "valid": N_("Valid"),
    "invalid": N_("Not good"),
    "unknown": N_("Nobody can tell"),
}
#: Of leased lines.
LINE_STATES: Final = {
    "free": N_("Has room"),
    "busy": N_("Full for long"),
    "unknown": N_("Not measured"),
}
DIRECTIONS: Final = {"received": N_("Inbound"), "sent": N_("Outbound")}
CERTIFICATE_PROBLEMS: Final = {
    "expired": N_("It has ended"),
    "not_yet_valid": N_("It is not valid yet"),
    "self_signed": N_("It is signed by nobody that is known"),
    "chain_incomplete": N_("Its chain is incomplete, or its authority unknown"),
    "other_host": N_("It is for another host"),
    "revoked": N_("It was revoked"),
    "refused": N_("It was refused"),
}
FINDINGS: Final = {
    "header_hsts_missing": N_("No HSTS: browsers may be led to the unencrypted page"),
    "header_csp_missing": N_("No Content-Security-Policy"),
    "header_frame_missing": N_("The page may be framed by others"),
    "header_nosniff_missing": N_("No X-Content-Type-Options: nosniff"),
    "not_encrypted": N_("The page is not encrypted (HTTP)"),
    "starttls_missing": N_("The mail server offers no encryption"),
    "servers_disagree": N_("The name servers do not agree (SOA)"),
    "mx_missing": N_("The domain has no mail server (MX)"),
    "spf_missing": N_("No SPF: anybody may send in its name"),
    "spf_several": N_("Several SPF records: none of them counts"),
    "spf_passes_all": N_("SPF lets everybody pass"),
    "spf_open_end": N_("SPF does not say what of all others"),
    "dmarc_missing": N_("No DMARC"),
    "dmarc_none": N_("DMARC only watches (p=none)"),
    "dkim_missing": N_("No DKIM key under its selector"),
    "certificate_expired": N_("The certificate has ended"),
    "certificate_not_yet_valid": N_("The certificate is not valid yet"),
    "certificate_self_signed": N_("The certificate is signed by nobody that is known"),
    "certificate_chain_incomplete": N_("The certificate's chain is incomplete"),
    "certificate_other_host": N_("The certificate is for another host"),
    "certificate_revoked": N_("The certificate was revoked"),
    "certificate_refused": N_("The certificate was refused"),
}
ROLES: Final = {
    "lan": N_("Local network"),
    "dedicated": N_("Dedicated network (TSLCD)"),
    "internet": N_("Internet"),
}
#: Why an agency's connection is in its state, where no probe says so.
LINK_REASONS: Final = {
    "agency_silent": N_("Nothing is heard of the whole agency: its line is gone, or its power"),
    "probe_silent": N_("The agency is heard, but its probe is not"),
    "no_link": N_("No probe tries such a link"),
    "no_probe": N_("The agency has no probe any more"),
}
IMPORTANCES: Final = {"high": N_("High"), "medium": N_("Medium"), "low": N_("Low")}
SIDES: Final = {"lan": N_("Local network (LAN)"), "wan": N_("Wide network (WAN)")}

AVAILABILITY: Final = {
    "service": SERVICE_STATES,
    "link": LINK_STATES,
    "probe": PROBE_STATES,
    "content": CONTENT_STATES,
    "certificate": CERTIFICATE_STATES,
    "line": LINE_STATES,
    "direction": DIRECTIONS,
    "problem": CERTIFICATE_PROBLEMS,
    "finding": FINDINGS,
    "role": ROLES,
    "reason": LINK_REASONS,
    "importance": IMPORTANCES,
}

AVAILABILITY_ACTIONS: Final = {
    "up_again": N_("Works again"),
    "down_for_some": N_("Does not work for some agencies"),
    "down_for_all": N_("Does not work for anybody"),
    "unknown": N_("Nobody can tell any more"),
    "content_changed": N_("The page has changed"),
    "content_accepted": N_("The page is as accepted"),
    "content_unaccepted": N_("Nobody has accepted the page yet"),
    "certificate_expires": N_("The certificate ends soon"),
    "certificate_invalid": N_("The certificate is not good"),
    "certificate_valid": N_("The certificate is valid"),
    "posture_changed": N_("What is to be mended has changed"),
    "lan_connected": N_("LAN connected"),
    "lan_degraded": N_("LAN with faults"),
    "lan_lost": N_("LAN lost"),
    "lan_unknown": N_("LAN: nobody can tell"),
    "wan_connected": N_("WAN connected"),
    "wan_degraded": N_("WAN with faults"),
    "wan_lost": N_("WAN lost"),
    "wan_unknown": N_("WAN: nobody can tell"),
    "wan_unreachable": N_("Agency unreachable"),
    "line_busy": N_("Leased line full for long"),
    "line_free": N_("Leased line has room again"),
    "line_unknown": N_("Leased line: not measured any more"),
}
AVAILABILITY_SOURCES: Final = {
    "vonggac/service": N_("A service of the province"),
    "vonggac/service_content": N_("A service's page"),
    "vonggac/service_certificate": N_("A service's certificate"),
    "vonggac/service_posture": N_("A service's settings"),
    "vonggac/service_check": N_("A probe's check of a service"),
    "vonggac/connectivity": N_("An agency's connections"),
    "vonggac/leased_line": N_("An agency's leased lines"),
    "vonggac/link": N_("A probe's link"),
}
_OF_ALL: Final = {
    "name": N_("Service"),
    "title": N_("Its title"),
    "state": N_("State"),
    "importance": N_("Importance"),
}
_OWN: Final = {
    "service.asked_count": N_("Agencies that could ask"),
    "service.down_count": N_("Agencies for which it does not work"),
    "service.degraded_count": N_("Agencies that see faults"),
    "service.reasons": N_("Reasons"),
    "service.planned": N_("During planned work"),
    "service.agencies": N_("Agencies"),
    "service_content.score_ratio": N_("Share of the page that is other"),
    "service_content.words": N_("Words of defacers"),
    "service_content.words_count": N_("Number of such words"),
    "service_content.new_hosts": N_("New hosts that it loads from"),
    "service_content.title": N_("Title of the page"),
    "service_content.excerpt": N_("Beginning of the page"),
    "service_content.digest": N_("Digest of the page"),
    "service_certificate.problem": N_("What is wrong with the certificate"),
    "service_certificate.issuer": N_("Issuer"),
    "service_certificate.days_left": N_("Days left"),
    "service_certificate.not_after": N_("Valid until"),
    "service_posture.findings": N_("To be mended"),
    "service_posture.count": N_("Number of them"),
    "connectivity.name": N_("Agency's code"),
    "connectivity.title": N_("Agency"),
    "connectivity.state": N_("State"),
    "connectivity.side": N_("Connection"),
    "connectivity.links_count": N_("Links tried"),
    "connectivity.failing": N_("Links with faults"),
    "connectivity.reasons": N_("Reasons"),
    "leased_line.name": N_("Agency's code"),
    "leased_line.title": N_("Agency"),
    "leased_line.state": N_("State"),
    "leased_line.busy": N_("Lines that are full"),
    "leased_line.lines_count": N_("Lines measured"),
    "leased_line.line": N_("Busiest line"),
    "leased_line.device": N_("Network device"),
    "leased_line.interface": N_("Interface"),
    "leased_line.direction": N_("Direction"),
    "leased_line.used_ratio": N_("Share used"),
    "leased_line.capacity_bits": N_("What it can carry (bits a second)"),
    "link.line.device": N_("Leased line: network device"),
    "link.line.interface": N_("Leased line: interface"),
    "link.line.received_bits": N_("Leased line: what it can receive (bits a second)"),
    "link.line.sent_bits": N_("Leased line: what it can send (bits a second)"),
    "link.name": N_("Link"),
    "link.role": N_("Proves"),
    "link.address": N_("Other end"),
    "link.port": N_("Port"),
    "link.state": N_("State"),
    "link.since": N_("Since"),
    "link.reason": N_("Reason"),
    "link.loss_ratio": N_("Lost"),
    "link.rtt_seconds": N_("Round trip"),
    "link.jitter_seconds": N_("Jitter"),
    "service_check.service": N_("Service"),
    "service_check.kind": N_("Kind of check"),
    "service_check.state": N_("State"),
    "service_check.since": N_("Since"),
    "service_check.reason": N_("Reason"),
    "service_check.findings": N_("To be mended"),
    "service_check.status_code": N_("HTTP status"),
    "service_check.tls.problem": N_("What is wrong with the certificate"),
    "service_check.tls.not_after": N_("Valid until"),
    "service_check.tls.issuer": N_("Issuer"),
    "service_check.tls.serial_number": N_("Serial number"),
    "service_check.content.title": N_("Title of the page"),
    "service_check.content.excerpt": N_("Beginning of the page"),
    "service_check.content.words": N_("Words of defacers"),
    "service_check.content.hosts": N_("Hosts that it loads from"),
    "service_check.content.digest": N_("Digest of the page"),
    "service_check.content.text": N_("Sketch of the text"),
    "service_check.content.structure": N_("Sketch of the structure"),
    "service_check.content.picture.file": N_("Picture, kept on the probe"),
    "service_check.content.picture.sha256": N_("Digest of the picture"),
    "service_check.content.picture.bytes": N_("Size of the picture"),
}
AVAILABILITY_FIELDS: Final = {
    **{
        f"{category}.{name}": label
        for category in ("service", "service_content", "service_certificate", "service_posture")
        for name, label in _OF_ALL.items()
    },
    **_OWN,
}
