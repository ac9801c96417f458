"""Windows Defender Firewall, as its registry keys say it: what was set here, overruled by what a policy sets.

Three profiles stand for three kinds of networks; a laptop changes between them by itself. So the state is that of the
weakest profile, unless another product has taken the firewall over, which Security Center then lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from agent import reasons
from agent.collectors.common.files import clean_text
from agent.windows.registry import number
from agent.windows.security_center import parse_state
from agent.windows.wmi import WmiError
from agent.windows.wmi import number as cim_number
from agent.windows.wmi import text as cim_text

if TYPE_CHECKING:
    from agent.windows.registry import Registry, Value
    from agent.windows.wmi import Wmi

LOCAL: Final = r"SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy"
POLICY: Final = r"SOFTWARE\Policies\Microsoft\WindowsFirewall"
SERVICE: Final = r"SYSTEM\CurrentControlSet\Services\MpsSvc"
SECURITY_CENTER: Final = r"root\SecurityCenter2"
_DISABLED: Final = 4
#: Our word, the local key, the policy's key.
PROFILES: Final = (
    ("domain", "DomainProfile", "DomainProfile"),
    ("private", "StandardProfile", "PrivateProfile"),
    ("public", "PublicProfile", "PublicProfile"),
)


class Profile(Struct, frozen=True):
    """``on`` and what happens to packets that no rule is about; ``None`` where the registry does not say."""

    name: str
    on: bool | None
    accepts: bool


def read_profiles(registry: Registry) -> list[Profile]:
    """The three profiles."""
    found = []
    for name, local, policy in PROFILES:
        # Until Windows 10 the policy for private networks stood under the name of the local key.
        keys = dict.fromkeys((rf"{POLICY}\{policy}", rf"{POLICY}\{local}", rf"{LOCAL}\{local}"))
        values = [registry.values("HKLM", key) for key in keys]
        enabled = next((n for v in values if (n := number(v, "EnableFirewall")) is not None), None)
        inbound = next((n for v in values if (n := number(v, "DefaultInboundAction")) is not None), 1)
        found.append(Profile(name, None if enabled is None else enabled != 0, accepts=inbound == 0))
    return found


def count_rules(registry: Registry) -> int:
    """Active rules about what comes in, local ones and a policy's."""
    keys = (rf"{LOCAL}\FirewallRules", rf"{POLICY}\FirewallRules")
    return sum(_is_active(value) for key in keys for value in (registry.values("HKLM", key) or {}).values())


def _is_active(value: Value) -> bool:
    """``v2.31|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=445|App=System|Name=…|``"""
    if not isinstance(value, str):
        return False
    parts = value[:1024].lower().split("|")
    return "active=true" in parts and "dir=in" in parts


def other_firewall(wmi: Wmi) -> str:
    """The name of another product that Security Center says filters here; empty where there is none, or no centre."""
    try:
        rows = wmi.instances(SECURITY_CENTER, "FirewallProduct", ("displayName", "productState"))
    except WmiError:
        return ""
    for row in rows:
        state = cim_number(row, "productState")
        if state is not None and parse_state(state).on:
            return clean_text(cim_text(row, "displayName"))
    return ""


def judge(profiles: list[Profile], service_disabled: bool, rules: int, other: str) -> dict[str, Any]:
    """The ``firewall`` document."""
    off = [each.name for each in profiles if each.on is False]
    unknown = [each.name for each in profiles if each.on is None]
    state, reason, backend = "on", "", "windows_firewall"
    if other:
        backend, reason = "other_product", reasons.FIREWALL_OF_ANOTHER(product=other)
    elif service_disabled:
        state, reason = "off", reasons.FIREWALL_SERVICE_DISABLED()
    elif off:
        state, reason = "off", reasons.FIREWALL_PROFILES_OFF(profiles=", ".join(off))
    elif unknown:
        state, reason = "unknown", reasons.FIREWALL_PROFILES_UNKNOWN(profiles=", ".join(unknown))
    return {
        "state": state,
        "reason": reason,
        "backend": backend,
        "input_policy": "unknown" if other or state == "unknown" else _policy(profiles, state),
        "rule_count": rules,
        "profiles": {each.name: _word(each.on) for each in profiles},
    }


def firewall_body(registry: Registry, wmi: Wmi) -> dict[str, Any]:
    """Reads and judges."""
    disabled = number(registry.values("HKLM", SERVICE), "Start") == _DISABLED
    return judge(read_profiles(registry), disabled, count_rules(registry), other_firewall(wmi))


def _policy(profiles: list[Profile], state: str) -> str:
    """What happens to packets that no rule is about, in the most open profile."""
    return "accept" if state == "off" or any(each.accepts for each in profiles) else "drop"


def _word(on: bool | None) -> str:
    return "unknown" if on is None else "on" if on else "off"
