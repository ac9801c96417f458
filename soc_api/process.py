"""The web process: ``python -m soc_api.process --data DIR [--config FILE]``. Console and API over TLS, until
a signal."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from agent.settings_file import SettingsError
from collector import settings as server_settings
from collector.errors import CollectorError
from collector.serving import listen_tcp, run
from rules.engine.errors import RuleError
from soc_api.app import create_app

if TYPE_CHECKING:
    from collections.abc import Sequence

#: An event stream that is open when we stop is cut after this.
_STOP_SECONDS = 3


def serve(data: server_settings.DataDirectory, settings: server_settings.Settings) -> None:
    """Answer on ``[web] host`` and ``port`` until SIGINT or SIGTERM.

    Raises:
        CollectorError: the port is taken, or there is no certificate yet.
    """
    certificate, key = data.ca / "server.crt", data.ca / "server.key"
    for path in (certificate, key, data.state):
        if not path.exists():
            raise CollectorError(f"{path} is missing: start with `vonggac serve --data {data.root}`")
    app = create_app(data, settings)
    services = app.state.services
    try:
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ssl_certfile=str(certificate),
            ssl_keyfile=str(key),
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        run(config, [listen_tcp(settings.web.host, settings.web.port)])
    finally:
        services.store.close()
        services.state.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 after a signal, 1 with one line on standard error where it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m soc_api.process", description="Console and API.")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data directory")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the settings file, if not DIR/vonggac.toml"
    )
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    data = server_settings.DataDirectory(arguments.data)
    try:
        serve(data, server_settings.load(data, arguments.config))
    except (SettingsError, CollectorError, RuleError) as error:
        sys.stderr.write(f"web: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
