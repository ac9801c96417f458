"""Loads the rules that the worker runs: our own and the folders of the settings. What is wrong is said, not fatal."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from rules.catalogue import OWN_RULES, Catalogue, RuleInfo, load_catalogue
from rules.engine import Engine, RuleError

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("vonggac.detect")


def load_rules(folders: Sequence[str]) -> tuple[Engine, Catalogue]:
    """Our own rules and those of ``folders`` (paths of ``[detect] rule_folders``).

    A folder that is missing, a rule that cannot run and an id that is taken are logged; the others work. Of two
    rules with one id the catalogue describes the first, our own before all.
    """
    paths = [OWN_RULES]
    for path in map(Path, folders):
        if path.is_dir():
            paths.append(path)
        else:
            log.error("a folder of rules is missing: see [detect] rule_folders", extra={"folder": str(path)})
    engine = Engine(paths)
    for refusal in engine.unsupported:
        log.warning("a rule cannot run", extra={"rule": refusal.id, "reason": refusal.reason})
    log.info("rules loaded", extra={"rules": engine.rules_loaded, "unsupported": len(engine.unsupported)})
    return engine, _catalogue(paths)


def _catalogue(paths: Sequence[Path]) -> Catalogue:
    try:
        return load_catalogue(paths)
    except RuleError as error:
        log.error("two rules share an id", extra={"reason": str(error)})  # noqa: TRY400 - the reason says it all
    found: dict[str, RuleInfo] = {}
    for path in paths:
        try:
            catalogue = load_catalogue([path])
        except RuleError:
            continue  # its rules run; their alerts go by the defaults: medium, about the host
        found = {**catalogue, **found}
    return Catalogue(found.values())
