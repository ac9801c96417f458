"""What others' packets say, as scapy makes them; and the kernel's filter, as libpcap makes it."""

from __future__ import annotations

import ctypes.util
import struct
from typing import Any

import pytest
from scapy.contrib.cdp import CDPMsgDeviceID, CDPMsgPortID, CDPv2_HDR
from scapy.contrib.lldp import (
    LLDPDUChassisID,
    LLDPDUEndOfLLDPDU,
    LLDPDUManagementAddress,
    LLDPDUPortID,
    LLDPDUSystemName,
    LLDPDUTimeToLive,
)
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import (
    DUID_LL,
    VENDOR_CLASS_DATA,
    DHCP6_Advertise,
    DHCP6_InfoRequest,
    DHCP6_Reply,
    DHCP6_Solicit,
    DHCP6OptClientFQDN,
    DHCP6OptClientId,
    DHCP6OptDNSDomains,
    DHCP6OptDNSServers,
    DHCP6OptIA_NA,
    DHCP6OptIAAddress,
    DHCP6OptOptReq,
    DHCP6OptServerId,
    DHCP6OptVendorClass,
)
from scapy.layers.dns import DNS, DNSRR, DNSRRSRV
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    IPv6,
)
from scapy.layers.l2 import ARP, LLC, SNAP, Dot3, Ether
from scapy.layers.netbios import NBNSHeader, NBNSRegistrationRequest, NBTDatagram

from agent.probe.lan import building
from agent.probe.lan import filter as bpf
from agent.probe.lan.dhcpv6 import Dhcpv6Client, Dhcpv6Server
from agent.probe.lan.frames import (
    Arp,
    DhcpClient,
    DhcpServer,
    Frame,
    Named,
    Neighbour,
    Router,
    Switch,
    read_frame,
)

MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
E = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff")


def read(packet: Any) -> Frame | None:
    return read_frame(bytes(packet))


def test_arp_says_who_speaks_and_whether_it_is_an_answer() -> None:
    asked = read(E / ARP(op=1, hwsrc=MAC, psrc="10.0.0.1", pdst="10.0.0.2"))
    assert asked == Arp(MAC, "ff:ff:ff:ff:ff:ff", MAC, "10.0.0.1", "10.0.0.2", reply=False)
    forged = read(Ether(src=OTHER, dst=MAC) / ARP(op=2, hwsrc=MAC, psrc="10.0.0.1", pdst="10.0.0.2"))
    assert isinstance(forged, Arp)
    assert (forged.frame_mac, forged.mac, forged.reply) == (OTHER, MAC, True)


def test_what_is_not_whole_or_from_a_group_is_nothing() -> None:
    packet = bytes(E / ARP(op=2, hwsrc=MAC, psrc="10.0.0.1"))
    assert read_frame(packet[:30]) is None
    assert read_frame(packet[:6] + b"\x01" + packet[7:]) is None
    assert read_frame(b"") is None


def test_an_advertisement_says_whose_address_it_is() -> None:
    na = (
        Ether(src=OTHER, dst="33:33:00:00:00:01")
        / IPv6(src="fe80::2", dst="ff02::1", hlim=255)
        / ICMPv6ND_NA(tgt="2001:db8::5", S=0)
        / ICMPv6NDOptDstLLAddr(lladdr=MAC)
    )
    assert read(na) == Neighbour(MAC, "2001:db8::5", claims=True, solicited=False)
    na[IPv6].hlim = 64  # it has passed a router, so it is forged
    assert read(na) is None
    echo = E / IPv6(src="fe80::1", dst="fe80::9") / ICMPv6EchoReply()
    assert read(echo) == Neighbour(MAC, "fe80::1", claims=False)
    far = E / IPv6(src="2001:db8::1", dst="fe80::9") / ICMPv6EchoReply()
    assert read(far) is None


def test_a_router_says_what_it_wants_others_to_believe() -> None:
    router = read(
        E
        / IPv6(src="fe80::1", dst="ff02::1", hlim=255)
        / ICMPv6ND_RA(routerlifetime=1800, M=1, O=0, prf=1)
        / ICMPv6NDOptPrefixInfo(prefix="2001:db8:5::", prefixlen=64)
        / ICMPv6NDOptPrefixInfo(prefix="2001:db8:4::", prefixlen=64, preferredlifetime=0)
        / ICMPv6NDOptRDNSS(dns=["2001:db8::54", "2001:db8::53"])
        / ICMPv6NDOptRDNSS(dns=["2001:db8::52"], lifetime=0)
    )
    assert router == Router(
        MAC, "fe80::1", 1800, True, False, "high", ["2001:db8:5::/64"], ["2001:db8::53", "2001:db8::54"]
    )


