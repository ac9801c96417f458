"""A real VictoriaMetrics on loopback, to write to and to ask."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import httpx

from soc_api.local import free_port
from tests.support.debian import program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


class Victoria:
    """One server under ``folder``. ``start()`` and ``stop()`` may alternate: it keeps its port and its data. The owner
    stops it at the end.

    ``options``: further command line options, as ``-dedup.minScrapeInterval=1ms``.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._program = program("victoria-metrics", "victoria-metrics")
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                self._program,
                f"-storageDataPath={self._folder / 'data'}",
                f"-httpListenAddr=127.0.0.1:{self.port}",
                "-retentionPeriod=100y",
                "-search.latencyOffset=0",
                "-memory.allowedBytes=134217728",
                "-loggerLevel=ERROR",
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, seconds=20, what="VictoriaMetrics to answer", every=0.05)

    def stop(self) -> None:
        """In order: what it took is on its disk."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def series(
        self, match: str = '{__name__=~"vonggac_.+"}'
    ) -> dict[tuple[str, ...], list[tuple[int, float]]]:
        """Every stored sample as it was written: name and labels (``k=v``, sorted) → (milliseconds, value), by time."""
        self.flush()
        reply = httpx.post(f"{self.url}/api/v1/export", data={"match[]": match})
        found: dict[tuple[str, ...], list[tuple[int, float]]] = {}
        for text in reply.raise_for_status().text.splitlines():
            line = json.loads(text)
            labels = dict(line["metric"])
            key = (labels.pop("__name__"), *sorted(f"{name}={value}" for name, value in labels.items()))
            samples = zip(line["timestamps"], line["values"], strict=True)
            found[key] = sorted([*found.get(key, []), *samples])
        return found

    def query(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The result of one PromQL query at a moment (default: now)."""
        parameters = {"query": expression, "nocache": "1"}
        if at is not None:
            parameters["time"] = str(at)
        reply = httpx.get(f"{self.url}/api/v1/query", params=parameters)
        assert reply.status_code == 200, f"{expression}: {reply.text}"
        result: list[dict[str, Any]] = reply.json()["data"]["result"]
        return result

    def flush(self) -> None:
        """What was written can be found by queries when it returns."""
        httpx.get(f"{self.url}/internal/force_flush").raise_for_status()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False
