"""Whether this machine is set up as it should be: one document with the result of every check that is for it."""

from __future__ import annotations

from agent.collectors.common.files import read_text, under
from agent.collectors.host import machine_role, parse_os_release
from agent.collectors.registry import Context, Output, StatusDocument, collector


@collector(
    "assessment",
    interval_seconds=3600,
    timeout_seconds=60,
    platforms={"linux"},
    privileges="root: sshd's effective settings, sudoers, empty passwords and the packet filter are shown to root only",
    description="Settings against the shipped checks (sshd, passwords, kernel, file modes, services…): passed, failed, "
    "not applicable or unknown, with what was found",
)
def collect(ctx: Context) -> Output:
    # Inside, because it is once an hour: an agent that is switched to fewer collectors never loads it.
    from agent.assessment.judge import Host, last_known, report
    from agent.assessment.machine import Machine
    from agent.assessment.shipped import load

    checks = load("linux")
    tests = tuple(test for check in checks.checks for test in check.tests())
    release = parse_os_release(
        read_text(under(ctx.root, "/etc/os-release"))
        or read_text(under(ctx.root, "/usr/lib/os-release"))
        or ""
    )
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    role, _ = machine_role(ctx.root, ctx.sys, release)
    host = Host("" if role == "unknown" else role, frozenset(name for name in names if name))
    last = ctx.state.get("last") or {}
    body = report(checks, Machine(ctx.root, ctx.proc, ctx.sys, tests=tests), host, last)
    if (known := last_known(body, last)) != last:
        ctx.state["last"] = known
    return Output(
        documents=[StatusDocument(kind="assessment", item=checks.set, observed_at=ctx.now(), body=body)]
    )
