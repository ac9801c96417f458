"""The signed document that an endpoint fetches."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from agent.steered import SIGNED_AS, SettingsDocument, SignedSettings, read_steered
from collector.state.tables import EndpointSettings

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from collector.enrolment.authority import Authority

#: How long a document may be taken after it was signed; it is signed anew whenever it is asked for.
VALID: Final = timedelta(days=1)
#: An agent's clock may be behind.
_BACKDATED: Final = timedelta(hours=1)


def signed_settings(
    session: Session, endpoint_id: str, authority: Authority, now: datetime
) -> SignedSettings | None:
    """What the endpoint shall have, signed for it alone; None where nothing was ever published for it."""
    row = session.get(EndpointSettings, endpoint_id)
    if row is None or not row.number:
        return None
    document = msgspec.json.encode(
        SettingsDocument(
            endpoint_id=endpoint_id,
            number=row.number,
            issued_at=(now - _BACKDATED).timestamp(),
            valid_until=(now + VALID).timestamp(),
            settings=read_steered(row.settings),
        )
    )
    return SignedSettings(document, authority.sign_statement(SIGNED_AS, document))
