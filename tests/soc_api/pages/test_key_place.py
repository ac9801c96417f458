"""Where the agent's key is, on the machine's page; what the agent says of it is hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collector.state.tables import Document
from tests.soc_api.pages.conftest import HTML, Page

if TYPE_CHECKING:
    from tests.soc_api.conftest import SignedIn, World


@pytest.mark.parametrize(
    ("key", "shown", "hidden"),
    [
        ({"place": "tpm"}, "Niêm phong trong TPM của máy", "Trong tệp"),
        (
            {"place": "file", "reason": "no TPM 2.0 to be seen"},
            "không thấy TPM 2.0",
            "Niêm phong trong TPM của máy",
        ),
        ({"place": ["<b>"], "reason": "<b>x"}, "<b>x", "Niêm phong trong TPM của máy"),
        (None, "Chứng thư số đến", "Nơi giữ khóa của tác tử"),
        ("tpm", "Chứng thư số đến", "Nơi giữ khóa của tác tử"),
    ],
)
def test_a_machines_page_says_where_the_key_is(
    world: World, signed_in: SignedIn, key: Any, shown: str, hidden: str
) -> None:
    now = world.clock.now
    machine = world.endpoint(world.here, "pc-01")
    times: dict[str, Any] = {"observed_at": now, "received_at": now, "changed_at": now}
    with world.services.state.write() as session:
        body = {"version": "0.3.0", "key": key}
        session.add(Document(endpoint_id=machine, kind="agent", item="", body=body, digest="", **times))
    page = Page(signed_in("admin").get(f"/endpoints/{machine}", headers=HTML).text)
    assert shown in page.text
    assert hidden not in page.text
