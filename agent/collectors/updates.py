"""Pending updates, as the package lists that are here tell: nothing is downloaded, nothing installed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from agent import reasons
from agent.collectors.common.command import failed, find_program, run_program
from agent.collectors.common.files import under
from agent.collectors.registry import Context, NothingToReport, Output, StatusDocument, collector

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Even where neither the packages nor the lists changed, the question is asked again after this time.
AGAIN_SECONDS = 6 * 3600.0
#: Other collectors wait while this one runs.
PROGRAM_SECONDS = 45.0
APT_STAMP = "/var/lib/apt/periodic/update-success-stamp"
APT_LISTS = "/var/lib/apt/lists"
APT_MARKS = ("/var/lib/dpkg/status", APT_LISTS, APT_STAMP)
DNF_MARKS = ("/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/cache/dnf")


class Update(Struct, frozen=True):
    """One package that has a newer version; ``security`` where an archive of security fixes offers it."""

    package: str
    version: str
    security: bool


_UPGRADABLE = re.compile(
    r"([^\s/]{1,200})/(\S{1,500}) (\S{1,200}) [\w-]{1,40} \[upgradable from: [^\]]{1,200}\]"
)
_SECURITY = re.compile(r"-security(?![\w-])", re.IGNORECASE)


def parse_apt_list(text: str) -> list[Update]:
    """``apt list --upgradable``: ``libssl3/stable-security,now 3.0.2 amd64 [upgradable from: 3.0.1]``.

    A package that is held back is listed too: it has a newer version all the same.
    """
    matches = (_UPGRADABLE.fullmatch(line) for line in text.splitlines())
    return [Update(m[1], m[3], _SECURITY.search(m[2]) is not None) for m in matches if m]


_ADVISORY = re.compile(r"(\S{1,100}) +(?:(\S{1,40})/Sec\.|security) +(\S{1,300})(?: .*)?")
_CHECK = re.compile(
    r"(\S{1,200}\.(?:x86_64|noarch|i686|aarch64|ppc64le|s390x|armv7hl)) +(\S{1,200}) +(\S{1,200})"
)


def parse_dnf(check_update: str, advisories: str) -> list[Update]:
    """``dnf check-update`` (name.arch, version, repository) and ``dnf updateinfo list --security``."""
    secure = {match[3] for line in advisories.splitlines() if (match := _ADVISORY.fullmatch(line.strip()))}
    updates = []
    for line in check_update.partition("\nObsoleting Packages")[0].splitlines():
        if match := _CHECK.fullmatch(line.strip()):
            name, _, architecture = match[1].rpartition(".")
            whole = f"{name}-{match[2].partition(':')[2] or match[2]}.{architecture}"
            with_epoch = f"{name}-{match[2]}.{architecture}"
            updates.append(Update(match[1], match[2], whole in secure or with_epoch in secure))
    return updates


def pending_since(updates: Iterable[Update], known: dict[str, float], now: float) -> dict[str, float]:
    """When each pending security update was first seen, by package; ``known`` is the answer of last time.

    A newer version of a package that was pending already does not set its clock back.
    """
    return {u.package: min(known.get(u.package, now), now) for u in updates if u.security}


def _mark(root: Path, names: tuple[str, ...]) -> str:
    """Changes whenever the packages or the lists do."""
    times = []
    for name in names:
        try:
            times.append(str(under(root, name).stat().st_mtime_ns))
        except OSError:
            times.append("-")
    return " ".join(times)


def apt_last_check(root: Path) -> float | None:
    """When the package lists were last fetched: apt's own stamp, else the newest change in their folder."""
    times = []
    for name in (APT_STAMP, f"{APT_LISTS}/partial", APT_LISTS):
        try:
            times.append(under(root, name).stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def dnf_last_check(root: Path) -> float | None:
    """When dnf last fetched a repository's lists."""
    times = []
    for folder in under(root, "/var/cache/dnf").glob("*/repodata"):
        try:
            times.append(folder.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def _has_lists(root: Path) -> bool:
    folder = under(root, APT_LISTS)
    return any(any(folder.glob(pattern)) for pattern in ("*_Packages", "*_Packages.*"))


def read_apt(root: Path) -> tuple[list[Update] | None, str]:
    """``(updates, why they are not known)``."""
    program = find_program("apt")
    if program is None:
        return None, reasons.NOT_INSTALLED(program="apt")
    if not _has_lists(root):
        return None, reasons.NO_LISTS()
    nice = find_program("nice")
    # Comparing versions takes a tenth of what solving an upgrade would.
    done = run_program(
        [*([nice, "-n", "19"] if nice else []), program, "list", "--upgradable"], PROGRAM_SECONDS
    )
    if done.status != 0:
        return None, failed("apt list --upgradable", done)
    return parse_apt_list(done.output.decode("utf-8", "replace")), ""


def read_dnf() -> tuple[list[Update] | None, str]:
    """``(updates, why they are not known)``, from what dnf has in its cache."""
    program = find_program("dnf")
    if program is None:
        return None, reasons.NOT_INSTALLED(program="dnf")
    check = run_program([program, "-q", "-C", "check-update"], PROGRAM_SECONDS)
    if check.status not in (0, 100):  # 100: there are updates (dnf(8))
        return None, failed("dnf -C check-update", check)
    advisories = run_program([program, "-q", "-C", "updateinfo", "list", "--security"], PROGRAM_SECONDS)
    if advisories.status != 0:
        return None, failed("dnf -C updateinfo", advisories)
    return parse_dnf(
        check.output.decode("utf-8", "replace"), advisories.output.decode("utf-8", "replace")
    ), ""


@collector(
    "updates",
    interval_seconds=900,
    timeout_seconds=100,
    platforms={"linux"},
    privileges="none",
    description="Pending updates and security updates, since when, and when the package lists were last fetched "
    "(apt, dnf); asked when packages or lists changed, at least every six hours",
)
def collect(ctx: Context) -> Output:
    now = ctx.now()
    if under(ctx.root, APT_MARKS[0]).exists():
        manager, mark = "apt", _mark(ctx.root, APT_MARKS)
    elif find_program("dnf") is not None:
        manager, mark = "dnf", _mark(ctx.root, DNF_MARKS)
    else:
        raise NothingToReport(reasons.NO_UPDATER())
    state = ctx.state
    if state.get("mark") != mark or not 0 <= now - float(state.get("asked", 0.0)) < AGAIN_SECONDS:
        updates, reason = read_apt(ctx.root) if manager == "apt" else read_dnf()
        since = pending_since(updates or (), state.get("since") or {}, now) if updates is not None else {}
        state.update(mark=mark, asked=now)
        if updates is not None:
            state["since"] = since
        state["counts"] = None if updates is None else [len(updates), sum(u.security for u in updates)]
        state["reason"] = reason
    return Output(documents=[StatusDocument(kind="updates", observed_at=now, body=_body(ctx, manager))])


def _body(ctx: Context, manager: str) -> dict[str, Any]:
    counts, since = ctx.state.get("counts"), ctx.state.get("since") or {}
    return {
        "manager": manager,
        "state": "unknown" if counts is None else "ok",
        "reason": ctx.state.get("reason") or "",
        "pending": None if counts is None else counts[0],
        "security_pending": None if counts is None else counts[1],
        "pending_since": min(since.values(), default=None) if counts is not None else None,
        "reboot_required": under(ctx.root, "/run/reboot-required").exists() if manager == "apt" else None,
        "last_check_time": apt_last_check(ctx.root) if manager == "apt" else dnf_last_check(ctx.root),
    }
