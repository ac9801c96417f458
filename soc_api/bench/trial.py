"""A server of its own for a measurement: a temporary data directory, free ports, agencies loaded."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from soc_api.local import Server, make_data_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def trial_server(settings: str = "") -> Iterator[tuple[Server, Path]]:
    """A ready server and a folder to work in; both are gone afterwards. ``settings`` are further lines of its TOML
    file, sections included."""
    with tempfile.TemporaryDirectory(prefix="vonggac-bench-") as name:
        folder = Path(name)
        data = folder / "data"
        make_data_directory(data, settings)
        server = Server(data, folder / "server.log")
        server.start()
        try:
            server.wait_until_ready()
            server.vonggac("agency", "builtin", "thanh-hoa")
            yield server, folder
        finally:
            server.kill()