def test_dhcp_of_both_sides() -> None:
    options = [
        ("message-type", "offer"),
        ("server_id", "10.0.0.66"),
        ("router", "10.0.0.66"),
        ("name_server", "10.0.0.66", "8.8.8.8"),
        ("domain", b"evil\x00\x1b.lan"),
        ("lease_time", 3600),
        "end",
    ]
    chaddr = bytes.fromhex(OTHER.replace(":", ""))
    offer = read(
        E
        / IP(src="10.0.0.66", dst="255.255.255.255")
        / UDP(sport=67, dport=68)
        / BOOTP(op=2, xid=7, yiaddr="10.0.0.99", chaddr=chaddr)
        / DHCP(options=options)
    )
    assert isinstance(offer, DhcpServer)
    assert (offer.server, offer.mac, offer.message, offer.transaction) == ("10.0.0.66", MAC, "offer", 7)
    assert (offer.routers, offer.dns) == (["10.0.0.66"], ["10.0.0.66", "8.8.8.8"])
    assert (offer.domain, offer.lease_seconds, offer.offered_ip) == ("evil.lan", 3600, "10.0.0.99")
    asks = read(
        E
        / IP(src="0.0.0.0", dst="255.255.255.255")
        / UDP(sport=68, dport=67)
        / BOOTP(op=1, chaddr=chaddr)
        / DHCP(
            options=[
                ("message-type", "discover"),
                ("hostname", "may-01"),
                ("vendor_class_id", "MSFT 5.0"),
                "end",
            ]
        )
    )
    assert asks == DhcpClient(OTHER, "", "may-01", "MSFT 5.0")


def test_dhcpv6_of_both_sides() -> None:
    duid = DUID_LL(lladdr=MAC)
    server = (
        E / IPv6(src="fe80::66", dst="fe80::5") / UDP(sport=4000, dport=546)
    )  # no RFC says where it is from
    offers = (
        DHCP6_Advertise(trid=7)
        / DHCP6OptServerId(duid=duid)
        / DHCP6OptIA_NA(ianaopts=[DHCP6OptIAAddress(addr="2001:db8::9", preflft=60, validlft=120)])
        / DHCP6OptDNSServers(dnsservers=["2001:db8::66", "2001:db8::67"])
        / DHCP6OptDNSDomains(dnsdomains=["evil.lan.", "xa.lan."])
    )
    assert read(server / offers) == Dhcpv6Server(
        MAC,
        "fe80::66",
        bytes(duid).hex(),
        "advertise",
        7,
        "2001:db8::9",
        120,
        ["2001:db8::66", "2001:db8::67"],
        "evil.lan xa.lan",
    )
    nothing = read(server / DHCP6_Reply(trid=8) / DHCP6OptServerId(duid=duid))
    assert isinstance(nothing, Dhcpv6Server)
    assert (nothing.message, nothing.offered_ip, nothing.dns, nothing.domain) == ("reply", "", [], "")
    asks = (
        E
        / IPv6(src="fe80::9", dst="ff02::1:2")
        / UDP(sport=546, dport=547)
        / DHCP6_Solicit(trid=1)
        / DHCP6OptClientId(duid=duid)
        / DHCP6OptClientFQDN(fqdn="may-01.so.lan")
        / DHCP6OptVendorClass(vcdata=[VENDOR_CLASS_DATA(data=b"MSFT 5.0")], enterprisenum=311)
    )
    heard = read(asks)
    assert isinstance(heard, Dhcpv6Client)
    assert (heard.mac, heard.ip, heard.hostname) == (MAC, "fe80::9", "may-01")
    assert heard.vendor_class == "MSFT 5.0"
    assert read(server / DHCP6_Solicit(trid=1)) is None, "clients do not speak to clients"
    far = E / IPv6(src="2001:db8::66", dst="2001:db8::5", hlim=50) / UDP(sport=547, dport=546)
    assert read(far / offers) is None, "what a router forwarded is no server of this link"


def test_scapy_understands_how_dhcpv6_servers_are_asked() -> None:
    for kind, layer in ((building.SOLICIT, DHCP6_Solicit), (building.INFORMATION_REQUEST, DHCP6_InfoRequest)):
        packet = Ether(building.dhcpv6_request(MAC, "fe80::1", kind, 0xABCDEF))
        assert (packet.dst, packet[IPv6].dst) == ("33:33:00:01:00:02", "ff02::1:2")
        assert (packet[UDP].sport, packet[UDP].dport, packet[layer].trid) == (546, 547, 0xABCDEF)
        assert packet[DHCP6OptClientId].duid.lladdr == MAC
        assert packet[DHCP6OptOptReq].reqopts == [23, 24]
        assert (DHCP6OptIA_NA in packet) is (kind == building.SOLICIT)
        told = packet[UDP].chksum
        del packet[UDP].chksum
        assert Ether(bytes(packet))[UDP].chksum == told


