"""``python -m collector.process ingest --data DIR [--config FILE]``: one process of the collector.

``vonggac serve`` starts them all (``collector.supervisor``); each may also run alone under a service manager.
Exit status: 0 after a signal, :data:`CANNOT_START` where trying again would not help, 1 where it may.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.settings_file import SettingsError
from collector import locks
from collector.errors import CollectorError
from collector.logging import set_up
from collector.settings import DataDirectory, load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: ``EX_CONFIG`` of sysexits.h: wrong settings, port in use, damaged data directory.
CANNOT_START: Final = 78

#: Where each process's ``main(data, settings) -> exit status`` lives; imported only in that process. Of :data:`SEVERAL`
#: there may be more than one a data directory: they are numbered, and ``main`` takes the number too.
PROCESSES: Final = {
    "store": "collector.store.process:main",
    "ingest": "collector.ingest.process:main",
    "detect": "collector.detect.process:main",
    "correlate": "collector.detect.process:main_correlate",
    "export": "collector.export.process:main",
    "vulnerabilities": "collector.vulnerabilities.process:main",
}
SEVERAL: Final = frozenset({"detect"})
#: How long a new process waits for its predecessor to end.
_WAIT_SECONDS: Final = 15.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m collector.process",
        description="One process of the collector.",
        epilog="example: python -m collector.process ingest --data /var/lib/vonggac",
    )
    parser.add_argument("name", choices=PROCESSES)
    parser.add_argument("--data", type=Path, required=True, help="the data directory")
    parser.add_argument("--config", type=Path, help="settings, if not the data directory's vonggac.toml")
    parser.add_argument(
        "--number", type=int, default=1, help="of several of a kind: which one this is (default 1)"
    )
    options = parser.parse_args(arguments)
    several = options.name in SEVERAL
    name = f"{options.name}-{options.number}" if several else options.name
    set_up(name)
    log = logging.getLogger("vonggac.process")
    data = DataDirectory(options.data)
    try:
        settings = load(data, options.config)
        data.create()
        with locks.hold(data.run / f"{name}.lock", f"{name} on {data.root}", _WAIT_SECONDS):
            module, _, function = PROCESSES[options.name].partition(":")
            work: Callable[..., int] = getattr(importlib.import_module(module), function)
            return work(data, settings, options.number) if several else work(data, settings)
    except (CollectorError, SettingsError) as error:
        log.critical("cannot go on", extra={"reason": str(error)})
        return CANNOT_START
    except Exception:
        log.critical("ended by an error that nobody foresaw", exc_info=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
