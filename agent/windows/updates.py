"""Updates that wait, as the Windows Update Agent knows them from its last look: nothing is fetched or installed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from agent.collectors.common.files import clean_text
from agent.collectors.updates import Update
from agent.windows.registry import RegistryDeniedError

if TYPE_CHECKING:
    from agent.windows.automation import Automation, Result
    from agent.windows.registry import Registry

CRITERIA: Final = "IsInstalled=0 and IsHidden=0 and Type='Software'"
#: Categories of *Security Updates* and *Critical Updates* (Windows Update Agent API, category ids).
_SECURITY: Final = frozenset({"0fa1201d-4330-4fa8-8ae9-b877473b6441", "e6cf1350-c01b-414d-a61f-263d14d133b4"})
_REBOOT_KEYS: Final = (
    r"SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired",
    r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
)
MAX_UPDATES: Final = 500
_MAX_CATEGORIES: Final = 32
#: Days from automation's day 0, 30 December 1899, to 1970.
_EPOCH_DAYS: Final = 25_569


def search(session: Automation) -> list[Update]:
    """What waits, of ``Microsoft.Update.Session``, without going to the network. Seconds to minutes.

    Raises:
        AutomationError: the Windows Update Agent refuses (its service is disabled).
    """
    found: list[Update] = []
    with _object(session.call("CreateUpdateSearcher")) as searcher:
        searcher.put("Online", False)
        with _object(searcher.call("Search", CRITERIA)) as result, _object(result.get("Updates")) as updates:
            for index in range(min(_count(updates), MAX_UPDATES)):
                with _object(updates.get("Item", index)) as update:
                    found.append(_update(update))
    return found


def last_search(auto_update: Automation) -> float | None:
    """When Windows last looked for updates with success, of ``Microsoft.Update.AutoUpdate``: seconds since 1970."""
    with _object(auto_update.get("Results")) as results:
        return parse_date(results.get("LastSearchSuccessDate"))


def parse_date(days: Result) -> float | None:
    """Automation's date, which Windows Update gives in UTC; ``None`` for the empty date and what is none."""
    if not isinstance(days, float) or not math.isfinite(days) or not _EPOCH_DAYS < days < 75_000:
        return None
    return float(round((days - _EPOCH_DAYS) * 86_400))


def reboot_required(registry: Registry) -> bool:
    """Whether installed updates wait for a restart."""
    return any(_is_there(registry, key) for key in _REBOOT_KEYS)


def _is_there(registry: Registry, key: str) -> bool:
    try:
        return registry.values("HKLM", key) is not None
    except RegistryDeniedError:
        return True


def _update(update: Automation) -> Update:
    with _object(update.get("Identity")) as identity:
        number = clean_text(str(identity.get("UpdateID") or ""), 64)
    security = bool(update.get("MsrcSeverity"))
    with _object(update.get("Categories")) as categories:
        for index in range(min(_count(categories), _MAX_CATEGORIES)):
            with _object(categories.get("Item", index)) as category:
                security = security or str(category.get("CategoryID") or "").lower() in _SECURITY
    return Update(package=number, version="", security=security)


def _count(collection: Automation) -> int:
    count = collection.get("Count")
    return count if isinstance(count, int) else 0


def _object(result: Result) -> Automation:
    """``result``, which the interface promises is an object.

    Raises:
        OSError: it is not.
    """
    if result is None or isinstance(result, str | int | float):
        raise OSError(f"Windows Update gave no object but {type(result).__name__}")
    return result