def test_names_that_machines_announce() -> None:
    mdns = E / IP(src="10.0.0.3", dst="224.0.0.251") / UDP(sport=5353, dport=5353)
    answer = DNS(qr=1, aa=1, an=[DNSRR(rrname="may-in.local.", type="A", rdata="10.0.0.3")])
    named = read(mdns / answer)
    assert isinstance(named, Named)
    assert (named.how, named.announced.name) == ("mdns", "may-in")
    service = DNSRRSRV(rrname="P._ipp._tcp.local.", target="canon.local.", port=631)
    named = read(mdns / DNS(qr=1, an=[service]))
    assert isinstance(named, Named)
    assert named.announced.name == "canon"
    registered = read(
        E
        / IP(src="10.0.0.4", dst="10.0.0.255")
        / UDP(sport=137, dport=137)
        / NBNSHeader(OPCODE=5, QDCOUNT=1, ARCOUNT=1, NM_FLAGS=0x11)
        / NBNSRegistrationRequest(QUESTION_NAME="KETOAN-02", NB_ADDRESS="10.0.0.4", G=0)
    )
    assert isinstance(registered, Named)
    assert (registered.how, registered.announced.name) == ("netbios", "KETOAN-02")
    datagram = read(
        E
        / IP(src="10.0.0.4", dst="10.0.0.255")
        / UDP(sport=138, dport=138)
        / NBTDatagram(SourceName="KETOAN-02", SUFFIX1=0x4141)
    )
    assert isinstance(datagram, Named)
    assert datagram.announced.name == "KETOAN-02"


def test_the_switch_port_by_lldp_and_cdp() -> None:
    lldp = (
        Ether(src=OTHER, dst="01:80:c2:00:00:0e", type=0x88CC)
        / LLDPDUChassisID(subtype=4, id=OTHER)
        / LLDPDUPortID(subtype=5, id=b"Gi0/7\x07")
        / LLDPDUTimeToLive(ttl=120)
        / LLDPDUSystemName(system_name=b"sw-tang2")
        / LLDPDUManagementAddress(
            management_address_subtype=1,
            management_address=bytes([10, 0, 0, 2]),
            interface_numbering_subtype=2,
            interface_number=1,
        )
        / LLDPDUEndOfLLDPDU()
    )
    switch = read(lldp)
    assert isinstance(switch, Switch)
    assert (switch.port.protocol, switch.port.switch, switch.port.port) == ("lldp", "sw-tang2", "Gi0/7")
    assert (switch.port.switch_id, switch.port.management_ip) == (OTHER, "10.0.0.2")
    cdp = (
        Dot3(src=OTHER, dst="01:00:0c:cc:cc:cc")
        / LLC(dsap=0xAA, ssap=0xAA, ctrl=3)
        / SNAP(OUI=0x00000C, code=0x2000)
        / CDPv2_HDR(msg=[CDPMsgDeviceID(val=b"core1"), CDPMsgPortID(iface=b"GigabitEthernet0/7")])
    )
    switch = read(cdp)
    assert isinstance(switch, Switch)
    assert (switch.port.protocol, switch.port.switch, switch.port.port) == (
        "cdp",
        "core1",
        "GigabitEthernet0/7",
    )


def test_scapy_understands_what_the_probe_sends() -> None:
    arp = Ether(building.arp_request(MAC, "10.0.0.1", "10.0.0.7"))
    assert (arp[ARP].op, arp[ARP].hwsrc, arp[ARP].psrc, arp[ARP].pdst) == (1, MAC, "10.0.0.1", "10.0.0.7")
    ns = Ether(building.neighbour_solicitation(MAC, "fe80::1", "2001:db8::abcd:ef01"))
    assert (ns[ICMPv6ND_NS].tgt, ns.dst, ns[IPv6].dst) == (
        "2001:db8::abcd:ef01",
        "33:33:ff:cd:ef:01",
        "ff02::1:ffcd:ef01",
    )
    offered = Ether(building.dhcp_discover(MAC, 9))
    assert offered[DHCP].options[0] == ("message-type", 1)
    for packet in (ns, Ether(building.echo_to_all(MAC, "fe80::1", 5)), offered):
        again = Ether(bytes(packet))
        sums = [(layer, "cksum") for layer in (ICMPv6ND_NS,) if layer in again] + [(IP, "chksum")] * (
            IP in again
        )
        for layer, name in sums:
            told = getattr(again[layer], name)
            delattr(again[layer], name)
            assert getattr(Ether(bytes(again))[layer], name) == told


