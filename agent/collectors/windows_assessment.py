"""Whether this Windows machine is set up as it should be, by its registry and its policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from agent.collectors.registry import Context, Output, StatusDocument, collector

if TYPE_CHECKING:
    from agent.windows.registry import Registry

_PRODUCT: Final = r"SYSTEM\CurrentControlSet\Control\ProductOptions"


def role_of(registry: Registry) -> str:
    """``workstation`` or ``server``, by the kind of Windows; empty where it does not say."""
    from agent.windows.registry import RegistryDeniedError, text

    try:
        kind = text(registry.values("HKLM", _PRODUCT), "ProductType").casefold()
    except RegistryDeniedError:
        return ""
    return {"winnt": "workstation", "servernt": "server", "lanmannt": "server"}.get(kind, "")


def judge(ctx: Context, registry: Registry) -> Output:
    """The document, from ``registry`` and the policies of the machine that this runs on."""
    from agent.assessment.judge import Host, last_known, report
    from agent.assessment.machine import Machine
    from agent.assessment.shipped import load

    checks = load("windows")
    last = ctx.state.get("last") or {}
    machine = Machine(ctx.root, ctx.proc, ctx.sys, registry=registry)
    body = report(checks, machine, Host(role_of(registry), frozenset({"windows"})), last)
    if (known := last_known(body, last)) != last:
        ctx.state["last"] = known
    return Output(
        documents=[StatusDocument(kind="assessment", item=checks.set, observed_at=ctx.now(), body=body)]
    )


@collector(
    "assessment",
    interval_seconds=3600,
    timeout_seconds=90,
    platforms={"win32"},
    privileges="root: the audit policy and the local security policy are shown to administrators only",
    description="Settings against the shipped checks (SMBv1, RDP, UAC, passwords, audit policy…): passed, failed, not "
    "applicable or unknown, with what was found",
)
def collect(ctx: Context) -> Output:
    from agent.windows.registry import registry

    return judge(ctx, registry())
