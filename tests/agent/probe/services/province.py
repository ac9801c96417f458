"""A small data centre in a test LAN: an authority, a portal by nginx, names by dnsmasq, mail by Postfix."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.debian import program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.netns import Host

PORTAL, MAIL, DOMAIN = "portal.province.test", "mail.province.test", "province.test"


class Authority:
    """Its certificate is ``ca.pem`` in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1000))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "ca.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *hosts: str, days: float = 90.0) -> tuple[Path, Path]:
        """``(certificate, key)`` for hosts and addresses; ``days`` until its end, below zero: it has ended."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        names: list[x509.GeneralName] = []
        for host in hosts:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        certificate, secret = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, secret


def portal_page(news: str = "Tin trong ngày") -> str:
    """What the portal shows: much that stays, and news."""
    departments = "".join(f"<li><a href='/so/{at}'>Sở ngành thứ {at} của tỉnh</a></li>" for at in range(60))
    return (
        "<!doctype html><html><head><title>Cổng thông tin điện tử tỉnh</title>"
        "<script src='https://cdn.province.test/site.js'></script></head><body>"
        f"<div id='news'><p>{news}</p></div><div id='main'><h1>Cổng thông tin điện tử</h1>"
        f"<ul class='departments'>{departments}</ul><p>Thủ tục hành chính và dịch vụ công trực tuyến</p></div>"
        "</body></html>"
    )


def start_nginx(host: Host, folder: Path, authority: Authority) -> Path:
    """Serves the file that is returned at https://PORTAL/, with a good certificate, and on port 8443 with one that has
    ended; ``/away`` leads to this machine itself."""
    site = folder / "site"
    site.mkdir()
    good = authority.issue("portal", PORTAL)
    ended = authority.issue("ended", PORTAL, days=-3)

    def server(port: int, pair: tuple[Path, Path]) -> str:
        return (
            f"server {{ listen {port} ssl; root {site}; ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]};"
            ' add_header Strict-Transport-Security "max-age=31536000";'
            " location = /away { return 302 http://127.0.0.1/; } }"
        )

    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; user root; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;\n"
        "events {}\n"
        f"http {{ access_log {folder}/access.log combined; default_type text/html; charset utf-8;\n"
        f"{server(443, good)}\n{server(8443, ended)}\n"
        f"client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;"
        f" uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5; }}\n"
    )
    page = site / "index.html"
    page.write_text(portal_page(), encoding="utf-8")
    host.start(program("nginx", "nginx"), "-p", str(folder), "-c", str(config))
    return page


def start_dnsmasq(host: Host, folder: Path) -> None:
    """Names of the province, with SPF and a DMARC policy that does nothing."""
    host.start(
        program("dnsmasq", "dnsmasq"),
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
        f"--pid-file={folder}/dnsmasq.pid",
        f"--listen-address={host.ip}",
        "--bind-interfaces",
        f"--host-record={PORTAL},{host.ip}",
        f"--host-record={MAIL},{host.ip}",
        f"--mx-host={DOMAIN},{MAIL},10",
        f"--txt-record={DOMAIN},v=spf1 mx -all",
        f"--txt-record=_dmarc.{DOMAIN},v=DMARC1; p=none",
        f"--local=/{DOMAIN}/",
    )


def start_postfix(host: Host, folder: Path, public: Path, authority: Authority) -> None:
    """Greets on port 25 and offers STARTTLS; takes no mail. ``public``: a folder that every user may reach."""
    certificate, key = authority.issue("mail", MAIL)
    config, queue, data = public / "postfix", public / "queue", public / "data"
    public.chmod(0o755)
    for each in (config, queue, data):
        each.mkdir()
    shutil.chown(data, "postfix")
    (config / "main.cf").write_text(
        "compatibility_level = 3.6\n"
        f"queue_directory = {queue}\ndata_directory = {data}\nmyhostname = {MAIL}\n"
        f"inet_interfaces = {host.ip}\ninet_protocols = ipv4\nmydestination =\n"
        f"smtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\nsmtpd_tls_security_level = may\n"
        "smtpd_tls_loglevel = 1\nmaillog_file = /dev/stdout\nsmtpd_relay_restrictions = reject\n"
        "alias_maps =\nalias_database =\n"
    )
    (config / "master.cf").write_text(
        "smtp inet n - n - - smtpd\n"
        "rewrite unix - - n - - trivial-rewrite\n"
        "anvil unix - - n - 1 anvil\ntlsmgr unix - - n 1000? 1 tlsmgr\n"
        "postlog unix-dgram n - n - 1 postlogd\ncleanup unix n - n - 0 cleanup\nproxymap unix - - n - - proxymap\n"
    )
    postfix = program("postfix", "postfix")
    subprocess.run([postfix, "-c", str(config), "check"], check=False, capture_output=True, timeout=30)
    with (folder / "postfix.log").open("wb") as log:
        host.start(postfix, "-c", str(config), "start-fg", stdout=log, stderr=log)
