from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.common.firewall import (
    Firewall,
    UnreadableRulesError,
    parse_iptables_save,
    parse_nft,
    stricter,
)
from agent.collectors.firewall_local import judge
from tests.agent.collectors.support import fixture_bytes, fixture_text, namespace
from tests.support.debian import program, root


@pytest.mark.parametrize(
    ("name", "policy", "rules", "state"),
    [
        ("empty", "none", 0, "off"),
        ("debian_default", "accept", 0, "off"),
        ("workstation", "drop", 4, "on"),
        ("firewalld_like", "reject", 6, "on"),
        ("iptables_nft", "drop", 2, "on"),
        ("nat_only", "none", 1, "off"),
        ("blocklist", "accept", 1, "on"),
    ],
)
def test_a_captured_rule_set_is_judged(name: str, policy: str, rules: int, state: str) -> None:
    firewall = parse_nft(fixture_bytes(f"firewall/{name}.nft.json"))
    assert (firewall.input_policy, firewall.rule_count) == (policy, rules)
    assert judge(firewall, "nftables")["state"] == state


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("legacy", Firewall("reject", True, 2)),
        ("iptables_nft", Firewall("drop", True, 2)),
        ("nat_only", Firewall("none", False, 0)),
    ],
)
def test_a_captured_iptables_save_is_read(name: str, expected: Firewall) -> None:
    assert parse_iptables_save(fixture_text(f"firewall/{name}.iptables.txt")) == expected


def test_a_rule_set_that_lets_everything_in_is_off_and_says_so() -> None:
    body = judge(parse_nft(fixture_bytes("firewall/debian_default.nft.json")), "nftables")
    assert (body["state"], body["backend"], body["reason"]) == (
        "off",
        "nftables",
        "the rule set lets everything in",
    )


def test_of_two_rule_sets_the_stricter_decides() -> None:
    both = stricter(Firewall("accept", False, 1), Firewall("drop", True, 2))
    assert both == Firewall("drop", True, 3)


def test_a_chain_that_refuses_by_way_of_another_chain_is_on() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n:bad - [0:0]\n-A INPUT -s 198.51.100.7/32 -j bad\n-A bad -j DROP\nCOMMIT\n"
    assert parse_iptables_save(text) == Firewall("accept", True, 2)
    assert parse_iptables_save(text.replace("-j bad\n-A", "-j ACCEPT\n-A")).refuses is False


@pytest.mark.parametrize("output", [b"", b"[]", b"{}", b'{"nftables": 1}', b"[" * 5000])
def test_what_nft_never_writes_is_refused(output: bytes) -> None:
    with pytest.raises(UnreadableRulesError):
        parse_nft(output)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["table", "chain", "rule", "expr", "family", "name", "hook", "type", "jump", "target", "drop"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(st.lists(JSON, max_size=6))
def test_no_json_breaks_the_reader(items: list[object]) -> None:
    firewall = parse_nft(msgspec.json.encode({"nftables": items}))
    assert firewall.input_policy in ("none", "accept", "drop", "reject")


@given(st.text(alphabet="*:-AINPUTfilterjDROPACCEPT \n[0]", max_size=300))
def test_no_text_breaks_the_iptables_reader(text: str) -> None:
    assert parse_iptables_save(text).rule_count >= 0


def in_a_network_of_its_own(script: str) -> str:
    """Run the collector in a new network namespace after ``script``; its document's body as JSON."""
    program("nft", "nftables")
    here = Path(__file__).parents[3]
    code = (
        "import msgspec; from pathlib import Path; from agent.collectors.firewall_local import read_firewall;"
        "print(msgspec.json.encode(read_firewall(Path('/proc'))).decode())"
    )
    done = subprocess.run(
        [*namespace("--net"), "sh", "-ec", f'{script}\nexec "$0" -c "$1"', sys.executable, code],
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_kernels_own_rule_set_is_read_in_an_empty_and_a_closed_network() -> None:
    empty = msgspec.json.decode(in_a_network_of_its_own("true"))
    assert (empty["state"], empty["input_policy"], empty["backend"]) == ("off", "none", "none")
    closed = msgspec.json.decode(
        in_a_network_of_its_own(
            "nft 'add table inet f; add chain inet f i { type filter hook input priority 0; policy drop; };"
            " add rule inet f i iif lo accept'"
        )
    )
    assert closed == {
        "state": "on",
        "reason": "",
        "backend": "nftables",
        "input_policy": "drop",
        "rule_count": 1,
    }


def test_without_privilege_the_rule_set_is_unknown_and_not_off() -> None:
    root("to give privilege up")
    setpriv = program("setpriv", "util-linux")
    program("nft", "nftables")
    here = Path(__file__).parents[3]
    code = (
        "import msgspec; from pathlib import Path; from agent.collectors.registry import Context;"
        "from agent.settings import CollectorSettings; from agent.collectors.firewall_local import collect;"
        "c = Context(root=Path('/'), proc=Path('/proc'), sys=Path('/sys'), now=lambda: 1.0,"
        " settings=CollectorSettings(), state={});"
        "print(msgspec.json.encode(collect(c).documents[0].body).decode())"
    )
    done = subprocess.run(
        [setpriv, "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-c", code],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    body = msgspec.json.decode(done.stdout)
    assert (body["state"], body["input_policy"]) == ("unknown", "unknown")
    assert "root" in body["reason"]
