"""What can go wrong while a report is made."""

from __future__ import annotations


class ReportError(Exception):
    """A report that cannot be made; ``str()`` says what to do."""


class FontsMissingError(ReportError):
    """No font that covers Vietnamese; without one a PDF would show boxes instead of letters."""

    def __init__(self) -> None:
        super().__init__(
            "a PDF needs the Tinos fonts (or Liberation Serif) to embed: run `make assets`, "
            "or install fonts-liberation"
        )
