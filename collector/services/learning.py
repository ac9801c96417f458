"""Which page of a service counts as right before anybody has looked at it: never the one of whoever tells first.

Pure; pages are those of :func:`collector.services.verdicts.page_of`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.services.verdicts import CHANGED_WITH_HOSTS, page_of, score_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from collector.services.models import Probed

#: For so long another agency's probe is waited for.
ALONE_SECONDS: Final = 600.0


def page_to_learn(
    probed: Iterable[Probed], owner: int | None, watching: Collection[int], known_seconds: float
) -> dict[str, Any] | None:
    """The page that its own agency (``owner``) sees; else the one that most of at least two agencies see; else, where
    only one agency's probes ask for services at all (``watching``), what they have seen for a while
    (``known_seconds``: since the service was first told of). ``None``: a person has to say which page is right."""
    pages: dict[int, dict[str, Any]] = {}
    for each in probed:
        page = page_of(each.body) if each.fresh else None
        if page is not None:
            pages.setdefault(each.agency_id, page)
    fit = {agency: page for agency, page in pages.items() if not page["words"]}
    if owner in fit:
        return fit[owner]
    if len(pages) == 1:
        alone = set(watching) <= pages.keys() and known_seconds >= ALONE_SECONDS
        return next(iter(fit.values()), None) if alone else None
    for page in fit.values():
        if 2 * sum(_agree(page, other) for other in fit.values()) > len(pages):
            return page
    return None


def _agree(page: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return score_of(page, [other]) < CHANGED_WITH_HOSTS and page["hosts"] == other["hosts"]
