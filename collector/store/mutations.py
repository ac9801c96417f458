"""Statements that rewrite parts (``ALTER … DELETE``, ``DELETE``, ``MATERIALIZE INDEX``), waited for to their end.

The engine tells of the first part that it could not rewrite and tries it again by itself; on the embedded one this
happens now and then while parts are merged.
"""

from __future__ import annotations

import time
from typing import Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.store.errors import StoreError

_UNFINISHED: Final = "Code: 341."
_WAIT_SECONDS: Final = 120.0
_OPEN: Final = (
    "SELECT latest_fail_reason FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"
    " AND NOT is_killed LIMIT 1"
)


def mutate(client: Any, sql: str) -> None:
    """Run ``sql``, which says itself that it is to be waited for; every part is rewritten when it returns.

    Raises:
        StoreError: it was tried again for two minutes.
        ClickHouseError: anything else.
    """
    try:
        client.command(sql)
    except ClickHouseError as error:
        if _UNFINISHED not in str(error):
            raise
        last = time.monotonic() + _WAIT_SECONDS
        while reasons := client.query(_OPEN).result_rows:
            if time.monotonic() > last:
                raise StoreError(f"parts cannot be rewritten: {str(reasons[0][0])[:500]}") from error
            time.sleep(0.2)