def _passes(program: bytes, frame: bytes) -> bool:
    """What the kernel does with a program of classic BPF (only what ours has)."""
    steps = list(struct.iter_unpack("=HBBI", program))
    at, a, x = 0, 0, 0
    while True:
        code, yes, no, k = steps[at]
        at += 1
        size = {0x28: 2, 0x30: 1, 0x20: 4, 0x48: 2}.get(code)
        if size is not None:
            where = k + (x if code == 0x48 else 0)
            if where + size > len(frame):
                return False
            a = int.from_bytes(frame[where : where + size], "big")
        elif code == 0xB1:
            if k >= len(frame):
                return False
            x = 4 * (frame[k] & 15)
        elif code == 0x06:
            return bool(k)
        else:
            held = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: bool(a & k)}[code]
            at += yes if held else no


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("steps", ctypes.POINTER(_Instruction)))


@pytest.fixture(scope="module")
def libpcap() -> Any:
    """Says whether the filter's words let a frame pass, by libpcap itself."""
    found = ctypes.util.find_library("pcap")
    if found is None:
        pytest.skip("libpcap is not on this machine")
    library = ctypes.CDLL(found)
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_compile.argtypes = [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint,
    ]  # fmt: skip
    library.bpf_filter.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint]
    made = _Program()
    handle = library.pcap_open_dead(1, 65535)
    assert library.pcap_compile(handle, ctypes.byref(made), bpf.WORDS.encode(), 1, 0xFFFFFFFF) == 0
    return lambda frame: bool(library.bpf_filter(made.steps, frame, len(frame), len(frame)))


def _frames() -> list[bytes]:
    ports = (
        (67, 68),
        (68, 67),
        (5353, 5353),
        (40000, 5353),
        (137, 137),
        (138, 138),
        (137, 9),
        (53, 9),
        (547, 546),
        (546, 547),
        (547, 9),
    )
    packets = (IP(src="10.0.0.1"), IP(src="10.0.0.1", options=IPOption_NOP()), IP(src="10.0.0.1", frag=5))
    cdp = Dot3(src=MAC, dst="01:00:0c:cc:cc:cc") / LLC(dsap=0xAA, ssap=0xAA, ctrl=3)
    made: list[Any] = [E / ARP(op=op, psrc="10.0.0.1") for op in (1, 2)]
    made += [E / ip / UDP(sport=a, dport=b) / (b"x" * 20) for a, b in ports for ip in packets]
    made += [E / IPv6(src="fe80::1", dst="ff02::1") / UDP(sport=a, dport=b) for a, b in ports]
    made += [
        E / IP() / TCP(dport=67),
        E / IPv6(dst="::1") / TCP(),
        Ether(src=MAC, dst=OTHER, type=0x88CC) / (b"x" * 40),
    ]
    made += [
        E / IPv6(nh=58, dst="::1") / bytes([kind, *[0] * 30]) for kind in (1, 128, 129, 130, *range(132, 138))
    ]
    made += [cdp / SNAP(OUI=a, code=b) / (b"x" * 30) for a, b in ((0xC, 0x2000), (0xC, 0x2004), (0, 0x2000))]
    made += [Dot3(src=MAC, dst=OTHER) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / (b"x" * 40), E / (b"x" * 40)]
    return [each.build() for each in made]


def test_the_filter_lets_pass_what_its_words_say(libpcap: Any) -> None:
    frames = _frames()
    verdicts = [_passes(bpf.program(), frame) for frame in frames]
    assert verdicts == [libpcap(frame) for frame in frames]
    assert 10 < sum(verdicts) < len(frames) - 10


def test_nothing_that_is_read_is_filtered_out() -> None:
    read_ones = [frame for frame in _frames() if read_frame(frame) is not None]
    assert read_ones
    assert all(_passes(bpf.program(), frame) for frame in read_ones)


@pytest.mark.parametrize("length", range(18, 42))
def test_a_frame_that_ends_within_its_header_is_nothing(length: int) -> None:
    for kind in ("0800", "86dd", "0806"):
        frame = bytes.fromhex("ffffffffffff020000000009" + kind + "45") + b"\x01" * 40
        whole = frame[:20] + b"\0\0\x40\x11" + frame[24:]
        assert read_frame(whole[:length]) is None
