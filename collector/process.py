"""``python -m collector.process store|ingest|detect --data DIR [--config FILE]``: one process of the collector.

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

    from collector.settings import Settings

#: ``EX_CONFIG`` of sysexits.h: wrong settings, port in use, damaged data directory.
CANNOT_START: Final = 78

#: Where each process's ``main(data, settings) -> exit status`` lives; imported only in that process.
PROCESSES: Final = {
    "store": "collector.store.process",
    "ingest": "collector.ingest.process",
    "detect": "collector.detect.process",
}
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
    options = parser.parse_args(arguments)
    set_up(options.name)
    log = logging.getLogger("vonggac.process")
    data = DataDirectory(options.data)
    try:
        settings = load(data, options.config)
        data.create()
        with locks.hold(data.run / f"{options.name}.lock", f"{options.name} on {data.root}", _WAIT_SECONDS):
            work: Callable[[DataDirectory, Settings], int] = importlib.import_module(
                PROCESSES[options.name]
            ).main
            return work(data, settings)
    except (CollectorError, SettingsError) as error:
        log.critical("cannot go on", extra={"reason": str(error)})
        return CANNOT_START
    except Exception:
        log.critical("ended by an error that nobody foresaw", exc_info=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
