from __future__ import annotations

from typing import TYPE_CHECKING

from collector.settings import DataDirectory, Settings
from soc_api.system.service import last_log_offset

if TYPE_CHECKING:
    from pathlib import Path


def test_a_log_that_is_missing_or_damaged_has_no_last_offset(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    assert last_log_offset(Settings(), data) is None
    data.log.write_bytes(b"this is no database" * 100)
    assert last_log_offset(Settings(), data) is None
