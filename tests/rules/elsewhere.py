"""Runs in sigma-cli's own environment: converts rules with its own command, many in one process.

Standard input: ``[{"target": …, "files": [paths]}]``. Standard output: as many of ``{"exit": code, "output": text}``.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from typing import Any

from click.testing import CliRunner
from sigma.cli.convert import convert as command  # type: ignore[import-not-found, unused-ignore]  # elsewhere


def convert(job: dict[str, Any]) -> dict[str, Any]:
    # A correlation finds the rules it refers to only where they come from the same folder.
    with tempfile.TemporaryDirectory() as folder:
        for path in job["files"]:
            shutil.copy(path, folder)
        arguments = ["--target", job["target"], "--without-pipeline", folder]
        result = CliRunner().invoke(command, arguments)
    return {"exit": result.exit_code, "output": result.stdout if result.exit_code == 0 else result.output}


if __name__ == "__main__":
    json.dump([convert(job) for job in json.load(sys.stdin)], sys.stdout)
