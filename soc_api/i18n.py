"""The languages people read: gettext messages, and how they write numbers, dates and spans of time.

Message ids are English sentences with ``%(name)s`` placeholders; Vietnamese comes from
``dashboards/translations/vi/LC_MESSAGES/messages.po``, read once at the first use, with no compile step.
"""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, get_args

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

from dashboards import TRANSLATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

Language = Literal["vi", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
DEFAULT_LANGUAGE: Final[Language] = "vi"

#: Asia/Ho_Chi_Minh, which has had no daylight saving time since 1975; stored times are UTC.
LOCAL_ZONE: Final = timezone(timedelta(hours=7), "UTC+07")

_BEYOND_MEASURE: Final = 1e15
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def N_(message: str) -> str:  # noqa: N802 - gettext's own name for a message that is translated later
    """Mark ``message`` for extraction; translate it where it is shown."""
    return message


class Translator:
    """One language. Callable: ``t("Signed in as %(user)s", user=name)``.

    Values are put in as they are: nothing is escaped here, templates do that. A message without a translation
    comes back in English.
    """

    def __init__(self, lang: Language, catalogue: NullTranslations) -> None:
        self.lang: Final[Language] = lang
        self.catalogue: Final = catalogue

    def __call__(self, message: str, **values: object) -> str:
        text: str = self.catalogue.gettext(message)
        return text % values if values else text.replace("%%", "%")

    def plural(self, singular: str, plural: str, n: int, **values: object) -> str:
        """The form of the message that fits ``n``, which is also given to it as ``%(num)s``, grouped."""
        text: str = self.catalogue.ngettext(singular, plural, n)
        return text % {"num": self.number(n), **values}

    def either(self, texts: Mapping[str, str]) -> str:
        """Of content that carries its own languages (a rule's title), this one's, else English."""
        return texts.get(self.lang) or texts.get("en") or next(iter(texts.values()), "")

    def number(self, value: float, digits: int = 0) -> str:
        """``1.234,5`` in Vietnamese, ``1,234.5`` in English; exactly ``digits`` decimals. What is beyond all
        measure, or no number, is written as a program would."""
        if not abs(value) < _BEYOND_MEASURE:
            return str(value)
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        return format_decimal(value, format=pattern, locale=self.lang)

    def percent(self, ratio: float | None, digits: int = 1) -> str:
        """``ratio`` 0 to 1; an em dash where there is no denominator. Rounding alone never makes it 0 or 100."""
        if ratio is None:
            return "—"
        shown, step = ratio * 100, 10**-digits
        if 0 < ratio < 1:
            shown = min(max(shown, step), 100 - step)
        return self.number(shown, digits) + " %"

    def date(self, value: date | datetime | None) -> str:
        """``dd/MM/yyyy``; a datetime is shown as of local time."""
        if value is None:
            return "—"
        if isinstance(value, datetime):
            value = _local(value)
        return value.strftime("%d/%m/%Y")

    def time(self, value: datetime | float | None, *, seconds: bool = False) -> str:
        """``dd/MM/yyyy HH:mm`` local time, of an aware datetime or seconds since the epoch."""
        if value is None:
            return "—"
        if isinstance(value, int | float):
            try:
                value = datetime.fromtimestamp(value, UTC)
            except (OverflowError, ValueError, OSError):
                return "—"
        try:
            return _local(value).strftime("%d/%m/%Y %H:%M:%S" if seconds else "%d/%m/%Y %H:%M")
        except OverflowError:
            return "—"

    def span(self, seconds: float) -> str:
        """A length of time in its largest unit: ``3 days``, ``5 minutes``."""
        whole = max(0, round(seconds))
        if whole < _MINUTE:
            return self.plural("%(num)s second", "%(num)s seconds", whole)
        if whole < _HOUR:
            return self.plural("%(num)s minute", "%(num)s minutes", whole // _MINUTE)
        if whole < 2 * _DAY:
            return self.plural("%(num)s hour", "%(num)s hours", whole // _HOUR)
        return self.plural("%(num)s day", "%(num)s days", whole // _DAY)

    def ago(self, value: datetime | None, now: datetime) -> str:
        """How long before ``now``; the word for “never” where there is no time."""
        if value is None:
            return self("never")
        seconds = (now - value).total_seconds()
        if seconds < 10:
            return self("just now")
        return self("%(span)s ago", span=self.span(seconds))

    def size(self, value: float) -> str:
        """Bytes in binary units, three significant figures."""
        amount, unit = float(value), "B"
        for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
            if abs(amount) < 1024 or unit == "TiB":
                break
            amount /= 1024
        digits = 0 if unit == "B" or abs(amount) >= 100 else 1
        return f"{self.number(amount, digits)} {unit}"


def _local(value: datetime) -> datetime:
    return value.astimezone(LOCAL_ZONE)


@cache
def translator(lang: str) -> Translator:
    """The translator of ``lang``; of the default language where it is not one of ours. Safe to share."""
    if lang == "en":
        return Translator("en", NullTranslations())
    path = TRANSLATIONS / "vi" / "LC_MESSAGES" / "messages.po"
    compiled = io.BytesIO()
    if path.exists():
        with path.open("rb") as file:
            write_mo(compiled, read_po(file, locale="vi", abort_invalid=True))
        compiled.seek(0)
        return Translator("vi", Translations(compiled))
    return Translator("vi", NullTranslations())
