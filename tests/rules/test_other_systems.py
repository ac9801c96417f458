"""Our rules are Sigma, not only ours: sigma-cli converts them to other systems' languages."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from rules.catalogue import OWN_RULES, RuleInfo, load_catalogue

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-sigma-cli" / "bin" / "python"
TARGETS: Final = ("splunk", "esql", "eql", "lucene", "opensearch_lucene", "kusto", "loki")

SINCE = date(2026, 11, 21)
#: Targets whose backends know no correlation at all.
NO_CORRELATIONS = {"lucene": SINCE, "opensearch_lucene": SINCE, "kusto": SINCE}
_OVER_CORRELATION = "refers to a correlation, and the backend knows correlations over plain rules only"
_BOOLEANS = "the language has no boolean values"
_EXISTS = "the backend does not ask whether a field exists"
_REGEX_ALONE = (
    "the backend gives an empty query where a rule is nothing but regular expressions joined by 'and'"
)
#: What a target cannot express: rule's file, since when it is known, why.
KNOWN: Final[dict[str, dict[str, tuple[date, str]]]] = {
    "splunk": {
        "linux/initial_access_ssh_success_after_failures": (SINCE, _OVER_CORRELATION),
        "network/availability_ip_binding_changed": (SINCE, _REGEX_ALONE),
        "network/credential_access_gateway_mac_changed": (SINCE, _REGEX_ALONE),
    },
    "esql": {"linux/initial_access_ssh_success_after_failures": (SINCE, _OVER_CORRELATION)},
    "eql": {
        "antivirus/execution_malware_found": (SINCE, _EXISTS),
        "antivirus/lateral_movement_malware_on_several_machines": (SINCE, _EXISTS),
        "linux/credential_access_sign_in_modules_changed": (SINCE, _EXISTS),
        "linux/defense_impairment_ssh_server_settings_changed": (SINCE, _EXISTS),
        "linux/initial_access_ssh_login_from_internet": (SINCE, _EXISTS),
        "linux/initial_access_ssh_success_after_failures": (SINCE, _OVER_CORRELATION),
        "linux/persistence_scheduled_task_changed": (SINCE, _EXISTS),
        "linux/persistence_startup_script_changed": (SINCE, _EXISTS),
        "linux/persistence_systemd_unit_changed": (SINCE, _EXISTS),
        "linux/privilege_escalation_sudo_rules_changed": (SINCE, _EXISTS),
    },
    "loki": {
        "endpoint/availability_collector_failing": (SINCE, _BOOLEANS),
        "endpoint/availability_file_system_read_only": (SINCE, _BOOLEANS),
        "endpoint/persistence_account_added": (SINCE, _BOOLEANS),
        "endpoint/privilege_escalation_account_became_administrator": (SINCE, _BOOLEANS),
        "linux/initial_access_ssh_success_after_failures": (SINCE, _OVER_CORRELATION),
        "network/availability_collector_path_lost": (SINCE, _BOOLEANS),
        "network/availability_dns_unreachable": (SINCE, _BOOLEANS),
        "network/availability_gateway_unreachable": (SINCE, _BOOLEANS),
        "network/availability_duplicate_ip_address": (SINCE, _BOOLEANS),
        "network/availability_network_device_unreachable": (SINCE, _BOOLEANS),
        "network/availability_network_interface_errors": (SINCE, _BOOLEANS),
        "network/availability_network_uplink_down": (SINCE, _BOOLEANS),
        "network/credential_access_arp_many_addresses": (SINCE, _BOOLEANS),
        "network/credential_access_arp_spoofing": (SINCE, _BOOLEANS),
        "network/credential_access_dhcp_answers_changed": (SINCE, _BOOLEANS),
        "network/credential_access_gateway_address_taken": (SINCE, _BOOLEANS),
        "network/credential_access_ipv6_address_taken": (SINCE, _BOOLEANS),
        "network/credential_access_rogue_dhcp_server": (SINCE, _BOOLEANS),
        "network/credential_access_rogue_dhcpv6_server": (SINCE, _BOOLEANS),
        "network/credential_access_ipv6_prefix_changed": (SINCE, _BOOLEANS),
        "network/credential_access_ipv6_router_changed": (SINCE, _BOOLEANS),
        "network/credential_access_rogue_ipv6_router": (SINCE, _BOOLEANS),
        "network/initial_access_device_on_other_port": (SINCE, _BOOLEANS),
        "network/initial_access_new_device": (SINCE, _BOOLEANS),
        "network/initial_access_new_mac_on_port": (SINCE, _BOOLEANS),
        "network/initial_access_new_network_neighbour": (SINCE, _BOOLEANS),
        "network/initial_access_port_turned_uplink": (SINCE, _BOOLEANS),
        "services/availability_service_down_for_all": (SINCE, _BOOLEANS),
        "services/availability_service_down_for_some": (SINCE, _BOOLEANS),
        "network/credential_access_sign_in_series": (SINCE, _BOOLEANS),
        "network/discovery_host_scan": (SINCE, _BOOLEANS),
        "network/discovery_ping_sweep": (SINCE, _BOOLEANS),
        "network/discovery_port_scan": (SINCE, _BOOLEANS),
        "network/discovery_slow_scan": (SINCE, _BOOLEANS),
        "network/discovery_stealth_scan": (SINCE, _BOOLEANS),
        "network/lateral_movement_smb_spread": (SINCE, _BOOLEANS),
    },
}


@pytest.fixture(scope="module")
def converted() -> dict[tuple[str, str], dict[str, Any]]:
    """Target and rule id to what sigma-cli said."""
    if not PYTHON.exists():
        assert not os.environ.get("CI"), "sigma-cli's environment is missing: make sigma-cli"
        pytest.skip("sigma-cli's environment is not on this machine: make sigma-cli")
    wanted = [(target, info) for target in TARGETS for info in catalogue().values()]
    jobs = [{"target": target, "files": files_of(info)} for target, info in wanted]
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("elsewhere.py")],
        input=json.dumps(jobs), capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    answers = json.loads(done.stdout)
    return {(target, info.id): answer for (target, info), answer in zip(wanted, answers, strict=True)}


@cache
def catalogue() -> dict[str, RuleInfo]:
    return dict(load_catalogue())


def files_of(info: RuleInfo) -> list[str]:
    """The rule's file, and those of the rules that it refers to."""
    by_name = {each.name: each for each in catalogue().values() if each.name} | catalogue()
    files = [path for reference in info.references for path in files_of(by_name[reference])]
    return list(dict.fromkeys([*files, info.path]))


