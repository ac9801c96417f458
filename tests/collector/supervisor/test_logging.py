from __future__ import annotations

import json
import logging

from hypothesis import given
from hypothesis import strategies as st

from collector.logging import JsonFormatter


def line_of(message: str, **extra: object) -> str:
    record = logging.LogRecord("vonggac.test", logging.WARNING, "file.py", 1, message, (), None)
    record.__dict__.update(extra)
    return JsonFormatter("ingest").format(record)


def test_a_line_is_one_json_object_with_what_was_bound() -> None:
    line = json.loads(line_of("enrolment refused", host="pc-01", seconds=1.5))

    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "process": "ingest",
        "logger": "vonggac.test",
        "message": "enrolment refused",
        "host": "pc-01",
        "seconds": 1.5,
    }


@given(st.text(), st.text())
def test_no_text_can_forge_a_line(message: str, host: str) -> None:
    line = line_of(message.replace("%", "%%"), host=host)

    assert len(line.splitlines()) == 1
    assert json.loads(line)["host"] == host


def test_an_exception_is_told_in_the_same_line() -> None:
    error = ValueError("broken\nin two")
    record = logging.LogRecord(
        "x", logging.ERROR, "f", 1, "failed", (), (ValueError, error, error.__traceback__)
    )

    line = JsonFormatter("detect").format(record)

    assert len(line.splitlines()) == 1
    assert "ValueError: broken" in json.loads(line)["exception"]
