"""The book as it is now, in a process that answers people: read again whenever its mark has moved."""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from collector.rulebook.models import Book
from collector.rulebook.sources import catalogue_of
from rules.catalogue import Catalogue, RuleInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.rulebook.sources import Rulebook
    from collector.state.database import StateStore

log = logging.getLogger("vonggac.rulebook")

#: How old an answer may be; a change made through this process is seen at once (:meth:`LiveBook.look_again`).
_EVERY_SECONDS: Final = 1.0


class LiveBook:
    """Threads may share it. While the state store does not answer, the last book stands."""

    def __init__(self, rulebook: Rulebook, state: StateStore) -> None:
        self.rulebook: Final = rulebook
        self._state = state
        self._lock = threading.Lock()
        self._book = Book({})
        self._catalogue = Catalogue(())
        self._mark: tuple[int, str] | None = None
        self._looked = -_EVERY_SECONDS

    @property
    def book(self) -> Book:
        self._look()
        return self._book

    @property
    def catalogue(self) -> Catalogue:
        self._look()
        return self._catalogue

    def look_again(self) -> None:
        """The next question looks at the state store, however recent the last one was."""
        self._looked = -_EVERY_SECONDS

    def _look(self) -> None:
        if monotonic() - self._looked < _EVERY_SECONDS:
            return
        with self._lock:
            if monotonic() - self._looked < _EVERY_SECONDS:
                return
            try:
                with self._state.read() as session:
                    mark = self.rulebook.mark(session)
                    if mark != self._mark:
                        book = self.rulebook.read(session)
                        self._catalogue = catalogue_of(book)
                        self._book, self._mark = book, mark
            except SQLAlchemyError as error:
                log.warning("the rules could not be read again", extra={"error": str(error)[:300]})
            self._looked = monotonic()


class LiveCatalogue(Catalogue):
    """What people read about the rules, as they are at the moment of asking."""

    def __init__(self, live: LiveBook) -> None:
        super().__init__(())
        self.live: Final = live

    def __getitem__(self, key: str) -> RuleInfo:
        return self.live.catalogue[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.live.catalogue)

    def __len__(self) -> int:
        return len(self.live.catalogue)
