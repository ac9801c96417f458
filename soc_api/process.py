"""The web process: ``python -m soc_api.process --data DIR [--config FILE]``. Console and API over TLS, until
a signal."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import uvicorn

from agent.settings_file import SettingsError
from collector import locks
from collector import settings as server_settings
from collector.errors import CollectorError
from collector.health import Heartbeat
from collector.ingest.protocol import AgentProtocol
from collector.logging import set_up
from collector.process import CANNOT_START
from collector.serving import listen_tcp, run
from rules.engine.errors import RuleError
from soc_api.api.metrics import PROCESS_NAME
from soc_api.app import create_app

if TYPE_CHECKING:
    from collections.abc import Sequence

#: An event stream that is open when we stop is cut after this.
_STOP_SECONDS = 3
#: How long a new process waits for its predecessor to end.
_WAIT_SECONDS = 15.0


class WebProtocol(AgentProtocol):
    """A browser's connection: the agents' protocol with its bound on heads and its end to slow requests.
    Nobody shows a certificate here, so all have the strangers' room and keep-alive."""

    max_connections = max_strangers = 4096
    strangers: ClassVar[set[AgentProtocol]] = set()


def serve(data: server_settings.DataDirectory, settings: server_settings.Settings) -> None:
    """Answer on ``[web] host`` and ``port`` until SIGINT or SIGTERM.

    Raises:
        CollectorError: the port is taken, or there is no certificate yet.
    """
    certificate, key = data.ca / "server.crt", data.ca / "server.key"
    for path in (certificate, key, *([] if settings.state.url else [data.state])):
        if not path.exists():
            raise CollectorError(f"{path} is missing: start with `vonggac serve --data {data.root}`")
    app = create_app(data, settings)
    services = app.state.services
    try:
        config = uvicorn.Config(
            app,
            http=WebProtocol,
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
        listener = listen_tcp(settings.web.host, settings.web.port)
        heartbeat = Heartbeat(
            services.state, data, kind="web", name=PROCESS_NAME, registry=services.metrics.registry
        )
        run(
            config,
            [listener],
            on_exit=lambda: setattr(app.state, "closing", True),
            beside=heartbeat.keep_beating,
        )
        heartbeat.leave()
    finally:
        services.store.close()
        services.state.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 after a signal, ``CANNOT_START`` where trying again would not help."""
    parser = argparse.ArgumentParser(
        prog="python -m soc_api.process",
        description="Console and API.",
        epilog="example: python -m soc_api.process --data /var/lib/vonggac",
    )
    parser.add_argument("--data", type=Path, required=True, help="the data directory")
    parser.add_argument("--config", type=Path, help="settings, if not the data directory's vonggac.toml")
    arguments = parser.parse_args(argv)
    set_up("web")
    data = server_settings.DataDirectory(arguments.data)
    try:
        settings = server_settings.load(data, arguments.config)
        data.create()
        with locks.hold(data.run / "web.lock", f"web on {data.root}", _WAIT_SECONDS):
            serve(data, settings)
    except (SettingsError, CollectorError, RuleError) as error:
        logging.getLogger("vonggac.process").critical("cannot go on", extra={"reason": str(error)})
        return CANNOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
