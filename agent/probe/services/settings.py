"""What the part ``services`` is told: ``<folder>/services.toml``, the same file on all probes of a province."""

from __future__ import annotations

from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

Kind = Literal["http", "dns", "smtp", "imap", "tcp", "mail_domain", "path"]

#: Systems of ministries: whatever the settings say, of these the path alone is looked at.
MINISTRIES: Final = ("*tabmis*", "mof.gov.vn", "*.mof.gov.vn", "vst.gov.vn", "*.vst.gov.vn")
#: Under it stand both the province's own domains and everybody else's.
_STATE: Final = ".gov.vn"

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Host = Annotated[str, Meta(max_length=253, pattern=r"^$|^[A-Za-z0-9._:-]+$")]


class Service(Struct, frozen=True, forbid_unknown_fields=True):
    """One service. Raises :class:`ValueError` where it lacks what its kind needs."""

    name: Annotated[Name, Meta(description="Short name, as in the console's register: `portal`, `mail`.")]
    kind: Annotated[
        Kind,
        Meta(
            description="`http` (a page), `dns` (a name), `smtp`, `imap`, `tcp` (a port), `mail_domain` (SPF, DKIM,"
            " DMARC), `path` (the way to somebody else's system: its gateway's address, nothing more)."
        ),
    ]
    url: Annotated[str, Meta(max_length=1000, description="`http`: the page.")] = ""
    host: Annotated[Host, Meta(description="`smtp`, `imap`, `tcp`, `path`: name or address.")] = ""
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Their port; 0: the usual one, or an echo request for `path`.")
    ] = 0
    domain: Annotated[Host, Meta(description="`dns`, `mail_domain`: the name that is asked for.")] = ""
    record: Annotated[
        Literal["A", "AAAA", "MX", "NS", "TXT", "CNAME"], Meta(description="`dns`: the kind of record.")
    ] = "A"
    answers: Annotated[
        list[Annotated[str, Meta(max_length=500)]],
        Meta(max_length=50, description="`dns`: exactly what has to come; empty: anything."),
    ] = []
    servers: Annotated[
        list[Annotated[str, Meta(max_length=50)]],
        Meta(max_length=10, description="`dns`: addresses of the name servers to ask; empty: this system's."),
    ] = []
    dkim_selectors: Annotated[
        list[Name], Meta(max_length=10, description="`mail_domain`: the selectors that mail is signed under.")
    ] = []
    expect: Annotated[
        str,
        Meta(max_length=500, description="`http`: text that the page must contain, as its readers see it."),
    ] = ""
    statuses: Annotated[
        list[int], Meta(max_length=20, description="`http`: what counts as an answer; empty: 200.")
    ] = []
    also_hosts: Annotated[
        list[Host], Meta(max_length=20, description="`http`: further hosts that it may redirect to.")
    ] = []
    ca_file: Annotated[
        str, Meta(max_length=500, description="Authorities of its certificate; empty: this system's.")
    ] = ""
    watch_content: Annotated[bool, Meta(description="`http`: whether a changed page is told.")] = False
    ignore: Annotated[
        list[Annotated[str, Meta(pattern=r"^[#.][A-Za-z0-9_-]{1,100}$")]],
        Meta(max_length=50, description="`http`: regions that change rightly: `#news`, `.date`."),
    ] = []
    screenshot: Annotated[
        bool, Meta(description="`http`: whether a picture is kept of a changed page (needs Chromium).")
    ] = False
    interval_seconds: Annotated[float, Meta(ge=30, le=86400, description="How often it is asked.")] = 300.0
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=60, description="How long all of one check may take.")
    ] = 15.0

    def __post_init__(self) -> None:
        needed = {"http": "url", "dns": "domain", "mail_domain": "domain"}.get(self.kind, "host")
        if not getattr(self, needed):
            raise ValueError(f"service {self.name!r}: kind {self.kind!r} needs {needed!r}")
        if self.kind == "http":
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
                raise ValueError(f"service {self.name!r}: {self.url!r} is no address of a page")
            _ = parts.port  # raises for one that is none
        if self.kind == "tcp" and not self.port:
            raise ValueError(f"service {self.name!r}: kind 'tcp' needs 'port'")
        if self.kind == "path":
            try:
                ip_address(self.host)
            except ValueError:
                raise ValueError(
                    f"service {self.name!r}: of a path, 'host' is the IP address of its gateway"
                ) from None
        for server in self.servers:
            ip_address(server)

    def is_answer(self, status: int) -> bool:
        return status in (self.statuses or (200,))

    @property
    def named(self) -> list[str]:
        """Every host and domain that this service would ask, in small letters."""
        found = [self.host, self.domain, *self.also_hosts, *self.servers]
        if self.url:
            found.append(urlsplit(self.url).hostname or "")
        return [each.rstrip(".").lower() for each in found if each]


class Services(Struct, frozen=True, forbid_unknown_fields=True):
    """Raises :class:`ValueError` for a service that may not be probed, and for two of one name."""

    own_domains: Annotated[
        list[Host],
        Meta(
            max_length=50,
            description="The province's own domains under .gov.vn. No other host under .gov.vn may be probed.",
        ),
    ] = []
    path_only: Annotated[
        list[Annotated[str, Meta(max_length=253)]],
        Meta(
            max_length=100,
            description="Hosts (patterns with `*`) and networks (CIDR) of ministries' systems, beside the"
            " built-in ones: they may not be probed. Of the way to them, a service of kind `path` asks the gateway.",
        ),
    ] = []
    user_agent: Annotated[
        str,
        Meta(max_length=200, pattern=r"^[ -~]*$", description="How it names itself to web servers."),
    ] = "VongGac-Probe/1 (availability monitoring by the province; contact: SOC)"
    echo_mail_name: Annotated[Host, Meta(description="The name it gives to mail servers (EHLO).")] = (
        "vonggac-probe.invalid"
    )
    service: Annotated[
        list[Service], Meta(max_length=200, description="`[[services.service]]`: what is asked.")
    ] = []

    def __post_init__(self) -> None:
        names = [each.name for each in self.service]
        for each in self.service:
            if names.count(each.name) > 1:
                raise ValueError(f"two services are called {each.name!r}")
            for host in each.named:
                if each.kind != "path" and (why := self.why_not(host)):
                    raise ValueError(f"service {each.name!r}: {host} may not be probed: {why}")

    def why_not(self, host: str) -> str:
        """Why a host or address may not be probed; empty: it may."""
        host = host.rstrip(".").lower()
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            for pattern in (*MINISTRIES, *self.path_only):
                if fnmatchcase(host, pattern.lower()):
                    return f"{pattern} is a ministry's; use kind 'path'"
            own = any(host == each or host.endswith("." + each) for each in map(str.lower, self.own_domains))
            if (host.endswith(_STATE) or host == _STATE[1:]) and not own:
                return "it is not under 'own_domains'"
            return ""
        for written in self.path_only:
            try:
                network = ip_network(written)
            except ValueError:
                continue
            if address.version == network.version and address in network:
                return f"{written} is a ministry's; use kind 'path'"
        return ""


class ServicesSettings(Struct, frozen=True):
    services: Services = Services()