def name_of(info: RuleInfo) -> str:
    return Path(info.path).relative_to(OWN_RULES).with_suffix("").as_posix()


def words_of(info: RuleInfo) -> set[str]:
    """Field names and plain words that a query made of the rule must have some of."""
    document = yaml.safe_load(Path(info.path).read_text(encoding="utf-8"))
    if info.references:
        fields = {str(each) for each in document["correlation"]["group-by"]}
        return fields | {each.replace(".", "_") for each in fields}  # some languages allow no dots
    return set(re.findall(r"[A-Za-z_]{4,}", json.dumps(document["detection"]))) - {"condition", "selection"}


@pytest.mark.parametrize("target", TARGETS)
def test_our_rules_convert_but_for_what_the_target_cannot_express(
    target: str, converted: dict[tuple[str, str], dict[str, Any]]
) -> None:
    failed: dict[str, str] = {}
    for info in catalogue().values():
        answer = converted[target, info.id]
        if answer["exit"] != 0 or not answer["output"].strip():
            failed[name_of(info)] = answer["output"].strip()[-300:]
    expected = set(KNOWN.get(target, {}))
    if target in NO_CORRELATIONS:
        expected |= {name_of(info) for info in catalogue().values() if info.references}
    assert set(failed) == expected, failed
    assert len(catalogue()) - len(failed) >= 40


@pytest.mark.parametrize("target", TARGETS)
def test_a_converted_rule_asks_for_what_the_rule_says(
    target: str, converted: dict[tuple[str, str], dict[str, Any]]
) -> None:
    for info in catalogue().values():
        answer = converted[target, info.id]
        if answer["exit"] == 0 and answer["output"].strip():
            assert any(word in answer["output"] for word in words_of(info)), (name_of(info), answer["output"])
