"""Log lines of the server's processes: one JSON object a line on standard error, times in UTC.

What is bound by ``extra=`` becomes a field of its own. Values come from outside too, and JSON keeps each in its
place: no line break or quote in a host name can forge a line.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

_OWN: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {
    "message",
    "asctime",
    "taskName",
}
_MAX_TEXT: Final = 8192
# Letters stay letters, but what a reader's terminal or line splitter would act on is escaped: C1 controls, line and
# paragraph separators, marks that turn the direction of text, halves of surrogate pairs.
_ESCAPES: Final = {
    code: f"\\u{code:04x}"
    for code in (*range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000))
}
_NOISY: Final = ("alembic", "asyncio", "clickhouse_connect", "httpcore", "httpx", "uvicorn")


class JsonFormatter(logging.Formatter):
    """``time level process logger message`` and the extras, in this order."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage()[:_MAX_TEXT],
        }
        for name, value in vars(record).items():
            if name not in _OWN and name not in line:
                line[name] = value[:_MAX_TEXT] if isinstance(value, str) else value
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))[-_MAX_TEXT:]
        return json.dumps(line, ensure_ascii=False, default=str).translate(_ESCAPES)


def set_up(process: str, level: int = logging.INFO) -> None:
    """Send everything logged in this process to standard error. Replaces what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
