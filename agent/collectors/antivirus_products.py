"""Antivirus products beside ClamAV: which are here, whether they run, and what they say of themselves."""

from __future__ import annotations

import os
from collections.abc import Callable  # noqa: TC003 - msgspec reads it
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from agent import reasons
from agent.collectors.common.antivirus_answers import (
    Answer,
    UnreadableAnswerError,
    parse_eset,
    parse_kesl,
    parse_mdatp,
)
from agent.collectors.common.antivirus_document import antivirus_body
from agent.collectors.common.command import ProgramTooSlowError, failed, run_program
from agent.collectors.common.files import is_folder, read_bytes, under
from agent.collectors.registry import Context, Output, StatusDocument, collector

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_SECONDS: Final = 30.0
#: A time that is told in minutes ago moves a little from one answer to the next.
STEADY_SECONDS: Final = 7200.0


class Product(Struct, frozen=True):
    """``folders`` are where it lies; a process whose program lies in one of them is its own. The first of
    ``commands`` whose program is there asks it, ``parse`` reads the answer given at a time; both are empty where it
    is not known how to ask."""

    item: str
    name: str
    folders: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...] = ()
    parse: Callable[[bytes, float], Answer] | None = None


def _kesl(output: bytes, _now: float) -> Answer:
    return parse_kesl(output.decode("utf-8", "replace"))


def _eset(output: bytes, _now: float) -> Answer:
    return parse_eset(output.decode("utf-8", "replace"))


PRODUCTS: Final = (
    Product(
        "kesl",
        "Kaspersky Endpoint Security",
        ("/opt/kaspersky/kesl",),
        (("/opt/kaspersky/kesl/bin/kesl-control", "--app-info"),),
        _kesl,
    ),
    Product(
        "mdatp",
        "Microsoft Defender",
        ("/opt/microsoft/mdatp",),
        (("/usr/bin/mdatp", "health", "--output", "json"),),
        parse_mdatp,
    ),
    Product(
        "eset",
        "ESET",
        ("/opt/eset/eea", "/opt/eset/efs"),
        tuple((f"/opt/eset/{each}/bin/upd", "--list-modules") for each in ("eea", "efs")),
        _eset,
    ),
    Product("trend_micro", "Trend Micro Deep Security", ("/opt/ds_agent",)),
    Product("sophos", "Sophos Protection", ("/opt/sophos-spl", "/opt/sophos-av")),
    Product("trellix", "Trellix Endpoint Security", ("/opt/McAfee/ens", "/opt/isec/ens")),
    Product("symantec", "Symantec Endpoint Protection", ("/opt/Symantec",)),
)


def running_programs(proc: Path) -> tuple[set[str], bool]:
    """``(paths of the programs that run, whether there may be others)``. Where a program may not be read, the path
    that its process was started with counts."""
    found: set[str] = set()
    hidden = False
    with os.scandir(proc) as entries:
        numbers = [entry.name for entry in entries if entry.name.isdigit()]
    for number in numbers:
        try:
            found.add(os.readlink(proc / number / "exe"))  # noqa: PTH115 - a text
        except PermissionError:
            started = (read_bytes(proc / number / "cmdline", 512) or b"").partition(b"\0")[0]
            if started.startswith(b"/"):
                found.add(started.decode("utf-8", "replace"))
            else:
                hidden = True
        except OSError:
            continue
    return found, hidden


def read_product(ctx: Context, product: Product, running: tuple[set[str], bool]) -> dict[str, Any]:
    """The facts of an ``antivirus`` document of a product that is here."""
    programs, hidden = running
    if not any(path.startswith(f"{folder}/") for path in programs for folder in product.folders):
        if hidden:
            return {"state": "unknown", "reason": reasons.PROCESSES_HIDDEN()}
        return {"state": "off", "reason": reasons.SERVICE_STOPPED(), "real_time": "off"}
    command = next((each for each in product.commands if under(ctx.root, each[0]).exists()), None)
    if command is None or product.parse is None:
        return {"state": "unknown", "reason": reasons.ONLY_RUNNING_KNOWN(product=product.name)}
    if ctx.root != ctx.root.parent:
        return {"state": "unknown", "reason": reasons.OTHER_HOST(program=command[0])}
    try:
        ran = run_program(command, ANSWER_SECONDS)
        if ran.status != 0:
            return {"state": "unknown", "reason": failed(command[0], ran)}
        return facts_of(product.parse(ran.output, ctx.now()))
    except UnreadableAnswerError:
        return {"state": "unknown", "reason": reasons.ANSWER_NOT_KNOWN(program=command[0])}
    except ProgramTooSlowError as error:
        return {"state": "unknown", "reason": str(error)}
    except OSError as error:
        return {"state": "unknown", "reason": reasons.at(command[0], error)}


def facts_of(answer: Answer) -> dict[str, Any]:
    """The answer of a product that runs, in the words of the document."""
    facts: dict[str, Any] = {
        "state": "on",
        "engine_version": answer.version,
        "database_version": answer.database,
        "signature_time": answer.signature_time,
        "real_time": answer.real_time,
        "last_scan_time": answer.last_scan_time,
        "last_scan_state": "known"
        if answer.last_scan_time
        else "never"
        if answer.never_scanned
        else "unknown",
        "managed": answer.managed,
    }
    if answer.loaded is False:
        facts["state"] = "unknown" if answer.trouble else "off"
        facts["reason"] = (
            reasons.PRODUCT_NOT_WELL(detail=answer.trouble)
            if answer.trouble
            else reasons.NO_SIGNATURES_LOADED()
        )
    if answer.signature_time is None:
        facts["signature_reason"] = reasons.SIGNATURE_DATE_UNTOLD_BY_PRODUCT()
    if answer.real_time == "unknown":
        facts["real_time_reason"] = reasons.NOT_TOLD()
    if facts["last_scan_state"] == "unknown":
        facts["last_scan_reason"] = reasons.NOT_TOLD()
    return facts


def _steady(ctx: Context, item: str, facts: dict[str, Any]) -> None:
    """Keep the time told before where the new one is the same but for the minutes it was told in."""
    new, old = facts.get("signature_time"), ctx.state.get(item)
    if new is None:
        return
    if isinstance(old, int | float) and abs(new - old) < STEADY_SECONDS:
        facts["signature_time"] = old
    else:
        ctx.state[item] = new


@collector(
    "antivirus_products",
    interval_seconds=900,
    timeout_seconds=95,
    platforms={"linux"},
    privileges="root: the programs of other users' processes are shown to root only, and products answer root only",
    description="Kaspersky, Microsoft Defender and ESET: whether they run, signatures, real-time protection; "
    "Trend Micro, Sophos, Trellix and Symantec: whether they run",
)
def collect(ctx: Context) -> Output:
    here = [each for each in PRODUCTS if any(is_folder(under(ctx.root, folder)) for folder in each.folders)]
    running = running_programs(ctx.proc) if here else (set[str](), False)
    documents = []
    for product in here:
        facts = read_product(ctx, product, running)
        _steady(ctx, product.item, facts)
        body = antivirus_body(product.name, {"real_time": "unknown", **facts})
        documents.append(
            StatusDocument(kind="antivirus", item=product.item, observed_at=ctx.now(), body=body)
        )
    return Output(documents=documents)
